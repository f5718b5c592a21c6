"""From lines to samples in their final order, whatever the lines come from."""

from collections.abc import Sequence

import msgspec

from modekeeper.model.ingest import DropReason, IngestCounters
from modekeeper.telemetry.arrivals import Arrival
from modekeeper.telemetry.batch import Row, Stretch
from modekeeper.telemetry.bulk import LinesRead
from modekeeper.telemetry.counting import EXCERPT_BYTES, IngestTally, TallyState
from modekeeper.telemetry.decode import LineDecoder
from modekeeper.telemetry.limits import IngestLimits
from modekeeper.telemetry.lines import LongLine
from modekeeper.telemetry.ordering import Orderer, OrdererState
from modekeeper.telemetry.outbox import Outbox
from modekeeper.telemetry.window import Outcome

__all__ = ["IngestPipeline", "PipelineState"]


class PipelineState(msgspec.Struct, frozen=True, kw_only=True):
    """A pipeline at rest."""

    tally: TallyState
    orderer: OrdererState


class IngestPipeline:
    """Decodes, orders and counts. Used by every source that reads lines."""

    def __init__(self, limits: IngestLimits) -> None:
        self._tally = IngestTally()
        self._orderer = Orderer(limits)
        self.outbox = Outbox()
        """Where the samples go."""

    def feed(self, lines: Sequence[bytes], decoder: LineDecoder, source: str, first_line: int) -> None:
        """Take lines, one after the other.

        Args:
            lines: without line feeds.
            decoder: the decoder of the file they come from.
            source: its name, safe to print.
            first_line: number of the first of them in that file, from 1.
        """
        decode, push, drop = decoder.decode, self._orderer.push, self._tally.drop
        for number, line in enumerate(lines, first_line):
            if type(line) is LongLine:
                drop(DropReason.TOO_LONG, source, number, line)
                continue
            decoded = decode(line)
            if decoded is None:
                continue
            if isinstance(decoded, DropReason):
                drop(decoded, source, number, line)
                continue
            sample, rank, repairs = decoded
            outcomes = push(Arrival(sample, rank, source, number, line[:EXCERPT_BYTES], repairs))
            if outcomes:
                self._settle(outcomes)

    def feed_read(self, read: LinesRead) -> None:
        """Take lines that have been decoded already; the same as ``feed`` of the lines."""
        for line, reason, excerpt in read.dropped:
            self._tally.drop(reason, read.batch.source, line, excerpt)
        self._settle(self._orderer.push_batch(read.batch))

    def flush(self) -> None:
        """Let go of the samples that still wait: the input is over."""
        self._settle(self._orderer.flush())

    def counters(self) -> IngestCounters:
        """The account of every record whose fate is known."""
        return self._tally.counters()

    def state(self) -> PipelineState:
        """Everything needed to go on elsewhere."""
        return PipelineState(tally=self._tally.state(), orderer=self._orderer.state())

    def restore(self, state: PipelineState) -> None:
        """Go on from ``state``.

        Raises:
            ValueError: it is damaged.
        """
        self._tally.restore(state.tally)
        self._orderer.restore(state.orderer)

    def _settle(self, outcomes: Sequence[Outcome | Stretch]) -> None:
        for outcome in outcomes:
            if isinstance(outcome, Stretch):
                self._accept(outcome)
                continue
            arrival, dropped = outcome
            if isinstance(arrival, Row):
                self._accept(Stretch(arrival.batch, arrival.place, arrival.place + 1))
            elif dropped is not None:
                self._tally.drop(dropped, arrival.source, arrival.line, arrival.excerpt)
            else:
                self._accept_one(arrival)
                self.outbox.add(arrival.sample)

    def _accept(self, stretch: Stretch) -> None:
        repaired = 0
        for index in stretch.repaired():
            self._accept_one(stretch.batch.arrival(index))
            repaired += 1
        self._tally.accept(stretch.stop - stretch.start - repaired)
        self.outbox.add_stretch(*stretch)

    def _accept_one(self, arrival: Arrival) -> None:
        if arrival.repairs:
            self._tally.repair(arrival.repairs, arrival.source, arrival.line, arrival.excerpt)
        else:
            self._tally.accept()
