"""The runs on disk: what earlier ones wrote, what of it still stands, and what a killed one left open."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from modekeeper.artifacts.contracts.k8s_apply import Operation
from modekeeper.cluster.audit.receipt_book import Book, Slot
from modekeeper.model.decision import Target
from modekeeper.model.errors import FailedError, RefusedError
from modekeeper_pro.door.change import uid_of, values_at, version_of
from modekeeper_pro.door.journal import Event, Journal, Line, WriteState, states
from modekeeper_pro.door.looking import current
from modekeeper_pro.door.ports import DoorPorts
from modekeeper_pro.door.receipts import write_receipt
from modekeeper_pro.door.records import PlannedWrite, RunRecord, Undoes, read_record

__all__ = ["PastRun", "Runs", "locked", "settled"]

_MOST_RUNS = 100_000


class PastRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run, and what became of its writes."""

    record: RunRecord
    states: dict[int, WriteState]
    lines: tuple[Line, ...]

    def state(self, number: int) -> WriteState:
        """Of one write."""
        return self.states.get(number, WriteState.NOT_WRITTEN)

    def written(self) -> Iterator[PlannedWrite]:
        """The writes that were made, or may have been."""
        return (w for w in self.record.writes if self.state(w.number) is not WriteState.NOT_WRITTEN)


class Runs(msgspec.Struct, frozen=True, kw_only=True):
    """All of them, the oldest first."""

    past: tuple[PastRun, ...]

    @property
    def next_run(self) -> int:
        """The number of a new one."""
        return len(self.past) + 1

    def undone(self) -> frozenset[Undoes]:
        """The writes that were taken back."""
        return frozenset(
            write.undoes
            for past in self.past
            if past.record.operation is Operation.ROLLBACK
            for write in past.written()
            if write.undoes is not None
        )

    def standing(self, plan_digest: str) -> list[tuple[PastRun, PlannedWrite]]:
        """The writes of a plan that were made and not taken back, in the order they were made."""
        undone = self.undone()
        return [
            (past, write)
            for past in self.past
            if past.record.operation is Operation.APPLY and past.record.plan_digest == plan_digest
            for write in past.written()
            if Undoes(run=past.record.run, number=write.number) not in undone
        ]

    def book(self) -> Book:
        """What was written last to each key of each object: what carries our name has to be this."""
        written = {
            Slot(write.uid, write.place, key): value
            for past in self.past
            for write in past.written()
            for key, value in write.after.items()
        }
        return Book(written, sum(1 for past in self.past for _write in past.written()))

    def changed_at_ms(self, target: Target, chord_id: str, besides: str) -> tuple[int, ...]:
        """When a chord changed a workload, by plans other than ``besides``."""
        return self._times(target, Operation.APPLY, chord_id, besides)

    def undone_at_ms(self, target: Target) -> tuple[int, ...]:
        """When changes of a workload were taken back."""
        return self._times(target, Operation.ROLLBACK, None, "")

    def before(self, target: Target) -> dict[str, str | None]:
        """Annotation key to what stood there before the last change of a workload."""
        found: dict[str, str | None] = {}
        for past in self.past:
            if past.record.operation is Operation.APPLY:
                for write in past.written():
                    if _target(write) == target and write.name == write.workload:
                        found |= write.before
        return found

    def began(self, plan_digest: str, item: int) -> dict[str, str]:
        """Annotation key to what stood there before the plan's writes that stand: in its pods, else on the object."""
        found: dict[str, str] = {}
        mine = [write for _past, write in self.standing(plan_digest) if write.item == item]
        for write in sorted(mine, key=lambda write: write.name == write.workload):
            for key, text in write.before.items():
                if text is not None:
                    found.setdefault(key, text)
        return found

    def _times(self, target: Target, operation: Operation, chord: str | None, besides: str) -> tuple[int, ...]:
        return tuple(
            past.record.begun_at_ms
            for past in self.past
            if past.record.operation is operation and past.record.plan_digest != besides
            if any(_target(w) == target and (chord is None or w.chord_id == chord) for w in past.written())
        )


def _target(write: PlannedWrite) -> Target:
    return Target(namespace=write.namespace, kind=write.kind, name=write.workload)


@contextmanager
def locked(ports: DoorPorts) -> Iterator[None]:
    """One run at a time in one folder.

    Raises:
        RefusedError: another one is under way.
        FailedError: the folder cannot be used.
    """
    path = ports.files.root / "door.lock"
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise FailedError(f"cannot use {path.name}: {(error.strerror or 'no access').lower()}.") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RefusedError("Another apply or rollback works in this folder. Wait until it is done.") from None
        yield
    finally:
        os.close(handle)


def settled(ports: DoorPorts) -> Runs:
    """The runs, after finding out how each write ended that a killed run left open.

    Raises:
        FailedError: the files are damaged, or the cluster does not answer.
    """
    past: list[PastRun] = []
    while (record := read_record(ports.files, len(past) + 1)) is not None and len(past) < _MOST_RUNS:
        journal = Journal(ports.files, record.run, ports.clock)
        for write in record.writes:
            _settle(ports, record, journal, write)
        lines = journal.lines()
        past.append(PastRun(record=record, states=states(lines), lines=lines))
    return Runs(past=tuple(past))


def _settle(ports: DoorPorts, record: RunRecord, journal: Journal, write: PlannedWrite) -> None:
    lines = tuple(line for line in journal.lines() if line.number == write.number)
    state = states(lines).get(write.number, WriteState.NOT_WRITTEN)
    begun = [line.resource_version for line in lines if line.event is Event.BEGUN]
    if state is WriteState.IN_DOUBT:
        found = current(ports, write.ref)
        now = values_at(found, write.place, write.after)
        if uid_of(found) != write.uid or now not in (write.before, write.after):
            return  # nobody can tell any more: it stays in doubt, and a rollback says so
        event = Event.FOUND if now == write.after else Event.NOT_FOUND
        journal.add(event, number=write.number, resource_version=version_of(found))
        _settle(ports, record, journal, write)
    elif state is WriteState.WRITTEN:
        confirmed = lines[-1]
        write_receipt(
            ports.files,
            journal,
            record,
            write,
            versions=(begun[-1] or "", confirmed.resource_version or ""),
            written_at=confirmed.at,
            after=write.after,
        )
