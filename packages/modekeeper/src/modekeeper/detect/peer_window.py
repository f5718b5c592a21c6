"""The newest steps of all workers, each beside its peers."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from modekeeper.detect.history import Position, floats_from_json, floats_to_json
from modekeeper.detect.peers import slowdowns
from modekeeper.detect.settings import DetectorSettings
from modekeeper.model.block import FloatColumn

__all__ = ["PeerWindow", "SlowSteps", "WorkerRow", "column_medians", "worker_row"]

MIN_SCALE_REL = 0.01
"""Smallest relative scale of a group: identical peers must not make rounding significant."""


class WorkerRow(msgspec.Struct, frozen=True):
    """One sample: latencies in milliseconds (``None`` where missing) and where it was measured."""

    position: Position
    latencies: list[float | None]
    node: str | None
    gpu_model: str | None


class SlowSteps(msgspec.Struct, frozen=True):
    """Which steps were slow: ``bool[rows, workers]``, and per worker how many by each threshold."""

    rows: NDArray[np.bool_]
    slow: NDArray[np.int64]
    still: NDArray[np.int64]
    """By the lower threshold that a straggler must fall below to be cleared."""


class PeerWindow:
    """At most ``straggler_window_samples`` rows of workers in the same groups."""

    def __init__(self, settings: DetectorSettings) -> None:
        self._settings = settings
        self._excess: list[FloatColumn] = []
        self._scale: list[FloatColumn] = []
        self._location: list[FloatColumn] = []
        self.rows: list[WorkerRow] = []

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def is_full(self) -> bool:
        """Whether there are enough rows to judge."""
        return len(self.rows) == self._settings.straggler_window_samples

    def append(self, row: WorkerRow, latencies: FloatColumn, groups: Sequence[str] | None) -> bool:
        """Add the newest row; false (and nothing is added) when no worker in it has enough peers."""
        excess, scale, location = slowdowns(latencies, groups)
        if not np.isfinite(excess).any():
            return False
        self.rows.append(row)
        for rows, values in ((self._excess, excess), (self._scale, scale), (self._location, location)):
            rows.append(values)
            del rows[: -self._settings.straggler_window_samples]
        del self.rows[: -self._settings.straggler_window_samples]
        return True

    def clear(self) -> None:
        """Forget all rows."""
        for rows in (self.rows, self._excess, self._scale, self._location):
            rows.clear()

    def judged(self) -> NDArray[np.bool_]:
        """Workers that the newest row compares with peers."""
        return np.isfinite(self._excess[-1])

    def slow_steps(self) -> SlowSteps:
        """Steps in which a worker is far above its peers, by their scale over the window and by the effect."""
        settings = self._settings
        excess = np.array(self._excess)
        noise = settings.straggler_z * np.maximum(column_medians(np.array(self._scale)), MIN_SCALE_REL)
        slow = excess > np.maximum(noise, settings.straggler_effect_rel)
        still = excess > np.maximum(0.5 * noise, settings.straggler_clear_effect_rel)
        return SlowSteps(slow, slow.sum(axis=0), still.sum(axis=0))

    def effects(self, workers: Sequence[int]) -> FloatColumn:
        """Median relative slow-down of each of ``workers``."""
        return column_medians(np.array(self._excess)[:, list(workers)])

    def baseline(self, workers: Sequence[int]) -> float:
        """Median latency of the peers of ``workers``."""
        return float(np.median(column_medians(np.array(self._location)[:, list(workers)])))

    def spread(self, workers: Sequence[int]) -> float:
        """Standard deviation of the slow-downs of ``workers`` over the window."""
        excess = np.array(self._excess)[:, list(workers)]
        return float(excess[np.isfinite(excess)].std())

    def snapshot(self) -> list[Any]:
        """Plain JSON values."""
        rows: list[Any] = msgspec.to_builtins(self.rows)
        return rows

    def restore(self, snapshot: list[Any], groups: Sequence[str] | None) -> None:
        """Take over a :meth:`snapshot` whose rows were in ``groups``."""
        self.clear()
        for row in msgspec.convert(snapshot, list[WorkerRow]):
            self.append(row, np.array(floats_from_json(row.latencies)), groups)


def worker_row(position: Position, latencies: FloatColumn, node: str | None, gpu_model: str | None) -> WorkerRow:
    """One row as it is kept."""
    return WorkerRow(position, floats_to_json(latencies.tolist()), node, gpu_model)


def column_medians(values: FloatColumn) -> FloatColumn:
    """Median of each column over its finite values; ``NaN`` where it has none."""
    ordered = np.sort(values, axis=0)
    count = np.isfinite(ordered).sum(axis=0)
    columns = np.arange(values.shape[1])
    low, high = ordered[(count - 1) // 2, columns], ordered[np.minimum(count // 2, len(values) - 1), columns]
    return np.where(count > 0, 0.5 * (low + high), np.nan)
