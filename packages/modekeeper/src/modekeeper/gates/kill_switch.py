"""The kill-switch: one variable stops every change, and nothing overrides it."""

from collections.abc import Mapping

import msgspec

__all__ = ["KILL_SWITCH_VARIABLE", "KillSwitch", "read_kill_switch"]

KILL_SWITCH_VARIABLE = "MODEKEEPER_KILL_SWITCH"
_OFF = frozenset({"", "0", "false", "no", "off"})


class KillSwitch(msgspec.Struct, frozen=True, kw_only=True):
    """Whether changes are stopped, and by what."""

    active: bool
    signal: str | None = None
    """``env:MODEKEEPER_KILL_SWITCH``; ``None`` while not active."""


def read_kill_switch(environment: Mapping[str, str]) -> KillSwitch:
    """Active unless the variable is unset, empty or says 0, false, no or off: what cannot be read stops too."""
    off = environment.get(KILL_SWITCH_VARIABLE, "").strip().lower() in _OFF
    return KillSwitch(active=False) if off else KillSwitch(active=True, signal=f"env:{KILL_SWITCH_VARIABLE}")
