"""From the tables of one window to one sample a grid point."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from modekeeper.model.block import MISSING_STEP, FloatColumn, SampleBlock
from modekeeper.model.sample import METRIC_COLUMNS
from modekeeper.telemetry.prometheus.queries import JOINED_BY, Joined
from modekeeper.telemetry.prometheus.roster import Roll
from modekeeper.telemetry.prometheus.tables import Row, Table
from modekeeper.telemetry.prometheus.windows import Window

__all__ = ["gpus_heard", "join"]

_LONGEST_NAME = 253
_CONTEXT = frozenset({"gpu_mem_total_mb", "batch_size", "seq_len"})
"""Fields that alone make no sample: nothing was measured."""
_OF_GPUS = ("gpu_util_pct", "gpu_engine_pct", "gpu_mem_used_mb", "gpu_mem_free_mb", "gpu_power_w", "gpu_temp_c")


def join(tables: Mapping[str, Table], window: Window, workers: Roll, first_index: int) -> SampleBlock:
    """The samples of one window: those grid points at which anything was measured.

    Args:
        tables: by the part of a sample that was asked for.
        window: the grid points.
        workers: the step times of the workers that are told apart, lined up.
        first_index: number of the first sample in the stream.
    """
    points = window.points
    rows = {part: [row.values for row in table.rows] for part, table in tables.items()}
    metrics = {name: np.full(points, np.nan) for name in METRIC_COLUMNS}
    for name in METRIC_COLUMNS:
        if JOINED_BY[name] is not Joined.FULLEST and rows.get(name):
            metrics[name] = _joined(JOINED_BY[name], rows[name], points)
    if rows.get("gpu_engine_pct"):
        engine = _joined(JOINED_BY["gpu_util_pct"], rows["gpu_engine_pct"], points)
        metrics["gpu_util_pct"] = np.where(np.isnan(metrics["gpu_util_pct"]), engine, metrics["gpu_util_pct"])
    metrics["gpu_mem_used_mb"], metrics["gpu_mem_total_mb"] = _memory(tables, points)
    step = _joined(JOINED_BY["step"], rows.get("step", []), points)
    measured = ~np.isnan([metrics[name] for name in METRIC_COLUMNS if name not in _CONTEXT]).all(axis=0)
    kept = np.flatnonzero(measured)
    times = window.start_ms + kept.astype(np.int64) * window.step_ms
    gpus = [row for part in _OF_GPUS if part in tables for row in tables[part].rows]
    return SampleBlock(
        first_index=first_index,
        ts_ms=times,
        step=np.where(np.isnan(step), MISSING_STEP, np.nan_to_num(step)).astype(np.int64)[kept],
        metrics={name: column[kept] for name, column in metrics.items()},
        workers=_workers(workers, metrics["step_time_ms"])[kept],
        worker_groups=[None] * len(kept),
        node=_only(_named(gpus, "Hostname", points), kept),
        gpu_model=_all_of(_named(gpus, "modelName", points), kept),
        phase=[None] * len(kept),
        knobs=[None] * len(kept),
    )


def gpus_heard(tables: Mapping[str, Table], points: int) -> dict[tuple[str, str], FloatColumn]:
    """For each GPU of dcgm-exporter 0 where it said anything at all, else ``NaN``."""
    heard: dict[tuple[str, str], FloatColumn] = {}
    for part in _OF_GPUS:
        for row in tables[part].rows if part in tables else ():
            known = heard.setdefault(row.entity, np.full(points, np.nan))
            known[~np.isnan(row.values)] = 0.0
    return heard


def _joined(how: Joined, rows: Sequence[FloatColumn], points: int) -> FloatColumn:
    if not rows:
        return np.full(points, np.nan)
    if how is Joined.MAX:
        return np.asarray(np.fmax.reduce(rows), dtype=np.float64)
    if how is Joined.MIN:
        return np.asarray(np.fmin.reduce(rows), dtype=np.float64)
    # Row by row: numpy's own sum depends on how many columns there are, in the last bit.
    total, count = np.zeros(points), np.zeros(points)
    for row in rows:
        there = ~np.isnan(row)
        total[there] += row[there]
        count += there
    joined = np.full(points, np.nan)
    some = count > 0
    joined[some] = total[some] / count[some] if how is Joined.MEAN else total[some]
    return joined


def _memory(tables: Mapping[str, Table], points: int) -> tuple[FloatColumn, FloatColumn]:
    """Used and total memory of the GPU that is fullest; of the one with most in use, where totals are unknown."""
    nobody = np.full(points, np.nan)
    used = _by_entity(tables, "gpu_mem_used_mb")
    free = _by_entity(tables, "gpu_mem_free_mb")
    named = _by_entity(tables, "gpu_mem_total_mb")
    largest = _joined(Joined.MAX, list(named.values()), points)
    totals = {each: used.get(each, nobody) + row for each, row in free.items()} | named
    if not used:
        return nobody, largest
    best, best_used, best_total = np.full(points, -1.0), nobody.copy(), nobody.copy()
    for entity, row in used.items():
        total = totals.get(entity, nobody)
        share = np.divide(row, total, out=np.full(points, -1.0), where=total > 0)
        # Those with a known share come before those without, which are told apart by what they use.
        more = ~np.isnan(row) & ((share > best) | ((best < 0) & (share < 0) & ~(row <= best_used)))
        best = np.where(more, share, best)
        best_used = np.where(more, row, best_used)
        best_total = np.where(more & (total > 0), total, np.where(more, np.nan, best_total))
    # Totals that are told of something else than what is used, of pods and not of GPUs, are still totals.
    return best_used, np.where(np.isnan(best_total) & ~np.isnan(best_used), largest, best_total)


def _by_entity(tables: Mapping[str, Table], part: str) -> dict[tuple[str, str], FloatColumn]:
    return tables[part].by_entity() if part in tables else {}


def _workers(workers: Roll, step_time_ms: FloatColumn) -> FloatColumn:
    """Those of the workers; where none is told apart the step time stands for the one worker."""
    single = ~workers.present & ~np.isnan(step_time_ms)
    table = np.where(workers.present[:, np.newaxis], workers.table, np.nan)
    if not single.any():
        return table
    if not table.shape[1]:
        return step_time_ms[:, np.newaxis].copy()
    table[single, 0] = step_time_ms[single]
    return table


def _named(rows: Iterable[Row], label: str, points: int) -> dict[str, NDArray[np.bool_]]:
    """At which grid points a series with this value of a label said anything, in the order of the values."""
    found: dict[str, NDArray[np.bool_]] = {}
    for row in rows:
        name = _clean(row.labels.get(label, ""))
        if name:
            found[name] = found.get(name, np.zeros(points, np.bool_)) | ~np.isnan(row.values)
    return dict(sorted(found.items()))


def _only(named: Mapping[str, NDArray[np.bool_]], kept: NDArray[np.intp]) -> list[str | None]:
    """The one name there is at a grid point, else ``None``."""
    found: list[str | None] = [None] * len(kept)
    if named:
        there = np.array(list(named.values()))[:, kept]
        names = list(named)
        single, which = there.sum(axis=0) == 1, there.argmax(axis=0)
        for at in np.flatnonzero(single):
            found[at] = names[which[at]]
    return found


def _all_of(named: Mapping[str, NDArray[np.bool_]], kept: NDArray[np.intp]) -> list[str | None]:
    """All names there are at a grid point, joined."""
    columns = [(name, there[kept]) for name, there in named.items()]
    joined = (" + ".join(name for name, there in columns if there[at]) for at in range(len(kept)))
    return [text[:_LONGEST_NAME] or None for text in joined]


def _clean(text: str) -> str:
    return "".join(char for char in text if char.isprintable()).strip()[:_LONGEST_NAME]
