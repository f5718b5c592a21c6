"""A stream of samples thinned to a bounded series that keeps the extremes."""

import math
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from modekeeper.artifacts.contracts.parts import SeriesPoint, Telemetry
from modekeeper.model.block import SampleBlock
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
        unseen = [name for name in METRIC_COLUMNS if name not in state.metrics_seen]
        seen = [name for name in unseen if not np.isnan(block.metrics[name]).all()]
        if seen:
            state.metrics_seen = sorted([*state.metrics_seen, *seen])
        with np.errstate(over="ignore"):
            self._take(_Numbers.of(block, [name for name in _MEANS if name in state.metrics_seen]))

    def _take(self, numbers: "_Numbers") -> None:
        state, block = self._state, numbers.block
        start = 0
        while start < len(block):
            whole = (len(block) - start) // state.run_length if state.open_run is None else 0
            if whole:
                whole = min(whole, 2 * self._points - len(state.runs))
                state.runs += numbers.whole_runs(start, whole, state.run_length)
                start += whole * state.run_length
                self._join()
                continue
            run = state.open_run or _started(block, start)
            stop = min(len(block), start + state.run_length - run.samples)
            numbers.extend(run, start, stop)
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


class _Numbers(NamedTuple):
    """The columns of a block that are summed.

    Each number is added in its turn: pairwise summation would depend on where a block ends. What is not finite is 0
    here, and adds nothing.
    """

    block: SampleBlock
    names: list[str]
    table: NDArray[np.float64]
    """``float64[len(names), n]``"""
    finite: NDArray[np.bool_] | None
    """Which of them were; ``None``: all."""

    @classmethod
    def of(cls, block: SampleBlock, names: list[str]) -> "_Numbers":
        table = np.array([block.metrics[name] for name in names]).reshape(len(names), len(block))
        finite = np.isfinite(table)
        if finite.all():
            return cls(block, names, table, None)
        table[~finite] = 0.0
        return cls(block, names, table, finite)

    def extend(self, run: _Run, start: int, stop: int) -> None:
        """Take samples ``start`` up to ``stop`` into a run."""
        run.samples += stop - start
        sums = np.empty((len(self.names), stop - start + 1))
        sums[:, 0] = [run.sums.get(name, (0.0, 0))[0] for name in self.names]
        sums[:, 1:] = self.table[:, start:stop]
        totals = np.add.accumulate(sums, axis=1)[:, -1].tolist()
        counts = [stop - start] * len(self.names)
        if self.finite is not None:
            counts = np.count_nonzero(self.finite[:, start:stop], axis=1).tolist()
        for name, total, count in zip(self.names, totals, counts, strict=True):
            if count:
                run.sums[name] = (total, count + run.sums.get(name, (0.0, 0))[1])
        if "step_time_ms" in self.names:
            place = self.names.index("step_time_ms")
            times = self.table[place, start:stop]
            if self.finite is not None:
                times = times[self.finite[place, start:stop]]
            if times.size:
                run.low = _smaller(run.low, float(times.min()))
                run.high = _larger(run.high, float(times.max()))

    def whole_runs(self, start: int, count: int, length: int) -> list[_Run]:
        """``count`` runs of ``length`` samples each, from ``start`` on."""
        stop = start + count * length
        table = self.table[:, start:stop].reshape(-1, count, length)
        # In turn from 0, which makes a negative zero a positive one.
        totals = (np.add.accumulate(table, axis=2)[:, :, -1] + 0.0).T.tolist()
        counts = [[length] * len(self.names)] * count
        if self.finite is not None:
            counts = np.count_nonzero(self.finite[:, start:stop].reshape(-1, count, length), axis=2).T.tolist()
        begun = zip(
            self.block.ts_ms[start:stop:length].tolist(),
            range(self.block.first_index + start, self.block.first_index + stop, length),
            self.block.step[start:stop:length].tolist(),
            self.block.node[start:stop:length],
            self.block.gpu_model[start:stop:length],
            totals,
            counts,
            strict=True,
        )
        runs = [
            _Run(
                ts_ms=ts_ms,
                index=index,
                step=None if step < 0 else step,
                node=node,
                gpu_model=gpu_model,
                samples=length,
                sums={
                    name: sums for name, sums in zip(self.names, zip(*run_sums, strict=True), strict=True) if sums[1]
                },
            )
            for ts_ms, index, step, node, gpu_model, *run_sums in begun
        ]
        if "step_time_ms" in self.names:
            place = self.names.index("step_time_ms")
            lows = highs = table[place]
            if self.finite is not None:
                finite = self.finite[place, start:stop].reshape(count, length)
                lows, highs = np.where(finite, lows, np.inf), np.where(finite, highs, -np.inf)
            extremes = zip(runs, lows.min(axis=1).tolist(), highs.max(axis=1).tolist(), strict=True)
            for run, low, high in extremes:
                if "step_time_ms" in run.sums:
                    run.low, run.high = low, high
        return runs


def _joined(left: _Run, right: _Run) -> _Run:
    """Two neighbours as one; ``left`` becomes it."""
    left.samples += right.samples
    for name, (total, count) in right.sums.items():
        before, before_count = left.sums.get(name, (0.0, 0))
        left.sums[name] = (before + total, before_count + count)
    left.low, left.high = _smaller(left.low, right.low), _larger(left.high, right.high)
    return left


def _smaller(left: float | None, right: float | None) -> float | None:
    if left is None or right is None:
        return right if left is None else left
    return min(left, right)


def _larger(left: float | None, right: float | None) -> float | None:
    if left is None or right is None:
        return right if left is None else left
    return max(left, right)


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
