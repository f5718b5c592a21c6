"""Decoded lines on their way from one process to another: a head, and the columns as they lie in memory."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from modekeeper.model.ingest import DropReason, RepairReason
from modekeeper.model.sample import METRIC_COLUMNS
from modekeeper.telemetry.batch import LineText, RaggedRows, RecordBatch
from modekeeper.telemetry.bulk import DroppedLine, LinesRead

__all__ = ["ALIGNED_BYTES", "Head", "laid_out", "put_together", "size_of"]

ALIGNED_BYTES = 8
"""Each column begins at a multiple of so many bytes."""


class NameColumn(msgspec.Struct, frozen=True, array_like=True):
    """The different values of a column of names; which one each record has is a column of its own."""

    name: str
    values: list[Any]


class Head(msgspec.Struct, frozen=True, array_like=True):
    """What has to be known to make sense of the columns."""

    lines: int
    """Lines read."""
    records: int
    metrics: list[int]
    """Which metrics there are, by their place in ``METRIC_COLUMNS``."""
    worker_values: int | None
    """How many latencies of workers; ``None`` where there are no columns of them."""
    names: list[NameColumn]
    repairs: dict[int, tuple[RepairReason, ...]]
    dropped: list[tuple[int, DropReason, bytes]]


def laid_out(read: LinesRead, lines: int) -> tuple[Head, list[NDArray[Any]]]:
    """What was read from ``lines`` lines, ready to be sent: columns of 8 bytes an entry, or of 4."""
    batch = read.batch
    present = np.flatnonzero(~np.isnan(batch.metrics).all(axis=1)).tolist() if len(batch) else []
    columns: list[NDArray[Any]] = [batch.ts_ms, batch.step, *(batch.metrics[row] for row in present)]
    if batch.workers is not None:
        columns += (batch.workers.values, batch.workers.offsets)
    columns += [column.astype(np.int32) for column in (batch.begins, batch.ends, batch.lines)]
    names: list[NameColumn] = []
    for name, column in batch.names.items():
        values, codes = _coded(column)
        names.append(NameColumn(name, values))
        columns.append(codes)
    head = Head(
        lines=lines,
        records=len(batch),
        metrics=present,
        worker_values=None if batch.workers is None else len(batch.workers.values),
        names=names,
        repairs=batch.repairs,
        dropped=[(line.line, line.reason, line.excerpt) for line in read.dropped],
    )
    return head, columns


def size_of(columns: Sequence[NDArray[Any]]) -> int:
    """Bytes the columns take, each begun at a multiple of ``ALIGNED_BYTES``."""
    return sum(-(-column.nbytes // ALIGNED_BYTES) * ALIGNED_BYTES for column in columns)


def put_together(head: Head, data: memoryview, source: str, text: LineText, first_line: int) -> LinesRead:
    """What was read, in the process that asked for it. Nothing in it refers to ``data``.

    Args:
        head: what ``laid_out`` gave.
        data: the columns, each begun at a multiple of 8 bytes.
        source: name of the input, safe to print.
        text: where the lines are.
        first_line: number of the first line in the input; those sent begin with 1.
    """
    taken = _Taken(data)
    count = head.records
    ts_ms, step = taken.next(np.int64, count), taken.next(np.int64, count)
    metrics = np.full((len(METRIC_COLUMNS), count), np.nan)
    for row in head.metrics:
        metrics[row] = taken.view(np.float64, count)
    workers = None
    if head.worker_values is not None:
        workers = RaggedRows(taken.next(np.float64, head.worker_values), taken.next(np.int64, count + 1))
    begins, ends, lines = (taken.view(np.int32, count).astype(np.int64) for _ in range(3))
    names: dict[str, Sequence[Any]] = {
        column.name: _decoded(column, taken.view(np.int32, count)) for column in head.names
    }
    batch = RecordBatch(
        source=source,
        text=text,
        begins=begins,
        ends=ends,
        lines=lines + (first_line - 1),
        ts_ms=ts_ms,
        step=step,
        metrics=metrics,
        workers=workers,
        names=names,
        repairs=head.repairs,
    )
    dropped = [DroppedLine(line + first_line - 1, reason, excerpt) for line, reason, excerpt in head.dropped]
    return LinesRead(batch, dropped)


class _Taken:
    """Columns taken from the front of the data, one after the other."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._at = 0

    def view(self, kind: Any, count: int) -> NDArray[Any]:
        column = np.frombuffer(self._data, kind, count, self._at)
        self._at += -(-column.nbytes // ALIGNED_BYTES) * ALIGNED_BYTES
        return column

    def next(self, kind: Any, count: int) -> NDArray[Any]:
        return self.view(kind, count).copy()


def _coded(column: Sequence[Any]) -> tuple[list[Any], NDArray[np.int32]]:
    values: list[Any] = []
    codes: dict[Any, int] = {}
    coded: list[int] = []
    for value in column:
        # Neighbours with the same knobs share one dictionary.
        key = id(value) if isinstance(value, dict) else value
        code = codes.get(key)
        if code is None:
            code = codes[key] = len(values)
            values.append(value)
        coded.append(code)
    return values, np.array(coded, np.int32)


def _decoded(column: NameColumn, codes: NDArray[np.int32]) -> list[Any]:
    values = [tuple(value) if isinstance(value, list) else value for value in column.values]
    if len(values) == 1:
        return values * len(codes)
    return list(map(values.__getitem__, codes.tolist()))
