"""Grid points and the windows in which they are asked for."""

from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["MOST_POINTS", "SERVER_POINTS", "Window", "aligned_down", "cut"]

SERVER_POINTS = 11_000
"""Most points of a series that a server gives in one answer."""
MOST_POINTS = 1000
"""Points a series asked for at once: a thousand series of them are an answer of some 20 MiB."""


class Window(NamedTuple):
    """Grid points from ``start_ms`` to ``end_ms``, both included, ``step_ms`` apart."""

    start_ms: int
    end_ms: int
    step_ms: int

    @property
    def points(self) -> int:
        """How many grid points there are, at least one."""
        return (self.end_ms - self.start_ms) // self.step_ms + 1

    def halves(self) -> tuple["Window", "Window"]:
        """The same points in two windows; only where there are at least two."""
        middle = self.start_ms + (self.points // 2) * self.step_ms
        return Window(self.start_ms, middle - self.step_ms, self.step_ms), Window(middle, self.end_ms, self.step_ms)


def aligned_down(moment_ms: int, step_ms: int) -> int:
    """The last grid point not after a moment. The grid is the same for everybody: multiples of the step since 1970."""
    return moment_ms // step_ms * step_ms


def cut(start_ms: int, end_ms: int, step_ms: int, most_points: int = MOST_POINTS) -> Iterator[Window]:
    """Windows of at most ``most_points`` that hold each grid point from ``start_ms`` to ``end_ms`` once, in order."""
    while start_ms <= end_ms:
        last_ms = min(end_ms, start_ms + (most_points - 1) * step_ms)
        yield Window(start_ms, last_ms, step_ms)
        start_ms = last_ms + step_ms
