"""Rows of a block in pieces that a history takes at once, and the place of the newest sample."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from modekeeper.detect.base import BEFORE_FIRST, position_at
from modekeeper.detect.history import Position
from modekeeper.model.block import OneSample, Rows, SampleBlock

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

    __slots__ = ("_at",)

    def __init__(self) -> None:
        self._at: OneSample | Position = BEFORE_FIRST

    def see(self, block: SampleBlock) -> None:
        """Note the end of ``block``."""
        samples = len(block.ts_ms)
        if samples == 1:
            self._at = block.only()
        elif samples:
            self._at = position_at(block, samples - 1)

    @property
    def position(self) -> Position:
        """``BEFORE_FIRST`` as long as there was none."""
        at = self._at
        return at if isinstance(at, Position) else Position.at(at.at_index, at.step, at.ts_ms)

    def snapshot(self) -> list[int | None]:
        """Plain JSON values."""
        return self.position.to_json()

    def restore(self, snapshot: list[int | None]) -> None:
        """Take over a :meth:`snapshot`."""
        self._at = Position(*snapshot)  # type: ignore[arg-type]
