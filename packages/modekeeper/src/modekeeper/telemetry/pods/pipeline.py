"""From entries to samples: decoding, ranks, merging, order. Pure, so that a recording gives the same samples."""

import msgspec

from modekeeper.model.ingest import DropReason, IngestCounters
from modekeeper.telemetry.arrivals import Arrival
from modekeeper.telemetry.batch import Row, Stretch
from modekeeper.telemetry.counting import EXCERPT_BYTES, IngestTally, TallyState
from modekeeper.telemetry.limits import IngestLimits
from modekeeper.telemetry.merge_limits import MergeLimits
from modekeeper.telemetry.ordering import Orderer, OrdererState
from modekeeper.telemetry.outbox import Outbox
from modekeeper.telemetry.pods.facts import PodFacts
from modekeeper.telemetry.pods.line_decoder import PodLineDecoder
from modekeeper.telemetry.pods.order import RankTable, RankTableState
from modekeeper.telemetry.pods.recording import Entry, GapEntry, LeavingEntry, LineEntry, PodEntry
from modekeeper.telemetry.pods.stamps import split_stamp
from modekeeper.telemetry.rank_merge import MergerState, RankMerger

__all__ = ["PodPipeline", "PodPipelineState"]

_HIGHEST_RANK = 65_535
_RANK_DIGITS = 5
_MOST_NOTES = 100


class PodPipelineState(msgspec.Struct, frozen=True, kw_only=True):
    """A pipeline at rest."""

    facts: list[PodFacts]
    lines: dict[str, int]
    ranks: RankTableState
    names: dict[str, int]
    merger: MergerState
    orderer: OrdererState
    tally: TallyState
    notes: list[str]
    gaps: int


