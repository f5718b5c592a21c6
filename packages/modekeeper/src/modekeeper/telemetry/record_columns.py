"""Decoded JSON records to columns, and which of them need a second look."""

from collections.abc import Sequence
from itertools import chain, compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modekeeper.model.sample import METRIC_COLUMNS
from modekeeper.telemetry.batch import Integers, RaggedRows
from modekeeper.telemetry.decode import LineDecoder
from modekeeper.telemetry.fields import FIELDS
from modekeeper.telemetry.gather import Gathered, metrics_of
from modekeeper.telemetry.moments import UNDECIDED, iso_column, iso_column_of, number_column, whole_column

__all__ = ["Columns", "no_columns", "record_columns", "without_doubt"]

Columns = dict[str, Any]
"""``ts_ms``, ``step``, ``metrics``, ``workers`` and ``names`` of a :class:`RecordBatch`."""

_STEP_TIME = METRIC_COLUMNS.index("step_time_ms")
_NOT_NEGATIVE = [METRIC_COLUMNS.index(f.name) for f in FIELDS if f.name in METRIC_COLUMNS and not f.negative]
_MEASURED = [METRIC_COLUMNS.index(f.name) for f in FIELDS if f.name in METRIC_COLUMNS and f.measured]


def record_columns(gathered: Gathered, decoder: LineDecoder, max_workers: int) -> tuple[Columns, set[int]]:
    """The records as columns, and those of them that need a second look for what only this kind of record has."""
    doubtful: set[int] = set()
    numbers = gathered.numbers()
    metrics = metrics_of(gathered.wire, numbers)
    workers = None
    counts: NDArray[Any] = ~np.isnan(metrics[_STEP_TIME])
    if "worker_latencies_ms" in gathered.values:
        latencies = gathered.values["worker_latencies_ms"]
        workers = _workers(latencies, metrics[_STEP_TIME].tolist())
        counts = np.diff(workers.offsets)
        doubtful.update(np.flatnonzero(counts > max_workers).tolist())
    names: dict[str, Sequence[Any]] = {
        field: [decoder.known_name(value)] * len(numbers) for field, value in gathered.wire.constants.items()
    }
    for field, values in gathered.values.items():
        if field == "worker_groups":
            names[field] = _groups(values, counts.tolist(), decoder, doubtful)
        elif field == "knobs":
            names[field] = _knobs(values, decoder, doubtful)
        elif field != "worker_latencies_ms":
            names[field] = _names(values, decoder)
    columns = {
        "ts_ms": _times(gathered),
        "step": numbers[:, 0].copy(),
        "metrics": metrics,
        "workers": workers,
        "names": names,
    }
    return columns, doubtful


def no_columns() -> Columns:
    """Of no record at all."""
    nothing = np.empty(0, np.int64)
    return {"ts_ms": nothing, "step": nothing, "metrics": np.empty((len(METRIC_COLUMNS), 0))}


def without_doubt(columns: Columns, doubtful: set[int]) -> tuple[Columns, NDArray[np.bool_]]:
    """Columns of the records that need no second look, and which of them all these are.

    Beside the ``doubtful`` ones, a second look is needed where there is no time, nothing measured, or a number that
    is out of range.
    """
    metrics, workers = columns["metrics"], columns["workers"]
    measured = ~np.isnan(metrics[_MEASURED]).all(axis=0)
    if workers is not None:
        measured |= np.diff(workers.offsets) > 0
    kept = (columns["ts_ms"] != UNDECIDED) & measured
    kept &= ~((metrics[_NOT_NEGATIVE] < 0).any(axis=0) | np.isinf(metrics).any(axis=0))
    kept[list(doubtful)] = False
    return (columns if kept.all() else _only(columns, kept)), kept


def _times(gathered: Gathered) -> Integers:
    values, wire = gathered.times, gathered.wire
    if wire.time_width:
        return iso_column_of("".join(values), wire.time_width, wire.time_unit_ms)
    if wire.time is str:
        return iso_column("".join(values), wire.time_unit_ms)
    if wire.time is int:
        return whole_column(np.array(values, np.int64), wire.time_unit_ms)
    return number_column(np.array(values, np.float64), wire.time_unit_ms)


def _names(values: list[Any], decoder: LineDecoder) -> list[str | None]:
    known = {value: None if value is None else decoder.known_name(value) for value in set(values)}
    if len(known) == 1:
        return list(known.values()) * len(values)
    clean = all(known[value] is value for value in known)
    return values if clean else [known[value] for value in values]


def _groups(values: list[Any], worker_counts: list[int], decoder: LineDecoder, doubtful: set[int]) -> list[Any]:
    """The peer groups; as many as there are workers, or the record is read on its own."""
    column: list[Any] = []
    for at, (groups, count) in enumerate(zip(values, worker_counts, strict=True)):
        known = None if groups is None else decoder.known_groups(groups)
        if known is not None and len(known) != count:
            doubtful.add(at)
        column.append(known)
    return column


def _knobs(values: list[Any], decoder: LineDecoder, doubtful: set[int]) -> list[Any]:
    """The knobs; neighbours with the same values share one copy."""
    column: list[Any] = []
    last: dict[str, float] | None = None
    for at, knobs in enumerate(values):
        if not knobs:
            column.append(None)
            continue
        if last is None or knobs != last or list(knobs) != list(last):
            last = knobs
        if not decoder.knobs_usable(knobs):
            doubtful.add(at)
        column.append(last)
    return column


def _workers(latencies: list[Any], step_times_ms: list[float]) -> RaggedRows:
    """The latencies of the workers; where there are none, the step time stands for the one worker."""
    rows: list[tuple[float, ...]] = [
        row or ((step_time_ms,) if step_time_ms == step_time_ms else ())  # noqa: PLR0124 - NaN is missing
        for row, step_time_ms in zip(latencies, step_times_ms, strict=True)
    ]
    offsets = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, rows), np.int64, len(rows)), out=offsets[1:])
    return RaggedRows(np.fromiter(chain.from_iterable(rows), np.float64, int(offsets[-1])), offsets)


def _only(columns: Columns, kept: NDArray[np.bool_]) -> Columns:
    workers = columns["workers"]
    if workers is not None:
        counts = np.diff(workers.offsets)
        offsets = np.zeros(np.count_nonzero(kept) + 1, np.int64)
        np.cumsum(counts[kept], out=offsets[1:])
        workers = RaggedRows(workers.values[np.repeat(kept, counts)], offsets)
    chosen = kept.tolist()
    return {
        "ts_ms": columns["ts_ms"][kept],
        "step": columns["step"][kept],
        "metrics": columns["metrics"][:, kept],
        "workers": workers,
        "names": {name: list(compress(column, chosen)) for name, column in columns["names"].items()},
    }
