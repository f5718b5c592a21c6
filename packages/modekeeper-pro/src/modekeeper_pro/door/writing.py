"""Steps 5 to 7 of docs/DOOR.md: the way back on the disk, the writes one by one, a receipt for each."""

from dataclasses import dataclass, field

from modekeeper.artifacts.contracts.k8s_apply import ApplyStatus, Receipt
from modekeeper.artifacts.times import iso_utc
from modekeeper.cluster.rbac import is_rbac_denial
from modekeeper.gates.kill_switch import KillSwitch
from modekeeper.model.cluster import (
    ClusterAnswerError,
    ClusterConfigError,
    ClusterUnreachableError,
    JsonObject,
)
from modekeeper.model.decision import BlockReason
from modekeeper_pro.door.change import uid_of, values_at, version_of
from modekeeper_pro.door.journal import Event, Journal
from modekeeper_pro.door.looking import current, difference, looked, value_said
from modekeeper_pro.door.ports import DoorPorts
from modekeeper_pro.door.receipts import write_receipt
from modekeeper_pro.door.records import PlannedWrite, RunRecord, write_record

__all__ = ["Outcome", "perform"]

_ATTEMPTS = 5
"""Status writes move an object all the time; somebody who changes our keys is found at the first look."""
_MOVED = frozenset({404, 409})
_FIRST_SERVER_ERROR = 500


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one write."""

    write: PlannedWrite
    status: ApplyStatus
    reason: BlockReason | None = None
    detail: str = ""
    after: dict[str, str | None] = field(default_factory=dict)
    receipt: Receipt | None = None
    switch: KillSwitch | None = None
    """Where it stopped the write."""
    sent: bool = False
    """A write was sent for it."""


def perform(ports: DoorPorts, record: RunRecord, versions: dict[int, str]) -> tuple[Outcome, ...]:
    """Write everything a record says, in its order, until something stops it.

    Args:
        ports: the outside.
        record: complete, of writes that passed steps 1 to 4.
        versions: of each write, the version of the object it was rehearsed on.

    Raises:
        FailedError: the disk did not take the intent, the undo or the journal. Nothing is written after that.
    """
    # Step 5: the way back and the intent are on the disk, or nothing happens.
    write_record(ports.files, record)
    journal = Journal(ports.files, record.run, ports.clock)
    journal.add(Event.INTENT, digest=record.digest, approved_by=record.approved_by)
    outcomes: list[Outcome] = []
    for write in record.writes:
        if outcomes and outcomes[-1].status is not ApplyStatus.DONE:
            outcomes.append(Outcome(write=write, status=ApplyStatus.NOT_DONE))
            continue
        outcomes.append(_OneWrite(ports, record, journal, write).made(versions[write.number]))
        if outcomes[-1].status is not ApplyStatus.DONE:
            journal.add(Event.STOPPED, number=write.number, detail=outcomes[-1].detail)
    if all(each.status is ApplyStatus.DONE for each in outcomes):
        journal.add(Event.FINISHED)
    return tuple(outcomes)


class _OneWrite:
    """Steps 6 and 7 of one write."""

    def __init__(self, ports: DoorPorts, record: RunRecord, journal: Journal, write: PlannedWrite) -> None:
        self._ports = ports
        self._record = record
        self._journal = journal
        self._write = write
        self._sent = False
        self._in_doubt = False
        """An attempt was not answered: it may have been made."""
        self._why = ""

    def made(self, version: str) -> Outcome:
        """Make it; again only where the object moved and the change is still the approved one."""
        for attempt in range(1, _ATTEMPTS + 1):
            outcome = self._tried(attempt, version) or self._after_a_failure(version)
            if isinstance(outcome, Outcome):
                return outcome
            version = outcome
        return self._failed(f"tried {_ATTEMPTS} times: {self._why}")

    def _tried(self, attempt: int, version: str) -> Outcome | None:
        """Step 6: look at the kill-switches, and write; ``None``: look whether to try again."""
        write = self._write
        # Nothing stands between the look and the write: the journal says first that it may come.
        self._journal.add(Event.BEGUN, number=write.number, attempt=attempt, resource_version=version)
        switch = looked(self._ports, (write.namespace,))
        if switch.active is not False:
            self._not_made(None, "kill_switch_active")
            return self._refused(BlockReason.KILL_SWITCH_ACTIVE, f"{switch.signal} is set", switch)
        try:
            self._sent = True
            stored = self._ports.writer.write(write.change(version))
        except (ClusterAnswerError, ClusterUnreachableError, ClusterConfigError) as error:
            self._why = str(error)
            self._in_doubt = self._in_doubt or _may_have_happened(error)
            status = error.status if isinstance(error, ClusterAnswerError) else None
            self._not_made(status, self._why)
            if self._in_doubt or status in _MOVED:
                return None
            denied = isinstance(error, ClusterAnswerError) and is_rbac_denial(error)
            return self._failed(self._why, BlockReason.RBAC_DENIED if denied else None)
        after = version_of(stored) or ""
        self._journal.add(Event.DONE, number=write.number, resource_version=after)
        return self._read_back((version, after), stored)

    def _after_a_failure(self, version: str) -> Outcome | str:
        """What became of the object: an end, or its version now where the write may be tried again."""
        write = self._write
        try:
            found = current(self._ports, write.ref)
        except (ClusterAnswerError, ClusterUnreachableError, ClusterConfigError) as error:
            return self._failed(str(error))
        if self._in_doubt and uid_of(found) == write.uid and write.change(version).holds(found):
            after = version_of(found) or ""
            self._journal.add(Event.FOUND, number=write.number, resource_version=after)
            return self._receipted((version, after), found)
        if write.change(version).digest(found) != write.digest:
            return self._refused(BlockReason.TARGET_CHANGED, difference(write, found))
        return version_of(found) or ""

    def _read_back(self, versions: tuple[str, str], stored: JsonObject) -> Outcome:
        """Step 7: read back. Where that fails, what the API server confirmed is what was written."""
        try:
            found = current(self._ports, self._write.ref)
        except (ClusterAnswerError, ClusterUnreachableError, ClusterConfigError):
            found = stored
        return self._receipted(versions, found)

    def _receipted(self, versions: tuple[str, str], found: JsonObject | None) -> Outcome:
        """Step 7: the receipt."""
        write = self._write
        after = values_at(found, write.place, write.after)
        receipt = write_receipt(
            self._ports.files,
            self._journal,
            self._record,
            write,
            versions=versions,
            written_at=iso_utc(self._ports.clock.now()),
            after=after,
        )
        if uid_of(found) == write.uid and after == write.after:
            return Outcome(write=write, status=ApplyStatus.DONE, after=after, receipt=receipt, sent=True)
        differs = [f"{key} is {value_said(after[key])}" for key in sorted(after) if after[key] != write.after[key]]
        name = f"{write.resource.kind}/{write.name}"
        return Outcome(
            write=write,
            status=ApplyStatus.FAILED,
            reason=BlockReason.TARGET_CHANGED,
            detail=f"{name}: written, and read back it is not so: {'; '.join(differs) or 'it is another object'}",
            after=after,
            receipt=receipt,
            sent=True,
        )

    def _not_made(self, status: int | None, detail: str) -> None:
        event = Event.UNANSWERED if self._in_doubt else Event.REFUSED
        self._journal.add(event, number=self._write.number, status=status, detail=detail)

    def _refused(self, reason: BlockReason, detail: str, switch: KillSwitch | None = None) -> Outcome:
        return Outcome(
            write=self._write,
            status=ApplyStatus.REFUSED,
            reason=reason,
            detail=detail,
            switch=switch,
            sent=self._sent,
        )

    def _failed(self, detail: str, reason: BlockReason | None = None) -> Outcome:
        return Outcome(write=self._write, status=ApplyStatus.FAILED, reason=reason, detail=detail, sent=self._sent)


def _may_have_happened(error: Exception) -> bool:
    if isinstance(error, ClusterAnswerError):
        return error.status >= _FIRST_SERVER_ERROR
    return isinstance(error, ClusterUnreachableError)
