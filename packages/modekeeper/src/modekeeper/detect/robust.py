"""Robust statistics on small arrays: location, spread, change position."""

import math

import numpy as np

from modekeeper.model.block import FloatColumn

__all__ = ["LARGEST", "clamp", "interquartile_mean", "normal_confidence", "relative", "robust_sd", "split_position"]

LARGEST = 1e120
"""Magnitude above which values are cut, so that sums of squares stay finite."""


def clamp(value: float) -> float:
    """``value`` within ``±LARGEST``."""
    return min(max(value, -LARGEST), LARGEST)


def interquartile_mean(values: FloatColumn) -> float:
    """Mean of the middle half (the 25 % trimmed mean): steadier than the median on quantised timers."""
    ordered = np.sort(values)
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def robust_sd(values: FloatColumn) -> float:
    """Standard deviation by the interquartile range (0.7413 times it, exact for a normal distribution)."""
    low, high = np.percentile(values, (25, 75))
    return float(0.7413 * (high - low))


def relative(value: float, base: float) -> float | None:
    """``value / base - 1`` with the sign of the change kept for negative bases; ``None`` for a base of zero."""
    if base == 0:
        return None
    ratio = (value - base) / abs(base)
    return ratio if math.isfinite(ratio) else None


def normal_confidence(z: float, looks: int) -> float:
    """Probability that a deviation of ``z`` standard errors is not chance, having looked ``looks`` times.

    Two-sided normal tail times the number of looks (Bonferroni).
    """
    return max(0.0, 1.0 - looks * math.erfc(abs(z) / math.sqrt(2.0)))


def split_position(values: FloatColumn, earliest: int, latest: int) -> int:
    """Position where a least-squares step divides ``values`` best, among ``earliest … latest`` (``0 < p < n``)."""
    n = len(values)
    centred = values - values.mean()
    sums = np.cumsum(centred)[:-1]
    left = np.arange(1, n, dtype=np.float64)
    gain = sums * sums / (left * (n - left))
    low, high = max(earliest, 1), min(latest, n - 1)
    return low + int(np.argmax(gain[low - 1 : high]))
