"""The door's own eyes: objects and kill-switches as they are at this moment."""

from collections.abc import Sequence

from modekeeper.gates.kill_switch import KillSwitch
from modekeeper.model.cluster import ClusterAnswerError, JsonObject, ObjectRef
from modekeeper.model.json_fields import said
from modekeeper_pro.door.change import uid_of, values_at
from modekeeper_pro.door.ports import DoorPorts
from modekeeper_pro.door.records import PlannedWrite

__all__ = ["current", "difference", "looked", "value_said"]

_NOT_FOUND = 404


def current(ports: DoorPorts, ref: ObjectRef) -> JsonObject | None:
    """The object now; ``None`` where there is none. Other errors as the reader port says."""
    try:
        return ports.reader.get(ref)
    except ClusterAnswerError as error:
        if error.status == _NOT_FOUND:
            return None
        raise


def looked(ports: DoorPorts, namespaces: Sequence[str]) -> KillSwitch:
    """The kill-switches now. What cannot be read is active."""
    try:
        switch = ports.switches.look(tuple(sorted(set(namespaces))))
    except Exception as error:  # noqa: BLE001 - whatever breaks there stops the change
        return KillSwitch(active=True, signal=f"unreadable:{type(error).__name__}")
    proper = isinstance(switch, KillSwitch) and switch.active in (True, False)
    return switch if proper else KillSwitch(active=True, signal="unreadable")


def difference(write: PlannedWrite, found: JsonObject | None) -> str:
    """What stands where the write expects something else, as one line; empty where it stands as expected."""
    name = f"{write.resource.kind}/{write.name}"
    if found is None:
        return f"{name} is gone"
    if uid_of(found) != write.uid:
        return f"{name} is another object of the same name"
    now = values_at(found, write.place, write.after)
    differs = [
        f"{key} was {value_said(write.before[key])} and is {value_said(now[key])}"
        for key in sorted(write.after)
        if now[key] != write.before[key]
    ]
    return f"{name}: {'; '.join(differs)}" if differs else ""


def value_said(text: str | None) -> str:
    """A value inside a sentence."""
    return "not set" if text is None else said(text)
