"""What a series looks like at one level: where it lies and how much its averages move by chance."""

import math

import msgspec
import numpy as np

from modekeeper.detect.robust import huber_location, interquartile_mean, robust_sd
from modekeeper.model.block import FloatColumn

__all__ = ["CELL", "Reference", "cell_mean", "learn_reference", "step_free_cell_sd"]

CELL = 5
"""Samples averaged into one cell, the unit of the sequential test."""
BLOCK = 25
"""Samples of the longer blocks that show how much slower noise there is than independent samples would have."""
MIN_NOISE_REL = 0.001
"""Smallest noise of a cell relative to the level: a constant series must not make rounding significant."""
CLIP_SD = 3.0
MIN_CLIP_REL = 0.03
"""A sample counts for at most this far from the level (the larger of the two), so one spike cannot be a change."""
FEWEST_BLOCKS = 6
DEFAULT_INFLATION = 2.0
GUARD = 0.5
"""Standard errors of its own by which the inflation is raised."""


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """A level with its noise, in the unit of the series."""

    level: float
    """Huber's location."""
    clip: float
    """Residuals are cut at ``±clip`` (Huber's influence function)."""
    cell_sd: float
    """Standard deviation of the mean of one cell of clipped residuals."""
    inflation: float
    """Variance of block means over what independent cells would give; at least 1."""
    samples: int

    @property
    def scale(self) -> float:
        """Magnitude that relative effects refer to."""
        return abs(self.level)

    def location(self, values: FloatColumn) -> float:
        """Level of other values of the series, cut the same way."""
        return huber_location(values, self.clip)

    def standard_error(self, samples: int) -> float:
        """Standard error of the difference between the mean of ``samples`` new values and this level."""
        cells = max(samples / CELL, 1.0)
        own = max(self.samples / CELL, 1.0)
        return self.cell_sd * math.sqrt(self.inflation * (1.0 / cells + 1.0 / own))


def cell_mean(values: FloatColumn, reference: Reference) -> float:
    """Mean of the clipped residuals of one cell."""
    clip = reference.clip
    return math.fsum(min(max(v - reference.level, -clip), clip) for v in values.tolist()) / len(values)


def learn_reference(values: FloatColumn) -> Reference:
    """The level and noise of ``values`` (``float64[n]``, finite, ``n ≥ 50``), oldest first."""
    middle = interquartile_mean(values)
    clip = max(CLIP_SD * robust_sd(values), MIN_CLIP_REL * abs(middle))
    level = huber_location(values, clip)
    residuals = np.clip(values - level, -clip, clip)
    cell_sd = _block_sd(residuals, CELL)
    cell_sd = max(cell_sd, MIN_NOISE_REL * abs(level))
    return Reference(
        level=level, clip=clip, cell_sd=cell_sd, inflation=_inflation(residuals, cell_sd), samples=len(values)
    )


def _inflation(residuals: FloatColumn, cell_sd: float) -> float:
    """How much more block means vary than cells foretell, by overlapping batch means, on the safe side.

    M. S. Meketon and B. Schmeiser, Overlapping batch means: something for nothing?, WSC 1984. The estimate is
    raised by a share of its own standard error, because a noise taken for too small is a false alarm.
    """
    if cell_sd == 0 or len(residuals) < FEWEST_BLOCKS * BLOCK:
        return DEFAULT_INFLATION
    sums = np.concatenate(((0.0,), np.cumsum(residuals)))
    means = (sums[BLOCK::CELL] - sums[:-BLOCK:CELL]) / BLOCK
    ratio = BLOCK / CELL * (float(means.std(ddof=1)) / cell_sd) ** 2
    blocks = len(residuals) / BLOCK
    return max(1.0, ratio * (1.0 + GUARD * math.sqrt(4.0 / 3.0 / blocks)))


def step_free_cell_sd(values: FloatColumn, reference: Reference) -> float:
    """Standard deviation of a cell by differences of neighbours: a change among ``values`` does not raise it."""
    cells = len(values) // CELL
    residuals = np.clip(values[: cells * CELL] - reference.level, -reference.clip, reference.clip)
    steps = np.abs(np.diff(residuals.reshape(cells, CELL).mean(axis=1)))
    return float(np.median(steps)) / 0.9539


def _block_sd(residuals: FloatColumn, size: int) -> float:
    blocks = len(residuals) // size
    means = residuals[len(residuals) - blocks * size :].reshape(blocks, size).mean(axis=1)
    return float(means.std(ddof=1))
