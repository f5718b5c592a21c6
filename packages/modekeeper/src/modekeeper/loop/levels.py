"""Levels of the metrics a change is judged by, from the samples of training steps alone. Bounded memory."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from modekeeper.detect.robust import quantile, robust_sd
from modekeeper.model.block import FloatColumn, SampleBlock

__all__ = ["LEAST_VALUES", "Level", "RecentRows", "judged_columns", "level_of", "tail_level"]

LEAST_VALUES = 8
"""Fewer values than this have no level."""
_KEPT_ROWS = 200
_PLAIN = ("step_time_ms", "throughput", "loss", "data_wait_ms", "gpu_util_pct", "gpu_power_w", "gpu_mem_used_mb")
_TAIL = 0.99
_MEDIAN_COST = 1.2533
"""Standard error of a median against that of a mean, for a normal distribution (the square root of pi / 2)."""


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """Where a metric stood, in its own unit."""

    value: float
    error: float
    """Standard error of ``value``; 0 where none is known."""
    values: int
    """So many values it was made from."""


def judged_columns(block: SampleBlock) -> tuple[list[int], dict[str, FloatColumn]]:
    """Rows of training steps, and for each of them every metric a promise or a guard may be about.

    ``data_wait_share`` is the part of the step spent waiting; ``worker_latencies_ms`` the slowest worker;
    ``gpu_mem_share`` the part of the memory that is used. ``NaN`` where missing.
    """
    paused = block.pauses()
    rows = [row for row, phase in enumerate(block.phase) if phase not in paused] if paused else list(range(len(block)))
    metrics = {name: column[rows] for name, column in block.metrics.items()}
    found = {name: metrics[name] for name in _PLAIN if name in metrics}
    with np.errstate(divide="ignore", invalid="ignore"):
        found["data_wait_share"] = metrics["data_wait_ms"] / metrics["step_time_ms"]
        found["gpu_mem_share"] = metrics["gpu_mem_used_mb"] / metrics["gpu_mem_total_mb"]
    if block.workers.shape[1]:
        workers = block.workers[rows]
        known = np.isfinite(workers).any(axis=1)
        slowest = np.where(np.isfinite(workers), workers, -np.inf).max(axis=1, initial=-np.inf)
        found["worker_latencies_ms"] = np.where(known, slowest, np.nan)
    return rows, found


def level_of(values: Sequence[float]) -> Level | None:
    """The median of ``values`` and how far to trust it; ``None`` where there are too few."""
    if len(values) < LEAST_VALUES:
        return None
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    error = _MEDIAN_COST * robust_sd(ordered) / math.sqrt(len(ordered))
    return Level(value=quantile(ordered, 0.5), error=error, values=len(ordered))


def tail_level(values: Sequence[float]) -> Level | None:
    """The 99th percentile: where pauses show, which move no median."""
    if len(values) < LEAST_VALUES:
        return None
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    return Level(value=quantile(ordered, _TAIL), error=0.0, values=len(ordered))


class RecentRows:
    """The newest rows of training steps: where a job stood before a change. Plain values in a snapshot."""

    def __init__(self) -> None:
        self._indices: list[int] = []
        self._columns: dict[str, list[float]] = {}

    def add(self, block: SampleBlock) -> None:
        """Take in samples."""
        end = block.part(max(0, len(block) - 2 * _KEPT_ROWS), len(block))
        rows, columns = judged_columns(end)
        if len(rows) < _KEPT_ROWS and len(end) < len(block):
            end = block
            rows, columns = judged_columns(end)
        if not rows:
            return
        before = len(self._indices)
        self._indices = [*self._indices, *(end.first_index + row for row in rows)][-_KEPT_ROWS:]
        size = len(self._indices)
        for name in sorted({*columns, *self._columns}):
            old = self._columns.get(name) or [math.nan] * before
            new = columns[name][-size:].tolist() if name in columns else [math.nan] * len(rows)
            whole = [*old, *new][-size:]
            if any(math.isfinite(value) for value in whole):
                self._columns[name] = whole
            else:
                self._columns.pop(name, None)

    def values(self, name: str, since_index: int, most: int) -> list[float]:
        """The newest finite values of a metric, of samples from ``since_index`` on."""
        column = self._columns.get(name, [])
        found = [
            value
            for index, value in zip(self._indices, column, strict=False)
            if index >= since_index and math.isfinite(value)
        ]
        return found[-most:]

    def snapshot(self) -> dict[str, Any]:
        """Everything remembered, as plain JSON values."""
        columns = {
            name: [value if math.isfinite(value) else None for value in column]
            for name, column in self._columns.items()
        }
        return {"indices": list(self._indices), "columns": columns}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a ``snapshot``.

        Raises:
            KeyError, TypeError, ValueError: it is not one.
        """
        self._indices = [int(index) for index in snapshot["indices"]]
        self._columns = {
            str(name): [math.nan if value is None else float(value) for value in column]
            for name, column in snapshot["columns"].items()
        }
        if any(len(column) != len(self._indices) for column in self._columns.values()):
            raise ValueError("columns of different lengths")
