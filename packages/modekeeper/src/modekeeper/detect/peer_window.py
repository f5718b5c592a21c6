"""The newest steps of all workers, each beside its peers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from modekeeper.detect.base import position_at
from modekeeper.detect.history import Position, floats_from_json, floats_to_json
from modekeeper.detect.peers import PeerGroups
from modekeeper.detect.settings import DetectorSettings
from modekeeper.model.block import FloatColumn, SampleBlock

__all__ = ["PeerSteps", "PeerWindow", "Place", "WorkerRow", "medians"]

MIN_SCALE_REL = 0.01
"""Smallest relative scale of a group: identical peers must not make rounding significant."""

Counts = NDArray[np.int8]


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a row was measured."""

    position: Position
    node: str | None
    gpu_model: str | None

    @classmethod
    def of(cls, block: SampleBlock, row: int) -> "Place":
        """The place of one row of a block."""
        return cls(position_at(block, row), block.node[row], block.gpu_model[row])


class WorkerRow(NamedTuple):
    """One step: latencies in rank order (``NaN`` where missing), and each group's location and relative scale."""

    place: Place
    latencies: list[float]
    location: list[float]
    scale: list[float]
    over: bool
    """Whether any worker is slow enough to count, should the noise be small."""


@dataclass(frozen=True)
class PeerSteps:
    """Steps in a row, ``n`` of them, every window of which can be judged.

    Attributes:
        excess: how much slower each worker is than its peers, relative to them, ``float64[n, w]``; ``NaN`` where that
            cannot be told.
        location: of each group, milliseconds, ``float64[n, groups]``.
        scale: of each group, relative to its location.
        index: the group of each worker, ``int[w]``.
    """

    settings: DetectorSettings
    excess: FloatColumn
    location: FloatColumn
    scale: FloatColumn
    index: NDArray[np.intp]

    @property
    def over(self) -> NDArray[np.bool_]:
        """Steps in which any worker is slow enough to count, should the noise be small."""
        over: NDArray[np.bool_] = np.any(self.excess > self.settings.straggler_clear_effect_rel, axis=1)
        return over

    @cached_property
    def limits(self) -> FloatColumn:
        """What the peers' noise over each window makes of chance, ``float64[windows, groups]``."""
        windows = sliding_window_view(self.scale, self.settings.straggler_window_samples, axis=0)
        return self.settings.straggler_z * np.maximum(medians(windows), MIN_SCALE_REL)

    def hits(self) -> tuple[Counts, Counts]:
        """How often each worker was slow in each window, and how often by the lower threshold, ``int8[windows, w]``.

        A straggler must fall below the lower one to be cleared.
        """
        settings = self.settings
        slow_from = np.maximum(self.limits, settings.straggler_effect_rel)[:, self.index]
        still_from = np.maximum(0.5 * self.limits, settings.straggler_clear_effect_rel)[:, self.index]
        slow, still = np.zeros(slow_from.shape, np.int8), np.zeros(slow_from.shape, np.int8)
        for row in range(settings.straggler_window_samples):
            excess = self.excess[row : row + len(slow)]
            slow += excess > slow_from
            still += excess > still_from
        return slow, still

    def window(self, number: int) -> "PeerSteps":
        """One window by itself."""
        part = slice(number, number + self.settings.straggler_window_samples)
        return PeerSteps(self.settings, self.excess[part], self.location[part], self.scale[part], self.index)

    def slow_rows(self, workers: Sequence[int]) -> NDArray[np.bool_]:
        """In a single window: the steps in which any of ``workers`` was slow."""
        limits = np.maximum(self.limits[0], self.settings.straggler_effect_rel)[self.index[workers]]
        slow: NDArray[np.bool_] = np.any(self.excess[:, workers] > limits, axis=1)
        return slow

    def effects(self, workers: Sequence[int]) -> FloatColumn:
        """Median relative slow-down of each of ``workers``."""
        return medians(self.excess[:, workers].T)

    def baseline(self, workers: Sequence[int]) -> float:
        """Median latency of the peers of ``workers``."""
        return float(np.median(medians(self.location[:, self.index[workers]].T)))

    def spread(self, workers: Sequence[int]) -> float:
        """Standard deviation of the slow-downs of ``workers``."""
        excess = self.excess[:, workers]
        return float(excess[np.isfinite(excess)].std())


class PeerWindow:
    """The newest rows, at most ``straggler_window_samples``, of workers in the same groups."""

    def __init__(self, settings: DetectorSettings) -> None:
        self._settings = settings
        self.peers = PeerGroups(0, None)
        self.rows: list[WorkerRow] = []

    def begin(self, peers: PeerGroups) -> None:
        """Forget all rows: workers are in other groups from here on."""
        self.peers = peers
        self.rows = []

    def compare(self, place: Place, latencies: list[float]) -> WorkerRow | None:
        """A new row beside its peers; ``None`` when no worker in it has enough of them."""
        location, scale, largest = self.peers.compare(latencies)
        over = largest > self._settings.straggler_clear_effect_rel
        return WorkerRow(place, latencies, location, scale, over) if largest > -math.inf else None

    @property
    def is_full(self) -> bool:
        """Whether there are enough rows to judge."""
        return len(self.rows) == self._settings.straggler_window_samples

    def append(self, row: WorkerRow) -> None:
        """Take the newest row."""
        self.rows.append(row)
        if len(self.rows) > self._settings.straggler_window_samples:
            del self.rows[0]

    def columns(self) -> tuple[FloatColumn, FloatColumn, FloatColumn]:
        """Latencies (``float64[n, w]``), locations and scales (``float64[n, groups]``) of the rows."""
        rows, workers, groups = len(self.rows), self.peers.workers, len(self.peers)
        return (
            np.array([row.latencies for row in self.rows], dtype=np.float64).reshape(rows, workers),
            np.array([row.location for row in self.rows], dtype=np.float64).reshape(rows, groups),
            np.array([row.scale for row in self.rows], dtype=np.float64).reshape(rows, groups),
        )

    def steps(self, latencies: FloatColumn, location: FloatColumn, scale: FloatColumn) -> PeerSteps:
        """Rows as columns, beside their peers."""
        excess = self.peers.slowdowns(latencies, location)
        return PeerSteps(self._settings, excess, location, scale, self.peers.index)

    def snapshot(self) -> list[Any]:
        """Plain JSON values."""
        return [[msgspec.to_builtins(row.place), floats_to_json(row.latencies)] for row in self.rows]

    def restore(self, snapshot: list[Any]) -> None:
        """Take over a :meth:`snapshot` of rows that were compared among the same peers."""
        for place, latencies in snapshot:
            row = self.compare(msgspec.convert(place, Place), floats_from_json(latencies))
            if row is not None:
                self.append(row)


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
