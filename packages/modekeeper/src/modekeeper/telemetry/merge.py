"""Records that were read on their own, put between those that were read together."""

from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np

from modekeeper.model.block import MISSING_STEP
from modekeeper.model.sample import METRIC_COLUMNS, Sample
from modekeeper.telemetry.batch import Integers, RaggedRows, RecordBatch
from modekeeper.telemetry.decode import Decoded

__all__ = ["merged"]

_NAMES = ("worker_groups", "node", "gpu_model", "phase", "knobs")
_STEP_TIME = METRIC_COLUMNS.index("step_time_ms")


def merged(
    batch: RecordBatch, others: Mapping[int, Decoded], begins: Integers, ends: Integers, first_line: int
) -> RecordBatch:
    """One batch of both, in the order of the lines.

    Args:
        batch: the records that were read together.
        others: the other ones, by line: 0 is the first line of the text.
        begins: where each line of the text begins.
        ends: where each line of the text ends.
        first_line: number of the first line of the text.
    """
    places = np.array(list(others), np.int64)
    samples = [decoded.sample for decoded in others.values()]
    lines = np.concatenate((batch.lines, places + first_line))
    order = np.argsort(lines, kind="stable")
    lines = lines[order]
    metrics = np.array([[_number(getattr(s, name)) for s in samples] for name in METRIC_COLUMNS], np.float64)
    step = np.array([MISSING_STEP if s.step is None else s.step for s in samples], np.int64)
    position = np.empty(len(order), np.int64)
    position[order] = np.arange(len(order))
    new_rows = position[len(batch) :].tolist()
    return RecordBatch(
        source=batch.source,
        text=batch.text,
        begins=begins[lines - first_line],
        ends=ends[lines - first_line],
        lines=lines,
        ts_ms=np.concatenate((batch.ts_ms, np.array([s.ts_ms for s in samples], np.int64)))[order],
        step=np.concatenate((batch.step, step))[order],
        metrics=np.concatenate((batch.metrics, metrics), axis=1)[:, order],
        workers=_workers(batch, samples, order),
        names=_names(batch, others, order),
        repairs={row: d.repairs for row, d in zip(new_rows, others.values(), strict=True) if d.repairs},
    )


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def _names(batch: RecordBatch, others: Mapping[int, Decoded], order: Integers) -> dict[str, Any]:
    columns: dict[str, list[Any]] = {name: [getattr(d.sample, name) for d in others.values()] for name in _NAMES}
    columns["rank"] = [decoded.rank for decoded in others.values()]
    names: dict[str, Any] = {}
    places = order.tolist()
    for name, column in columns.items():
        before = batch.names.get(name)
        if before is None and column.count(None) == len(column):
            continue
        both = [*(before if before is not None else [None] * len(batch)), *column]
        names[name] = [both[place] for place in places]
    return names


def _workers(batch: RecordBatch, samples: list[Sample], order: Integers) -> RaggedRows | None:
    alone = all(s.worker_latencies_ms == (None if s.step_time_ms is None else (s.step_time_ms,)) for s in samples)
    if batch.workers is None and alone:
        return None
    rows: list[Any] = [sample.worker_latencies_ms or () for sample in samples]
    if batch.workers is None:
        times = batch.metrics[_STEP_TIME].tolist()
        before: list[Any] = [(time,) if time == time else () for time in times]  # noqa: PLR0124 - NaN is missing
    else:
        before = [batch.workers.row(index) for index in range(len(batch))]
    both = [*before, *rows]
    ordered = [both[place] for place in order.tolist()]
    offsets = np.zeros(len(ordered) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, ordered), np.int64, len(ordered)), out=offsets[1:])
    return RaggedRows(np.fromiter(chain.from_iterable(ordered), np.float64, int(offsets[-1])), offsets)
