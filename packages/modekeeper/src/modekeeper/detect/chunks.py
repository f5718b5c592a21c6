"""Rows of a block in pieces that a history takes at once, and the place of the newest sample."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from modekeeper.detect.base import BEFORE_FIRST
from modekeeper.detect.history import Position
from modekeeper.model.block import MISSING_STEP, Rows, SampleBlock

__all__ = ["AHEAD", "LastSample", "chunks", "rows_where"]

AHEAD = 4096
"""Samples judged at once: enough for the arithmetic to be that of whole columns, few enough for bounded memory."""


def chunks(rows: Rows, size: int = AHEAD) -> Iterator[Rows]:
    """``rows`` in their order, in pieces of at most ``size``."""
    if isinstance(rows, slice):
        for start in range(rows.start, rows.stop, size):
            yield slice(start, min(start + size, rows.stop))
    else:
        for start in range(0, len(rows), size):
            yield rows[start : start + size]


def rows_where(rows: Rows, wanted: NDArray[np.bool_]) -> Rows:
    """Those of ``rows`` for which ``wanted`` (``bool[len(rows)]``) holds."""
    if wanted.all():
        return rows
    places = np.flatnonzero(wanted)
    return places + rows.start if isinstance(rows, slice) else rows[places]


class LastSample:
    """Where the newest sample stands, noted at so little cost that it may be done for every single one."""

    __slots__ = ("_index", "_step", "_ts_ms")

    def __init__(self) -> None:
        self._index, self._step, self._ts_ms = BEFORE_FIRST.index, MISSING_STEP, BEFORE_FIRST.ts_ms

    def see(self, block: SampleBlock) -> None:
        """Note the end of ``block``."""
        samples = len(block.ts_ms)
        if samples > 1:
            self._index = block.first_index + samples - 1
            self._step, self._ts_ms = block.step.item(-1), block.ts_ms.item(-1)
        elif samples:
            one = block.only()
            self._index, self._step, self._ts_ms = one.at_index, one.step, one.ts_ms

    @property
    def position(self) -> Position:
        """``BEFORE_FIRST`` as long as there was none."""
        return Position(self._index, None if self._step == MISSING_STEP else self._step, self._ts_ms)

    def snapshot(self) -> list[int | None]:
        """Plain JSON values."""
        return self.position.to_json()

    def restore(self, snapshot: list[int | None]) -> None:
        """Take over a :meth:`snapshot`."""
        position = Position(*snapshot)  # type: ignore[arg-type]
        self._index, self._ts_ms = position.index, position.ts_ms
        self._step = MISSING_STEP if position.step is None else position.step
