"""What is on disk before the first change: every write that is meant, and the way back of each. Step 5 of docs/DOOR.md.

A run is one attempt to apply or to take back, in a folder of its own: ``door/0001/undo.json``, ``journal.jsonl`` and
``receipts/0001.json``. Files are read back as strictly as anything from outside.
"""

import os
from pathlib import Path
from typing import Any, Literal

import msgspec

from modekeeper.artifacts.canonical import canonical_digest, document
from modekeeper.artifacts.contracts.k8s_apply import Operation
from modekeeper.model.cluster import ObjectRef, Resource
from modekeeper.model.decision import Actuation
from modekeeper.model.errors import FailedError
from modekeeper.policy.strict_json import read_strict
from modekeeper.policy.wording import shown
from modekeeper_pro.door.change import Change
from modekeeper_pro.door.ports import Files

__all__ = [
    "PlannedWrite",
    "RunRecord",
    "Undoes",
    "read_record",
    "run_folder",
    "sync_folder",
    "with_digest",
    "write_record",
]

_LONGEST_BYTES = 64 * 2**20


class Undoes(msgspec.Struct, frozen=True, kw_only=True, order=True, forbid_unknown_fields=True):
    """The write that another write takes back."""

    run: int
    number: int


class PlannedWrite(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One write: what is there, what will be there, and of which object."""

    number: int
    """From 1 on, in the order of writing."""
    item: int
    """Index of the plan's item."""
    kind: str
    """Of the item, as plans name it."""
    workload: str
    """Name of the item's object; ``name`` differs where the write is one of its pods."""
    actuation: Actuation
    chord_id: str
    resource: Resource
    namespace: str
    name: str
    uid: str
    place: tuple[str, ...]
    before: dict[str, str | None]
    after: dict[str, str | None]
    digest: str
    """Of the change (``Change.digest``): what was approved."""
    undoes: Undoes | None = None

    @property
    def ref(self) -> ObjectRef:
        """The object."""
        return ObjectRef(self.resource, self.namespace, self.name)

    def change(self, resource_version: str) -> Change:
        """As a change of one version of the object."""
        return Change(
            ref=self.ref,
            place=self.place,
            values=tuple(sorted(self.after.items())),
            uid=self.uid,
            resource_version=resource_version,
        )


class RunRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``undo.json``: written before the first change of a run, and never again."""

    schema_version: Literal["door_run.v0"] = "door_run.v0"
    run: int
    operation: Operation
    plan_digest: str
    verification_digest: str | None
    cluster_uid: str
    begun_at: str
    begun_at_ms: int
    approved_by: tuple[str, ...] = ()
    """Keys (``kid``) of second persons whose signed approval of the plan was checked."""
    approval_digest: str | None = None
    """Of what was signed."""
    writes: tuple[PlannedWrite, ...]
    digest: str = ""
    """``sha256:<hex>`` over the canonical JSON of everything but itself."""


def run_folder(run: int) -> str:
    """Where a run keeps its files, below the folder of the artifacts."""
    return f"door/{run:04d}"


def with_digest(record: RunRecord) -> RunRecord:
    """The record, complete."""
    return msgspec.structs.replace(record, digest=_digest(msgspec.to_builtins(record)))


def write_record(files: Files, record: RunRecord) -> None:
    """Put it on the disk, or raise; the way back must outlive the machine.

    Raises:
        FailedError: the disk did not take it.
    """
    path = files.write_bytes(f"{run_folder(record.run)}/undo.json", document(record))
    for folder in (path.parent, path.parent.parent, files.root):
        sync_folder(folder)


def read_record(files: Files, run: int) -> RunRecord | None:
    """The record of a run; ``None`` where there is no such run.

    Raises:
        FailedError: it is there, and is not what was written.
    """
    name = f"{run_folder(run)}/undo.json"
    data = files.read_bytes(name)
    if data is None:
        return None
    found, faults = read_strict(data, longest=_LONGEST_BYTES)
    try:
        record = msgspec.convert(found, RunRecord, strict=True)
    except msgspec.ValidationError as error:
        raise _damaged(name, shown(str(error), 160)) from None
    # Over the document itself: what an older release did not write does not count.
    if faults or record.run != run or record.digest != _digest(found):
        raise _damaged(name, faults[0].message if faults else "it was changed after it was written")
    if [write.number for write in record.writes] != list(range(1, len(record.writes) + 1)):
        raise _damaged(name, "its writes are not numbered from 1 on")
    return record


def _digest(record: dict[str, Any]) -> str:
    return canonical_digest({name: value for name, value in record.items() if name != "digest"})


def _damaged(name: str, why: str) -> FailedError:
    return FailedError(f"{name} cannot be relied on: {why}. Restore it from a backup, or undo by hand.")


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the names in a folder.

    Raises:
        FailedError: it does not take them.
    """
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        why = (error.strerror or type(error).__name__).lower()
        raise FailedError(f"cannot keep the files of {folder.name!r}: {why}. Nothing more is changed.") from error
