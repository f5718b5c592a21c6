"""One file for each write that the API server confirmed: never more, never fewer."""

import re

import msgspec

from modekeeper.artifacts.canonical import document
from modekeeper.artifacts.contracts.k8s_apply import Receipt, receipt_digest
from modekeeper.model.cluster import FIELD_MANAGER
from modekeeper.model.errors import FailedError
from modekeeper_pro.door.journal import Event, Journal
from modekeeper_pro.door.ports import Files
from modekeeper_pro.door.records import PlannedWrite, RunRecord, run_folder

__all__ = ["receipts_kept", "write_receipt"]

_RECEIPT = re.compile(r"(\d{4,})\.json")


def write_receipt(
    files: Files,
    journal: Journal,
    record: RunRecord,
    write: PlannedWrite,
    *,
    versions: tuple[str, str],
    written_at: str,
    after: dict[str, str | None],
) -> Receipt:
    """Write the receipt of a write, and a line of the journal that says so, which is not waited for.

    Args:
        files: the folder.
        journal: of the run.
        record: the run.
        write: what was written.
        versions: the object's, before and after.
        written_at: when it was confirmed.
        after: what was read back.

    Raises:
        FailedError: the disk did not take it; the journal says that the write was made.
    """
    receipt = Receipt(
        plan_digest=record.plan_digest,
        kind=write.resource.kind,
        namespace=write.namespace,
        name=write.name,
        uid=write.uid,
        place=write.place,
        field_manager=FIELD_MANAGER,
        resource_version_before=versions[0],
        resource_version_after=versions[1],
        written_at=written_at,
        before=write.before,
        after=after,
        approved_by=record.approved_by,
        digest="",
    )
    receipt = msgspec.structs.replace(receipt, digest=receipt_digest(receipt))
    files.write_bytes(f"{run_folder(record.run)}/receipts/{write.number:04d}.json", document(receipt))
    journal.add(Event.RECEIPT, wait=False, number=write.number, digest=receipt.digest)
    return receipt


def receipts_kept(files: Files, record: RunRecord) -> frozenset[int]:
    """The numbers of the writes of a run whose receipts are in its folder.

    Raises:
        FailedError: it cannot be read.
    """
    folder = files.root / run_folder(record.run) / "receipts"
    try:
        names = [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return frozenset()
    except OSError as error:
        why = (error.strerror or type(error).__name__).lower()
        raise FailedError(f"cannot read the receipts of run {record.run}: {why}.") from error
    return frozenset(int(found[1]) for name in names if (found := _RECEIPT.fullmatch(name)))
