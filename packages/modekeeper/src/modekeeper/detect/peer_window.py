"""The newest steps of all workers, each beside its peers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from modekeeper.detect.base import position_at
from modekeeper.detect.history import Position, floats_from_json, floats_to_json
from modekeeper.detect.peers import PeerGroups, medians
from modekeeper.detect.robust import LARGEST
from modekeeper.detect.settings import DetectorSettings
from modekeeper.model.block import FloatColumn, SampleBlock

__all__ = ["PeerSteps", "PeerWindow", "Place", "WorkerRow"]

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
    """One step: latencies in rank order (``NaN`` where missing), and each group's location."""

    place: Place
    latencies: list[float]
    location: list[float]
    over: list[int]
    """Workers slow enough to count, should the noise be small."""


@dataclass(frozen=True)
class PeerSteps:
    """Steps in a row, ``n`` of them, every window of which can be judged.

    Attributes:
        excess: how much slower each worker is than its peers, relative to them, ``float64[n, w]``; ``NaN`` where that
            cannot be told.
        location: of each group, milliseconds, ``float64[n, groups]``.
        limits: what chance makes of a slow-down in each window, ``float64[windows, groups]``.
        index: the group of each worker, ``int[w]``.
    """

    settings: DetectorSettings
    excess: FloatColumn
    location: FloatColumn
    limits: FloatColumn
    index: NDArray[np.intp]

    def over(self) -> NDArray[np.bool_]:
        """Workers slow enough to count in each step, should the noise be small, ``bool[n, w]``."""
        over: NDArray[np.bool_] = self.excess > self.settings.straggler_effect_rel
        return over

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

    def ready(self, slow: Counts) -> NDArray[np.bool_]:
        """Workers slow in enough steps of each window to be named, ``bool[windows, w]``.

        A step in which a worker was silent says nothing of it: then the share of the others counts.
        """
        size, wanted = self.settings.straggler_window_samples, self.settings.straggler_hits
        enough: NDArray[np.bool_] = slow >= wanted
        silent = np.isnan(self.excess)
        if silent.any():
            heard = size - sliding_window_view(silent, size, axis=0).sum(axis=-1)
            enough |= (heard >= self.settings.straggler_heard) & (slow.astype(np.int64) * size >= wanted * heard)
        return enough

    def window(self, number: int) -> "PeerSteps":
        """One window by itself."""
        part = slice(number, number + self.settings.straggler_window_samples)
        limits = self.limits[number : number + 1]
        return PeerSteps(self.settings, self.excess[part], self.location[part], limits, self.index)

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
        self._size = settings.straggler_window_samples
        self.peers = PeerGroups(0, None)
        self.rows: list[WorkerRow] = []
        """The newest rows, at most as many as a window has."""
        self._taken = 0
        """Rows since workers are in these groups."""
        self._limits = np.zeros((1, 0))
        self._unlearned: list[WorkerRow] = []
        """The window that the limits are to be learned from, once somebody asks for them."""

    def begin(self, peers: PeerGroups) -> None:
        """Forget all rows: workers are in other groups from here on."""
        self.peers = peers
        self.rows = []
        self._taken = 0
        self._limits = np.full((1, len(peers)), np.inf)
        self._unlearned = []

    @property
    def is_full(self) -> bool:
        """Whether there are enough rows to judge."""
        return len(self.rows) == self._size

    def compare(self, place: Place, latencies: list[float]) -> WorkerRow | None:
        """A new row beside its peers; ``None`` when no worker in it has enough of them."""
        location, largest = self.peers.compare(latencies)
        if largest == -math.inf:
            return None
        effect = self._settings.straggler_effect_rel
        over = self.peers.slower(latencies, location, effect) if largest > effect else []
        return WorkerRow(place, latencies, location, over)

    def append(self, row: WorkerRow) -> None:
        """Take the newest row."""
        self.rows.append(row)
        if len(self.rows) > self._size:
            del self.rows[0]
        self._taken += 1
        if self._taken % self._size == 0:
            self._unlearned = list(self.rows)

    def limits(self) -> FloatColumn:
        """What chance makes of slow-downs now, ``float64[1, groups]``."""
        if self._unlearned:
            excess = self.peers.slowdowns(*self._columns(self._unlearned))
            self._limits = self._learn(excess.T[np.newaxis])
            self._unlearned = []
        return self._limits

    def still(self, worker: int) -> int:
        """In how many of the rows one worker was slow by the lower threshold (see :meth:`PeerSteps.hits`)."""
        group = int(self.peers.index[worker])
        limit = max(0.5 * float(self.limits()[0, group]), self._settings.straggler_clear_effect_rel)
        slowdowns = [min(row.latencies[worker] / row.location[group], LARGEST) - 1.0 for row in self.rows]
        return sum(slowdown > limit for slowdown in slowdowns)

    def extend(self, new: list[WorkerRow], steps: PeerSteps, taken: int) -> None:
        """Take ``taken`` rows, of which ``new`` are the newest and ``steps`` the columns."""
        self.rows = [*self.rows, *new][-self._size :]
        self._taken += taken
        if len(steps.limits):
            self._limits = steps.limits[-1:]
            self._unlearned = []

    def columns(self) -> tuple[FloatColumn, FloatColumn]:
        """Latencies (``float64[n, w]``) and locations (``float64[n, groups]``) of the rows."""
        return self._columns(self.rows)

    def _columns(self, rows: list[WorkerRow]) -> tuple[FloatColumn, FloatColumn]:
        count, workers, groups = len(rows), self.peers.workers, len(self.peers)
        return (
            np.array([row.latencies for row in rows], dtype=np.float64).reshape(count, workers),
            np.array([row.location for row in rows], dtype=np.float64).reshape(count, groups),
        )

    def newest(self) -> PeerSteps:
        """The rows as columns."""
        latencies, location = self.columns()
        excess = self.peers.slowdowns(latencies, location)
        return PeerSteps(self._settings, excess, location, self.limits(), self.peers.index)

    def steps(self, latencies: FloatColumn, location: FloatColumn, new: int) -> PeerSteps:
        """Rows as columns, beside their peers; the last ``new`` of them have not been taken yet."""
        excess = self.peers.slowdowns(latencies, location)
        windows = max(len(excess) - self._size + 1, 0)
        limits = np.repeat(self.limits(), windows, axis=0)
        first = -(self._taken + new - windows + 1) % self._size
        if first < windows:
            learned = self._learn(sliding_window_view(excess, self._size, axis=0)[first :: self._size])
            limits[first:] = np.repeat(learned, self._size, axis=0)[: windows - first]
        return PeerSteps(self._settings, excess, location, limits, self.peers.index)

    def _learn(self, windows: FloatColumn) -> FloatColumn:
        """What chance makes of slow-downs, learned from whole windows, ``float64[n, w, steps]``."""
        within, between = self.peers.noise(windows)
        settings = self._settings
        chance = np.fmax(settings.straggler_step_z * within, settings.straggler_z * between)
        return np.fmax(chance, settings.straggler_z * MIN_SCALE_REL)

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON values."""
        rows = [[msgspec.to_builtins(row.place), floats_to_json(row.latencies)] for row in self.rows]
        return {"rows": rows, "taken": self._taken, "limits": floats_to_json(self.limits()[0].tolist())}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take over a :meth:`snapshot` of rows that were compared among the same peers."""
        rows = (
            self.compare(msgspec.convert(place, Place), floats_from_json(values)) for place, values in snapshot["rows"]
        )
        self.rows = [row for row in rows if row is not None]
        self._taken = snapshot["taken"]
        limits = np.array([floats_from_json(snapshot["limits"])])
        self._limits = np.where(np.isnan(limits), np.inf, limits)
