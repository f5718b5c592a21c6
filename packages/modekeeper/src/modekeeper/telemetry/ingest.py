"""From lines to samples in their final order, whatever the lines come from."""

from collections.abc import Iterable, Sequence

import msgspec

from modekeeper.model.ingest import DropReason, IngestCounters
from modekeeper.model.sample import Sample
from modekeeper.telemetry.arrivals import Arrival, Outcome
from modekeeper.telemetry.counting import EXCERPT_BYTES, IngestTally, TallyState
from modekeeper.telemetry.decode import LineDecoder
from modekeeper.telemetry.limits import IngestLimits
from modekeeper.telemetry.lines import LongLine
from modekeeper.telemetry.ordering import Orderer, OrdererState

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

    def feed(self, lines: Sequence[bytes], decoder: LineDecoder, source: str, first_line: int) -> list[Sample]:
        """The samples that ``lines`` release.

        Args:
            lines: without line feeds.
            decoder: the decoder of the file they come from.
            source: its name, safe to print.
            first_line: number of the first of them in that file, from 1.
        """
        samples: list[Sample] = []
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
                self._settle(outcomes, samples)
        return samples

    def flush(self) -> list[Sample]:
        """The samples that still waited: the input is over."""
        samples: list[Sample] = []
        self._settle(self._orderer.flush(), samples)
        return samples

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

    def _settle(self, outcomes: Iterable[Outcome], samples: list[Sample]) -> None:
        tally = self._tally
        for arrival, dropped in outcomes:
            if dropped is not None:
                tally.drop(dropped, arrival.source, arrival.line, arrival.excerpt)
                continue
            if arrival.repairs:
                tally.repair(arrival.repairs, arrival.source, arrival.line, arrival.excerpt)
            else:
                tally.accept()
            samples.append(arrival.sample)
