"""Disturbances: streams of which nothing may be said but what is true.

Each row is a way in which telemetry or a job may misbehave without a machine being at fault, made from random
stretches of 600 samples of `nanogpt_flat` and `mlperf_gnn_iter` (and from the healthy workers of the straggler
scenarios); what is drawn depends on the seeds. `held` counts the streams in which all that had to be said was said, and
nothing that must not be.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from benchmarks.detect.columns import signals_of
from benchmarks.detect.disturbed import Case, Source
from benchmarks.detect.protocol import FOUND_WITHIN
from benchmarks.detect.tables import Bar, Section, Table
from benchmarks.detect.traces import TraceFolder

from modekeeper.detect.settings import DetectorSettings
from modekeeper.model.signal import Direction, Phase, Signal, SignalKind

__all__ = ["DISTURBANCES", "disturbances_section"]

STRAGGLER_WITHIN = 20
DIVERGED_WITHIN = 10
PAUSE_WITHIN = 2
SCHEDULE = "announced_schedule"
NON_FINITE = "non_finite_loss"

Judge = Callable[[Sequence[Signal], Case], str]
"""What is wrong, or an empty text."""


class Disturbance(NamedTuple):
    """One row of the table."""

    name: str
    make: Callable[[Source], Case]
    expected: str
    judge: Judge


def _confirmed(signals: Sequence[Signal], kind: SignalKind) -> list[Signal]:
    return [s for s in signals if s.kind is kind and s.phase is Phase.CONFIRMED]


def _described(signals: Sequence[Signal]) -> str:
    return f"{signals[0].phase.value} {signals[0].id} ({signals[0].direction.value})" if signals else ""


def no_drift(signals: Sequence[Signal], _case: Case) -> str:
    """No drift of any metric."""
    return _described(_confirmed(signals, SignalKind.DRIFT))


def nothing(signals: Sequence[Signal], _case: Case) -> str:
    """No finding but bursts: the runs have real spikes."""
    return _described([s for s in signals if s.phase is Phase.CONFIRMED and s.kind is not SignalKind.BURST])


def undecided_drift(signals: Sequence[Signal], case: Case) -> str:
    """No drift of the step time, and the word that it cannot be told."""
    told = any(
        s.kind is SignalKind.DRIFT and s.metric == "step_time_ms" and s.phase is Phase.UNDECIDED for s in signals
    )
    return nothing(signals, case) or ("" if told else "nothing undecided")


def drift_found(signals: Sequence[Signal], case: Case) -> str:
    """A drift for the worse within 100 samples that had a step time."""
    judged = np.cumsum(np.isfinite(case.block.metrics["step_time_ms"]))
    drifts = _confirmed(signals, SignalKind.DRIFT)
    early = [s for s in drifts if s.at_index < case.places[0]]
    if early:
        return _described(early)
    found = [s for s in drifts if judged[s.at_index] - judged[case.places[0]] <= FOUND_WITHIN]
    return "" if any(s.direction is Direction.WORSE for s in found) else "not found"


def only_slow_workers(signals: Sequence[Signal], case: Case) -> str:
    """The slow worker within 20 steps, and nobody else."""
    findings = _confirmed(signals, SignalKind.STRAGGLER)
    named = {worker for s in findings for worker in s.workers}
    if named - set(case.workers):
        return f"blamed {sorted(named - set(case.workers))}"
    soon = [s for s in findings if s.at_index - case.places[0] <= STRAGGLER_WITHIN] if case.places else []
    found = {worker for s in soon for worker in s.workers}
    return "" if found == set(case.workers) else "not found"


def neutral_schedule(signals: Sequence[Signal], _case: Case) -> str:
    """Only changes that the job announced, and bursts."""
    drifts = _confirmed(signals, SignalKind.DRIFT)
    return _described([s for s in drifts if s.direction is not Direction.NEUTRAL or s.cause != SCHEDULE])


def bursts_at_pauses(signals: Sequence[Signal], case: Case) -> str:
    """A burst at each pause, and no drift."""
    bursts = _confirmed(signals, SignalKind.BURST)
    missed = [p for p in case.places if not any(s.since_index - PAUSE_WITHIN <= p <= s.at_index for s in bursts)]
    return no_drift(signals, case) or (f"no burst at {missed[0]}" if missed else "")


def no_fault_at_pauses(signals: Sequence[Signal], case: Case) -> str:
    """Whatever is said of the announced pauses is neutral, and no drift."""
    bursts = _confirmed(signals, SignalKind.BURST)
    at = [s for s in bursts if s.since_index in case.places]
    return no_drift(signals, case) or _described([s for s in at if s.direction is not Direction.NEUTRAL])


def divergence(signals: Sequence[Signal], case: Case) -> str:
    """A drift of the loss, with its cause, within 10 samples; none before, and none of the step time."""
    drifts = _confirmed(signals, SignalKind.DRIFT)
    other = [s for s in drifts if s.metric != "loss" or s.cause != NON_FINITE or s.at_index < case.places[0]]
    soon = [s for s in drifts if s.at_index - case.places[0] <= DIVERGED_WITHIN]
    return _described(other) or ("" if soon else "not found")


SAID_NOTHING = "nothing (bursts where the run had spikes)"
ANNOUNCED = "no drift but neutral ones, cause announced_schedule"
DISTURBANCES = (
    Disturbance("none", Source.undisturbed, SAID_NOTHING, nothing),
    Disturbance("ranks silent", Source.missing_ranks, "nobody blamed", only_slow_workers),
    Disturbance(
        "ranks silent, one slow", Source.missing_ranks_one_slow, "that one named within 20 steps", only_slow_workers
    ),
    Disturbance("fields missing", Source.missing_fields, SAID_NOTHING, nothing),
    Disturbance(
        "fields missing, and a change",
        Source.missing_fields_and_change,
        "found within 100 measured samples",
        drift_found,
    ),
    Disturbance("no step times", Source.no_step_times, "undecided", undecided_drift),
    Disturbance("5 to 39 samples", Source.short, "undecided", undecided_drift),
    Disturbance("restart and warm-up", Source.restart, "no drift", no_drift),
    Disturbance("evaluation, announced", Source.announced_pauses, "no drift; bursts neutral", no_fault_at_pauses),
    Disturbance("evaluation, unannounced", Source.pauses, "a burst at each; no drift", bursts_at_pauses),
    Disturbance("six slow steps of 125, unannounced", Source.long_pauses, "no drift", no_drift),
    Disturbance("minutes between records", Source.saved_between_steps, SAID_NOTHING, nothing),
    Disturbance("batch size doubled", Source.batch_size_doubled, ANNOUNCED, neutral_schedule),
    Disturbance("batch size halved", Source.batch_size_halved, ANNOUNCED, neutral_schedule),
    Disturbance("batch size in four steps", Source.batch_size_ramp, ANNOUNCED, neutral_schedule),
    Disturbance("sequence length raised", Source.sequence_length_raised, ANNOUNCED, neutral_schedule),
    Disturbance("learning rate lowered", Source.learning_rate, SAID_NOTHING, nothing),
    Disturbance("loss spikes", Source.loss_spikes, SAID_NOTHING, nothing),
    Disturbance("single losses not finite", Source.skipped_losses, SAID_NOTHING, nothing),
    Disturbance("loss diverged", Source.diverged, "drift of the loss, cause non_finite_loss, within 10", divergence),
    Disturbance("coarse timer", Source.coarse_timer, SAID_NOTHING, nothing),
    Disturbance("alternating steps", Source.alternating, SAID_NOTHING, nothing),
)


def disturbances_section(
    traces: TraceFolder, settings: DetectorSettings, *, seeds: Sequence[int], streams: int
) -> Section:
    """All disturbances, ``streams`` of each seed."""
    rows: list[Sequence[object]] = []
    failing = []
    for place, disturbance in enumerate(DISTURBANCES):
        wrong = []
        for seed in seeds:
            source = Source(traces, np.random.Generator(np.random.PCG64([seed, place])))
            for _ in range(streams):
                case = disturbance.make(source)
                wrong.append(disturbance.judge(signals_of(case.block, settings, conclude=True), case))
        faults = [fault for fault in wrong if fault]
        held = len(wrong) - len(faults)
        rows.append((disturbance.name, disturbance.expected, f"{held}/{len(wrong)}", faults[0] if faults else ""))
        failing += [f"{disturbance.name} {held}/{len(wrong)}"] if faults else []
    count = len(DISTURBANCES)
    text = f"{count - len(failing)}/{count}" + (f" (not: {'; '.join(failing)})" if failing else "")
    header = ("disturbance", "expected", "held", "first fault")
    explained = (__doc__ or "").partition("\n\n")[2].strip() + f"\n\nSeeds {', '.join(map(str, seeds))}."
    bar = Bar("disturbances, rows that held", text, "all", not failing)
    return Section("Disturbances", explained, [Table(header, rows, left=4)], [bar])
