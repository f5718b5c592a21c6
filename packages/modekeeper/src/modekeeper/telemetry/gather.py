"""What is read out of decoded records, field by field."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from struct import error
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modekeeper.model.block import MISSING_STEP
from modekeeper.model.sample import METRIC_COLUMNS
from modekeeper.telemetry.shape import TEXTS, Wire

__all__ = ["Gathered", "metrics_of"]


class Gathered:
    """What is read out of records of one shape, field by field. The records themselves are soon let go of."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.times: list[Any] = []
        """One entry a record where the time is a number. Where it is text, texts: of the same width each, or with a
        line feed each."""
        self.values: dict[str, list[Any]] = {name: [] for name in wire.others}
        """By field, one entry a record: names, worker latencies, knobs."""
        self._packed: list[bytes] = []

    def add(self, records: Sequence[Any]) -> None:
        """Take what is read from ``records``."""
        if not records:
            return
        times = [record.ts_ms for record in records]
        if self.wire.time_width:
            self.times.append("".join(times))
        elif self.wire.time is str:
            joined = "\n".join(times)
            if joined.count("\n") >= len(times):
                joined = "\n".join([time.replace("\n", "?") for time in times])
            self.times += (joined, "\n")
        else:
            self.times += times
        for name in self.values:
            column = _GETTERS[name](records)
            if name in TEXTS and column.count(column[0]) == len(column):
                # One copy of a name is enough.
                column = column[:1] * len(column)
            self.values[name] += column
        pack, take = self.wire.pack, _PACKED[len(self.wire.numbers)]
        try:
            packed = take(pack, records)
        except error:
            # Somewhere a value is null.
            packed = take(partial(_with_missing, pack), records)
        self._packed.append(b"".join(packed))

    def numbers(self) -> NDArray[np.int64]:
        """``int64[n, 1 + k]``: the steps, and the bits of the metrics in the order of the shape."""
        return np.frombuffer(b"".join(self._packed), np.int64).reshape(-1, 1 + len(self.wire.numbers))


def metrics_of(wire: Wire, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """The metrics among ``numbers``, in the order of ``METRIC_COLUMNS``; see :class:`RecordBatch`."""
    metrics = np.full((len(METRIC_COLUMNS), len(numbers)), np.nan)
    values = numbers.view(np.float64).T
    for place, target in enumerate(wire.numbers, 1):
        row = metrics[METRIC_COLUMNS.index(target.field.name)]
        row[:] = values[place]
        if target.priority:
            with np.errstate(over="ignore"):
                row[:] = row * (target.scale or 1.0) + 0.0
    return metrics


def _with_missing(pack: Callable[..., bytes], step: int | None, *numbers: float | None) -> bytes:
    return pack(MISSING_STEP if step is None else step, *[math.nan if number is None else number for number in numbers])


_GETTERS: dict[str, Callable[[Sequence[Any]], list[Any]]] = {
    "worker_latencies_ms": lambda records: [r.worker_latencies_ms for r in records],
    "worker_groups": lambda records: [r.worker_groups for r in records],
    "node": lambda records: [r.node for r in records],
    "gpu_model": lambda records: [r.gpu_model for r in records],
    "phase": lambda records: [r.phase for r in records],
    "knobs": lambda records: [r.knobs for r in records],
    "rank": lambda records: [r.rank for r in records],
}
_PACKED: tuple[Callable[[Callable[..., bytes], Sequence[Any]], list[bytes]], ...] = (
    lambda pack, records: [pack(r.step) for r in records],
    lambda pack, records: [pack(r.step, r.number_0) for r in records],
    lambda pack, records: [pack(r.step, r.number_0, r.number_1) for r in records],
    lambda pack, records: [pack(r.step, r.number_0, r.number_1, r.number_2) for r in records],
    lambda pack, records: [pack(r.step, r.number_0, r.number_1, r.number_2, r.number_3) for r in records],
    lambda pack, records: [pack(r.step, r.number_0, r.number_1, r.number_2, r.number_3, r.number_4) for r in records],
    lambda pack, records: [
        pack(
            r.step, r.number_0, r.number_1, r.number_2, r.number_3, r.number_4, r.number_5
        )
        for r in records
    ],
    lambda pack, records: [
        pack(
            r.step, r.number_0, r.number_1, r.number_2, r.number_3, r.number_4, r.number_5, r.number_6
        )
        for r in records
    ],
    lambda pack, records: [
        pack(
            r.step, r.number_0, r.number_1, r.number_2, r.number_3, r.number_4, r.number_5, r.number_6, r.number_7
        )
        for r in records
    ],
    lambda pack, records: [
        pack(
            r.step, r.number_0, r.number_1, r.number_2, r.number_3, r.number_4, r.number_5, r.number_6, r.number_7,
            r.number_8
        )
        for r in records
    ],
    lambda pack, records: [
        pack(
            r.step, r.number_0, r.number_1, r.number_2, r.number_3, r.number_4, r.number_5, r.number_6, r.number_7,
            r.number_8, r.number_9
        )
        for r in records
    ],
    lambda pack, records: [
        pack(
            r.step, r.number_0, r.number_1, r.number_2, r.number_3, r.number_4, r.number_5, r.number_6, r.number_7,
            r.number_8, r.number_9, r.number_10
        )
        for r in records
    ],
)  # fmt: skip
"""For each count of numbers, the records as bytes. Written out, for that is the fastest way to so many attributes."""
