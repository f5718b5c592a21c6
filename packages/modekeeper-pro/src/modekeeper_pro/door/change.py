"""One change of one object. What is not a change of our own annotations cannot be made."""

import re
from typing import Any

import msgspec

from modekeeper.artifacts.canonical import canonical_digest
from modekeeper.cluster.requests import object_path
from modekeeper.model.cluster import JsonObject, ObjectRef, Resource
from modekeeper.model.decision import Target
from modekeeper.model.errors import BadInputError, ModeKeeperError, RefusedError
from modekeeper.model.json_fields import mapping_at, text_at
from modekeeper.model.untrusted import visible
from modekeeper.model.workload import WORKLOAD_KINDS
from modekeeper.planning.names import check_target

__all__ = ["OWN_PREFIX", "PODS", "RECORD", "Change", "template_place", "uid_of", "values_at", "version_of"]

OWN_PREFIX = "modekeeper/"
"""Only annotations whose key begins with this are ever written."""
RECORD = ("metadata", "annotations")
"""The object's own annotations: of a pod what it is told, of a workload the record for pods made later."""
PODS = Resource("", "v1", "pods", "Pod")

_KEY = re.compile(r"modekeeper/[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_UID = re.compile(r"[A-Za-z0-9-]{1,64}")
_VERSION = re.compile(r"[A-Za-z0-9]{1,64}")
_VALUE = re.compile(r"[^\ud800-\udfff]{0,4096}", re.DOTALL)
"""Any text that JSON can carry: what somebody wrote there by hand is given back to the byte."""
_MOST_KEYS = 64
_WORKLOADS = {kind.resource(version): kind for kind in WORKLOAD_KINDS for version in kind.versions}


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A merge patch (RFC 7396) of one object that sets or removes annotations under ``modekeeper/``, and no more.

    The API server refuses it (409) where the object is another one, or moved on: ``uid`` and ``resource_version`` are
    part of the patch.

    Raises:
        RefusedError: from the constructor, where it would be anything else.
    """

    ref: ObjectRef
    """A workload of a known kind, or a pod."""
    place: tuple[str, ...]
    """Where the annotations stand: ``RECORD``, or that of the workload's pod template (``template_place``)."""
    values: tuple[tuple[str, str | None], ...]
    """Key and new value, sorted; ``None`` removes the key."""
    uid: str
    resource_version: str

    def __post_init__(self) -> None:
        fault = _fault(self)
        if fault is not None:
            raise RefusedError(f"Not a change of ModeKeeper's own annotations: {fault}. Nothing is written.")

    @property
    def patch(self) -> JsonObject:
        """The whole merge patch, preconditions included."""
        _recheck(self)
        patch = _nested(self.place, dict(self.values))
        preconditions = {"uid": self.uid, "resourceVersion": self.resource_version}
        return patch | {"metadata": preconditions | patch.get("metadata", {})}

    @property
    def plain_patch(self) -> JsonObject:
        """The same without preconditions: what a reader of the plan sees."""
        return _nested(self.place, dict(self.values))

    def holds(self, found: Any) -> bool:
        """Whether an object carries what the change asks for already."""
        return values_at(found, self.place, (key for key, _ in self.values)) == dict(self.values)

    def digest(self, found: Any) -> str:
        """``sha256:<hex>`` over what the change makes of ``found``: the object, and each key's value before and after.

        The object's version is no part of it: status writes move that all the time.
        """
        return canonical_digest(
            {
                "resource": self.ref.resource,
                "namespace": self.ref.namespace,
                "name": self.ref.name,
                "uid": uid_of(found),
                "place": self.place,
                "before": values_at(found, self.place, (key for key, _ in self.values)),
                "after": dict(self.values),
            }
        )


def template_place(resource: Resource) -> tuple[str, ...] | None:
    """Where the annotations of the pod template of a workload stand; ``None`` where no merge patch reaches them."""
    kind = _WORKLOADS.get(resource)
    return None if kind is None or kind.template is None else (*kind.template, *RECORD)


def values_at(found: Any, place: tuple[str, ...], keys: Any) -> dict[str, str | None]:
    """What ``found`` holds for each of the keys. ``None``: it is not there."""
    holds = mapping_at(found, *place)
    return {key: holds[key] if isinstance(holds.get(key), str) else None for key in sorted(keys)}


def uid_of(found: Any) -> str | None:
    """The uid of an object."""
    return text_at(found, "metadata", "uid")


def version_of(found: Any) -> str | None:
    """The resourceVersion of an object."""
    return text_at(found, "metadata", "resourceVersion")


def _nested(place: tuple[str, ...], values: dict[str, str | None]) -> JsonObject:
    patch: JsonObject = values
    for step in reversed(place):
        patch = {step: patch}
    return patch


def _recheck(change: Change) -> None:
    """A frozen object can still be tampered with on purpose: what is sent is checked where it is made."""
    change.__post_init__()


def _fault(change: Change) -> str | None:
    ref = change.ref
    if ref.resource != PODS and ref.resource not in _WORKLOADS:
        return f"{visible(ref.resource.plural, 60)!r} is no kind of workload"
    if change.place not in (RECORD, template_place(ref.resource) or RECORD):
        return "that is no place of annotations"
    try:
        check_target(Target(namespace=ref.namespace or "", kind=ref.resource.kind, name=ref.name))
        object_path(ref)
    except (BadInputError, ModeKeeperError) as error:
        return str(error).rstrip(".")
    if not (isinstance(change.uid, str) and _UID.fullmatch(change.uid)):
        return "it does not say of which object (uid)"
    if not (isinstance(change.resource_version, str) and _VERSION.fullmatch(change.resource_version)):
        return "it does not say of which version of the object"
    return _fault_of_values(change.values)


def _fault_of_values(values: Any) -> str | None:
    if not isinstance(values, tuple):
        return "its values could be changed later"
    keys = [key for key, _ in values]
    if not 0 < len(keys) <= _MOST_KEYS or keys != sorted(set(keys)):
        return "its keys are missing, repeated, too many or out of order"
    for key, value in values:
        if not _KEY.fullmatch(key):
            return f"{visible(key, 60)!r} is no key of ours"
        if value is not None and not _VALUE.fullmatch(value):
            return f"the value of {visible(key, 60)} is no text, or too long"
    return None
