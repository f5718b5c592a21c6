"""The effect of an applied change: what a job did after it, told from what was promised. The same for every cut."""

import json
import math
from collections.abc import Callable
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.loop.stories import block, cut

from modekeeper.artifacts.canonical import json_line
from modekeeper.loop.effect import SETTLE_MS, SHOWN_WITHIN_MS, AppliedChange, EffectMeter
from modekeeper.loop.engine import Engine
from modekeeper.loop.settings import LoopSettings
from modekeeper.model.decision import CurrentValueSource, Promise, Target
from modekeeper.model.outcome import Outcome, OutcomeState
from modekeeper.model.sample import Sample
from modekeeper.model.trace import TraceEvent
from modekeeper.modes.machine import Instant
from modekeeper.passports.passport import MetricGuard
from modekeeper.policy.catalog import load_default
from modekeeper.policy.promises import HARM_REL
from modekeeper.policy.situation import KnownValue

PREFETCH = "dataloader_prefetch_factor"
TOLD = 300
"""Samples before the apply."""
START_MS = 1_700_000_000_000
PROMISE = Promise(metric="step_time_ms", direction="lower", at_least_rel=0.05, within_samples=200)
CHANGE = AppliedChange(
    plan_digest="sha256:1",
    chord_id="DRIFT-RETUNE",
    chords=("DRIFT-RETUNE",),
    targets={PREFETCH: 3.0},
    previous={PREFETCH: KnownValue(value=2.0, source=CurrentValueSource.TELEMETRY)},
    promise=PROMISE,
    invariants=("loss_not_worse", "memory_ceiling"),
    since_index=200,
)


def story(
    after: float | Callable[[int], dict[str, object]] = 260.0,
    *,
    samples: int = 900,
    shown_at: int | None = TOLD + 40,
    knobs: bool = True,
    noise: float = 2.0,
    every_ms: int = 1000,
) -> list[Sample]:
    """260 ms a step in trouble since sample 200; from ``shown_at`` on the new value, and ``after``."""
    rng = np.random.default_rng(3)
    jitter = rng.normal(0, noise, samples)
    found = []
    for index in range(samples):
        new = shown_at is not None and index >= shown_at
        fields: dict[str, object] = {"loss": 2.0 + jitter[index] / 100, "throughput": 100.0}
        time = 210.0 if index < 200 else 260.0
        if new and callable(after):
            fields |= after(index)
        elif new:
            time = after  # type: ignore[assignment]
        fields.setdefault("step_time_ms", time + jitter[index])
        if knobs:
            fields["knobs"] = {PREFETCH: 3.0 if new else 2.0}
        found.append(Sample(ts_ms=START_MS + index * every_ms, step=index + 1, **fields))  # type: ignore[arg-type]
    return found


def told(meter: EffectMeter, samples: list[Sample], change: AppliedChange = CHANGE, *, speaks: bool = True) -> Outcome:
    at = Instant(index=TOLD - 1, step=TOLD, ts_ms=samples[TOLD - 1].ts_ms)
    return meter.begin(meter.prepare(change), at, speaks=speaks)


def measured(
    samples: list[Sample], change: AppliedChange = CHANGE, *, speaks: bool = True, cuts: tuple[int, ...] = ()
) -> tuple[int, Outcome] | None:
    """When the change was judged, and what became of it."""
    meter, said = EffectMeter(), []
    for part in cut(samples[:TOLD], list(cuts)):
        said += meter.update(part)
    assert told(meter, samples, change, speaks=speaks).state is OutcomeState.PENDING
    borders = [TOLD, *sorted({c for c in cuts if TOLD < c < len(samples)}), len(samples)]
    for start, stop in pairwise(borders):
        said += meter.update(block(samples[start:stop], start))
    assert len(said) <= 1
    return said[0] if said else None


