"""The newest values of one series with their positions, as columns in bounded memory."""

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from modekeeper.model.block import MISSING_STEP, FloatColumn, SampleBlock

__all__ = ["History", "Position", "floats_from_json", "floats_to_json"]

IntColumn = NDArray[np.int64]
FLOAT_BYTES = 8


class Position(msgspec.Struct, frozen=True, array_like=True):
    """Where a sample stands: number in the stream, step (``None`` if unnamed) and time."""

    index: int
    step: int | None
    ts_ms: int

    @classmethod
    def at(cls, index: int, step: int, ts_ms: int) -> "Position":
        """The same, with ``-1`` for a step that is not named."""
        return cls(index, None if step == MISSING_STEP else step, ts_ms)

    def to_json(self) -> list[int | None]:
        """Plain JSON values; ``Position(*values)`` is the way back."""
        return [self.index, self.step, self.ts_ms]


def floats_to_json(values: list[float]) -> list[float | None]:
    """JSON knows finite numbers only: ``null`` stands for the others."""
    return [v if math.isfinite(v) else None for v in values]


def floats_from_json(values: list[float | None]) -> list[float]:
    """Inverse of :func:`floats_to_json`."""
    return [math.nan if v is None else float(v) for v in values]


class History:
    """A window of the newest values; value number ``k`` is counted from the start of the series.

    Who judges all values of a piece before the next one comes finds values ``k - capacity`` to ``k`` while judging
    value ``k``, though later ones came with it. Memory is that of ``capacity`` and of the largest piece.

    Args:
        capacity: so many values before the one being judged are at hand.
        beside: whether a second number is kept beside each value.
    """

    def __init__(self, capacity: int, *, beside: bool = False) -> None:
        self._capacity = capacity
        self._values: FloatColumn = np.empty((1 + beside, 0))
        self._places: IntColumn = np.empty((3, 0), dtype=np.int64)
        self._filled = 0
        self.count = 0
        """Values ever appended."""

    @property
    def first(self) -> int:
        """Number of the oldest value that counts, however the values came."""
        return max(self.count - self._capacity, 0)

    def append(self, value: float, index: int, step: int, ts_ms: int, beside: float = math.nan) -> None:
        """Add the newest value; ``step`` is ``-1`` where the sample named none."""
        at = self._filled
        values, places = self._values, self._places
        if at == places.shape[1]:
            at = self._room(1)
            values, places = self._values, self._places
        values[0, at] = value
        if len(values) > 1:
            values[1, at] = beside
        places[0, at] = index
        places[1, at] = step
        places[2, at] = ts_ms
        self._filled = at + 1
        self.count += 1

    def extend(
        self, values: FloatColumn, block: SampleBlock, rows: NDArray[np.intp] | slice, beside: FloatColumn | None = None
    ) -> None:
        """Add the newest values, ``float64[n]``; they belong to ``rows`` of ``block``, in order."""
        size = len(values)
        at = self._room(size)
        stop = at + size
        self._values[0, at:stop] = values
        if beside is not None:
            self._values[1, at:stop] = beside
        if isinstance(rows, slice):
            start = block.first_index + (rows.start or 0)
            self._places[0, at:stop] = np.arange(start, start + size)
        else:
            self._places[0, at:stop] = rows + block.first_index
        self._places[1, at:stop] = block.step[rows]
        self._places[2, at:stop] = block.ts_ms[rows]
        self._filled = stop
        self.count += size

    def _room(self, size: int) -> int:
        """Where the next ``size`` values go."""
        if self._filled + size > self._places.shape[1]:
            kept = min(self._filled, self._capacity + 1)
            newest = slice(self._filled - kept, self._filled)
            values, places = self._values[:, newest].copy(), self._places[:, newest].copy()
            length = max(2 * kept, kept + size, 64)
            if length > self._places.shape[1]:
                self._values = np.empty((len(self._values), length))
                self._places = np.empty((3, length), dtype=np.int64)
            self._values[:, :kept], self._places[:, :kept] = values, places
            self._filled = kept
        return self._filled

    def values(self, start: int, stop: int) -> FloatColumn:
        """A view of values number ``start`` up to ``stop``, until the next one is appended.

        What is no longer kept is left out.
        """
        offset = self._filled - self.count
        return self._values[0, max(start + offset, 0) : max(stop + offset, 0)]

    def beside(self, start: int, stop: int) -> FloatColumn:
        """What was kept beside values number ``start`` up to ``stop``; a view, as :meth:`values`."""
        offset = self._filled - self.count
        return self._values[1, max(start + offset, 0) : max(stop + offset, 0)]

    def windows(self, stops: Sequence[int], size: int) -> FloatColumn:
        """The ``size`` values before each of the numbers ``stops``, equally spaced and all still kept.

        Returns:
            A view, ``float64[len(stops), size]``, until the next value is appended.
        """
        step = stops[1] - stops[0] if len(stops) > 1 else 1
        first = stops[0] - size + self._filled - self.count
        if first < 0:
            raise IndexError("the window begins before what is kept")
        values = self._values[0]
        return np.ndarray(
            (len(stops), size), np.float64, values, first * FLOAT_BYTES, (step * FLOAT_BYTES, FLOAT_BYTES)
        )

    def position(self, number: int) -> Position:
        """Position of value ``number``, or of the oldest one kept."""
        at = max(number + self._filled - self.count, 0)
        return Position.at(*self._places[:, at].tolist())

    def places(self, numbers: range) -> list[list[int]]:
        """Sample number, step (``-1`` if unnamed) and time of several values, all still kept."""
        offset = self._filled - self.count
        places: list[list[int]] = self._places[
            :, numbers.start + offset : numbers.stop + offset : numbers.step
        ].T.tolist()
        return places

    def times_ms(self, start: int, stop: int) -> IntColumn:
        """Unix milliseconds of values number ``start`` up to ``stop``; a view, as :meth:`values`."""
        offset = self._filled - self.count
        return self._places[2, max(start + offset, 0) : max(stop + offset, 0)]

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON values."""
        newest = slice(max(self._filled - self._capacity - 1, 0), self._filled)
        return {
            "count": self.count,
            "values": [floats_to_json(row) for row in self._values[:, newest].tolist()],
            "places": self._places[:, newest].tolist(),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take over a :meth:`snapshot`."""
        self._values = np.array([floats_from_json(row) for row in snapshot["values"]], dtype=np.float64)
        self._places = np.array(snapshot["places"], dtype=np.int64)
        self._filled = self._places.shape[1]
        self.count = snapshot["count"]
