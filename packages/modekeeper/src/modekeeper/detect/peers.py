"""Workers beside their peers: how much slower each is than the tight majority of its group.

Location and scale are those of the shortest half (P. J. Rousseeuw and A. M. Leroy, A robust scale estimator based on
the shortest half, Statistica Neerlandica 42, 1988), which up to half of the workers being slow does not move; a median
absolute deviation already grows with four slow of ten. Only order statistics and single operations are used, so one
row alone and many rows at once give the same to the bit.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from modekeeper.detect.robust import LARGEST
from modekeeper.model.block import FloatColumn

__all__ = ["FEWEST_PEERS", "PeerGroups", "is_stage_like", "medians", "shortest_half", "shortest_halves"]

FEWEST_PEERS = 3
"""With two workers nobody can say which of them is the odd one."""
HALF_SPREAD = 0.6745
"""Half length of the shortest half of a normal distribution, in standard deviations."""


def shortest_half(values: Sequence[float]) -> tuple[float, float]:
    """Median and scaled length of the shortest half of ``values`` (finite, at least 3)."""
    ordered = sorted(values)
    half = len(ordered) // 2 + 1
    lengths = [high - low for high, low in zip(ordered[half - 1 :], ordered, strict=False)]
    length = min(lengths)
    start = lengths.index(length)
    return 0.5 * (ordered[start + (half - 1) // 2] + ordered[start + half // 2]), length / 2.0 / HALF_SPREAD


def shortest_halves(rows: FloatColumn) -> tuple[FloatColumn, FloatColumn]:
    """:func:`shortest_half` of each row of ``float64[n, w]``; ``NaN`` where fewer than 3 values are there."""
    ordered = np.sort(rows, axis=1)
    present = np.count_nonzero(~np.isnan(ordered), axis=1)
    middle, scale = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    fewest, most = (int(present.min()), int(present.max())) if len(rows) else (0, 0)
    for count in range(max(fewest, FEWEST_PEERS), most + 1):
        chosen = slice(None) if fewest == most else np.flatnonzero(present == count)
        there = ordered[chosen]
        if len(there) == 0:
            continue
        half = count // 2 + 1
        lengths = there[:, half - 1 : count] - there[:, : count - half + 1]
        start = np.argmin(lengths, axis=1)
        place = np.arange(len(there))
        middle[chosen] = 0.5 * (there[place, start + (half - 1) // 2] + there[place, start + half // 2])
        scale[chosen] = lengths[place, start] / 2.0 / HALF_SPREAD
    return middle, scale


def medians(values: FloatColumn) -> FloatColumn:
    """Medians along the last axis over what is no ``NaN``; ``NaN`` where nothing is."""
    ordered = np.sort(values, axis=-1)
    if not np.isnan(ordered[..., -1]).any():
        last = ordered.shape[-1] - 1
        middle: FloatColumn = 0.5 * (ordered[..., last // 2] + ordered[..., (last + 1) // 2])
        return middle
    count = np.count_nonzero(~np.isnan(ordered), axis=-1)[..., np.newaxis]
    low = np.take_along_axis(ordered, np.maximum(count - 1, 0) // 2, axis=-1)[..., 0]
    high = np.take_along_axis(ordered, np.minimum(count // 2, ordered.shape[-1] - 1), axis=-1)[..., 0]
    return 0.5 * (low + high)


class PeerGroups:
    """Which workers are compared with each other.

    Args:
        workers: how many there are.
        groups: the group of each of them, in rank order; ``None``: all are peers.
    """

    def __init__(self, workers: int, groups: Sequence[str] | None) -> None:
        names = [""] * workers if groups is None else list(groups)
        order = {name: place for place, name in enumerate(sorted(set(names)))}
        self.workers = workers
        self.index: NDArray[np.intp] = np.array([order[name] for name in names], dtype=np.intp)
        """The group of each worker."""
        self._groups = self.index.tolist()
        self._members = [np.flatnonzero(self.index == place) for place in range(len(order))]
        self._ranks = [members.tolist() for members in self._members]

    def __len__(self) -> int:
        return len(self._members)

    def compare(self, latencies: Sequence[float]) -> tuple[list[float], float]:
        """One row against its groups.

        Returns:
            Location of each group (``NaN`` where nobody can be compared), and the largest slow-down of any worker
            (``-inf`` if there is none).
        """
        location, largest = [], -math.inf
        for ranks in self._ranks:
            values = [value for rank in ranks if not math.isnan(value := latencies[rank])]
            middle = shortest_half(values)[0] if len(values) >= FEWEST_PEERS else math.nan
            location.append(middle if middle > 0 else math.nan)
            largest = max(largest, min(max(values) / middle, LARGEST) - 1.0) if middle > 0 else largest
        return location, largest

    def slower(self, latencies: Sequence[float], location: Sequence[float], effect: float) -> list[int]:
        """Workers of one row that are slower than their group by more than ``effect``."""
        groups = self._groups
        return [
            worker
            for worker, latency in enumerate(latencies)
            if min(latency / location[groups[worker]], LARGEST) - 1.0 > effect
        ]

    def compare_rows(self, rows: FloatColumn) -> FloatColumn:
        """Location of each group in each row of ``float64[n, w]``: ``float64[n, groups]``."""
        location = np.full((len(rows), len(self)), np.nan)
        for place, members in enumerate(self._members):
            middle, _ = shortest_halves(rows if len(self) == 1 else rows[:, members])
            location[:, place] = np.where(middle > 0, middle, np.nan)
        return location

    def noise(self, windows: FloatColumn) -> tuple[FloatColumn, FloatColumn]:
        """How far chance carries workers, from their slow-downs in windows of steps, ``float64[n, w, steps]``.

        Returns:
            Two ``float64[n, groups]``: how much a worker varies from step to step, and how much workers differ from
            each other for good. Half of the workers being slow moves neither.
        """
        count, workers, steps = windows.shape
        middle, scale = shortest_halves(windows.reshape(count * workers, steps))
        middle, scale = middle.reshape(count, workers), scale.reshape(count, workers)
        within, between = np.empty((count, len(self))), np.empty((count, len(self)))
        for place, members in enumerate(self._members):
            within[:, place] = medians(scale[:, members])
            between[:, place] = shortest_halves(middle[:, members])[1]
        return within, between

    def slowdowns(self, rows: FloatColumn, location: FloatColumn) -> FloatColumn:
        """Latency over the location of the worker's group minus 1, ``float64[n, w]``."""
        with np.errstate(over="ignore"):
            return np.minimum(rows / location[:, self.index], LARGEST) - 1.0


def is_stage_like(workers: Sequence[int], total: int) -> bool:
    """Whether ``workers`` (at least two of ``total``) lie in ranks as pipeline stages do.

    Stages repeat with a period (rank modulo the pipeline's length) or are one block of neighbouring ranks.
    """
    chosen, size = frozenset(workers), len(workers)
    if size < 2 or total % size:  # noqa: PLR2004 - one slow worker is no stage
        return _is_periodic(chosen, total) and size > 1
    first = min(chosen)
    block = first % size == 0 and chosen == frozenset(range(first, first + size))
    return block or _is_periodic(chosen, total)


def _is_periodic(chosen: frozenset[int], total: int) -> bool:
    return any(
        total % period == 0 and all((rank in chosen) == ((rank + period) % total in chosen) for rank in range(total))
        for period in range(2, total // 2 + 1)
    )
