"""One iteration of ``watch``: what has been added since, decided upon."""

from dataclasses import dataclass

from modekeeper.loop.engine import Engine
from modekeeper.loop.recorder import RunRecorder
from modekeeper.loop.run import EventSink, Feed
from modekeeper.model.ingest import IngestCounters
from modekeeper.ports.clock import StopSignal
from modekeeper.ports.telemetry import TelemetrySource

__all__ = ["IterationFacts", "counters_between", "iterate"]


@dataclass(frozen=True, kw_only=True)
class IterationFacts:
    """What one iteration saw."""

    samples: int
    ingest: IngestCounters
    """Of this iteration alone."""
    no_data: bool
    """Not one record, those that waited to be put in order included."""
    nothing_came: bool
    """Not one record that did not wait before."""


def iterate(
    source: TelemetrySource,
    engine: Engine,
    recorders: tuple[RunRecorder, ...],
    stop: StopSignal,
    sink: EventSink,
    *,
    last: bool,
) -> IterationFacts:
    """Read what there is now and decide along the way.

    Args:
        source: where the samples come from; it goes on where the iteration before left it.
        engine: what decides.
        recorders: what keeps the facts for the reports.
        stop: set when the user wants to stop: the iteration ends after the block it is at. What is left is read by
            the next process.
        sink: takes the decision trace.
        last: no iteration follows: records still waiting to be put in order are taken too, and the input is over.
    """
    before = source.counters()
    feed = Feed(engine, recorders, sink)
    for block in source.blocks(stop):
        feed.take(block)
    nothing_came = feed.samples == 0 and source.counters().read_total == before.read_total
    ending = last and not stop.is_set()
    for block in source.flush() if ending else ():
        feed.take(block)
    ingest = counters_between(before, source.counters())
    no_data = ingest.read_total == 0 and feed.samples == 0
    if no_data and not stop.is_set():
        feed.record(engine.no_data())
    if ending:
        feed.record(engine.finish())
    return IterationFacts(samples=feed.samples, ingest=ingest, no_data=no_data, nothing_came=nothing_came)


def counters_between(before: IngestCounters, after: IngestCounters) -> IngestCounters:
    """What was counted between two looks at the same source."""
    return IngestCounters(
        read_total=after.read_total - before.read_total,
        accepted_total=after.accepted_total - before.accepted_total,
        dropped_total=after.dropped_total - before.dropped_total,
        repaired_total=after.repaired_total - before.repaired_total,
        dropped_by_reason=_grown(before.dropped_by_reason, after.dropped_by_reason),
        repaired_by_reason=_grown(before.repaired_by_reason, after.repaired_by_reason),
        examples=tuple(example for example in after.examples if example not in before.examples),
    )


def _grown(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {reason: n for reason in sorted(after) if (n := after[reason] - before.get(reason, 0))}
