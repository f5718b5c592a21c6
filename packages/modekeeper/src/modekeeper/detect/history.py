"""The newest values of one series with their positions, in bounded memory."""

import math
from typing import Any

import msgspec
import numpy as np

from modekeeper.model.block import FloatColumn

__all__ = ["History", "Position", "floats_from_json", "floats_to_json"]


class Position(msgspec.Struct, frozen=True, array_like=True):
    """Where a sample stands: number in the stream, step (``None`` if unnamed) and time."""

    index: int
    step: int | None
    ts_ms: int

    def to_json(self) -> list[int | None]:
        """Plain JSON values; ``Position(*values)`` is the way back."""
        return [self.index, self.step, self.ts_ms]


def floats_to_json(values: list[float]) -> list[float | None]:
    """JSON has no NaN: ``null`` stands for it."""
    return [None if math.isnan(v) else v for v in values]


def floats_from_json(values: list[float | None]) -> list[float]:
    """Inverse of :func:`floats_to_json`."""
    return [math.nan if v is None else float(v) for v in values]


class History:
    """A window of the newest ``capacity`` values; value number ``k`` is counted from the start of the series."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._values: FloatColumn = np.empty(2 * capacity)
        self._positions: list[Position] = []
        self.count = 0
        """Values ever appended."""

    @property
    def first(self) -> int:
        """Number of the oldest value kept."""
        return self.count - len(self._positions)

    def append(self, value: float, position: Position) -> None:
        """Add the newest value."""
        if len(self._positions) == 2 * self._capacity:
            self._values[: self._capacity] = self._values[self._capacity :].copy()
            del self._positions[: self._capacity]
        self._values[len(self._positions)] = value
        self._positions.append(position)
        self.count += 1

    def values(self, start: int, stop: int) -> FloatColumn:
        """A view of values number ``start`` up to ``stop``; what is no longer kept is left out."""
        first = self.first
        return self._values[max(start - first, 0) : max(stop - first, 0)]

    def position(self, number: int) -> Position:
        """Position of value ``number``, or of the oldest one kept."""
        return self._positions[max(number - self.first, 0)]

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "count": self.count,
            "values": floats_to_json(self._values[: len(self._positions)].tolist()),
            "positions": [p.to_json() for p in self._positions],
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take over a :meth:`snapshot`."""
        values = floats_from_json(snapshot["values"])
        self._values[: len(values)] = values
        self._positions = [Position(*p) for p in snapshot["positions"]]
        self.count = snapshot["count"]