def outcome(samples: list[Sample], change: AppliedChange = CHANGE, *, speaks: bool = True) -> Outcome:
    found = measured(samples, change, speaks=speaks)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(
    ("after", "state", "gain"),
    [
        (225.0, OutcomeState.KEPT, 0.135),
        (255.0, OutcomeState.MISSED, 0.019),
        (260.0, OutcomeState.MISSED, 0.0),
        (272.0, OutcomeState.WORSE, -0.046),
        (400.0, OutcomeState.WORSE, -0.538),
    ],
)
def test_the_job_is_compared_with_the_trouble_before_the_change(after: float, state: OutcomeState, gain: float) -> None:
    found = outcome(story(after))
    assert found.state is state
    assert found.improvement == pytest.approx(gain, abs=0.006)
    assert found.before == pytest.approx(260, abs=1)
    assert found.after == pytest.approx(after, abs=1)
    assert found.plan_digest == "sha256:1"


def test_great_harm_is_told_early_and_small_harm_at_the_end_of_the_window() -> None:
    early, late = measured(story(260 * (1 + 2 * HARM_REL))), measured(story(272.0))
    assert early is not None
    assert late is not None
    assert early[1].samples == PROMISE.within_samples // 4
    assert late[1].samples == PROMISE.within_samples


def test_what_noise_could_have_done_is_neither_kept_nor_worse() -> None:
    for after in (250.0, 270.0):
        assert outcome(story(after, noise=70.0)).state is OutcomeState.MISSED


def test_what_was_before_it_reached_the_job_does_not_count() -> None:
    found = measured(story(225.0, shown_at=TOLD + 250))
    assert found is not None
    assert found[1].state is OutcomeState.KEPT
    assert found[0] >= TOLD + 250 + PROMISE.within_samples


def test_a_job_that_never_shows_it_is_not_measured() -> None:
    found = outcome(story(225.0, shown_at=None, samples=2000))
    assert (found.state, found.detail) == (OutcomeState.NOT_MEASURED, "the job never showed the new values")
    assert found.improvement is None
    slow = measured(story(225.0, shown_at=None, samples=TOLD + 25, every_ms=60_000))
    assert slow is None, "ten minutes are ten samples of this job: it is waited for more of them"


def test_a_silent_job_has_it_after_a_while() -> None:
    samples = story(225.0, knobs=False, shown_at=TOLD + 60)
    found = measured(samples, speaks=False)
    assert found is not None
    assert found[1].state is OutcomeState.KEPT
    assert found[0] == TOLD - 1 + SETTLE_MS // 1000 + PROMISE.within_samples - 1
    assert SHOWN_WITHIN_MS > SETTLE_MS


def test_without_the_metric_nothing_is_measured() -> None:
    no_metric = story(lambda _index: {"step_time_ms": None}, samples=1400)
    found = outcome(no_metric)
    assert found.state is OutcomeState.NOT_MEASURED
    assert "step_time_ms was seen in 0 samples only" in found.detail
    never = [msgspec.structs.replace(sample, step_time_ms=None) for sample in story()]
    assert "the level of step_time_ms before the change is not known" in outcome(never).detail


def test_samples_with_other_values_are_left_out() -> None:
    def flickers(index: int) -> dict[str, object]:
        old = index % 10 < 3
        return {"step_time_ms": 400.0 if old else 225.0, "knobs": {PREFETCH: 2.0 if old else 3.0}}

    samples = story(flickers, samples=1500)
    samples = [
        msgspec.structs.replace(sample, knobs=flickers(index)["knobs"]) if index >= TOLD + 40 else sample
        for index, sample in enumerate(samples)
    ]
    found = outcome(samples)
    assert (found.state, found.samples) == (OutcomeState.KEPT, PROMISE.within_samples)


@pytest.mark.parametrize(
    ("after", "metric"),
    [
        ({"step_time_ms": 225.0, "throughput": 60.0}, "throughput"),
        ({"step_time_ms": 225.0, "loss": 2.4}, "loss"),
        ({"step_time_ms": 225.0, "loss": math.inf}, "loss"),
        ({"step_time_ms": 225.0, "gpu_mem_used_mb": 79_500.0, "gpu_mem_total_mb": 80_000.0}, "gpu_mem_share"),
    ],
)
def test_what_nobody_promised_may_not_get_worse_either(after: dict[str, object], metric: str) -> None:
    samples = story(lambda _index: after)
    if metric == "gpu_mem_share":
        full = {"gpu_mem_used_mb": 60_000.0, "gpu_mem_total_mb": 80_000.0}
        samples = [
            msgspec.structs.replace(sample, **full) if sample.gpu_mem_used_mb is None else sample for sample in samples
        ]
    found = outcome(samples)
    assert (found.state, found.metric) == (OutcomeState.WORSE, metric)


