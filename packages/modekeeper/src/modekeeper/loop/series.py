"""A stream of samples thinned to a bounded series that keeps the extremes."""

import math
from typing import Any

import msgspec
import numpy as np

from modekeeper.artifacts.contracts.parts import SeriesPoint, Telemetry
from modekeeper.model.block import FloatColumn, SampleBlock
from modekeeper.model.sample import METRIC_COLUMNS

__all__ = ["SeriesRecorder"]

_MEANS = ("step_time_ms", "loss", "throughput", "gpu_util_pct", "gpu_mem_used_mb", "gpu_power_w", "gpu_temp_c")


class _Run(msgspec.Struct, kw_only=True):
    """Sums over neighbouring samples, each added in its turn: the result does not depend on block borders."""

    ts_ms: int
    index: int
    step: int | None
    node: str | None
    gpu_model: str | None
    samples: int = 0
    sums: dict[str, tuple[float, int]] = {}
    low: float | None = None
    high: float | None = None


class _State(msgspec.Struct, kw_only=True):
    """All a recorder remembers. Plain values: it can be written down and read back."""

    run_length: int = 1
    runs: list[_Run] = []
    open_run: _Run | None = None
    count: int = 0
    first: tuple[int, int | None] | None = None
    last: tuple[int, int | None] | None = None
    workers_max: int = 0
    metrics_seen: list[str] = []
    """Sorted: the order of a set differs from process to process."""


class SeriesRecorder:
    """At most ``2 * points`` runs of samples, each of the same length, whatever the length of the stream.

    When there are too many, neighbours are joined and the runs from then on are twice as long.
    """

    def __init__(self, points: int = 600) -> None:
        self._points = points
        self._state = _State()
        self._told: Telemetry | None = None
        """The series as it was last asked for: several reports ask for the same one."""

    def add(self, block: SampleBlock) -> None:
        """Take in the next samples of the stream."""
        if not len(block):
            return
        self._told = None
        state = self._state
        state.first = state.first or (int(block.ts_ms[0]), block.step_at(0))
        state.last = (int(block.ts_ms[-1]), block.step_at(len(block) - 1))
        state.count += len(block)
        state.workers_max = max(state.workers_max, block.workers.shape[1])
        seen = [n for n in METRIC_COLUMNS if not np.isnan(block.metrics[n]).all()]
        if not set(seen).issubset(state.metrics_seen):
            state.metrics_seen = sorted({*state.metrics_seen, *seen})
        means = [name for name in _MEANS if name in seen]
        start = 0
        while start < len(block):
            whole = (len(block) - start) // state.run_length if state.open_run is None else 0
            if whole:
                whole = min(whole, 2 * self._points - len(state.runs))
                state.runs += _whole_runs(block, start, whole, state.run_length, means)
                start += whole * state.run_length
                self._join()
                continue
            run = state.open_run or _started(block, start)
            stop = min(len(block), start + state.run_length - run.samples)
            _extend(run, block, start, stop, means)
            state.open_run = run
            start = stop
            if run.samples == state.run_length:
                state.runs.append(run)
                state.open_run = None
                self._join()

    @property
    def sample_count(self) -> int:
        """Samples taken in so far."""
        return self._state.count

    @property
    def first(self) -> tuple[int, int | None] | None:
        """Time and step of the first sample; ``None`` before it."""
        return self._state.first

    def telemetry(self) -> Telemetry:
        """The series so far."""
        if self._told is None:
            self._told = self._telemetry()
        return self._told

    def _telemetry(self) -> Telemetry:
        state = self._state
        runs = [*state.runs, state.open_run] if state.open_run else state.runs
        return Telemetry(
            sample_count=state.count,
            first_ts_ms=state.first[0] if state.first else None,
            last_ts_ms=state.last[0] if state.last else None,
            first_step=state.first[1] if state.first else None,
            last_step=state.last[1] if state.last else None,
            workers_max=state.workers_max,
            metrics_seen=tuple(state.metrics_seen),
            samples_per_point=state.run_length,
            points=tuple(_point(run) for run in runs),
        )

    def snapshot(self) -> Any:
        """Everything remembered, as plain JSON values."""
        return msgspec.to_builtins(self._state)

    def restore(self, snapshot: Any) -> None:
        """Go on from a ``snapshot``.

        Raises:
            msgspec.ValidationError: it is not one.
        """
        self._state = msgspec.convert(snapshot, _State)
        self._told = None

    def _join(self) -> None:
        """Halve the runs when there are too many."""
        state = self._state
        if len(state.runs) == 2 * self._points:
            pairs = zip(state.runs[::2], state.runs[1::2], strict=True)
            state.runs = [_joined(left, right) for left, right in pairs]
            state.run_length *= 2


