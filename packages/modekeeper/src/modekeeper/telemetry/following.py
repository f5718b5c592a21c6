"""A source that is read again and again, for as long as somebody wants to look on."""

from collections.abc import Iterator
from typing import Any

from modekeeper.model.block import SampleBlock
from modekeeper.model.ingest import IngestCounters
from modekeeper.ports.clock import Clock, StopSignal
from modekeeper.ports.telemetry import TelemetrySource

__all__ = ["Following"]


class Following:
    """A ``TelemetrySource`` whose ``blocks`` end only when ``stop`` is set.

    Args:
        source: gives with each call of ``blocks`` what has been added since.
        clock: waits between two calls.
        every_s: seconds from the end of one call to the next.
    """

    def __init__(self, source: TelemetrySource, clock: Clock, every_s: float) -> None:
        self._source = source
        self._clock = clock
        self._every_s = every_s

    @property
    def describe(self) -> str:
        """What is read, for a person."""
        return self._source.describe

    def blocks(self, stop: StopSignal) -> Iterator[SampleBlock]:
        """What there is, and what comes, until ``stop`` is set."""
        while True:
            yield from self._source.blocks(stop)
            if stop.is_set() or self._clock.sleep(self._every_s, stop):
                return

    def flush(self) -> Iterator[SampleBlock]:
        """What still waits to be put in order."""
        return self._source.flush()

    def counters(self) -> IngestCounters:
        """What happened to the records so far."""
        return self._source.counters()

    def position(self) -> dict[str, Any]:
        """Where to go on from."""
        return self._source.position()

    def resume(self, position: dict[str, Any]) -> None:
        """Go on from there."""
        self._source.resume(position)