def test_a_loss_that_got_worse_is_no_matter_of_a_chord_that_does_not_promise_it() -> None:
    change = msgspec.structs.replace(CHANGE, invariants=())
    assert outcome(story(lambda _index: {"step_time_ms": 225.0, "loss": 2.4}), change).state is OutcomeState.KEPT


@pytest.mark.parametrize(("pauses", "state"), [(False, OutcomeState.KEPT), (True, OutcomeState.MISSED)])
def test_bursts_are_judged_by_the_longest_steps(pauses: bool, state: OutcomeState) -> None:
    """Three pauses in two hundred steps move no median."""

    def time(index: int, *, paused: bool) -> float:
        return 2000.0 if paused and index % 60 == 0 else 210.0

    samples = [
        Sample(
            ts_ms=START_MS + index * 1000,
            step=index + 1,
            step_time_ms=time(index, paused=index < TOLD or pauses),
            knobs={PREFETCH: 2.0 if index < TOLD + 5 else 3.0},
        )
        for index in range(800)
    ]
    promise = msgspec.structs.replace(PROMISE, at_least_rel=0.2)
    change = msgspec.structs.replace(CHANGE, chord_id="BURST-ABSORB", promise=promise, since_index=TOLD - 5)
    assert outcome(samples, change).state is state


CASES = {
    "kept": story(225.0),
    "worse": story(400.0),
    "never shown": story(shown_at=None, samples=1100),
    "guard": story(lambda index: {"step_time_ms": 225.0, "throughput": 60.0 if index % 7 else None}),
    "pauses": [
        msgspec.structs.replace(sample, phase="eval", step_time_ms=9000.0) if index % 11 == 0 else sample
        for index, sample in enumerate(story(225.0, samples=1100))
    ],
}
WHOLE = {name: measured(samples) for name, samples in CASES.items()}


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(CASES)), st.lists(st.integers(1, 1099), max_size=60))
def test_the_verdict_does_not_depend_on_how_the_stream_is_cut(name: str, cuts: list[int]) -> None:
    assert measured(CASES[name], cuts=tuple(cuts)) == WHOLE[name] is not None


def test_one_sample_at_a_time_gives_the_same_verdict() -> None:
    for name, samples in CASES.items():
        assert measured(samples, cuts=tuple(range(len(samples)))) == WHOLE[name]


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(CASES)), st.lists(st.integers(1, 1099), min_size=1, max_size=6))
def test_the_verdict_survives_being_written_down_and_read_back(name: str, cuts: list[int]) -> None:
    samples, meter, said = CASES[name], EffectMeter(), []
    borders = [0, *sorted({TOLD, *(c for c in cuts if c < len(samples))}), len(samples)]
    for start, stop in pairwise(borders):
        if start == TOLD:
            told(meter, samples)
        said += meter.update(block(samples[start:stop], start))
        written = json.dumps(meter.snapshot(), allow_nan=False)
        meter = EffectMeter()
        meter.restore(json.loads(written))
    assert said == [WHOLE[name]]


@pytest.mark.parametrize(
    ("metric", "allowed", "after", "state"),
    [
        ("loss", 0.01, {"loss": 2.05}, OutcomeState.WORSE),
        ("loss", 0.05, {"loss": 2.05}, OutcomeState.KEPT),
        ("loss", 0.0, {}, OutcomeState.KEPT),
        ("throughput", 0.01, {"throughput": 98.5}, OutcomeState.WORSE),
        ("throughput", 0.02, {"throughput": 98.5}, OutcomeState.KEPT),
        ("loss", 0.01, {"loss": None}, OutcomeState.WORSE),
        ("gpu_util_pct", 0.01, {}, OutcomeState.WORSE),
    ],
)
def test_what_the_passport_watches_may_get_no_worse_than_it_says(
    metric: str, allowed: float, after: dict[str, object], state: OutcomeState
) -> None:
    guard = MetricGuard(metric=metric, not_worse_rel=allowed)
    change = msgspec.structs.replace(CHANGE, watched=(guard,), invariants=())
    found = outcome(story(lambda _index: {"step_time_ms": 225.0, **after}), change)
    assert found.state is state
    assert (found.metric == metric) is (state is OutcomeState.WORSE)
    assert ("passport" in found.detail) is (state is OutcomeState.WORSE)


