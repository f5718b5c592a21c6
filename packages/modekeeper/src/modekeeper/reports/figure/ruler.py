"""The x axis of a run: step where every point has one, else time, else the number of the sample."""

from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise

from modekeeper.artifacts.contracts.parts import SeriesPoint
from modekeeper.artifacts.times import from_ms

__all__ = ["Axis", "Ruler"]

_DAY_MS = 86_400_000
_EXACT = 1 << 53
"""Whole numbers above this are no longer exact as floats."""


class Axis(StrEnum):
    """What the x axis counts."""

    STEP = "step"
    TIME = "time (UTC)"
    """Days since 1970, the unit of matplotlib's date axes."""
    SAMPLE = "sample"


class Ruler:
    """Positions on the x axis, chosen to be possible for all points and never to run backwards."""

    def __init__(self, points: Sequence[SeriesPoint]) -> None:
        steps = [point.step for point in points if point.step is not None]
        times = [point.ts_ms for point in points if from_ms(point.ts_ms) is not None]
        if len(steps) == len(points) > 0 and _rises(steps):
            self.axis = Axis.STEP
        elif len(times) == len(points) > 0 and _rises(times):
            self.axis = Axis.TIME
        else:
            self.axis = Axis.SAMPLE
        at = [self._exact(point.index, point.step, point.ts_ms) for point in points]
        known = [x for x in at if x is not None]
        self.start = min(known, default=0.0)
        self.stop = max(known, default=1.0)
        if self.stop <= self.start:
            half = 1000 / _DAY_MS if self.axis is Axis.TIME else 1.0
            self.start, self.stop = self.start - half, self.start + half

    def at(self, index: int, step: int | None, ts_ms: int | None) -> float | None:
        """Where a moment of the run stands, at the edge where it is outside; ``None`` where it cannot be told."""
        x = self._exact(index, step, ts_ms)
        return None if x is None else min(max(x, self.start), self.stop)

    def column(self, x: float, columns: int) -> int:
        """Which of ``columns`` equal parts of the axis ``x`` falls into."""
        return min(int((x - self.start) / (self.stop - self.start) * columns), columns - 1)

    def _exact(self, index: int, step: int | None, ts_ms: int | None) -> float | None:
        value = {Axis.STEP: step, Axis.TIME: ts_ms, Axis.SAMPLE: index}[self.axis]
        if value is None or abs(value) > _EXACT:
            return None
        return value / _DAY_MS if self.axis is Axis.TIME else float(value)


def _rises(values: Sequence[int]) -> bool:
    if max(map(abs, values)) > _EXACT:
        return False
    pairs = pairwise(values)
    return all(left <= right for left, right in pairs) and (len(values) == 1 or values[-1] > values[0])
