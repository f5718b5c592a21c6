"""Seeded scenarios: telemetry of a made-up training job that goes through known trouble.

Every number comes from ``numpy.random.Generator(PCG64)`` seeded by the caller, so one seed gives the same samples
on every machine and however they are read.
"""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modekeeper.model.block import FloatColumn, SampleBlock
from modekeeper.model.errors import BadInputError
from modekeeper.model.ingest import IngestCounters
from modekeeper.model.sample import METRIC_COLUMNS
from modekeeper.ports.clock import StopSignal

__all__ = ["DEFAULT_START_TS_MS", "Scenario", "Segment", "SyntheticSource", "find_scenario", "scenario_names"]

DEFAULT_START_TS_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z."""

WORKERS = 8
STAGES = ("stage-0", "stage-1")
WORKER_GROUPS = tuple(STAGES[rank * len(STAGES) // WORKERS] for rank in range(WORKERS))
KNOBS: dict[str, float] = {
    "concurrency": 4.0,
    "dataloader_prefetch_factor": 2.0,
    "grad_accum_steps": 4.0,
    "microbatch_size": 8.0,
    "timeout_ms": 30_000.0,
}
BATCH_SIZE = 8.0 * 4.0 * WORKERS
SEQ_LEN = 2048.0
SLOW_WORKER = 5

_INTERVAL_MS = 1000
_BLOCK = 4096
_STAGE_MS = (640.0, 720.0)
"""Compute time of a worker of each stage: the second stage is the longer one, and that is nobody's fault."""
_SYNC_MS = 110.0
_DATA_WAIT_MS = 24.0
_GPU_TOTAL_MB = 81_559.0
_DECIMALS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A stretch of a scenario: what is added to a healthy job.

    Attributes:
        name: what happens, for labels.
        samples: how long.
        data_wait_ms: added wait for input, reached after ``ramp`` samples.
        ramp: samples over which the wait grows to its full size.
        spikes: how many single slow steps are scattered over the stretch.
        slow_worker: how many times longer one worker takes.
        saturated: the GPUs are at their limits of work, memory and power.
        mixed: every second stretch of 60 samples comes from another machine with another GPU.
    """

    name: str
    samples: int
    data_wait_ms: float = 0.0
    ramp: int = 1
    spikes: int = 0
    slow_worker: float = 1.0
    saturated: bool = False
    mixed: bool = False


@dataclass(frozen=True, slots=True)
class Scenario:
    """A named sequence of segments."""

    name: str
    meaning: str
    segments: tuple[Segment, ...]

    @property
    def samples(self) -> int:
        """How long it is."""
        return sum(segment.samples for segment in self.segments)


def _steady(samples: int) -> Segment:
    return Segment(name="steady", samples=samples)


def _input_bound(samples: int) -> Segment:
    return Segment(name="input_bound", samples=samples, data_wait_ms=330.0, ramp=60)


def _spiky(samples: int, spikes: int) -> Segment:
    return Segment(name="burst", samples=samples, spikes=spikes)


def _straggling(samples: int) -> Segment:
    return Segment(name="straggler", samples=samples, slow_worker=1.9)


_SCENARIOS = {
    entry.name: entry
    for entry in (
        Scenario("stable", "a healthy job", (_steady(900),)),
        Scenario("drift", "steps grow slower: the input cannot keep up", (_steady(300), _input_bound(600))),
        Scenario("burst", "single slow steps, close together", (_steady(300), _spiky(120, 14), _steady(300))),
        Scenario("straggler", "one worker falls behind its peers", (_steady(300), _straggling(400))),
        Scenario(
            "gpu_saturated",
            "the GPUs are at their limits",
            (_steady(200), Segment(name="gpu_saturated", samples=500, saturated=True)),
        ),
        Scenario(
            "mixed_environment",
            "two machines with different GPUs take turns",
            (Segment(name="mixed", samples=600, mixed=True),),
        ),
        Scenario(
            "incident_and_recovery",
            "input-bound, then bursts, then a straggler, each followed by recovery",
            (
                _steady(300),
                _input_bound(250),
                Segment(name="recovered", samples=300),
                _spiky(100, 12),
                Segment(name="recovered", samples=300),
                _straggling(200),
                Segment(name="recovered", samples=300),
            ),
        ),
    )
}


def scenario_names() -> tuple[str, ...]:
    """The scenarios there are, in the order of the documentation."""
    return tuple(_SCENARIOS)


def find_scenario(name: str) -> Scenario:
    """One scenario, with what happens when.

    Raises:
        BadInputError: there is no such scenario.
    """
    found = _SCENARIOS.get(name)
    if found is None:
        close = difflib.get_close_matches(name, _SCENARIOS, 1)
        hint = f"Did you mean '{close[0]}'?" if close else f"Choose from: {', '.join(_SCENARIOS)}."
        raise BadInputError(f"no such scenario: {name[:80]!a}. {hint}")
    return found


class SyntheticSource:
    """Samples of a scenario, one a second of telemetry time, as fast as they are read.

    Args:
        scenario: one of ``scenario_names()``, or one of your own.
        seed: not negative; the same seed gives the same samples.
        duration_s: how many samples: fewer cut the scenario, more let its last segment go on.
        start_ts_ms: time of the first sample, Unix milliseconds.
        samples_per_read: give so many samples each time ``blocks`` is called, as a growing file would; all at once
            by default.

    Raises:
        BadInputError: there is no such scenario, or a number is out of range.
    """

    def __init__(
        self,
        scenario: str | Scenario,
        seed: int = 0,
        duration_s: int | None = None,
        start_ts_ms: int = DEFAULT_START_TS_MS,
        samples_per_read: int | None = None,
    ) -> None:
        self.scenario = scenario if isinstance(scenario, Scenario) else find_scenario(scenario)
        if seed < 0:
            raise BadInputError(f"the seed cannot be negative: {seed}. Give a whole number from 0.")
        if duration_s is not None and duration_s < 0:
            raise BadInputError(f"the duration cannot be negative: {duration_s}. Give whole seconds from 0.")
        self._seed = seed
        self._start_ts_ms = start_ts_ms
        self._total = self.scenario.samples if duration_s is None else duration_s
        self._given = 0
        self._samples_per_read = samples_per_read
        self._offsets, self._segments = _offsets_of(self.scenario)
        self._spikes = _spikes_of(self.scenario, seed)

    @property
    def describe(self) -> str:
        """What is read, for a person."""
        return f"synthetic scenario {self.scenario.name}, seed {self._seed}, {self._total} samples"

    def blocks(self, stop: StopSignal) -> Iterator[SampleBlock]:
        """All samples not given yet, or the next ``samples_per_read`` of them."""
        end = self._total
        if self._samples_per_read is not None:
            end = min(end, self._given + self._samples_per_read)
        while self._given < end and not stop.is_set():
            # Noise is drawn by whole blocks, so that a sample does not depend on where reading began.
            number, inside = divmod(self._given, _BLOCK)
            block = self._block(number, min(_BLOCK, end - number * _BLOCK))
            self._given = block.first_index + len(block)
            yield block.part(inside, len(block)) if inside else block

    def flush(self) -> Iterator[SampleBlock]:
        """Nothing waits."""
        yield from ()

    def counters(self) -> IngestCounters:
        """Every sample is accepted."""
        return IngestCounters(read_total=self._given, accepted_total=self._given)

    def position(self) -> dict[str, Any]:
        """Which samples have been given."""
        return {"source": "synthetic", "scenario": self.scenario.name, "seed": self._seed, "given": self._given}

    def resume(self, position: dict[str, Any]) -> None:
        """Go on from a ``position`` of an earlier process.

        Raises:
            BadInputError: it is of another scenario or seed.
        """
        given = position.get("given")
        expected = {"source": "synthetic", "scenario": self.scenario.name, "seed": self._seed, "given": given}
        if position != expected or type(given) is not int or given < 0:
            raise BadInputError(
                "cannot go on from the saved position: it is not one of this scenario and seed. Start without it."
            )
        self._given = given

    def _block(self, number: int, count: int) -> SampleBlock:
        rng = np.random.Generator(np.random.PCG64([self._seed, number]))
        noise = rng.standard_normal((_BLOCK, _NOISE_COLUMNS))[:count]
        index = number * _BLOCK + np.arange(count, dtype=np.int64)
        segment = np.searchsorted(self._offsets, index, side="right") - 1
        trouble = _Trouble.of(self._segments, segment, index - self._offsets[segment])
        spike = np.ones(count)
        for at, factor in self._spikes.items():
            if 0 <= at - number * _BLOCK < count:
                spike[at - number * _BLOCK] = factor
        workers = _worker_times(noise, trouble, spike)
        metrics = _metrics(noise, trouble, workers, index)
        return SampleBlock(
            first_index=int(index[0]),
            ts_ms=self._start_ts_ms + index * _INTERVAL_MS,
            step=index,
            metrics=metrics,
            workers=workers,
            worker_groups=[WORKER_GROUPS] * count,
            node=["node-b" if other else "node-a" for other in trouble.other_machine],
            gpu_model=[_A100 if other else _H100 for other in trouble.other_machine],
            phase=["train"] * count,
            knobs=[KNOBS] * count,
        )


_H100 = "NVIDIA H100 80GB HBM3"
_A100 = "NVIDIA A100-SXM4-80GB"
_METRIC_NOISE = ("loss", "wait", "sync", "util", "memory", "power", "temp")
_NOISE_COLUMNS = WORKERS + len(_METRIC_NOISE)
_TURN = 60


@dataclass(frozen=True, slots=True)
class _Trouble:
    """What each sample of a block suffers from."""

    wait_ms: FloatColumn
    slow: FloatColumn
    saturated: NDArray[np.bool_]
    other_machine: NDArray[np.bool_]

    @classmethod
    def of(cls, segments: tuple[Segment, ...], segment: NDArray[np.intp], inside: NDArray[np.int64]) -> "_Trouble":
        def each(values: list[float]) -> FloatColumn:
            return np.array(values, dtype=np.float64)[segment]

        grown = np.minimum(1.0, (inside + 1) / each([s.ramp for s in segments]))
        return cls(
            wait_ms=each([s.data_wait_ms for s in segments]) * grown,
            slow=each([s.slow_worker for s in segments]),
            saturated=each([s.saturated for s in segments]) > 0,
            other_machine=(each([s.mixed for s in segments]) > 0) & (inside // _TURN % 2 == 1),
        )


def _offsets_of(chosen: Scenario) -> tuple[NDArray[np.int64], tuple[Segment, ...]]:
    lengths = [segment.samples for segment in chosen.segments]
    return np.concatenate([[0], np.cumsum(lengths[:-1], dtype=np.int64)]).astype(np.int64), chosen.segments


def _spikes_of(chosen: Scenario, seed: int) -> dict[int, float]:
    """Which samples are slow, and how many times: irregular, never two in a row, none at the very end."""
    spikes: dict[int, float] = {}
    offset = 0
    for number, segment in enumerate(chosen.segments):
        if segment.spikes:
            rng = np.random.Generator(np.random.PCG64([seed, number, segment.spikes]))
            places = np.sort(rng.choice(segment.samples // 2 - 1, segment.spikes, replace=False)) * 2
            factors = rng.uniform(2.5, 5.0, segment.spikes)
            spikes |= {offset + int(at): float(f) for at, f in zip(places, factors, strict=True)}
        offset += segment.samples
    return spikes


def _worker_times(noise: FloatColumn, trouble: _Trouble, spike: FloatColumn) -> FloatColumn:
    base = np.array([_STAGE_MS[STAGES.index(group)] for group in WORKER_GROUPS])
    workers = base * np.exp(0.012 * noise[:, :WORKERS])
    workers[:, SLOW_WORKER] *= trouble.slow
    workers *= np.where(trouble.other_machine, 1.04, 1.0)[:, None]
    # A pause (checkpoint, network) hits every worker alike.
    return np.round(workers * spike[:, None], _DECIMALS)


def _metrics(
    noise: FloatColumn, trouble: _Trouble, workers: FloatColumn, index: NDArray[np.int64]
) -> dict[str, FloatColumn]:
    wobble = {name: noise[:, WORKERS + column] for column, name in enumerate(_METRIC_NOISE)}
    wait_ms = (_DATA_WAIT_MS + trouble.wait_ms) * np.exp(0.05 * wobble["wait"])
    step_time_ms = workers.max(axis=1) + _SYNC_MS * np.exp(0.03 * wobble["sync"]) + wait_ms
    busy = np.median(workers, axis=1) / step_time_ms
    util = np.where(trouble.saturated, 99.4 + 0.2 * wobble["util"], 104.0 * busy + 0.8 * wobble["util"])
    memory = np.where(trouble.saturated, 0.972 + 0.002 * wobble["memory"], 0.78 + 0.002 * wobble["memory"])
    power = np.where(trouble.saturated, 697.0 + wobble["power"], 180.0 + 4.6 * util + 6.0 * wobble["power"])
    full = {name: np.full(len(index), np.nan) for name in METRIC_COLUMNS}
    full |= {
        "step_time_ms": step_time_ms,
        "loss": (1.9 + 8.6 / np.sqrt(1.0 + index / 25.0)) * np.exp(0.006 * wobble["loss"]),
        "throughput": BATCH_SIZE * SEQ_LEN * 1000.0 / step_time_ms,
        "data_wait_ms": wait_ms,
        "gpu_util_pct": np.clip(util, 0.0, 100.0),
        "gpu_mem_used_mb": memory * _GPU_TOTAL_MB,
        "gpu_mem_total_mb": np.full(len(index), _GPU_TOTAL_MB),
        "gpu_power_w": np.clip(power, 60.0, 700.0),
        "gpu_temp_c": 46.0 + 0.03 * power + 0.4 * wobble["temp"],
        "batch_size": np.full(len(index), BATCH_SIZE),
        "seq_len": np.full(len(index), SEQ_LEN),
    }
    return {name: np.round(column, _DECIMALS) for name, column in full.items()}
