"""A change of the level of one series, with its evidence."""

import math

import msgspec

from modekeeper.detect.history import History, Position
from modekeeper.detect.reference import Reference
from modekeeper.detect.robust import normal_confidence, relative, robust_sd

__all__ = ["LevelChange", "measure"]

INTERVAL_90 = 1.645
LOOKS_EVERY = 5
"""Looks in so many values count as one: they see nearly the same."""


class LevelChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change of level, ``suspected`` or not, with its evidence in the unit of the series."""

    suspected: bool
    slow: bool
    start: int
    """Number of the first value measured as the level after."""
    stop: int
    """Number of the value after the last one measured, at which this was decided."""
    since: Position
    at: Position
    before: Reference
    after: float
    standard_error: float
    """Of the difference, had the noise stayed what it was: what the change is tested with."""
    spread: float
    """The same with the noise of the new level, where that is larger."""
    confidence: float
    samples_used: int
    announced: bool = False
    """Whether it was suspected before."""
    restated: int | None = None
    """Where the same change was reported before, when it was still going on: number of the first value after it."""
    anchor: Reference | None = None
    """The first window of the level that was left, where it lasted long enough."""

    @property
    def effect(self) -> float | None:
        """Relative to the level before; ``None`` where that was zero."""
        return relative(self.after, self.before.level)

    @property
    def interval(self) -> tuple[float | None, float | None]:
        """90 % interval of :attr:`effect`."""
        half = INTERVAL_90 * self.spread
        level = self.before.level
        return relative(self.after - half, level), relative(self.after + half, level)


def measure(history: History, before: Reference, start: int, stop: int, *, level_since: int) -> LevelChange:
    """The level of values number ``start`` up to ``stop`` against the one before, which began at ``level_since``."""
    values = history.values(start, stop)
    after = before.location(values)
    error = before.standard_error(len(values))
    z = (after - before.level) / error if error > 0 else math.inf
    steadier = before.slow_sd / before.fast_sd
    return LevelChange(
        suspected=False,
        slow=False,
        start=start,
        stop=stop,
        since=history.position(start),
        at=history.position(stop - 1),
        before=before,
        after=after,
        standard_error=error,
        spread=max(error, robust_sd(values) * steadier / math.sqrt(len(values))),
        confidence=normal_confidence(z, max((stop - level_since) // LOOKS_EVERY, 1)),
        samples_used=len(values) + before.samples,
    )
