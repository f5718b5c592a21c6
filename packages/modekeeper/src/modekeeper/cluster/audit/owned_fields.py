"""What one field manager owns of an object, as the API server wrote it down. Hostile until parsed.

``metadata.managedFields`` and ``FieldsV1``: Kubernetes API reference, "ManagedFieldsEntry v1 meta", and "Server-Side
Apply", "Field management"; the steps of a path (``f:``, ``k:``, ``v:``, ``i:``, ``.``) are those of
sigs.k8s.io/structured-merge-diff.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from modekeeper.model.cluster import JsonObject
from modekeeper.model.json_fields import at, said, text_at
from modekeeper.model.untrusted import visible

__all__ = ["SELF", "OwnedFields", "UnreadableFieldsError", "has_managers", "owned_fields"]

SELF = "."
"""The last step of the path of an object that is owned itself, not only its fields."""

_DEEPEST = 64
_MOST_FIELDS = 20_000
_MOST_ENTRIES = 1_000
_LONGEST_TIME = 40
_STEPS = ("f:", "k:", "v:", "i:")


class UnreadableFieldsError(Exception):
    """Who changed an object cannot be told; the text says why, without the object's name."""


class OwnedFields(NamedTuple):
    """One entry of ``managedFields``."""

    paths: tuple[tuple[str, ...], ...]
    """Every leaf, as the entry names it: ``("f:metadata", "f:annotations", "f:modekeeper/knob.x")``. Sorted."""
    time: str | None
    """Of the manager's last change with this operation, UTC to the second; escaped; ``None`` where there is none."""
    operation: str
    subresource: str


def has_managers(found: JsonObject) -> bool:
    """Whether anybody is written down at all; whoever may patch an object may also wipe this out."""
    entries = at(found, "metadata", "managedFields")
    return isinstance(entries, list) and bool(entries)


def owned_fields(found: JsonObject, manager: str) -> tuple[OwnedFields, ...]:
    """The entries of one manager, of every operation and subresource, in their order.

    Raises:
        UnreadableFieldsError: an entry that is the manager's, or may be, cannot be read.
    """
    entries = at(found, "metadata", "managedFields")
    if entries is None:
        return ()
    if not isinstance(entries, list) or len(entries) > _MOST_ENTRIES:
        raise UnreadableFieldsError("its managedFields are no list, or too long a one")
    return tuple(_parsed(entry) for entry in entries if _is_of(entry, manager))


def _is_of(entry: Any, manager: str) -> bool:
    name = text_at(entry, "manager")
    if name is None and at(entry, "manager") is not None:
        raise UnreadableFieldsError("an entry of its managedFields does not say of whom it is")
    if not isinstance(entry, dict):
        raise UnreadableFieldsError("an entry of its managedFields is no object")
    return name == manager


def _parsed(entry: JsonObject) -> OwnedFields:
    kind = entry.get("fieldsType")
    if kind != "FieldsV1":
        raise UnreadableFieldsError(f"our entry of its managedFields is of the type {said(str(kind))}")
    fields, time = entry.get("fieldsV1", {}), text_at(entry, "time")
    return OwnedFields(
        paths=tuple(sorted(_leaves(fields))),
        time=None if time is None else visible(time, _LONGEST_TIME),
        operation=text_at(entry, "operation") or "",
        subresource=text_at(entry, "subresource") or "",
    )


def _leaves(fields: Any) -> Iterator[tuple[str, ...]]:
    """Without recursion: the depth is the cluster's to choose."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), fields)]
    seen = 0
    while waiting:
        path, node = waiting.pop()
        if not isinstance(node, dict) or len(path) > _DEEPEST:
            raise UnreadableFieldsError("our entry of its managedFields is no tree of fields, or too deep a one")
        seen += 1
        if seen > _MOST_FIELDS:
            raise UnreadableFieldsError("our entry of its managedFields has too many fields")
        if path and (not node or path[-1] == SELF):
            yield path
        for step, below in node.items():
            if not isinstance(step, str) or not (step == SELF or step.startswith(_STEPS)):
                raise UnreadableFieldsError(f"our entry of its managedFields has a step {said(str(step))}")
            waiting.append(((*path, step), below))
