"""Streams with something in them that is no slowdown, made from steady runs."""

from typing import NamedTuple

import numpy as np
from benchmarks.detect.columns import block_of, end_times, step_times
from benchmarks.detect.stragglers import WORKERS, healthy_workers
from benchmarks.detect.traces import Trace, TraceFolder, steady_stretch

from modekeeper.model.block import FloatColumn, SampleBlock

__all__ = ["Case", "Source"]

STEADY_SOURCES = ("nanogpt_flat", "mlperf_gnn_iter")
WORKER_SOURCES = ("nanogpt_flat", "mlperf_gnn_iter", "straggler_bytedance")
SAMPLES = 600
ONSET = 300
PAUSE_EVERY = 125
RESTART_GAP_MS = 600_000
WARM_UP_SAMPLES = 15
SILENT_SHARE = 0.15
UNMEASURED_SHARE = 0.3


class Case(NamedTuple):
    """One disturbed stream."""

    block: SampleBlock
    places: tuple[int, ...] = ()
    """Samples at which it was disturbed."""
    workers: tuple[int, ...] = ()
    """Workers that are slow in it."""


class Source:
    """Where the streams come from: random stretches of the steady runs.

    Args:
        traces: the folder.
        rng: everything random is drawn from it.
    """

    def __init__(self, traces: TraceFolder, rng: np.random.Generator) -> None:
        self._traces = traces
        self._rng = rng

    def _steady(self, samples: int = SAMPLES) -> FloatColumn:
        return self._steady_of(samples)[1]

    def _steady_of(self, samples: int) -> tuple[Trace, FloatColumn]:
        suite = STEADY_SOURCES[int(self._rng.integers(len(STEADY_SOURCES)))]
        runs = self._traces.suite(suite)
        while True:
            run = runs[int(self._rng.integers(len(runs)))]
            values = steady_stretch(run, samples, samples, self._rng)
            if values is not None:
                return run, values.copy()

    def _losses(self) -> FloatColumn:
        """Training losses of a real run, all finite."""
        runs = self._traces.suite("nanogpt_flat")
        while True:
            losses = runs[int(self._rng.integers(len(runs)))].block.metrics["loss"]
            start = int(self._rng.integers(200, len(losses) - SAMPLES))
            stretch = losses[start : start + SAMPLES].copy()
            if np.isfinite(stretch).all():
                return stretch

    def _workers(self) -> FloatColumn:
        source = WORKER_SOURCES[int(self._rng.integers(len(WORKER_SOURCES)))]
        return healthy_workers(self._traces, source, self._rng)

    def _factor(self, low: float, high: float) -> float:
        return float(self._rng.uniform(low, high))

    def undisturbed(self) -> Case:
        """Nothing at all: what the noise of the runs alone makes the detectors say."""
        return Case(step_times(self._steady()))

    def missing_ranks(self) -> Case:
        """Some ranks silent in each step, one for good, and some records without worker times."""
        workers = self._workers()
        self._silence(workers)
        return Case(block_of(len(workers), {"step_time_ms": np.nanmax(workers, axis=1)}, workers=workers))

    def missing_ranks_one_slow(self) -> Case:
        """The same, and one of the ranks that speak is slow from a step on."""
        workers = self._workers()
        slow = int(self._rng.integers(WORKERS - 1))
        start = int(self._rng.integers(40, 70))
        workers[start:, slow] *= self._factor(1.7, 2.5)
        self._silence(workers)
        block = block_of(len(workers), {"step_time_ms": np.nanmax(workers, axis=1)}, workers=workers)
        return Case(block, (start,), (slow,))

    def _silence(self, workers: FloatColumn) -> None:
        silent = self._rng.random(workers.shape) < SILENT_SHARE
        silent[:, 0] = False
        silent[len(workers) // 3 :, WORKERS - 1] = True
        workers[silent] = np.nan

    def missing_fields(self) -> Case:
        """Three records of ten name no step time, nine of ten no loss."""
        values = self._steady()
        losses = self._losses()
        ends = end_times(values)
        values[self._rng.random(SAMPLES) < UNMEASURED_SHARE] = np.nan
        losses[self._rng.random(SAMPLES) < 1.0 - UNMEASURED_SHARE / 3] = np.nan
        return Case(block_of(SAMPLES, {"step_time_ms": values, "loss": losses}, ts_ms=ends))

    def missing_fields_and_change(self) -> Case:
        """The same, with a step a fifth to a third longer from a sample on."""
        values = self._steady()
        values[ONSET:] *= self._factor(1.2, 1.34)
        ends = end_times(values)
        values[self._rng.random(SAMPLES) < UNMEASURED_SHARE] = np.nan
        return Case(block_of(SAMPLES, {"step_time_ms": values}, ts_ms=ends), (ONSET,))

    def no_step_times(self) -> Case:
        """Losses alone."""
        ends = end_times(self._steady())
        return Case(block_of(SAMPLES, {"loss": self._losses()}, ts_ms=ends))

    def short(self) -> Case:
        """Fewer samples than a level is learned from."""
        return Case(step_times(self._steady(int(self._rng.integers(5, 40)))))

    def restart(self) -> Case:
        """Ten minutes of nothing, a step counter that goes back, and a warm-up again: the run's own, and slower.

        The run's beginning is brought to the level of the stretch: some runs wander by 2 %.
        """
        run, values = self._steady_of(ONSET)
        begin = run.step_time_ms[:ONSET] * np.median(values) / np.median(run.step_time_ms[WARM_UP_SAMPLES:ONSET])
        begin[:WARM_UP_SAMPLES] *= np.linspace(self._factor(2.0, 5.0), 1.0, WARM_UP_SAMPLES)
        both = np.concatenate((values, begin))
        ends = end_times(both)
        ends[ONSET:] += RESTART_GAP_MS
        step = np.arange(len(both), dtype=np.int64)
        step[ONSET:] -= int(self._rng.integers(1, 200))
        return Case(block_of(len(both), {"step_time_ms": both}, ts_ms=ends, step=step), (ONSET,))

    def announced_pauses(self) -> Case:
        """Records with the phase ``eval`` between the steps, 5 to 20 times as long."""
        return self._pauses(announced=True, length=1)

    def pauses(self) -> Case:
        """The same length of evaluation inside a training step, at equal spacings, and nobody says so."""
        return self._pauses(announced=False, length=1)

    def long_pauses(self) -> Case:
        """Six slow steps in a row, at equal spacings, and nobody says so."""
        return self._pauses(announced=False, length=6)

    def _pauses(self, *, announced: bool, length: int) -> Case:
        values = self._steady()
        usual = float(np.median(values))
        places = tuple(range(PAUSE_EVERY, SAMPLES - length, PAUSE_EVERY))
        phase: list[str | None] = ["train" if announced else None] * SAMPLES
        for place in places:
            values[place : place + length] = usual * self._factor(5.0, 20.0)
            phase[place] = "eval" if announced else None
        return Case(block_of(SAMPLES, {"step_time_ms": values}, phase=phase), places)

    def saved_between_steps(self) -> Case:
        """Minutes between two records every 200 steps, and no step any longer."""
        values = self._steady()
        ends = end_times(values)
        places = tuple(range(200, SAMPLES, 200))
        for place in places:
            ends[place:] += int(self._rng.integers(120_000, 300_000))
        return Case(block_of(SAMPLES, {"step_time_ms": values}, ts_ms=ends), places)

    def batch_size_doubled(self) -> Case:
        """Announced; the step takes 1.6 to 1.95 times as long."""
        return self._schedule("batch_size", 2.0, self._factor(1.6, 1.95))

    def batch_size_halved(self) -> Case:
        """Announced; the step takes 0.51 to 0.65 of the time."""
        return self._schedule("batch_size", 0.5, self._factor(0.51, 0.65))

    def sequence_length_raised(self) -> Case:
        """Announced; half as long again, and the step 1.2 to 1.6 times as long."""
        return self._schedule("seq_len", 1.5, self._factor(1.2, 1.6))

    def _schedule(self, column: str, factor: float, step_factor: float) -> Case:
        announced = np.full(SAMPLES, 512.0)
        announced[ONSET:] *= factor
        values = self._steady()
        values[ONSET:] *= step_factor
        metrics = {"step_time_ms": values, "throughput": 1000.0 * announced / values, column: announced}
        return Case(block_of(SAMPLES, metrics), (ONSET,))

    def batch_size_ramp(self) -> Case:
        """Announced, four times by an eighth, a hundred steps apart; the step takes as much longer."""
        announced = 512.0 * (1.0 + np.clip((np.arange(SAMPLES) - 100) // 100, 0, 4) / 8.0)
        values = self._steady() * announced / 512.0
        metrics = {"step_time_ms": values, "throughput": 1000.0 * announced / values, "batch_size": announced}
        return Case(block_of(SAMPLES, metrics), (200, 300, 400, 500))

    def learning_rate(self) -> Case:
        """Announced among the knobs; the loss falls by 10 to 30 % at once, as it does after a decay."""
        losses = self._losses()
        losses[ONSET:] *= self._factor(0.7, 0.9)
        rates = [{"learning_rate": 0.001 if place < ONSET else 0.0001} for place in range(SAMPLES)]
        metrics = {"step_time_ms": self._steady(), "loss": losses}
        return Case(block_of(SAMPLES, metrics, knobs=rates), (ONSET,))

    def loss_spikes(self) -> Case:
        """The loss is 1.5 to 4 times as high for 1 to 5 steps, three times."""
        losses = self._losses()
        places = tuple(range(200, SAMPLES, 150))
        for place in places:
            losses[place : place + int(self._rng.integers(1, 6))] *= self._factor(1.5, 4.0)
        return Case(block_of(SAMPLES, {"step_time_ms": self._steady(), "loss": losses}), places)

    def skipped_losses(self) -> Case:
        """One or two losses that are no finite number, as mixed precision makes, five times."""
        losses = self._losses()
        places = tuple(range(100, SAMPLES, 100))
        for place in places:
            losses[place : place + int(self._rng.integers(1, 3))] = np.inf
        return Case(block_of(SAMPLES, {"step_time_ms": self._steady(), "loss": losses}), places)

    def diverged(self) -> Case:
        """No finite loss from a sample on."""
        losses = self._losses()
        losses[ONSET:] = np.inf
        return Case(block_of(SAMPLES, {"step_time_ms": self._steady(), "loss": losses}), (ONSET,))

    def coarse_timer(self) -> Case:
        """A timer that counts in tenths of a step."""
        values = self._steady()
        unit = float(np.median(values)) / 10.0
        return Case(step_times(np.maximum(np.round(values / unit), 1.0) * unit))

    def alternating(self) -> Case:
        """Every second step 1.2 to 1.6 times as long, from the first one."""
        values = self._steady()
        values[::2] *= self._factor(1.2, 1.6)
        return Case(step_times(values))
