"""Slow workers, made from real per-worker series.

Ten workers, each with the noise of a real run: its step times over their median, from a random place. Three sources:
ten runs of `nanogpt_flat`, ten stretches of `mlperf_gnn_iter` (heavy-tailed; a worker may share a run with another,
at another place), and the healthy workers of `straggler_bytedance`, their 32 steps repeated from a random place, as
one stage. The noise of the workers is independent, which is harder than workers that wait for each other. Slow
workers are 1.15 to 2.5 times slower; who, when and by how much is drawn from the seeds.

`found` is the share of slow workers named by a confirmed signal within 15 steps after they became slow, `delay` the
median number of steps until then (0: in the first slow step), `covered` the share of slow steps, from 15 on, in which a
standing finding names the worker. A false worker is one that a confirmed signal names anew while it is not slow, nor
was in the last 10 steps; they are given per 10,000 worker-steps.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from benchmarks.detect.columns import block_of, signals_of
from benchmarks.detect.tables import Bar, Section, Table, median_text, rate_text
from benchmarks.detect.traces import TraceFolder
from numpy.typing import NDArray

from modekeeper.detect.settings import DetectorSettings
from modekeeper.model.block import FloatColumn
from modekeeper.model.signal import Phase, Signal, SignalKind

__all__ = ["SCENARIOS", "SlowTimes", "stragglers_section"]

WORKERS = 10
STEPS = 160
BYTEDANCE_STEPS = 128
FOUND_WITHIN = 15
AFTERGLOW = 10
"""Steps after a slow time in which naming the worker is late, not false."""
FACTORS = ((1.15, 1.3), (1.3, 1.7), (1.7, 2.5))
LONGEST_EPISODE = 30
STEP_MS = 500.0
STAGE_MS = 800.0
FALSE_PER_10000 = 1.0
SOURCES = ("nanogpt_flat", "mlperf_gnn_iter", "straggler_bytedance")

SlowTimes = NDArray[np.bool_]
"""``bool[steps, workers]``: who is slow when."""


class Scenario(NamedTuple):
    """Who becomes slow, and when."""

    name: str
    slow: Callable[[int, np.random.Generator], SlowTimes]
    demanded: bool
    """Whether the slow workers are to be found; else nobody may be named."""


@dataclass(slots=True)
class StragglerScore:
    """Counts of one scenario."""

    slow_times: int = 0
    delays: list[int] = field(default_factory=list)
    due_steps: int = 0
    covered_steps: int = 0
    false: int = 0
    healthy_worker_steps: int = 0
    streams: int = 0

    @property
    def found(self) -> int:
        """Slow times named soon enough."""
        return sum(delay <= FOUND_WITHIN for delay in self.delays)

    def add(self, other: "StragglerScore") -> None:
        """Take the counts of another stream in."""
        for name in ("slow_times", "due_steps", "covered_steps", "false", "healthy_worker_steps", "streams"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.delays += other.delays


def _chosen(count: int) -> Callable[[int, np.random.Generator], SlowTimes]:
    """``count`` workers, slow together from a random step on."""

    def slow(steps: int, rng: np.random.Generator) -> SlowTimes:
        times = np.zeros((steps, WORKERS), dtype=np.bool_)
        workers = rng.choice(WORKERS, size=count, replace=False)
        times[int(rng.integers(40, 70)) :, workers] = True
        return times

    return slow


def _coming_and_going(steps: int, rng: np.random.Generator) -> SlowTimes:
    """One worker, slow for 20 to 30 steps and healthy for as long, again and again."""
    times = np.zeros((steps, WORKERS), dtype=np.bool_)
    worker, at = int(rng.integers(WORKERS)), int(rng.integers(30, 50))
    while at + LONGEST_EPISODE <= steps:
        length = int(rng.integers(20, LONGEST_EPISODE + 1))
        times[at : at + length, worker] = True
        at += length + int(rng.integers(20, LONGEST_EPISODE + 1))
    return times


def _most_steps(steps: int, rng: np.random.Generator) -> SlowTimes:
    """One worker, slow in nine steps of ten."""
    times = _chosen(1)(steps, rng)
    times &= (np.arange(steps) % 10 != int(rng.integers(10)))[:, None]
    return times


def _two_steps(steps: int, rng: np.random.Generator) -> SlowTimes:
    times = np.zeros((steps, WORKERS), dtype=np.bool_)
    start = int(rng.integers(40, steps - 10))
    times[start : start + 2, int(rng.integers(WORKERS))] = True
    return times


def _nobody(steps: int, _rng: np.random.Generator) -> SlowTimes:
    return np.zeros((steps, WORKERS), dtype=np.bool_)


SCENARIOS = (
    Scenario("one of ten", _chosen(1), demanded=True),
    Scenario("four of ten", _chosen(4), demanded=True),
    Scenario("a third (three of ten)", _chosen(3), demanded=True),
    Scenario("one, coming and going", _coming_and_going, demanded=True),
    Scenario("one, in nine steps of ten", _most_steps, demanded=True),
    Scenario("one, for two steps only", _two_steps, demanded=False),
    Scenario("nobody", _nobody, demanded=False),
)


def healthy_workers(traces: TraceFolder, source: str, rng: np.random.Generator) -> FloatColumn:
    """``float64[steps, 10]`` milliseconds of workers that are all healthy."""
    if source == "straggler_bytedance":
        trace = traces.suite(source)[0]
        stages, long = trace.label["peer_group"], {name.split("/")[1] for name in trace.label["straggler_workers"]}
        columns = trace.block.workers[:, [place for place, stage in enumerate(stages) if stage not in long]]
        noise = columns / np.median(columns, axis=0)
        picked = rng.permutation(np.arange(WORKERS) % noise.shape[1])
        rows = (np.arange(BYTEDANCE_STEPS)[:, None] + rng.integers(len(noise), size=WORKERS)) % len(noise)
        return np.asarray(STAGE_MS * noise[rows, picked])
    runs = [trace.settled_ms for trace in traces.suite(source)]
    order = np.concatenate([rng.permutation(len(runs)) for _ in range(-(-WORKERS // len(runs)))])
    workers = []
    for run in order[:WORKERS].tolist():
        values = runs[run]
        start = int(rng.integers(0, len(values) - STEPS + 1))
        workers.append(values[start : start + STEPS] / np.median(values))
    return STEP_MS * np.column_stack(workers)


def score_stream(workers: FloatColumn, slow: SlowTimes, signals: Iterable[Signal]) -> StragglerScore:
    """Named workers against slow ones, on one stream."""
    findings = [s for s in signals if s.kind is SignalKind.STRAGGLER and s.phase in (Phase.CONFIRMED, Phase.CLEARED)]
    named = named_times(findings, *workers.shape)
    result = StragglerScore(streams=1, healthy_worker_steps=int((~slow).sum()))
    for worker in range(workers.shape[1]):
        starts, stops = _runs(slow[:, worker])
        for start, stop in zip(starts, stops, strict=True):
            result.slow_times += 1
            said = np.flatnonzero(named[start : stop + AFTERGLOW, worker])
            result.delays += [int(said[0])] if len(said) else []
            result.due_steps += max(0, stop - start - FOUND_WITHIN)
            result.covered_steps += int(named[start + FOUND_WITHIN : stop, worker].sum())
        excused = np.zeros(len(slow), dtype=np.bool_)
        for start, stop in zip(starts, stops, strict=True):
            excused[start : stop + AFTERGLOW] = True
        result.false += sum(not excused[start] for start in _runs(named[:, worker])[0])
    return result


def named_times(findings: Sequence[Signal], steps: int, workers: int) -> SlowTimes:
    """Who is named by a standing finding after each step."""
    changes: dict[int, list[Signal]] = {}
    for signal in findings:
        changes.setdefault(signal.at_index, []).append(signal)
    named = np.zeros((steps, workers), dtype=np.bool_)
    standing: dict[str, tuple[int, ...]] = {}
    for step in range(steps):
        for signal in changes.get(step, []):
            if signal.phase is Phase.CONFIRMED:
                standing[signal.id] = signal.workers
            else:
                standing.pop(signal.id, None)
        named[step, sorted({worker for group in standing.values() for worker in group})] = True
    return named


def _runs(flags: SlowTimes) -> tuple[list[int], list[int]]:
    """Where runs of true values start, and where they stop; gaps of one step belong to the run."""
    edges = np.diff(np.concatenate(([0], flags.astype(np.int8), [0])))
    starts, stops = np.flatnonzero(edges == 1).tolist(), np.flatnonzero(edges == -1).tolist()
    kept = [place for place in range(1, len(starts)) if starts[place] - stops[place - 1] > 1]
    first = [starts[0], *(starts[place] for place in kept)] if starts else []
    last = [*(stops[place - 1] for place in kept), stops[-1]] if starts else []
    return first, last


class Setup(NamedTuple):
    """What every scenario is run with."""

    traces: TraceFolder
    settings: DetectorSettings
    seeds: Sequence[int]
    streams: int
    """Of each seed, source and range of factors."""


def run_scenario(scenario: Scenario, source: str, setup: Setup) -> list[StragglerScore]:
    """Counts by range of factors."""
    scores = [StragglerScore() for _ in FACTORS]
    for seed in setup.seeds:
        place = (SCENARIOS.index(scenario), SOURCES.index(source))
        rng = np.random.Generator(np.random.PCG64([seed, *place]))
        for stream in range(setup.streams * len(FACTORS)):
            low, high = FACTORS[stream % len(FACTORS)]
            workers = healthy_workers(setup.traces, source, rng)
            slow = scenario.slow(len(workers), rng)
            workers = np.where(slow, workers * rng.uniform(low, high, size=WORKERS), workers)
            block = block_of(len(workers), {"step_time_ms": workers.max(axis=1)}, workers=workers)
            score = score_stream(workers, slow, signals_of(block, setup.settings))
            scores[stream % len(FACTORS)].add(score)
    return scores


def stragglers_section(
    traces: TraceFolder, settings: DetectorSettings, *, seeds: Sequence[int], streams: int
) -> Section:
    """All scenarios on all sources; ``streams`` of each seed, source and range of factors."""
    setup = Setup(traces, settings, seeds, streams)
    rows: list[Sequence[object]] = []
    by_scenario: dict[str, StragglerScore] = {}
    everything = StragglerScore()
    for scenario in SCENARIOS:
        for source in SOURCES:
            scores = run_scenario(scenario, source, setup)
            total = by_scenario.setdefault(scenario.name, StragglerScore())
            for score in scores:
                total.add(score)
                everything.add(score)
            rows += _rows(scenario, source, scores)
    header = (
        "scenario", "source", "slower", "streams", "slow times", "found within 15", "found", "delay", "covered",
        "false workers", "per 10,000 worker-steps",
    )  # fmt: skip
    blamed = [_blamed(setup, given=given) for given in (True, False)]
    tables = [
        Table(header, rows, left=3),
        Table(("straggler_bytedance as it is: groups", "workers blamed", "undecided about"), blamed, left=3),
    ]
    text = (__doc__ or "").partition("\n\n")[2].strip() + f"\n\nSeeds {', '.join(map(str, seeds))}."
    return Section("Stragglers", text, tables, _bars(by_scenario, everything, blamed))


def _rows(scenario: Scenario, source: str, scores: Sequence[StragglerScore]) -> list[Sequence[object]]:
    if not scenario.demanded:
        total = StragglerScore()
        for score in scores:
            total.add(score)
        return [_row(scenario, source, "-", total)]
    return [
        _row(scenario, source, f"{low:g} to {high:g}", score)
        for (low, high), score in zip(FACTORS, scores, strict=True)
    ]


def _row(scenario: Scenario, source: str, factors: str, score: StragglerScore) -> Sequence[object]:
    told = scenario.demanded
    return (
        scenario.name,
        source,
        factors,
        score.streams,
        score.slow_times,
        score.found if told else "-",
        f"{score.found / score.slow_times:.0%}" if told else "-",
        median_text(score.delays) if told else "-",
        f"{score.covered_steps / score.due_steps:.0%}" if told and score.due_steps else "-",
        score.false,
        rate_text(score.false, score.healthy_worker_steps, 10_000, 2),
    )


def _blamed(setup: Setup, *, given: bool) -> tuple[str, str, str]:
    """Who is named on the trace whose long stage is no machine's fault."""
    trace = setup.traces.suite("straggler_bytedance")[0]
    groups = tuple(trace.label["peer_group"]) if given else None
    block = dataclasses.replace(trace.block, worker_groups=[groups] * len(trace.block))
    signals = [s for s in signals_of(block, setup.settings, conclude=True) if s.kind is SignalKind.STRAGGLER]
    blamed = sorted({w for s in signals if s.phase is Phase.CONFIRMED for w in s.workers})
    unsure = sorted({w for s in signals if s.phase is Phase.UNDECIDED for w in s.workers})
    return "given" if given else "not given", str(blamed or "none"), str(unsure or "none")


