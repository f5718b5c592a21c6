"""An end by the clock, for reading that would otherwise go on until interrupted."""

from modekeeper.cli.options import TelemetryChoice
from modekeeper.ports.clock import Clock, StopSignal

__all__ = ["Deadline", "reading_ends"]


class Deadline:
    """A stop signal that is also set once ``duration_s`` seconds have passed."""

    def __init__(self, stop: StopSignal, clock: Clock, duration_s: float) -> None:
        self._stop = stop
        self._clock = clock
        self._end_s = clock.monotonic_s() + duration_s

    def is_set(self) -> bool:
        """Whether to stop at the next safe point."""
        return self._stop.is_set() or self._clock.monotonic_s() >= self._end_s

    def wait(self, timeout: float | None = None) -> bool:
        """Wait up to ``timeout`` seconds, and no longer than the deadline."""
        left_s = max(0.0, self._end_s - self._clock.monotonic_s())
        self._stop.wait(left_s if timeout is None else min(timeout, left_s))
        return self.is_set()


def reading_ends(choice: TelemetryChoice, clock: Clock, stop: StopSignal) -> StopSignal:
    """When to stop reading: a file that is followed may never reach ``--duration`` of telemetry time by itself."""
    if choice.follow and choice.duration_s is not None:
        return Deadline(stop, clock, choice.duration_s)
    return stop