class PodPipeline:
    """Takes entries one after the other; what comes out depends on them and on nothing else."""

    def __init__(self, limits: IngestLimits | None = None, merging: MergeLimits | None = None) -> None:
        limits = limits or IngestLimits()
        self.outbox = Outbox()
        """Where the samples go."""
        self.gaps = 0
        """How often lines may have been missed."""
        self._decoder = PodLineDecoder(limits)
        self._merger = RankMerger(merging)
        self._orderer = Orderer(limits)
        self._tally = IngestTally()
        self._facts: dict[str, PodFacts] = {}
        self._labels: dict[str, str] = {}
        self._lines: dict[str, int] = {}
        self._ranks = RankTable()
        self._names: dict[str, int] = {}
        self._notes: list[str] = []

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know, each once."""
        notes = [*self._notes, *self._merger.notes]
        if self._merger.incomplete:
            notes.append(f"{self._merger.incomplete} steps lack a rank that has reported others")
        return tuple(notes)

    def knows(self, key: str) -> bool:
        """Whether a container has been met."""
        return key in self._facts

    def feed(self, entry: Entry) -> None:
        """Take one entry."""
        if isinstance(entry, LineEntry):
            self._feed_line(entry)
        elif isinstance(entry, PodEntry):
            self._meet(entry.pods)
        elif isinstance(entry, GapEntry):
            self.gaps += 1
            self._note(f"{entry.pod}/{entry.container}: {entry.why}; lines may be missing")
        elif isinstance(entry, LeavingEntry):
            self._ranks.make_room(entry.key)
        else:
            for known in (self._facts, self._labels, self._lines):
                known.pop(entry.key, None)
            self._ranks.leave(entry.key)
            self._merger.forget(entry.key)
            self._settle()

    def take_line(self, key: str, ns: int, text: bytes, *, cut: bool) -> None:
        """The same as ``feed`` of the entry of a line, of a container that has been met.

        Args:
            key: of the container.
            ns: the node's time, nanoseconds since 1970; 0 where the line has none.
            text: what the container wrote.
            cut: it was too long, and this is how it begins.
        """
        label = self._labels[key]
        number = self._lines[key] = self._lines.get(key, 0) + 1
        if cut:
            self._tally.drop(DropReason.TOO_LONG, label, number, text)
            return
        decoded = self._decoder.decode(text, ns, self._facts[key])
        if isinstance(decoded, DropReason):
            self._tally.drop(decoded, label, number, text[:EXCERPT_BYTES])
            return
        sample, rank, repairs = decoded
        arrival = Arrival(sample, rank, label, number, text[:EXCERPT_BYTES], repairs)
        self._merger.push(arrival, self._rank(rank, key), key, ns // 1_000_000 if ns else None)
        if self._merger.has_decided:
            self._settle()

    def flush(self) -> None:
        """The input is over: everything that waits is given."""
        self._merger.flush()
        self._settle()
        self._count(self._orderer.flush())

    def counters(self) -> IngestCounters:
        """The account of every line whose fate is known."""
        return self._tally.counters()

    def state(self) -> PodPipelineState:
        """Everything needed to go on elsewhere."""
        return PodPipelineState(
            facts=list(self._facts.values()),
            lines=self._lines,
            ranks=self._ranks.state(),
            names=self._names,
            merger=self._merger.state(),
            orderer=self._orderer.state(),
            tally=self._tally.state(),
            notes=self._notes,
            gaps=self.gaps,
        )

    def restore(self, state: PodPipelineState) -> None:
        """Go on from ``state``.

        Raises:
            ValueError: it is damaged.
        """
        self._facts = {facts.key: facts for facts in state.facts}
        self._labels = {key: facts.label for key, facts in self._facts.items()}
        self._lines, self._names = dict(state.lines), dict(state.names)
        self._ranks.restore(state.ranks)
        self._merger.restore(state.merger)
        self._orderer.restore(state.orderer)
        self._tally.restore(state.tally)
        self._notes, self.gaps = list(state.notes), state.gaps

    def _meet(self, pods: list[PodFacts]) -> None:
        new = {facts.key: facts for facts in pods if facts.key not in self._facts}
        if self._facts:
            for key, facts in new.items():
                self._ranks.expect(key, facts.order)
        else:
            self._ranks.meet({key: facts.order for key, facts in new.items()})
        self._facts |= new
        self._labels |= {key: facts.label for key, facts in new.items()}
        for key in new:
            self._merger.expect(key)

    def _feed_line(self, entry: LineEntry) -> None:
        if entry.key not in self._facts:
            facts = PodFacts(namespace="", pod=entry.pod, uid=entry.uid, container=entry.container, node=entry.node)
            self._meet([facts])
        data = entry.data
        ns, text = split_stamp(data) or (0, data)
        self.take_line(entry.key, ns, text, cut=entry.cut)

    def _rank(self, named: str | None, key: str) -> int:
        """The rank a record names, else that of its pod. Ranks that are no numbers are counted as they come."""
        if named is None:
            return self._ranks.rank(key)
        if named.isascii() and named.isdigit() and len(named) <= _RANK_DIGITS:
            return min(int(named), _HIGHEST_RANK)
        if named not in self._names and len(self._names) < _HIGHEST_RANK:
            self._names[named] = len(self._names)
        return self._names.get(named, 0)

    def _settle(self) -> None:
        for arrival, reason in self._merger.take():
            if reason is not None:
                self._drop(arrival, reason)
            else:
                self._count(self._orderer.push(arrival))

    def _count(self, outcomes: list[tuple[Arrival | Row, DropReason | None]] | list[Stretch]) -> None:
        for outcome in outcomes:
            arrival, reason = outcome[0], outcome[1]
            if not isinstance(arrival, Arrival):
                continue
            if isinstance(reason, DropReason):
                self._drop(arrival, reason)
                continue
            if arrival.repairs:
                self._tally.repair(arrival.repairs, arrival.source, arrival.line, arrival.excerpt)
                self._tally.accept(arrival.records - 1)
            else:
                self._tally.accept(arrival.records)
            self.outbox.add(arrival.sample)

    def _drop(self, arrival: Arrival, reason: DropReason) -> None:
        for _ in range(arrival.records):
            self._tally.drop(reason, arrival.source, arrival.line, arrival.excerpt)

    def _note(self, text: str) -> None:
        if text not in self._notes and len(self._notes) < _MOST_NOTES:
            self._notes.append(text)
