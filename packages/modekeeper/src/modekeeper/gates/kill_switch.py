"""The kill-switch: any one of its signals stops every change, and nothing overrides it.

What a signal means is said here and nowhere else; nobody is asked here: ``modekeeper.cluster.kill_switch`` does that.
"""

from collections.abc import Mapping

import msgspec

__all__ = [
    "KILL_SWITCH_CONFIG_MAP",
    "KILL_SWITCH_KEY",
    "KILL_SWITCH_VARIABLE",
    "NOT_ACTIVE",
    "KillSwitch",
    "config_map_signal",
    "file_signal",
    "read_kill_switch",
    "said_by_config_map",
    "said_by_file",
    "unreadable",
]

KILL_SWITCH_VARIABLE = "MODEKEEPER_KILL_SWITCH"
KILL_SWITCH_CONFIG_MAP = "modekeeper-kill-switch"
KILL_SWITCH_KEY = "active"
"""Of the ConfigMap's ``data``."""
_OFF = frozenset({"0", "false", "no", "off"})
_LONGEST_BYTES = 64


class KillSwitch(msgspec.Struct, frozen=True, kw_only=True):
    """Whether changes are stopped, and by what."""

    active: bool
    signal: str | None = None
    """``env:MODEKEEPER_KILL_SWITCH``, ``file:<path>`` or ``configmap:<namespace>/<name>``; ``None``: not active."""
    detail: str = ""
    """Why, where the signal could not be read: one line."""


NOT_ACTIVE = KillSwitch(active=False)


def read_kill_switch(environment: Mapping[str, str]) -> KillSwitch:
    """Active unless the variable is unset, empty or says 0, false, no or off: what cannot be read stops too."""
    text = environment.get(KILL_SWITCH_VARIABLE, "")
    if not text.strip() or _is_off(text):
        return NOT_ACTIVE
    return KillSwitch(active=True, signal=f"env:{KILL_SWITCH_VARIABLE}")


def said_by_file(path: str, data: bytes) -> KillSwitch:
    """A file that is there is active unless it says 0, false, no or off: making it empty is enough to stop."""
    if len(data) <= _LONGEST_BYTES and _is_off(data.decode("ascii", "replace")):
        return NOT_ACTIVE
    return KillSwitch(active=True, signal=file_signal(path))


def said_by_config_map(namespace: str, found: object) -> KillSwitch:
    """A ConfigMap that is there is active unless ``active`` in its ``data`` says 0, false, no or off.

    Args:
        namespace: where it is.
        found: the object, as the API server gave it; hostile.
    """
    data = found.get("data") if isinstance(found, dict) else None
    text = data.get(KILL_SWITCH_KEY) if isinstance(data, dict) else None
    if isinstance(text, str) and _is_off(text):
        return NOT_ACTIVE
    return KillSwitch(active=True, signal=config_map_signal(namespace))


def unreadable(signal: str, why: str) -> KillSwitch:
    """What cannot be read stops: nobody knows what it says."""
    return KillSwitch(active=True, signal=signal, detail=f"it cannot be read, and that stops too: {why}")


def file_signal(path: str) -> str:
    """What reports call the file."""
    return f"file:{path}"


def config_map_signal(namespace: str) -> str:
    """What reports call the ConfigMap of a namespace."""
    return f"configmap:{namespace}/{KILL_SWITCH_CONFIG_MAP}"


def _is_off(text: str) -> bool:
    return text.strip().lower() in _OFF
