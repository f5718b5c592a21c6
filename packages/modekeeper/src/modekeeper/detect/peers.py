"""Workers beside their peers: how much slower each is than the tight majority of its group.

Location and scale are those of the shortest half (P. J. Rousseeuw and A. M. Leroy, A robust scale estimator based on
the shortest half, Statistica Neerlandica 42, 1988), which up to half of the workers being slow does not move; a median
absolute deviation already grows with four slow of ten.
"""

from collections.abc import Sequence

import numpy as np

from modekeeper.detect.robust import LARGEST
from modekeeper.model.block import FloatColumn

__all__ = ["FEWEST_PEERS", "is_stage_like", "row_latencies", "shortest_half", "slowdowns"]

FEWEST_PEERS = 3
"""With two workers nobody can say which of them is the odd one."""
HALF_SPREAD = 0.6745
"""Half length of the shortest half of a normal distribution, in standard deviations."""


def row_latencies(row: FloatColumn) -> FloatColumn:
    """One row of a block without its padding (which depends on the block), cut to sane magnitudes."""
    present = np.flatnonzero(~np.isnan(row))
    width = int(present[-1]) + 1 if len(present) else 0
    return np.clip(row[:width], -LARGEST, LARGEST)


def shortest_half(values: FloatColumn) -> tuple[float, float]:
    """Mean and scaled length of the shortest half of ``values`` (finite, at least 3)."""
    ordered = np.sort(values)
    half = len(ordered) // 2 + 1
    lengths = ordered[half - 1 :] - ordered[: len(ordered) - half + 1]
    start = int(np.argmin(lengths))
    return float(ordered[start : start + half].mean()), float(lengths[start]) / 2.0 / HALF_SPREAD


def slowdowns(latencies: FloatColumn, groups: Sequence[str] | None) -> tuple[FloatColumn, FloatColumn, FloatColumn]:
    """Each worker against its own group.

    Returns:
        Three ``float64[w]``: latency over the group's location minus 1, the group's relative scale, and the
        group's location; ``NaN`` for workers without a latency or with fewer than two peers.
    """
    excess, scale, location = (np.full(len(latencies), np.nan) for _ in range(3))
    for members in _members(len(latencies), groups):
        present = members[np.isfinite(latencies[members])]
        if len(present) < FEWEST_PEERS:
            continue
        middle, spread = shortest_half(latencies[present])
        if middle <= 0:
            continue
        with np.errstate(over="ignore"):
            excess[present] = np.minimum(latencies[present] / middle, LARGEST) - 1.0
            scale[present] = min(spread / middle, LARGEST)
        location[present] = middle
    return excess, scale, location


def _members(workers: int, groups: Sequence[str] | None) -> list[np.ndarray[tuple[int], np.dtype[np.int64]]]:
    if groups is None:
        return [np.arange(workers, dtype=np.int64)]
    by_group: dict[str, list[int]] = {}
    for worker, group in enumerate(groups):
        by_group.setdefault(group, []).append(worker)
    return [np.array(by_group[group], dtype=np.int64) for group in sorted(by_group)]


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
