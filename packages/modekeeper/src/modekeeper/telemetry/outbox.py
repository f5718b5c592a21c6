"""Accepted records in their final order, waiting to be given as blocks."""

from collections import deque
from itertools import pairwise
from typing import Any

import numpy as np

from modekeeper.model.block import MISSING_STEP, SampleBlock
from modekeeper.model.sample import METRIC_COLUMNS, Sample
from modekeeper.telemetry.batch import RecordBatch, Stretch

__all__ = ["Outbox"]

_STEP_TIME = METRIC_COLUMNS.index("step_time_ms")
_LISTS = ("worker_groups", "node", "gpu_model", "phase", "knobs")
_VIEWED_PART = 0.5
"""A stretch that fills so much of a block is a block of its own: so nothing has to be copied."""
_WORKER_CELLS = 1 << 22
"""Most cells in the table of worker latencies of one block, one row excepted: 32 MiB."""


class Outbox:
    """Samples and stretches of batches, first in, first out."""

    def __init__(self) -> None:
        self._pieces: deque[Sample | Stretch] = deque()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, sample: Sample) -> None:
        """One sample more."""
        self._pieces.append(sample)
        self._count += 1

    def add_stretch(self, batch: RecordBatch, start: int, stop: int) -> None:
        """Records ``start`` up to ``stop`` of ``batch``."""
        last = self._pieces[-1] if self._pieces else None
        if isinstance(last, Stretch) and last.batch is batch and last.stop == start:
            self._pieces[-1] = Stretch(batch, last.start, stop)
        else:
            self._pieces.append(Stretch(batch, start, stop))
        self._count += stop - start

    def samples(self) -> list[Sample]:
        """All that wait, one by one."""
        found: list[Sample] = []
        for piece in self._pieces:
            if isinstance(piece, Stretch):
                found += [piece.batch.sample(index) for index in range(piece.start, piece.stop)]
            else:
                found.append(piece)
        return found

    def refill(self, samples: list[Sample]) -> None:
        """Hold these, and no others."""
        self._pieces, self._count = deque(samples), len(samples)

    def block(self, most: int, first_index: int) -> SampleBlock:
        """The next samples, at most ``most`` of them; the first is number ``first_index`` of the stream."""
        first = self._pieces[0]
        if isinstance(first, Stretch) and first.batch.workers is None:
            long_enough = first.stop - first.start >= most * _VIEWED_PART
            if long_enough:
                return self._view(first, most, first_index)
        pieces = self._take(most)
        if all(isinstance(piece, Sample) for piece in pieces):
            return SampleBlock.from_samples([piece for piece in pieces if isinstance(piece, Sample)], first_index)
        return _assembled(pieces, first_index)

    def _view(self, piece: Stretch, most: int, first_index: int) -> SampleBlock:
        """A block of one stretch that is long enough: nothing is copied."""
        batch, start, stop = piece
        stop = min(stop, start + most)
        if stop == piece.stop:
            self._pieces.popleft()
        else:
            self._pieces[0] = Stretch(batch, stop, piece.stop)
        self._count -= stop - start
        lists = {name: batch.names.get(name) for name in _LISTS}
        metrics = batch.metrics[:, start:stop]
        return SampleBlock(
            first_index=first_index,
            ts_ms=batch.ts_ms[start:stop],
            step=batch.step[start:stop],
            metrics=dict(zip(METRIC_COLUMNS, metrics, strict=True)),
            workers=_single_workers(metrics[_STEP_TIME]),
            **{k: [None] * (stop - start) if v is None else v[start:stop] for k, v in lists.items()},
        )

    def _take(self, most: int) -> list[Sample | Stretch]:
        """Pieces that make up at most ``most`` samples, fewer where their workers are very many."""
        taken: list[Sample | Stretch] = []
        count = width = 0
        while self._pieces and count < most:
            piece = self._pieces[0]
            if isinstance(piece, Sample):
                width = max(width, len(piece.worker_latencies_ms or ()))
                if count and (count + 1) * width > _WORKER_CELLS:
                    break
                taken.append(self._pieces.popleft())
                count += 1
                continue
            stop = min(piece.stop, piece.start + most - count)
            fitting, width = _fitting(piece.batch, piece.start, stop, count, width)
            if not fitting:
                break
            stop = piece.start + fitting
            taken.append(Stretch(piece.batch, piece.start, stop))
            count += fitting
            if stop == piece.stop:
                self._pieces.popleft()
            else:
                self._pieces[0] = Stretch(piece.batch, stop, piece.stop)
        self._count -= count
        return taken