def _started(block: SampleBlock, position: int) -> _Run:
    return _Run(
        ts_ms=int(block.ts_ms[position]),
        index=block.first_index + position,
        step=block.step_at(position),
        node=block.node[position],
        gpu_model=block.gpu_model[position],
    )


def _whole_runs(block: SampleBlock, start: int, count: int, length: int, means: list[str]) -> list[_Run]:
    """The next ``count`` runs of ``length`` samples each, all of them in this block."""
    stop = start + count * length
    steps = block.step[start:stop:length].tolist()
    runs = [
        _Run(
            ts_ms=ts_ms,
            index=index,
            step=None if step < 0 else step,
            node=node,
            gpu_model=model,
            samples=length,
            sums={},
        )
        for ts_ms, index, step, node, model in zip(
            block.ts_ms[start:stop:length].tolist(),
            range(block.first_index + start, block.first_index + stop, length),
            steps,
            block.node[start:stop:length],
            block.gpu_model[start:stop:length],
            strict=True,
        )
    ]
    for name in means:
        table = block.metrics[name][start:stop].reshape(count, length)
        finite = np.isfinite(table)
        sizes = np.count_nonzero(finite, axis=1).tolist()
        with np.errstate(over="ignore"):
            # In turn, as where a run is taken in bit by bit; what is no number adds nothing.
            totals = np.add.accumulate(np.where(finite, table, 0.0), axis=1)[:, -1] + 0.0
        for run, total, size in zip(runs, totals.tolist(), sizes, strict=True):
            if size:
                run.sums[name] = (total, size)
        if name == "step_time_ms":
            lows = np.where(finite, table, np.inf).min(axis=1).tolist()
            highs = np.where(finite, table, -np.inf).max(axis=1).tolist()
            for run, low, high in zip(runs, lows, highs, strict=True):
                if run.sums:
                    run.low, run.high = low, high
    return runs


def _extend(run: _Run, block: SampleBlock, start: int, stop: int, means: list[str]) -> None:
    run.samples += stop - start
    for name in means:
        column = block.metrics[name][start:stop]
        finite = column[np.isfinite(column)]
        if finite.size:
            total, count = run.sums.get(name, (0.0, 0))
            run.sums[name] = (_added(total, finite), count + finite.size)
            if name == "step_time_ms":
                run.low = _smaller(run.low, float(finite.min()))
                run.high = _larger(run.high, float(finite.max()))


def _added(total: float, values: FloatColumn) -> float:
    """``total`` plus each value in turn: pairwise summation would depend on where a block ends."""
    with np.errstate(over="ignore"):
        return float(np.add.accumulate(np.concatenate(([total], values)))[-1])


def _joined(left: _Run, right: _Run) -> _Run:
    sums = dict(left.sums)
    for name, (total, count) in right.sums.items():
        before, before_count = sums.get(name, (0.0, 0))
        sums[name] = (before + total, before_count + count)
    return msgspec.structs.replace(
        left,
        samples=left.samples + right.samples,
        sums=sums,
        low=_smaller(left.low, right.low),
        high=_larger(left.high, right.high),
    )


def _smaller(left: float | None, right: float | None) -> float | None:
    return min((v for v in (left, right) if v is not None), default=None)


def _larger(left: float | None, right: float | None) -> float | None:
    return max((v for v in (left, right) if v is not None), default=None)


def _point(run: _Run) -> SeriesPoint:
    means = {name: _mean(*run.sums[name]) for name in run.sums}
    return SeriesPoint(
        ts_ms=run.ts_ms,
        index=run.index,
        samples=run.samples,
        step=run.step,
        step_time_min_ms=run.low,
        step_time_max_ms=run.high,
        node=run.node,
        gpu_model=run.gpu_model,
        **means,
    )


def _mean(total: float, count: int) -> float | None:
    mean = total / count
    return round(mean, 6) if math.isfinite(mean) else None
