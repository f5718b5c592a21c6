"""The newest values of one series with their positions, as columns in bounded memory."""

import math
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from modekeeper.model.block import MISSING_STEP, FloatColumn, SampleBlock

__all__ = ["History", "Position", "floats_from_json", "floats_to_json"]

IntColumn = NDArray[np.int64]


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
    """A window of the newest values; value number ``k`` is counted from the start of the series.

    Args:
        capacity: so many values before the one being judged are at hand.
        ahead: most values that may be appended before the first of them is judged. Whoever judges value ``k`` after
            value ``k + ahead`` has come still finds values ``k - capacity`` to ``k``.
    """

    def __init__(self, capacity: int, ahead: int = 1) -> None:
        self._kept = capacity + ahead
        self._capacity = capacity
        self._ahead = ahead
        self._values: FloatColumn = np.empty(2 * self._kept)
        self._places: IntColumn = np.empty((3, 2 * self._kept), dtype=np.int64)
        self._filled = 0
        self.count = 0
        """Values ever appended."""

    @property
    def ahead(self) -> int:
        """Most values that :meth:`extend` takes at once."""
        return self._ahead

    @property
    def first(self) -> int:
        """Number of the oldest value that counts, however the values came."""
        return max(self.count - self._capacity, 0)

    def append(self, value: float, index: int, step: int, ts_ms: int) -> None:
        """Add the newest value; ``step`` is ``-1`` where the sample named none."""
        at = self._room(1)
        self._values[at] = value
        places = self._places
        places[0, at] = index
        places[1, at] = step
        places[2, at] = ts_ms
        self._filled = at + 1
        self.count += 1

    def extend(self, values: FloatColumn, block: SampleBlock, rows: NDArray[np.intp] | slice) -> None:
        """Add the newest values, ``float64[n]`` with ``n ≤ ahead``; they belong to ``rows`` of ``block``, in order."""
        at = self._room(len(values))
        stop = at + len(values)
        self._values[at:stop] = values
        if isinstance(rows, slice):
            start = rows.start or 0
            self._places[0, at:stop] = np.arange(block.first_index + start, block.first_index + start + len(values))
        else:
            self._places[0, at:stop] = rows + block.first_index
        self._places[1, at:stop] = block.step[rows]
        self._places[2, at:stop] = block.ts_ms[rows]
        self._filled = stop
        self.count += len(values)

    def _room(self, size: int) -> int:
        """Where the next ``size`` values go."""
        if self._filled + size > len(self._values):
            kept = self._kept
            self._values[:kept] = self._values[self._filled - kept : self._filled].copy()
            self._places[:, :kept] = self._places[:, self._filled - kept : self._filled].copy()
            self._filled = kept
        return self._filled

    def values(self, start: int, stop: int) -> FloatColumn:
        """A view of values number ``start`` up to ``stop``, until the next one is appended.

        What is no longer kept is left out.
        """
        offset = self._filled - self.count
        return self._values[max(start + offset, 0) : max(stop + offset, 0)]

    def position(self, number: int) -> Position:
        """Position of value ``number``, or of the oldest one kept."""
        at = max(number + self._filled - self.count, 0)
        index, step, ts_ms = self._places[:, at].tolist()
        return Position(index, None if step == MISSING_STEP else step, ts_ms)

    def times_ms(self, start: int, stop: int) -> IntColumn:
        """Unix milliseconds of values number ``start`` up to ``stop``; a view, as :meth:`values`."""
        offset = self._filled - self.count
        return self._places[2, max(start + offset, 0) : max(stop + offset, 0)]

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON values: what may still be asked for once all that came has been judged."""
        start = self._filled - min(self._filled, self._capacity)
        return {
            "count": self.count,
            "values": floats_to_json(self._values[start : self._filled].tolist()),
            "places": self._places[:, start : self._filled].tolist(),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take over a :meth:`snapshot`."""
        values = floats_from_json(snapshot["values"])
        self._filled = len(values)
        self._values[: self._filled] = values
        self._places[:, : self._filled] = snapshot["places"]
        self.count = snapshot["count"]
