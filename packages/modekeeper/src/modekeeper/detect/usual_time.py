"""How long a step usually takes, how far chance carries it, and from where on it is a spike.

Samples are summed up in groups. A group's middle and spread tell the usual level, and its largest excess over its
own middle the job's tail, by the method of block maxima (E. J. Gumbel, Statistics of Extremes, 1958; S. Coles, An
Introduction to Statistical Modeling of Extreme Values, 2001): however many slow steps lie together, they count once,
and a change of level touches the one group it falls into. The tail is taken for an exponential one through the usual
level and a quantile of the maxima, and a spike is what lies several times as far out as that quantile.
"""

import math
from statistics import NormalDist
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from modekeeper.detect.robust import windows_of
from modekeeper.detect.settings import DetectorSettings
from modekeeper.model.block import FloatColumn

__all__ = ["UsualLevel", "UsualLevels", "UsualTime"]


class UsualLevel(msgspec.Struct, frozen=True):
    """What was known at one time: the usual level, from where on a value is a spike, and the samples behind it."""

    middle: float
    threshold: float
    samples: int


UNKNOWN = UsualLevel(math.nan, math.inf, 0)


class UsualLevels(msgspec.Struct, frozen=True):
    """The levels during a run of new samples: number ``k`` holds once ``k`` more groups were complete."""

    levels: tuple[list[float], list[int]]
    thresholds: FloatColumn
    offset: int
    """Samples the first group already had."""
    group: int

    def numbers(self, before: NDArray[np.intp]) -> NDArray[np.intp]:
        """Which level holds after so many of the new samples."""
        return (before + self.offset) // self.group

    def each(self, samples: int) -> FloatColumn:
        """The threshold that held as each of so many new samples came."""
        return np.repeat(self.thresholds, self.group)[self.offset : self.offset + samples]

    def at(self, before: int) -> UsualLevel:
        """The level after so many of the new samples."""
        number = (before + self.offset) // self.group
        middles, samples = self.levels
        return UsualLevel(middles[number], float(self.thresholds[number]), samples[number])


class UsualTime:
    """Learns from every sample of training; spikes among them are part of the tail."""

    def __init__(self, settings: DetectorSettings) -> None:
        self._settings = settings
        size = settings.burst_group_samples
        self._low, self._high = size // 4, size - 1 - size // 4
        # Blom's scores: where the two order statistics of a normal sample lie.
        self._sd_per_spread = 0.5 / NormalDist().inv_cdf((self._high + 0.625) / (size + 0.25))
        self._open: list[float] = []
        self._middles = np.full(settings.burst_level_groups, np.inf)
        self._spreads = np.full(settings.burst_level_groups, np.inf)
        self._peaks = np.full(settings.burst_tail_groups, np.inf)
        self._groups = 0
        self.level = UNKNOWN
        """What is known now."""

    @property
    def count(self) -> int:
        """Samples learned from."""
        return self._groups * self._settings.burst_group_samples + len(self._open)

    def append(self, value: float) -> None:
        """Learn from the newest sample."""
        self._open.append(value)
        if len(self._open) == self._settings.burst_group_samples:
            self._learn(np.array([self._open]))
            self._open.clear()

    def extend(self, values: FloatColumn) -> UsualLevels:
        """Learn from the newest samples, ``float64[n]`` in order; what was known as each of them came."""
        size = self._settings.burst_group_samples
        offset, before = len(self._open), self.level
        middles, thresholds, samples = [before.middle], np.array([before.threshold]), [before.samples]
        whole = (offset + len(values)) // size * size - offset
        if whole > 0:
            table = np.concatenate((self._open, values[:whole])).reshape(-1, size)
            new_middles, new_thresholds, new_samples = self._learn(table)
            middles, samples = middles + new_middles.tolist(), samples + new_samples.tolist()
            thresholds = np.concatenate((thresholds, new_thresholds))
            self._open.clear()
        self._open.extend(values[max(whole, 0) :].tolist())
        return UsualLevels((middles, samples), thresholds, offset, size)

    def _learn(self, table: FloatColumn) -> tuple[FloatColumn, FloatColumn, NDArray[np.int64]]:
        """Sum up whole groups, one a row; the level, the threshold and the samples behind them after each."""
        settings, size = self._settings, self._settings.burst_group_samples
        ordered = np.sort(table, axis=1)
        middle = ordered[:, (size - 1) // 2]
        self._middles, middles = _windows(self._middles, middle)
        self._spreads, spreads = _windows(self._spreads, ordered[:, self._high] - ordered[:, self._low])
        self._peaks, peaks = _windows(self._peaks, ordered[:, -1] - middle)
        known = np.arange(self._groups + 1, self._groups + 1 + len(table))
        self._groups += len(table)
        recent, remembered = np.minimum(known, middles.shape[1]), np.minimum(known, peaks.shape[1])
        rows = np.arange(len(table))
        level = middles[rows, (recent - 1) // 2]
        sd = self._sd_per_spread * spreads[rows, (recent - 1) // 2]
        tail = peaks[rows, ((remembered - 1) * settings.burst_tail_share).astype(np.intp)]
        samples = remembered * size
        unsure = 1.0 + settings.burst_tail_unsure / remembered
        far = np.maximum(settings.burst_effect_rel * np.abs(level), settings.burst_z * sd)
        threshold = level + np.maximum(far, settings.burst_tail_factor * unsure * tail)
        early = known < settings.burst_first_groups
        level, threshold = np.where(early, np.nan, level), np.where(early, np.inf, threshold)
        self.level = UsualLevel(float(level[-1]), float(threshold[-1]), int(samples[-1]))
        return level, threshold, samples

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "open": list(self._open),
            "groups": self._groups,
            "middles": _kept(self._middles),
            "spreads": _kept(self._spreads),
            "peaks": _kept(self._peaks),
            "level": None if math.isnan(self.level.middle) else msgspec.to_builtins(self.level),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take over a :meth:`snapshot`."""
        self._open = [float(value) for value in snapshot["open"]]
        self._groups = snapshot["groups"]
        for window, name in ((self._middles, "middles"), (self._spreads, "spreads"), (self._peaks, "peaks")):
            kept = snapshot[name]
            window[:] = np.inf
            window[len(window) - len(kept) :] = kept
        self.level = UNKNOWN if snapshot["level"] is None else msgspec.convert(snapshot["level"], UsualLevel)


def _windows(window: FloatColumn, new: FloatColumn) -> tuple[FloatColumn, FloatColumn]:
    """The window after all of ``new``, and the sorted windows after each; infinity stands for what is not there yet."""
    joined = np.concatenate((window, new))
    return joined[len(new) :], np.sort(windows_of(joined, len(window))[1:], axis=1)


def _kept(window: FloatColumn) -> list[float]:
    known: list[float] = window[np.isfinite(window)].tolist()
    return known
