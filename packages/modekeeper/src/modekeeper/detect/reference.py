"""What a series looks like at one level: where it lies and how much its averages move by chance."""

import math

import msgspec
import numpy as np

from modekeeper.model.block import FloatColumn

__all__ = ["CELL", "Reference", "learn_reference", "level_columns", "locations", "noise_columns", "step_free_sd"]

CELL = 5
"""Samples averaged into one cell: the shortest run whose noise is measured."""
BLOCK = 25
"""Samples of the longer blocks that show how much slower noise there is than independent samples would have."""
MIN_NOISE_REL = 0.001
"""Smallest noise of a cell relative to the level: a constant series must not make rounding significant."""
LEAST_NOISE = 1e-150
"""… not even one that is zero."""
CLIP_SD = 2.0
MIN_CLIP_REL = 0.03
"""A sample counts for at most this far from the level (the larger of the two), so one spike cannot be a change."""
FEWEST_INDEPENDENT = 2.0
"""However much they lean on each other, the samples of a window are worth so many."""
LEAST_INSIDE = 0.5
"""At least this share of the samples lies within the cut, or is taken to."""
NOTABLE_SE = 2.0
"""Dependence between samples counts from so many of its standard errors on: less is what independent samples show."""
GUARD_SE = 1.5
"""Standard errors by which a dependence that counts is raised: noise taken for too small is a false alarm."""
NEIGHBOURS = 0.9539
"""Median distance of two independent normal values, in standard deviations."""
FEWEST_BLOCKS = 6
EPISODE = 1.5
"""The variance of block means counts for at most so many times what most of them show."""
MOST_CORRELATED = 0.98
YOUNG = 10.0
"""Noise learned from the worth of ``n`` independent samples is raised by the share ``YOUNG / n``: so much farther out
than the normal distribution lies Student's, at the odds of 4.5 standard deviations (twice as far for 10, a quarter
for 40)."""


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """A level with its noise, in the unit of the series."""

    level: float
    """Huber's location."""
    clip: float
    """Residuals are cut at ``±clip`` (Huber's influence function)."""
    fast_sd: float
    """Noise of single samples; where neighbours move together, that of runs of them, as if of one sample."""
    slow_sd: float
    """The mean of a long run of ``n`` samples has the standard deviation ``slow_sd / sqrt(n)``."""
    samples: int

    @property
    def scale(self) -> float:
        """Magnitude that relative effects refer to."""
        return abs(self.level)

    @property
    def cell_sd(self) -> float:
        """Standard deviation of the mean of one cell."""
        return self.slow_sd / math.sqrt(CELL)

    def location(self, values: FloatColumn) -> float:
        """Level of other values of the series, cut the same way."""
        return float(locations(values[np.newaxis], self.clip)[0])

    def standard_error(self, samples: int) -> float:
        """Standard error of the difference between the mean of ``samples`` new values and this level."""
        return self.slow_sd * math.sqrt(1.0 / max(samples, CELL) + 1.0 / self.samples)


def locations(rows: FloatColumn, clip: float | FloatColumn) -> FloatColumn:
    """One step of Huber's location estimate for each row of ``float64[r, n]``; residuals are cut at ``±clip``.

    The step starts at the interquartile mean. Unlike a trimmed mean the result has no bias on timers that know only
    two or three values.
    """
    ordered = np.sort(rows, axis=1)
    return _one_step(rows, _middle(ordered), clip)


def level_columns(rows: FloatColumn) -> FloatColumn:
    """Level and clip of each row of ``float64[r, n]`` (finite, ``n ≥ 50``): ``float64[2, r]``."""
    samples = rows.shape[1]
    ordered = np.sort(rows, axis=1)
    middle = _middle(ordered)
    quarter = samples // 4
    spread = 0.7413 * (ordered[:, samples - 1 - quarter] - ordered[:, quarter])
    clip = np.maximum(CLIP_SD * spread, MIN_CLIP_REL * np.abs(middle))
    return np.array((_one_step(rows, middle, clip), clip))


def noise_columns(rows: FloatColumn, levels: FloatColumn) -> FloatColumn:
    """Fast and slow noise of each row of ``float64[r, n]``, oldest first, by its ``levels``: ``float64[2, r]``."""
    level, clip = levels
    least = np.maximum(MIN_NOISE_REL * np.abs(level) * math.sqrt(CELL), LEAST_NOISE)
    noise: FloatColumn = np.maximum(np.array(_noise(rows, level, clip)), least)
    return noise


def learn_reference(values: FloatColumn) -> Reference:
    """The level and noise of ``values`` (``float64[n]``, finite, ``n ≥ 50``), oldest first."""
    row = values[np.newaxis]
    levels = level_columns(row)
    level, clip, fast, slow = np.concatenate((levels, noise_columns(row, levels)))[:, 0].tolist()
    return Reference(level=level, clip=clip, fast_sd=fast, slow_sd=slow, samples=len(values))


def step_free_sd(values: FloatColumn, reference: Reference) -> float:
    """Noise of single values by differences of means of neighbours: a change among ``values`` does not raise it."""
    cells = len(values) // CELL
    residuals = np.clip(values[: cells * CELL] - reference.level, -reference.clip, reference.clip)
    steps = np.abs(np.diff(residuals.reshape(cells, CELL).mean(axis=1)))
    return float(np.median(steps)) / NEIGHBOURS * math.sqrt(CELL)


