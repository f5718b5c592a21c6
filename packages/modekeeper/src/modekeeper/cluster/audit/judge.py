"""What stands under our field manager, against the receipts. Pure.

A change by somebody else is no incident here: verify and the door see it by its value. Only what carries our own name
is judged, and it must be what the newest receipt of the object says.
"""

from collections.abc import Iterator
from typing import NamedTuple

from modekeeper.cluster.audit.owned_fields import SELF, OwnedFields, UnreadableFieldsError, owned_fields
from modekeeper.cluster.audit.receipt_book import Book, Slot
from modekeeper.model.cluster import FIELD_MANAGER, JsonObject
from modekeeper.model.json_fields import items_at, mapping_at, said, text_at
from modekeeper.model.untrusted import visible
from modekeeper.model.workload import find_workload_kind

__all__ = ["POD", "UnreceiptedChange", "unreceipted"]

POD = "Pod"
OWN_PREFIX = "modekeeper/"
_RECORD = ("metadata", "annotations")
_MOST_SAID = 5
_LONGEST_PATH = 160


class UnreceiptedChange(NamedTuple):
    """Something of one object that was changed in our name, and that no receipt accounts for."""

    kind: str
    """As plans name it; of a pod ``Pod``."""
    namespace: str
    name: str
    uid: str
    keys: tuple[tuple[str, str | None], ...]
    """Annotation keys, with the values now; none where it is about other fields."""
    changed_at: str | None
    """When our field manager changed the object last, as the API server wrote it down."""
    why: str

    @property
    def text(self) -> str:
        """One line."""
        when = f" at {self.changed_at}" if self.changed_at else ""
        return (
            f"{self.kind}/{visible(self.name, 60)} in namespace {visible(self.namespace, 60)} was changed under our "
            f"field manager without a receipt{when}: {self.why}"
        )


def unreceipted(kind: str, found: JsonObject, book: Book) -> tuple[UnreceiptedChange, ...]:
    """What of the object carries our name and is not as the receipts say, in the order of ``managedFields``.

    Args:
        kind: of the workload, as ``WORKLOAD_KINDS`` names it, or ``POD``.
        found: the object, as it was read.
        book: of the receipts.
    """
    try:
        entries = owned_fields(found, FIELD_MANAGER)
    except UnreadableFieldsError as error:
        return (_change(kind, found, (), None, f"whether it was us cannot be told: {error}"),)
    return tuple(change for entry in entries for change in _of_entry(kind, found, entry, book))


def _of_entry(kind: str, found: JsonObject, entry: OwnedFields, book: Book) -> Iterator[UnreceiptedChange]:
    uid = text_at(found, "metadata", "uid") or ""
    foreign: list[str] = []
    wrong: dict[str, str | None] = {}
    whys: list[str] = []
    for path in entry.paths:
        place = _place_of(kind, path)
        if place is None:
            foreign.append(visible(".".join(_step(step) for step in path), _LONGEST_PATH))
            continue
        for key, value in _values(found, place, path):
            slot = Slot(uid, place, key)
            if slot in book.written and book.written[slot] == value:
                continue
            wrong[key] = value
            expected = f"the newest receipt says {_said(book.written[slot])}" if slot in book.written else "no receipt"
            whys.append(f"{visible(key, 80)} is {_said(value)}{_in_template(place)}, {expected}")
    if wrong:
        yield _change(kind, found, tuple(sorted(wrong.items())), entry.time, _few(whys))
    if foreign:
        yield _change(kind, found, (), entry.time, f"it owns what we never write: {_few(foreign)}")


def _place_of(kind: str, path: tuple[str, ...]) -> tuple[str, ...] | None:
    """The place of ours that a path belongs to; ``None`` where it belongs to none."""
    for place in _places(kind):
        steps = _steps(place)
        # Whoever writes the first annotation makes and owns the objects around it, also when they are empty again.
        around = path[-1] == SELF and len(path) > 1 and steps[: len(path) - 1] == path[:-1]
        emptied = path == steps or (place != _RECORD and path == steps[:-1])
        key = len(path) == len(steps) + 1 and path[:-1] == steps and path[-1].startswith(f"f:{OWN_PREFIX}")
        if around or emptied or key:
            return place
    return None


def _steps(place: tuple[str, ...]) -> tuple[str, ...]:
    """As ``managedFields`` names it."""
    return tuple(f"f:{step}" for step in place)


def _places(kind: str) -> Iterator[tuple[str, ...]]:
    yield _RECORD
    known = find_workload_kind(kind)
    if known is not None and known.template is not None:
        yield (*known.template, *_RECORD)


def _values(found: JsonObject, place: tuple[str, ...], path: tuple[str, ...]) -> Iterator[tuple[str, str | None]]:
    """The keys of ours that a path stands for, with the values now."""
    holds, steps = mapping_at(found, *place), _steps(place)
    if path[-1] == SELF or len(path) < len(steps):
        return
    keys = [path[-1].removeprefix("f:")]
    if path == steps:
        # Empty when its owner saw it last, or owned as a whole: then a key that nobody owns by itself is the owner's.
        entries = items_at(found, "metadata", "managedFields")
        owned = {step for entry in entries for step in mapping_at(entry, "fieldsV1", *steps)}
        keys = [key for key in holds if key.startswith(OWN_PREFIX) and f"f:{key}" not in owned]
    for key in sorted(keys):
        value = holds.get(key)
        yield key, value if isinstance(value, str) else None


def _change(
    kind: str, found: JsonObject, keys: tuple[tuple[str, str | None], ...], time: str | None, why: str
) -> UnreceiptedChange:
    return UnreceiptedChange(
        kind=kind,
        namespace=text_at(found, "metadata", "namespace") or "",
        name=text_at(found, "metadata", "name") or "",
        uid=text_at(found, "metadata", "uid") or "",
        keys=keys,
        changed_at=time,
        why=why,
    )


def _in_template(place: tuple[str, ...]) -> str:
    return "" if place == _RECORD else " in the pod template"


def _said(value: str | None) -> str:
    return "not set" if value is None else said(value)


def _step(step: str) -> str:
    return step.removeprefix("f:")


def _few(texts: list[str]) -> str:
    more = len(texts) - _MOST_SAID
    return "; ".join([*texts[:_MOST_SAID], *([f"and {more} more"] if more > 0 else [])])