def _fitting(batch: RecordBatch, start: int, stop: int, count: int, width: int) -> tuple[int, int]:
    """How many of the records fit into a block that has ``count`` of at most ``width`` workers; and the new width."""
    if batch.workers is None:
        return stop - start, max(width, 1)
    widths = np.maximum.accumulate(np.diff(batch.workers.offsets[start : stop + 1]))
    widths = np.maximum(widths, width)
    cells = widths * np.arange(count + 1, count + 1 + stop - start)
    fitting = int(np.searchsorted(cells, _WORKER_CELLS, side="right"))
    if not fitting and not count:
        fitting = 1
    return fitting, int(widths[fitting - 1]) if fitting else width


def _assembled(pieces: list[Sample | Stretch], first_index: int) -> SampleBlock:
    bounds = [0]
    for piece in pieces:
        bounds.append(bounds[-1] + (1 if isinstance(piece, Sample) else piece.stop - piece.start))
    count = bounds[-1]
    ts_ms, step = np.empty(count, np.int64), np.empty(count, np.int64)
    metrics = np.empty((len(METRIC_COLUMNS), count))
    lists: dict[str, list[Any]] = {name: [] for name in _LISTS}
    for piece, (begin, end) in zip(pieces, pairwise(bounds), strict=True):
        if isinstance(piece, Sample):
            ts_ms[begin] = piece.ts_ms
            step[begin] = MISSING_STEP if piece.step is None else piece.step
            metrics[:, begin] = [getattr(piece, name) for name in METRIC_COLUMNS]
            for name, column in lists.items():
                column.append(getattr(piece, name))
            continue
        batch, start, stop = piece
        ts_ms[begin:end] = batch.ts_ms[start:stop]
        step[begin:end] = batch.step[start:stop]
        metrics[:, begin:end] = batch.metrics[:, start:stop]
        for name, column in lists.items():
            values = batch.names.get(name)
            column.extend([None] * (stop - start) if values is None else values[start:stop])
    return SampleBlock(
        first_index=first_index,
        ts_ms=ts_ms,
        step=step,
        metrics=dict(zip(METRIC_COLUMNS, metrics, strict=True)),
        workers=_worker_table(pieces, bounds, metrics[_STEP_TIME]),
        **lists,
    )


def _single_workers(step_time_ms: Any) -> Any:
    """One worker, whose step time is that of the job; none where no sample has one."""
    return step_time_ms[:, np.newaxis][:, : 0 if np.isnan(step_time_ms).all() else 1]


def _worker_table(pieces: list[Sample | Stretch], bounds: list[int], step_time_ms: Any) -> Any:
    """``float64[n, w]``: see :class:`SampleBlock`."""
    if all(isinstance(piece, Stretch) and piece.batch.workers is None for piece in pieces):
        return _single_workers(step_time_ms)
    rows: list[tuple[int, Any]] = []
    for piece, begin in zip(pieces, bounds, strict=False):
        if isinstance(piece, Sample):
            rows.append((begin, piece.worker_latencies_ms or ()))
        elif piece.batch.workers is None:
            times = step_time_ms[begin : begin + piece.stop - piece.start]
            rows += [(begin + at, times[at : at + 1]) for at in np.flatnonzero(~np.isnan(times)).tolist()]
        else:
            ragged = piece.batch.workers
            offsets = ragged.offsets[piece.start : piece.stop + 1].tolist()
            rows += [(begin + at, ragged.values[a:b]) for at, (a, b) in enumerate(pairwise(offsets))]
    table = np.full((bounds[-1], max((len(row) for _, row in rows), default=0)), np.nan)
    for at, row in rows:
        table[at, : len(row)] = row
    return table
