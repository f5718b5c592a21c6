"""How long something may take, and who may stop it."""

import time

from modekeeper.ports.clock import StopSignal

__all__ = ["Limit", "StoppedError"]

_POLL_S = 0.2


class StoppedError(Exception):
    """Somebody asked for an end."""


class Limit:
    """An end by the machine's clock, and stop signals that are looked at several times a second.

    Sockets wait in real time: a pinned clock does not stand still for them.
    """

    def __init__(self, end_s: float, *stops: StopSignal) -> None:
        self._end_s = end_s
        self._stops = stops

    def left_s(self) -> float:
        """How long the next wait may be at most.

        Raises:
            TimeoutError: the end is past.
            StoppedError: an end was asked for.
        """
        if any(stop.is_set() for stop in self._stops):
            raise StoppedError
        left_s = self._end_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        return left_s

    def poll_s(self) -> float:
        """The same, and short enough to look at the stop signals in between."""
        return min(_POLL_S, self.left_s())
