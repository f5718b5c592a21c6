"""Records of single ranks to one sample a step.

A rank writes its steps in their order. So a step is whole once every rank that is waited for has written something
beyond it; neither the order in which ranks are read nor how their records are interleaved makes a difference. A rank
that falls silent is waited for within a window, and no longer until it speaks again. What comes after its step has
been given out is dropped as ``out_of_order``.

A job that is started again from a checkpoint writes steps for a second time. Once all ranks have gone back, that is a
new attempt, and its steps are given out as they come: they took their time. A single rank that goes back while the
others go on repeats what has been given out: dropped as ``duplicate``.
"""

import heapq
from collections.abc import Sequence

import msgspec

from modekeeper.model.block import is_pause
from modekeeper.model.ingest import DropReason, RepairReason
from modekeeper.model.sample import Sample
from modekeeper.telemetry.aggregates import RankSample, ThroughputMeaning, completed, merged_sample, placed
from modekeeper.telemetry.arrivals import Arrival
from modekeeper.telemetry.merge_limits import MergeLimits

__all__ = ["MergerState", "RankMerger"]

Key = tuple[int, str]
"""Step, and what the job calls it where it is an evaluation or a checkpoint: those are samples of their own."""
Fate = tuple[Arrival, DropReason | None]
"""A merged record to be put in order, or one that was dropped."""

_KEYS_BEFORE_TIME_COUNTS = 2
"""Steps may take minutes: only where so many newer ones wait has a rank really fallen behind."""
_MOST_NOTES = 64


class _Reporter(msgspec.Struct):
    """One rank, and how far it has come."""

    stream: str
    replaced: list[str] = []
    """Streams that have not ended, but were of this rank before."""
    frontier: Key | None = None
    awaited: bool = False
    alive: bool = True
    throughput: bool = False


class _Slot(msgspec.Struct):
    """One step that waits."""

    since_ms: int
    """When its first record arrived."""
    records: dict[int, Arrival]


class MergerState(msgspec.Struct, frozen=True, kw_only=True):
    """A merger at rest."""

    reporters: dict[int, _Reporter]
    unheard: list[str]
    discovering: bool
    given: Key | None
    now_ms: int
    pending: list[tuple[Key, _Slot]]
    again: list[tuple[Key, _Slot]]
    back: list[tuple[int, Key]]
    went_on: bool
    groups: dict[int, str]
    meaning: ThroughputMeaning
    notes: list[str]
    incomplete: int