def _middle(ordered: FloatColumn) -> FloatColumn:
    """Interquartile mean of sorted rows: steadier than the median on quantised timers."""
    samples = ordered.shape[1]
    cut = samples // 4
    middle: FloatColumn = np.add.reduce(ordered[:, cut : samples - cut], axis=1) / (samples - 2 * cut)
    return middle


def _one_step(rows: FloatColumn, middle: FloatColumn, clip: float | FloatColumn) -> FloatColumn:
    bound = clip[:, np.newaxis] if isinstance(clip, np.ndarray) else clip
    residuals = rows - middle[:, np.newaxis]
    np.minimum(residuals, bound, out=residuals)
    np.maximum(residuals, -bound, out=residuals)
    step: FloatColumn = np.add.reduce(residuals, axis=1) / rows.shape[1]
    return middle + step


def _noise(rows: FloatColumn, level: FloatColumn, clip: FloatColumn) -> tuple[FloatColumn, FloatColumn]:
    """``fast_sd`` and ``slow_sd`` of each row.

    Cut residuals have less noise, and answer to a change by less: by the share of them within the cut (P. J. Huber,
    Robust Statistics, 1981, section 3.2, the variance of a location estimate). The long-run variance is that of single
    samples, unless they depend on each other by more than chance shows: then that of means of ``CELL``, or what an
    autoregression of order one foretells (G. U. Yule, Phil. Trans. A 226, 1927), or that of overlapping means of
    ``BLOCK`` samples (M. S. Meketon and B. Schmeiser, Overlapping batch means: something for nothing?, WSC 1984),
    whichever is largest.
    """
    count, samples = rows.shape
    residuals = rows - level[:, np.newaxis]
    bound = clip[:, np.newaxis]
    inside = np.count_nonzero(np.abs(residuals) <= bound, axis=1) / samples
    np.minimum(residuals, bound, out=residuals)
    np.maximum(residuals, -bound, out=residuals)
    squares = _products(residuals, residuals)
    single = squares / samples
    sums = np.add.reduce(residuals[:, samples % CELL :].reshape(count, -1, CELL), axis=2)
    cell = _products(sums, sums) / (sums.shape[1] * CELL)
    alike = np.abs(cell - single) <= NOTABLE_SE * math.sqrt(2.0 / sums.shape[1]) * single
    slow = np.where(alike, single, cell)
    slow = np.maximum(
        slow, single * _correlation_ratio(_products(residuals[:, 1:], residuals[:, :-1]), squares, samples)
    )
    if samples >= FEWEST_BLOCKS * BLOCK:
        slow = np.maximum(slow, _block_variance(sums, slow, samples))
    independent = samples * np.where(slow > single, single / np.where(slow > 0, slow, 1.0), 1.0)
    raised = (1.0 + YOUNG / np.maximum(independent, FEWEST_INDEPENDENT)) / np.maximum(inside, LEAST_INSIDE)
    return np.sqrt(np.maximum(single, slow)) * raised, np.sqrt(slow) * raised


def _products(left: FloatColumn, right: FloatColumn) -> FloatColumn:
    """Sum of products along each row."""
    total: FloatColumn = np.add.reduce(left * right, axis=1)
    return total


def _correlation_ratio(lagged: FloatColumn, squares: FloatColumn, samples: int) -> FloatColumn:
    """Long-run variance over the variance of single samples, by the correlation of neighbours; 0 where none counts."""
    phi = lagged / np.where(squares > 0, squares, 1.0)
    error = 1.0 / math.sqrt(samples)
    # The estimate is too small by about (1 + 4 phi) / n (M. G. Kendall, Biometrika 41, 1954).
    bias = (1.0 + 4.0 * phi) / samples
    raised = np.minimum(phi + bias + GUARD_SE * error * np.sqrt(1.0 - phi * phi), MOST_CORRELATED)
    return np.where(phi > NOTABLE_SE * error, (1.0 + raised) / (1.0 - raised), 0.0)


def _robust_variance(rows: FloatColumn) -> FloatColumn:
    """By the interquartile range: one episode among the blocks of a row does not count."""
    ordered = np.sort(rows, axis=1)
    quarter = rows.shape[1] // 4
    spread: FloatColumn = 0.7413 * (ordered[:, rows.shape[1] - 1 - quarter] - ordered[:, quarter])
    return spread * spread


def _block_variance(cell_sums: FloatColumn, usual: FloatColumn, samples: int) -> FloatColumn:
    """Long-run variance by overlapping blocks; 0 where it is no larger than chance makes it."""
    per_block = BLOCK // CELL
    totals = np.cumsum(cell_sums, axis=1)
    blocks = totals[:, per_block:] - totals[:, :-per_block]
    variance = np.minimum(_products(blocks, blocks) / blocks.shape[1], EPISODE * _robust_variance(blocks)) / BLOCK
    error = math.sqrt(4.0 / 3.0 * BLOCK / samples)
    return np.where(variance > (1.0 + NOTABLE_SE * error) * usual, variance * (1.0 + GUARD_SE * error), 0.0)
