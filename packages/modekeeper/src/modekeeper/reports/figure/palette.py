"""Colours of the pictures and the page, for light and for dark paper.

The hues are those of Okabe and Ito (Color Universal Design, 2008), which people with any of the common colour
vision deficiencies can tell apart; every mode and every kind of line has a hatch, a dash or a name as well.
"""

from collections.abc import Mapping
from types import MappingProxyType

from modekeeper.model.mode import Mode
from modekeeper.reports.figure.scene import Tone

__all__ = ["DARK", "HATCHES", "LIGHT", "MODE_INK", "mode_role", "tone_role"]

LIGHT: Mapping[str, str] = MappingProxyType(
    {
        "paper": "#ffffff",
        "ink": "#1c2126",
        "frame": "#8a939b",
        "grid": "#e3e7ea",
        "curve": "#0072b2",
        "burst": "#6b4100",
        "tone-worse": "#d55e00",
        "tone-better": "#007a5a",
        "tone-neutral": "#5b6570",
        "tone-straggler": "#a8407c",
        "mode-normal": "#dfe5e9",
        "mode-drift": "#e69f00",
        "mode-burst": "#f0e442",
        "mode-straggler": "#cc79a7",
        "mode-recover": "#56b4e9",
    }
)
"""Role to colour. No two roles share a colour: a page tells by the colour which role a line of a picture has."""

DARK: Mapping[str, str] = MappingProxyType(
    {
        **LIGHT,
        "paper": "#15191d",
        "ink": "#e8ecef",
        "frame": "#76818b",
        "grid": "#2c343b",
        "curve": "#6fc0ee",
        "burst": "#d8c98a",
        "tone-worse": "#ff8a3d",
        "tone-better": "#2fc79a",
        "tone-neutral": "#a9b4bd",
        "tone-straggler": "#e39ac4",
        "mode-normal": "#9aa5ae",
    }
)

MODE_INK = "#000000"
"""Text on the colour of a mode, which is bright on either paper."""

# Lines only: a hatch of dots or stars makes a picture of 100 kB one of half a megabyte.
HATCHES: Mapping[Mode, str] = MappingProxyType(
    {Mode.NORMAL: "", Mode.DRIFT: "///", Mode.BURST: "xxx", Mode.STRAGGLER: "+++", Mode.RECOVER: "\\\\\\"}
)


def mode_role(mode: Mode) -> str:
    """The role of a mode in ``LIGHT`` and ``DARK``."""
    return f"mode-{mode.lower()}"


def tone_role(tone: Tone) -> str:
    """The role of a kind of finding in ``LIGHT`` and ``DARK``."""
    return f"tone-{tone}"
