"""An end by the clock, for reading that would otherwise go on until interrupted."""

from modekeeper.ports.clock import Clock, StopSignal

__all__ = ["Deadline"]


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