# The same inside the engine: a tick where it is judged.


def engine() -> Engine:
    loop = LoopSettings(target=Target(namespace="ml", kind="Deployment", name="trainer"), catalog=load_default())
    return Engine(loop, measuring=True)


def slow(samples: int, *, shown_at: int, after_wait: float) -> list[Sample]:
    rng = np.random.default_rng(7)
    found = []
    for index in range(samples):
        new = index >= shown_at
        wait = 10.0 if index < 200 else after_wait if new else 60.0
        found.append(
            Sample(
                ts_ms=START_MS + index * 1000,
                step=index + 1,
                step_time_ms=float(round(200 + wait + rng.normal(0, 2), 3)),
                data_wait_ms=wait,
                knobs={PREFETCH: 3.0 if new else 2.0},
            )
        )
    return found


APPLIED_AT = 400
HARMED = slow(900, shown_at=APPLIED_AT + 40, after_wait=160.0)


def apply_now(subject: Engine) -> None:
    assert subject.state.plan.items
    prepared = subject.prepared(subject.state.plan, subject.state.standing)
    assert prepared is not None
    subject.applied(prepared)


def trace(cuts: list[int], *, written: bool = False) -> list[TraceEvent]:
    subject = engine()
    events: list[TraceEvent] = []
    borders = [0, *sorted({APPLIED_AT, *(c for c in cuts if c < len(HARMED))}), len(HARMED)]
    for start, stop in pairwise(borders):
        if start == APPLIED_AT:
            apply_now(subject)
        events += subject.feed(block(HARMED[start:stop], start))
        if written:
            text = json.dumps(subject.snapshot(), allow_nan=False)
            subject = engine()
            subject.restore(json.loads(text))
    return [*events, subject.finish()]


TRACE = [json_line(event) for event in trace([])]


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(1, len(HARMED) - 1), max_size=30), st.booleans())
def test_the_trace_of_a_harmful_change_is_the_same_for_every_cut_and_snapshot(cuts: list[int], written: bool) -> None:
    cuts = cuts[:4] if written else cuts
    assert [json_line(event) for event in trace(cuts, written=written)] == TRACE


def test_nothing_else_is_changed_while_it_is_judged_and_harm_calls_for_the_way_back() -> None:
    events = trace([])
    told_of = [event for event in events if isinstance(event.outcome, Outcome)]
    pending = [event for event in told_of if event.outcome.state is OutcomeState.PENDING]  # type: ignore[union-attr]
    worse = [event for event in told_of if event.outcome.state is OutcomeState.WORSE]  # type: ignore[union-attr]
    assert pending
    assert all(not decision.proposal.actions for event in pending for decision in event.decisions)
    assert {event.chord_id for event in worse} == {"RECOVER-RELOCK"}
    way_back = worse[0].decisions[0].proposal.actions
    assert [(action.knob, action.current, action.target) for action in way_back] == [(PREFETCH, 3.0, 2.0)]


def test_after_the_way_back_every_other_chord_is_locked_and_its_own_cooldown_is_doubled() -> None:
    subject = engine()
    list(subject.feed(block(HARMED[:APPLIED_AT])))
    prepared = subject.prepared(subject.state.plan, subject.state.standing)
    assert prepared is not None
    subject.applied(prepared)
    list(subject.feed(block(HARMED[APPLIED_AT:600], APPLIED_AT)))
    subject.taken_back(prepared.change)
    assert subject.state.cooldown_factor == {"DRIFT-RETUNE": 2}
    assert subject.state.outcome is None
    assert subject.state.plan.items == ()
    assert subject.state.known[PREFETCH].value == 2.0
    again = slow(3000, shown_at=10**9, after_wait=60.0)
    events = list(subject.feed(block(again[600:], 600)))
    planned = [event for event in events if any(d.status == "planned" for d in event.decisions)]
    lock_ms = 900_000
    assert planned
    assert planned[0].at_ts_ms is not None
    assert planned[0].at_ts_ms >= again[599].ts_ms + lock_ms
    subject.taken_back(prepared.change)
    assert subject.state.cooldown_factor == {"DRIFT-RETUNE": 4}
