"""A bank of CUSUM charts: the earliest word of a change of level, for large and small changes alike.

A chart tuned to a shift of ``d`` standard deviations sums ``d z - d²/2``, the log-likelihood ratio of that shift, never
below zero (E. S. Page, Continuous inspection schemes, Biometrika 41, 1954; best possible for its shift: G. Moustakides,
Ann. Stat. 14, 1986). Three shifts in both directions beside each other stay near the best for all between (G. Lorden,
Procedures for reacting to a change in distribution, Ann. Math. Stat. 42, 1971).

Sums are whole numbers of ``UNIT`` parts of a nat, so that they are the same however the stream was cut.
"""

import math
from itertools import product
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from modekeeper.model.block import FloatColumn

__all__ = ["LONG_AGO", "SPIKE_Z", "Bank", "Crossing", "Yardstick", "certainty_for", "threshold_for"]

SHIFTS = (1.0, 2.0, 4.0)
"""In standard deviations; the first two of the slow noise, the last of the fast one."""
HEAD_STARTS = (0.0, 0.0, 2.0)
"""Nats by which each chart's threshold is lower than the common one. The last chart decides about the largest changes
within one or two samples, where each counts most: it gets the larger share of the false words."""
UNIT = 1 << 20
CHARTS = tuple(
    (place, shift, 0.5 * shift * shift, sign, shift == SHIFTS[-1])
    for place, (sign, shift) in enumerate(product((1.0, -1.0), SHIFTS))
)
"""For each chart: its place, its shift, half its square, its direction, and whether it counts in the fast noise."""
LOOSE_Z = 6.0
"""A sample counts for at most so many standard deviations: one alone may be enough to suspect a change …"""
TIGHT_Z = 3.1
"""… but not in a job that shows spikes: there it takes four in a row."""
TIGHT_AGAINST_Z = -2.0
"""In such a job a sample speaks against a change for at most so many, lest every spike hide a shift the other way."""
SPIKE_Z = 4.5
SPIKE_MEMORY = 2000
"""Samples a spike is remembered for."""
LONG_AGO = 10**6
"""Where there was none, the last one is put so many samples back."""
OVERSHOOT = 1.166
"""A sum passes its threshold by about half of this, in standard deviations (D. Siegmund, Sequential Analysis, 1985)."""

RUNS_OVERSHOOT = 0.21
"""The integral of that approximation for runs of 16 to 100 samples."""

IntTable = NDArray[np.int64]


def threshold_for(mean_samples_between_alarms: float) -> int:
    """The threshold of the slow charts in ``UNIT`` parts of a nat: Siegmund's approximation, independent samples."""
    charts = zip(SHIFTS, HEAD_STARTS, strict=True)
    rate = sum(shift * shift * math.exp(start - OVERSHOOT * shift) for shift, start in charts)
    return round(UNIT * math.log(mean_samples_between_alarms * rate))


class Crossing(msgspec.Struct, frozen=True):
    """A chart that passed the threshold."""

    number: int
    """Of the value it passed at."""
    since: int
    """Number of the first value of its excursion."""
    upwards: bool


def certainty_for(mean_samples_between_alarms: float) -> float:
    """Standard errors by which the mean of a run must be off, whatever run is looked at.

    The mean time between chance excursions of the largest standardised mean of the runs that end at a sample (D.
    Siegmund and E. S. Venkatraman, Using the generalized likelihood ratio statistic for sequential detection of a
    change-point, Annals of Statistics 23, 1995), solved for its size.
    """
    z = 4.0
    for _ in range(8):
        z = math.sqrt(2.0 * math.log(2.0 * z * RUNS_OVERSHOOT * mean_samples_between_alarms / math.sqrt(2.0 * math.pi)))
    return z


class Yardstick(NamedTuple):
    """What a value is compared with, in the unit of the series."""

    level: float
    slow_sd: float
    fast_sd: float