class RankMerger:
    """The merging stage. Pure: what comes out depends on what was pushed, in which order, and on nothing else."""

    def __init__(self, limits: MergeLimits | None = None) -> None:
        self._limits = limits or MergeLimits()
        self._window_ms = round(self._limits.window_s * 1000)
        self._reporters: dict[int, _Reporter] = {}
        self._ranks_of: dict[str, set[int]] = {}
        self._frontiers: dict[Key, int] = {}
        self._unheard: dict[str, None] = {}
        self._discovering = True
        self._given: Key | None = None
        self._now_ms = 0
        self._pending: dict[Key, _Slot] = {}
        self._in_order: list[Key] = []
        self._again: dict[Key, _Slot] = {}
        self._back: dict[int, Key] = {}
        self._went_on = False
        self._groups: dict[int, str] = {}
        self._meaning = ThroughputMeaning()
        self._out: list[Fate] = []
        self.notes: list[str] = []
        """What a person should know, each once."""
        self.incomplete = 0
        """Steps given out without a rank that has reported others."""

    def expect(self, stream: str) -> None:
        """A stream of records that may be of ranks not heard of yet: nothing is given before it was heard."""
        self._unheard[stream] = None

    def forget(self, stream: str) -> None:
        """Nothing more comes from a stream: nobody waits for its ranks."""
        self._unheard.pop(stream, None)
        for rank in self._ranks_of.pop(stream, ()):
            reporter = self._reporters[rank]
            if stream in reporter.replaced:
                reporter.replaced.remove(stream)
            elif reporter.stream == stream:
                reporter.alive = False
                self._do_not_await(reporter)
        self._settle()

    def push(self, arrival: Arrival, rank: int, stream: str, arrived_ms: int | None = None) -> None:
        """Take one record of a rank, read from ``stream``. Without a step it cannot be merged, and passes through.

        ``arrived_ms`` is when it was written there, Unix milliseconds; its own time where nobody knows.
        """
        sample = arrival.sample
        self._now_ms = max(self._now_ms, sample.ts_ms if arrived_ms is None else arrived_ms)
        if sample.step is None:
            self._unheard.pop(stream, None)
            passed = placed(sample, rank, self._width(()))
            self._out.append((msgspec.structs.replace(arrival, sample=passed), None))
            return
        reporter = self._heard(rank, stream, sample)
        if reporter.stream != stream:
            self._note(f"several pods report as rank {rank}: only the records of the newest are used")
            self._out.append((arrival, DropReason.OUT_OF_ORDER))
            return
        key = (sample.step, (sample.phase or "").strip().lower() if is_pause(sample.phase) else "")
        if self._given is not None and key <= self._given:
            self._take_behind(key, rank, reporter, arrival)
        else:
            if rank in self._back:
                self._rejoin(rank)
            self._went_on = bool(self._back)
            self._hold(self._pending, key, rank, arrival)
            self._move(reporter, key)
        self._settle()

    def flush(self) -> None:
        """Give everything that waits: the input is over."""
        if self._back and self._went_on:
            self._dissolve()
        elif self._back:
            self._switch()
        self._give_all()

    @property
    def has_decided(self) -> bool:
        """Whether there is something to take."""
        return bool(self._out)

    def take(self) -> list[Fate]:
        """What has been decided since the last call, in order."""
        taken, self._out = self._out, []
        return taken

    def state(self) -> MergerState:
        """Everything needed to go on elsewhere. To be taken when everything decided has been taken."""
        return MergerState(
            reporters=self._reporters,
            unheard=list(self._unheard),
            discovering=self._discovering,
            given=self._given,
            now_ms=self._now_ms,
            pending=list(self._pending.items()),
            again=list(self._again.items()),
            back=list(self._back.items()),
            went_on=self._went_on,
            groups=self._groups,
            meaning=self._meaning,
            notes=self.notes,
            incomplete=self.incomplete,
        )

    def restore(self, state: MergerState) -> None:
        """Go on from ``state``."""
        self._reporters = dict(state.reporters)
        self._unheard = dict.fromkeys(state.unheard)
        self._discovering, self._given, self._now_ms = state.discovering, state.given, state.now_ms
        self._pending, self._again = dict(state.pending), dict(state.again)
        self._in_order = sorted(self._pending)
        self._back, self._went_on = dict(state.back), state.went_on
        self._groups, self._meaning = dict(state.groups), state.meaning
        self.notes, self.incomplete = list(state.notes), state.incomplete
        self._out = []
        self._ranks_of = {}
        for rank, reporter in self._reporters.items():
            for stream in [reporter.stream, *reporter.replaced] if reporter.alive else ():
                self._ranks_of.setdefault(stream, set()).add(rank)
        self._count_frontiers()

    # Taking

    def _heard(self, rank: int, stream: str, sample: Sample) -> _Reporter:
        self._unheard.pop(stream, None)
        reporter = self._reporters.get(rank)
        if reporter is None or reporter.stream != stream or not reporter.alive:
            if reporter is None:
                reporter = self._reporters[rank] = _Reporter(stream)
            if stream in reporter.replaced:
                return reporter
            if reporter.stream != stream and reporter.alive:
                # A pod that is about to end goes on printing while the one that takes its place begins.
                reporter.replaced.append(reporter.stream)
            reporter.stream, reporter.alive = stream, True
            self._ranks_of.setdefault(stream, set()).add(rank)
        if sample.throughput is not None:
            reporter.throughput = True
        if sample.worker_groups is not None and len(sample.worker_groups) == 1:
            self._groups[rank] = sample.worker_groups[0]
        return reporter

    def _take_behind(self, key: Key, rank: int, reporter: _Reporter, arrival: Arrival) -> None:
        """A record of a step that has been given out."""
        frontier = reporter.frontier
        if rank in self._back or frontier is None or key < frontier:
            self._do_not_await(reporter)
            self._back[rank] = key
            self._hold(self._again, key, rank, arrival)
        elif key == frontier:
            self._out.append((arrival, DropReason.DUPLICATE))
        else:
            if reporter.awaited:
                self._move(reporter, key)
            reporter.frontier = key
            self._out.append((arrival, DropReason.OUT_OF_ORDER))

    def _hold(self, slots: dict[Key, _Slot], key: Key, rank: int, arrival: Arrival) -> None:
        slot = slots.get(key)
        if slot is None:
            slot = slots[key] = _Slot(self._now_ms, {})
            if slots is self._pending:
                heapq.heappush(self._in_order, key)
        earlier = slot.records.get(rank)
        if earlier is None:
            slot.records[rank] = arrival
            return
        both = completed(earlier, arrival)
        if both is earlier:
            self._out.append((arrival, DropReason.DUPLICATE))
            return
        if both is None:
            # It was done again before it was given out: the later one counts.
            self._out.append((earlier, DropReason.DUPLICATE))
        slot.records[rank] = both or arrival

    # Waiting

    def _move(self, reporter: _Reporter, key: Key) -> None:
        if reporter.awaited:
            self._do_not_await(reporter)
        reporter.frontier, reporter.awaited = key, True
        self._frontiers[key] = self._frontiers.get(key, 0) + 1

    def _do_not_await(self, reporter: _Reporter) -> None:
        if not reporter.awaited or reporter.frontier is None:
            return
        reporter.awaited = False
        left = self._frontiers[reporter.frontier] - 1
        if left:
            self._frontiers[reporter.frontier] = left
        else:
            del self._frontiers[reporter.frontier]

    def _count_frontiers(self) -> None:
        self._frontiers = {}
        for reporter in self._reporters.values():
            if reporter.awaited and reporter.frontier is not None:
                self._frontiers[reporter.frontier] = self._frontiers.get(reporter.frontier, 0) + 1

    def _settle(self) -> None:
        if self._back:
            self._settle_attempt()
        self._discovering = self._discovering and len(self._pending) <= self._limits.discovery_steps
        while self._pending:
            first = self._in_order[0]
            # Most often a rank that is waited for is at this very step.
            waits = bool(first in self._frontiers or self._discovering or self._unheard)
            waits = waits or (bool(self._frontiers) and min(self._frontiers) <= first)
            if waits and not self._is_overdue(first):
                return
            if waits:
                self._give_up_waiting(first)
            self._give(first)

    def _is_overdue(self, key: Key) -> bool:
        waiting = len(self._pending)
        if waiting > self._limits.window_steps and waiting > self._most_steps():
            return True
        return waiting > _KEYS_BEFORE_TIME_COUNTS and self._now_ms - self._pending[key].since_ms > self._window_ms

    def _most_steps(self) -> int:
        ranks = len(self._reporters) + len(self._unheard)
        return max(self._limits.window_steps, self._limits.window_records // max(1, ranks))

    def _give_up_waiting(self, key: Key) -> None:
        self._discovering = False
        self._unheard.clear()
        for reporter in self._reporters.values():
            if reporter.awaited and reporter.frontier is not None and reporter.frontier <= key:
                self._do_not_await(reporter)

    # Going back

    def _settle_attempt(self) -> None:
        """Whether all ranks have gone back, or one alone."""
        if not self._frontiers and not self._unheard:
            self._switch()
            return
        since_ms = min(slot.since_ms for slot in self._again.values())
        if len(self._again) < self._most_steps() and self._now_ms - since_ms <= self._window_ms:
            return
        if self._went_on:
            self._dissolve()
        else:
            self._switch()

    def _switch(self) -> None:
        """The job was started again: what waits of the attempt before is given, and the new one begins."""
        self._give_all()
        back, self._back = self._back, {}
        self._pending, self._again = self._again, {}
        self._in_order = sorted(self._pending)
        top = 0 if self._given is None else self._given[0]
        self._note(f"the job went back from step {top} to step {self._in_order[0][0]}: its steps are given again")
        self._given, self._went_on = None, False
        for rank, reporter in self._reporters.items():
            reporter.frontier, reporter.awaited = back.get(rank), rank in back and reporter.alive
        self._count_frontiers()

    def _dissolve(self) -> None:
        for rank in list(self._back):
            self._rejoin(rank)

    def _rejoin(self, rank: int) -> None:
        """What a single rank has repeated while the others went on counts as repeated."""
        reporter, key = self._reporters[rank], self._back.pop(rank)
        reason = DropReason.OUT_OF_ORDER if reporter.frontier is None else DropReason.DUPLICATE
        for at in sorted(self._again):
            arrival = self._again[at].records.pop(rank, None)
            if arrival is not None:
                self._out.append((arrival, reason))
            if not self._again[at].records:
                del self._again[at]
        reporter.frontier = max(key, reporter.frontier or key)
        self._note("a rank repeated steps while the others went on: counted as duplicates")
        self._went_on = self._went_on and bool(self._back)

    # Giving

    def _give_all(self) -> None:
        while self._pending:
            self._give(self._in_order[0])

    def _give(self, key: Key) -> None:
        slot = self._pending.pop(key)
        heapq.heappop(self._in_order)
        ranks = [RankSample(rank, slot.records[rank].sample) for rank in sorted(slot.records)]
        arrivals = [slot.records[each.rank] for each in ranks]
        alive = [reporter for reporter in self._reporters.values() if reporter.alive and reporter.frontier is not None]
        sample, disagreed = merged_sample(
            ranks,
            width=self._width([each.rank for each in ranks]),
            groups=self._groups,
            throughputs_expected=sum(reporter.throughput for reporter in alive),
            meaning=self._meaning,
            notes=self.notes,
        )
        self.incomplete += len(ranks) < len(alive)
        self._given = key
        repairs = {repair for arrival in arrivals for repair in arrival.repairs}
        if disagreed:
            repairs.add(RepairReason.FIELD_IGNORED)
        merged = msgspec.structs.replace(
            arrivals[0],
            sample=sample,
            rank=arrivals[0].rank if len(arrivals) == 1 else None,
            repairs=tuple(reason for reason in RepairReason if reason in repairs),
            records=sum(arrival.records for arrival in arrivals),
        )
        self._out.append((merged, None))

    def _width(self, ranks: Sequence[int]) -> int:
        """How many ranks there are: up to the highest that reports."""
        alive = (rank for rank, reporter in self._reporters.items() if reporter.alive)
        return max(max(alive, default=0), max(ranks, default=0)) + 1

    def _note(self, text: str) -> None:
        if text not in self.notes and len(self.notes) < _MOST_NOTES:
            self.notes.append(text)