def _bars(
    scores: Mapping[str, StragglerScore], everything: StragglerScore, blamed: Sequence[tuple[str, str, str]]
) -> list[Bar]:
    bars = []
    for scenario in SCENARIOS:
        score = scores[scenario.name]
        if scenario.demanded:
            text = f"{score.found}/{score.slow_times}, median delay {median_text(score.delays)}"
            bars.append(
                Bar(f"stragglers, {scenario.name}, found within 15", text, "all", score.found == score.slow_times)
            )
    false_two = scores["one, for two steps only"].false
    bars.append(Bar("stragglers, two slow steps, workers named", str(false_two), "0", false_two == 0))
    for name, score in (("nobody slow", scores["nobody"]), ("all scenarios", everything)):
        rate = 10_000 * score.false / score.healthy_worker_steps
        text = f"{rate:.2f} ({score.false} in {score.healthy_worker_steps:,})"
        bars.append(
            Bar(
                f"stragglers, {name}, false per 10,000 worker-steps",
                text,
                f"<= {FALSE_PER_10000:g}",
                rate <= FALSE_PER_10000,
            )
        )
    named = [names for _, names, _ in blamed if names != "none"]
    bars.append(Bar("straggler_bytedance, workers blamed", ", ".join(named) or "none", "none", not named))
    return bars
