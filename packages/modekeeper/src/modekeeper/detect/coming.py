"""References that come into force along a run of values, as columns: few of the many are ever looked at one by one."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from modekeeper.detect.charts import Yardstick
from modekeeper.detect.reference import Reference, level_columns, noise_columns
from modekeeper.model.block import FloatColumn

__all__ = ["NOTHING_COMES", "ComingReferences"]


class ComingReferences(NamedTuple):
    """``r`` references, in the order in which they come into force."""

    counts: Sequence[int]
    """Numbers of values judged at which they do, rising."""
    columns: FloatColumn
    """``float64[4, r]``: level, clip, fast and slow noise."""
    samples: Sequence[int]
    """Values each was learned from."""

    @classmethod
    def one(cls, count: int, reference: Reference) -> "ComingReferences":
        """A single one."""
        columns = np.array([[reference.level], [reference.clip], [reference.fast_sd], [reference.slow_sd]])
        return cls((count,), columns, (reference.samples,))

    @classmethod
    def of(cls, counts: range, rows: FloatColumn, now: Reference) -> "ComingReferences":
        """Levels of each row of ``float64[r, n]``, and noise of every other one, which counts for the next one too.

        Args:
            counts: equally spaced; noise is measured at even multiples of the spacing.
            rows: what they are learned from.
            now: what is in force before them.
        """
        levels = level_columns(rows)
        first = counts[0] // counts.step % 2
        noise = np.empty((2, len(counts) + 1))
        if first:
            noise[:, 0] = now.fast_sd, now.slow_sd
        if first < len(counts):
            measured = noise_columns(rows[first::2], levels[:, first::2])
            noise[:, first:-1:2] = measured
            noise[:, first + 1 :: 2] = measured[:, : len(noise[0, first + 1 :: 2])]
        columns = np.concatenate((levels, noise[:, :-1]))
        return cls(counts, columns, [rows.shape[1]] * len(counts))

    def then(self, later: "ComingReferences") -> "ComingReferences":
        """These, and then those."""
        if not len(self.counts):
            return later
        columns = np.concatenate((self.columns, later.columns), axis=1)
        return ComingReferences([*self.counts, *later.counts], columns, [*self.samples, *later.samples])

    def in_force_at(self, count: int) -> Reference | None:
        """The one that has come into force once ``count`` values are judged; ``None`` where none has."""
        place = bisect_right(self.counts, count) - 1
        if place < 0:
            return None
        level, clip, fast, slow = self.columns[:, place].tolist()
        return Reference(level=level, clip=clip, fast_sd=fast, slow_sd=slow, samples=self.samples[place])

    def slow_sd_before(self, count: int, now: Reference | None) -> float:
        """Slow noise of the one in force just before ``count`` values are judged; ``now`` is in force at first."""
        place = bisect_left(self.counts, count) - 1
        if place < 0:
            return 0.0 if now is None else now.slow_sd
        return float(self.columns[3, place])

    def yardsticks(self, now: Yardstick, start: int, stop: int, least_rel: float) -> FloatColumn:
        """``float64[3, stop - start]``: what each value number ``start`` up to ``stop`` is compared with.

        Args:
            now: in force at ``start``.
            start: number of the first value.
            stop: number of the value after the last one.
            least_rel: least noise, relative to the level.
        """
        inside = bisect_left(self.counts, stop)
        table = np.empty((3, inside + 1))
        table[:, 0] = now
        level, _, fast, slow = self.columns[:, :inside]
        least = least_rel * np.abs(level)
        table[0, 1:] = level
        table[1, 1:] = np.maximum(slow, least)
        table[2, 1:] = np.maximum(fast, least)
        bounds = np.array([start, *self.counts[:inside], stop])
        return np.repeat(table, bounds[1:] - bounds[:-1], axis=1)


NOTHING_COMES = ComingReferences((), np.empty((4, 0)), ())
