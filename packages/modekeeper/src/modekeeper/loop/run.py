"""One pass of the loop over everything a source has to give."""

from collections.abc import Callable, Iterator

from modekeeper.loop.engine import Engine
from modekeeper.loop.reading import Reading
from modekeeper.loop.recorder import RunRecorder
from modekeeper.model.block import SampleBlock
from modekeeper.model.trace import TraceEvent
from modekeeper.ports.clock import StopSignal
from modekeeper.ports.telemetry import TelemetrySource

__all__ = ["EventSink", "Feed", "limited", "read_all", "run"]

EventSink = Callable[[TraceEvent], None]
"""Takes the lines of the decision trace as they come."""


class Feed:
    """Hands samples to the engine, and what it decides to the recorders and the decision trace."""

    def __init__(self, engine: Engine, recorders: tuple[RunRecorder, ...], sink: EventSink) -> None:
        self._engine = engine
        self._recorders = recorders
        self._sink = sink
        self.samples = 0
        """Samples taken so far."""

    def take(self, block: SampleBlock) -> None:
        """Decide along the next samples."""
        self.samples += len(block)
        for recorder in self._recorders:
            recorder.add_block(block)
        for event in self._engine.feed(block):
            self.record(event)

    def record(self, event: TraceEvent) -> None:
        """Write one tick down."""
        for recorder in self._recorders:
            recorder.add_event(event)
        self._sink(event)


def run(reading: Reading, engine: Engine, recorder: RunRecorder, sink: EventSink) -> None:
    """Read to the end and decide along the way; every tick goes to ``recorder`` and to ``sink``.

    When ``reading.stop`` is set, what was read so far is still decided upon.
    """
    feed = Feed(engine, (recorder,), sink)
    for block in limited(read_all(reading.source, reading.stop), reading.duration_s):
        feed.take(block)
        reading.advanced(len(block))
    feed.record(engine.finish())


def read_all(source: TelemetrySource, stop: StopSignal) -> Iterator[SampleBlock]:
    """Every block of ``source``, those that waited to be put in order included."""
    yield from source.blocks(stop)
    yield from source.flush()


def limited(blocks: Iterator[SampleBlock], duration_s: float | None) -> Iterator[SampleBlock]:
    """The blocks up to ``duration_s`` of telemetry time after the first sample."""
    end_ms: float | None = None
    for block in blocks:
        if duration_s is None or not len(block):
            yield block
            continue
        if end_ms is None:
            end_ms = int(block.ts_ms[0]) + duration_s * 1000
        inside = int((block.ts_ms < end_ms).sum())
        yield block.part(0, inside)
        if inside < len(block):
            return
