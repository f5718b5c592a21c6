"""One file for each write that the API server confirmed: never more, never fewer."""

import msgspec

from modekeeper.artifacts.canonical import document
from modekeeper.artifacts.contracts.k8s_apply import Receipt, receipt_digest
from modekeeper.model.cluster import FIELD_MANAGER
from modekeeper_pro.door.journal import Event, Journal
from modekeeper_pro.door.ports import Files
from modekeeper_pro.door.records import PlannedWrite, RunRecord, run_folder

__all__ = ["write_receipt"]


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
    """Write the receipt of a write, and a line of the journal that says so.

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
        digest="",
    )
    receipt = msgspec.structs.replace(receipt, digest=receipt_digest(receipt))
    files.write_bytes(f"{run_folder(record.run)}/receipts/{write.number:04d}.json", document(receipt))
    journal.add(Event.RECEIPT, number=write.number, digest=receipt.digest)
    return receipt