class Bank(msgspec.Struct):
    """The six charts at one level: rising for each of ``SHIFTS``, then falling. Plain values."""

    thresholds: list[int]
    sums: list[int]
    since: list[int]
    """For each chart, number of the first value of its excursion; 0 while it is at zero."""
    last_spike: int
    """Number of the latest value that stood out by itself."""

    @classmethod
    def at_zero(cls, threshold: int, last_spike: int) -> "Bank":
        """Charts that have seen nothing."""
        charts = len(CHARTS)
        thresholds = 2 * [threshold - round(UNIT * start) for start in HEAD_STARTS]
        return cls(thresholds=thresholds, sums=[0] * charts, since=[0] * charts, last_spike=last_spike)

    def take_one(self, value: float, number: int, yardstick: Yardstick) -> Crossing | None:
        """:meth:`take` for a single value, to the same bits."""
        level, slow_sd, fast_sd = yardstick
        slow, fast = (value - level) / slow_sd, (value - level) / fast_sd
        tight = number - self.last_spike <= SPIKE_MEMORY
        cap, floor = (TIGHT_Z, TIGHT_AGAINST_Z) if tight else (LOOSE_Z, -LOOSE_Z)
        if not -SPIKE_Z <= fast <= SPIKE_Z:
            self.last_spike = number
        sums, crossed = self.sums, None
        for chart, shift, half, sign, is_fast in CHARTS:
            z = (fast if is_fast else slow) * sign
            before = sums[chart]
            if not before and z <= 0.5 * shift:
                continue
            if z > cap:
                z = cap
            elif z < floor:
                z = floor
            total = before + round((shift * z - half) * UNIT)
            if total <= 0:
                sums[chart] = self.since[chart] = 0
                continue
            sums[chart] = total
            if not before:
                self.since[chart] = number
            if total > self.thresholds[chart] and crossed is None:
                crossed = self._crossing(chart, number)
        return crossed

    def take(self, values: FloatColumn, start: int, yardsticks: FloatColumn) -> Crossing | None:
        """Take values number ``start`` and on, up to the first at which a chart passes the threshold.

        Args:
            values: ``float64[n]``.
            start: number of the first of them.
            yardsticks: ``float64[3, n]``, a :class:`Yardstick` for each of them.
        """
        residuals = values - yardsticks[0]
        z_slow, z_fast = residuals / yardsticks[1], residuals / yardsticks[2]
        spikes = np.flatnonzero(~((z_fast >= -SPIKE_Z) & (z_fast <= SPIKE_Z)))
        tight = self._tight(spikes, start, len(values))
        paths = self._paths(z_slow, z_fast, tight)
        heights = paths - np.minimum(np.minimum.accumulate(paths, axis=1), 0)
        above = heights > np.array(self.thresholds)[:, np.newaxis]
        stop, crossed_by = len(values), None
        if above.any():
            stop = int(above.any(axis=0).argmax()) + 1
            crossed_by = int(above[:, stop - 1].argmax())
        self._rest_at(heights[:, :stop], start)
        crossed = None if crossed_by is None else self._crossing(crossed_by, start + stop - 1)
        seen = spikes[: np.searchsorted(spikes, stop)]
        if len(seen):
            self.last_spike = start + int(seen[-1])
        return crossed

    def _tight(self, spikes: NDArray[np.intp], start: int, count: int) -> NDArray[np.bool_] | bool:
        """Whether each value comes not long after a spike."""
        if not len(spikes):
            if start + count - 1 - self.last_spike <= SPIKE_MEMORY:
                return True
            if start - self.last_spike > SPIKE_MEMORY:
                return False
        latest = np.full(count + 1, self.last_spike, dtype=np.int64)
        latest[spikes + 1] = spikes + start
        np.maximum.accumulate(latest, out=latest)
        tight: NDArray[np.bool_] = np.arange(start, start + count) - latest[:-1] <= SPIKE_MEMORY
        return tight

    def _paths(self, z_slow: FloatColumn, z_fast: FloatColumn, tight: NDArray[np.bool_] | bool) -> IntTable:
        """Sums without the floor at zero: ``int64[6, n]``."""
        paths: IntTable = np.empty((len(CHARTS), len(z_slow)), dtype=np.int64)
        cap, floor = np.where(tight, TIGHT_Z, LOOSE_Z), np.where(tight, TIGHT_AGAINST_Z, -LOOSE_Z)
        bounded = {
            (is_fast, sign): np.minimum(np.maximum((z_fast if is_fast else z_slow) * sign, floor), cap)
            for is_fast in (False, True)
            for sign in (1.0, -1.0)
        }
        for chart, shift, half, sign, is_fast in CHARTS:
            step = bounded[is_fast, sign] * shift
            step -= half
            step *= UNIT
            np.rint(step, out=paths[chart], casting="unsafe")
        paths[:, 0] += self.sums
        np.cumsum(paths, axis=1, out=paths)
        return paths

    def _rest_at(self, heights: IntTable, start: int) -> None:
        """Take over the last of ``heights``, and where each chart was last at zero."""
        after = start + heights.shape[1]
        sums = heights[:, -1].tolist()
        for chart, (before, total) in enumerate(zip(self.sums, sums, strict=True)):
            if total == 0:
                self.since[chart] = 0
                continue
            backwards = heights[chart, ::-1] == 0
            last_zero = int(backwards.argmax())
            if backwards[last_zero]:
                self.since[chart] = after - last_zero
            elif before == 0:
                self.since[chart] = start
        self.sums = sums

    def _crossing(self, chart: int, number: int) -> Crossing:
        return Crossing(number, self.since[chart], CHARTS[chart][3] > 0)
