"""Steps 5 to 7 of docs/DOOR.md: the way back on the disk, the writes one by one, a receipt for each."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

from modekeeper.artifacts.contracts.k8s_apply import ApplyStatus, Receipt
from modekeeper.cluster.rbac import is_rbac_denial
from modekeeper.gates.kill_switch import KillSwitch
from modekeeper.model.cluster import (
    ClusterAnswerError,
    ClusterConfigError,
    ClusterUnreachableError,
    JsonObject,
)
from modekeeper.model.decision import BlockReason
from modekeeper.model.errors import RefusedError
from modekeeper_pro.door.change import uid_of, values_at, version_of
from modekeeper_pro.door.journal import Event, Journal
from modekeeper_pro.door.looking import current, difference, looked
from modekeeper_pro.door.ports import DoorPorts
from modekeeper_pro.door.reading_back import Outcome, ReadBack
from modekeeper_pro.door.receipts import write_receipt
from modekeeper_pro.door.records import PlannedWrite, RunRecord, run_folder, sync_folder, write_record

__all__ = ["Outcome", "perform"]

_ATTEMPTS = 5
"""Status writes move an object all the time; somebody who changes our keys is found at the first look."""
_MOVED = frozenset({404, 409})
_FIRST_SERVER_ERROR = 500


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
    pool = ThreadPoolExecutor(1, thread_name_prefix="read-back")
    with closing(Journal(ports.files, record.run, ports.clock)) as journal, pool:
        journal.add(Event.INTENT, digest=record.digest, approved_by=record.approved_by)
        return _one_by_one(_Run(ports, record, journal, pool), versions)


@dataclass(frozen=True)
class _Run:
    """What every write of a run is made with."""

    ports: DoorPorts
    record: RunRecord
    journal: Journal
    pool: ThreadPoolExecutor


def _one_by_one(run: _Run, versions: dict[int, str]) -> tuple[Outcome, ...]:
    """The outcomes of all writes. Whether one holds is known before the next one is made."""
    outcomes: list[Outcome] = []
    pending: ReadBack | None = None
    stopped = False
    for write in run.record.writes:
        if stopped:
            outcomes.append(Outcome(write=write, status=ApplyStatus.NOT_DONE))
            continue
        one = _OneWrite(run, write, pending)
        outcome = one.made(versions[write.number])
        if pending is not None:
            outcomes[-1] = pending.outcome()
        outcomes.append(outcome)
        stopped = any(_stops(run, each) for each in outcomes[-2:])
        pending = one.read_back
    if pending is not None:
        outcomes[-1] = pending.outcome()
        stopped = _stops(run, outcomes[-1])
    if not stopped:
        run.journal.add(Event.FINISHED)
    return tuple(outcomes)


def _stops(run: _Run, outcome: Outcome) -> bool:
    if outcome.status in (ApplyStatus.FAILED, ApplyStatus.REFUSED):
        run.journal.add(Event.STOPPED, number=outcome.write.number, detail=outcome.detail)
    return outcome.status is not ApplyStatus.DONE


class _OneWrite:
    """Steps 6 and 7 of one write.

    Args:
        run: what it is part of.
        write: what is written.
        before: the write before it, which is being read back.
    """

    def __init__(self, run: _Run, write: PlannedWrite, before: ReadBack | None) -> None:
        self._ports = run.ports
        self._run = run
        self._journal = run.journal
        self._write = write
        self._before = before
        self.read_back: ReadBack | None = None
        """Of this write, where it was confirmed."""
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
        try:
            change = write.change(version)
        except RefusedError as error:  # a version that no API server gives
            return self._failed(str(error))
        # Nothing stands between the look and the write: the journal says first that it may come.
        self._journal.add(Event.BEGUN, number=write.number, attempt=attempt, resource_version=version)
        switch = looked(self._ports, (write.namespace,))
        if self._before is not None and self._before.waited():
            switch = looked(self._ports, (write.namespace,))  # the first one was over before the waiting was
        if self._before is not None and self._before.outcome().status is not ApplyStatus.DONE:
            self._not_made(None, "the write before it does not hold")
            return Outcome(write=write, status=ApplyStatus.NOT_DONE)
        if switch.active is not False:
            self._not_made(None, "kill_switch_active")
            return self._refused(BlockReason.KILL_SWITCH_ACTIVE, f"{switch.signal} is set", switch)
        try:
            self._sent = True
            stored = self._ports.writer.write(change)
        except (ClusterAnswerError, ClusterUnreachableError, ClusterConfigError) as error:
            self._why = str(error)
            self._in_doubt = self._in_doubt or _may_have_happened(error)
            status = error.status if isinstance(error, ClusterAnswerError) else None
            self._not_made(status, self._why)
            if self._in_doubt or status in _MOVED:
                return None
            denied = isinstance(error, ClusterAnswerError) and is_rbac_denial(error)
            return self._failed(self._why, BlockReason.RBAC_DENIED if denied else None)
        return self._confirmed((version, version_of(stored) or ""), stored)

    def _after_a_failure(self, version: str) -> Outcome | str:
        """What became of the object: an end, or its version now where the write may be tried again."""
        write = self._write
        try:
            found = current(self._ports, write.ref)
        except (ClusterAnswerError, ClusterUnreachableError, ClusterConfigError) as error:
            return self._failed(str(error))
        if self._in_doubt and uid_of(found) == write.uid and write.change(version).holds(found):
            after = version_of(found) or ""
            at = self._journal.add(Event.FOUND, number=write.number, resource_version=after)
            receipt = self._receipt((version, after), at, found)
            return Outcome(write=write, status=ApplyStatus.DONE, after=receipt.after, receipt=receipt, sent=True)
        if write.change(version).digest(found) != write.digest:
            return self._refused(BlockReason.TARGET_CHANGED, difference(write, found))
        return version_of(found) or ""

    def _confirmed(self, versions: tuple[str, str], stored: JsonObject) -> Outcome:
        """Step 7: a receipt of what the API server says it stored, while the object is read back."""
        write = self._write
        at = self._journal.add(Event.DONE, wait=False, number=write.number, resource_version=versions[1])
        reading = self._run.pool.submit(current, self._ports, write.ref)
        receipt = self._receipt(versions, at, stored)
        self.read_back = ReadBack(write, receipt, reading, lambda found: self._corrected(versions, at, found))
        return Outcome(write=write, status=ApplyStatus.DONE, after=receipt.after, receipt=receipt, sent=True)

    def _corrected(self, versions: tuple[str, str], at: str, found: JsonObject | None) -> Receipt:
        """Of what was read back instead. Nothing else on the disk says that, so its name is waited for too."""
        receipt = self._receipt(versions, at, found)
        sync_folder(self._ports.files.root / run_folder(self._run.record.run) / "receipts")
        return receipt

    def _receipt(self, versions: tuple[str, str], at: str, found: JsonObject | None) -> Receipt:
        return write_receipt(
            self._ports.files,
            self._journal,
            self._run.record,
            self._write,
            versions=versions,
            written_at=at,
            after=values_at(found, self._write.place, self._write.after),
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
