"""The engine: decisions depend on the samples and the settings, on nothing else."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.loop.stories import block, cut, slow_input

from modekeeper.artifacts.canonical import json_line
from modekeeper.loop.engine import Engine
from modekeeper.loop.settings import LoopSettings
from modekeeper.model.decision import Target
from modekeeper.model.mode import Mode
from modekeeper.model.trace import DecisionStatus, TickTrigger, TraceEvent
from modekeeper.policy.catalog import load_default

TARGET = Target(namespace="ml", kind="Deployment", name="trainer")
INCIDENT = slow_input(1100, onset=300, end=700)


def engine(**changes: object) -> Engine:
    return Engine(msgspec.structs.replace(LoopSettings(target=TARGET, catalog=load_default()), **changes))


def trace(blocks: list, subject: Engine) -> list[TraceEvent]:  # type: ignore[type-arg]
    events = [event for part in blocks for event in subject.feed(part)]
    return [*events, subject.finish()]


WHOLE = [json_line(event) for event in trace([block(INCIDENT)], engine())]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, len(INCIDENT) - 1), max_size=40))
def test_the_trace_does_not_depend_on_how_the_stream_is_cut(cuts: list[int]) -> None:
    assert [json_line(event) for event in trace(cut(INCIDENT, cuts), engine())] == WHOLE


def test_one_sample_at_a_time_gives_the_same_trace() -> None:
    blocks = cut(INCIDENT, list(range(len(INCIDENT))))
    assert [json_line(event) for event in trace(blocks, engine())] == WHOLE


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, len(INCIDENT) - 1), min_size=1, max_size=4))
def test_the_trace_survives_being_written_down_and_read_back(cuts: list[int]) -> None:
    subject, lines = engine(), []
    for part in cut(INCIDENT, cuts):
        lines += [json_line(event) for event in subject.feed(part)]
        written = json.dumps(subject.snapshot(), allow_nan=False)
        subject = engine()
        subject.restore(json.loads(written))
    assert [*lines, json_line(subject.finish())] == WHOLE


def test_an_input_bound_drift_is_found_planned_and_left_behind() -> None:
    events = trace([block(INCIDENT)], engine())
    modes = [event.mode for event in events if event.transition.changed]
    assert modes == [Mode.DRIFT, Mode.RECOVER, Mode.NORMAL]
    planned = [e for e in events if any(d.status is DecisionStatus.PLANNED for d in e.decisions)]
    assert planned
    assert 300 <= planned[0].at_index <= 360
    action = planned[0].decisions[0].proposal.actions[0]
    assert (action.knob, action.current) == ("dataloader_prefetch_factor", 2.0)
    assert action.target > 2.0
    assert planned[0].plan_digest is not None
    assert events[-1].plan_digest is None, "the plan is taken back once the trouble is over"


def test_a_plan_stands_while_the_trouble_lasts() -> None:
    subject = engine()
    trace([block(slow_input(2000))], subject)
    assert subject.state.modes.mode is Mode.DRIFT
    assert [item.name for item in subject.state.plan.items] == ["trainer"]


def test_a_second_change_waits_for_the_cooldown() -> None:
    events = trace([block(slow_input(900))], engine(cooldown_s=3600.0))
    reasons = {d.blocked_reason for e in events for d in e.decisions if d.status is DecisionStatus.BLOCKED}
    planned = [e for e in events if any(d.status is DecisionStatus.PLANNED for d in e.decisions)]
    assert len(planned) == 1
    assert "cooldown_active" in reasons


def test_nothing_is_proposed_for_a_knob_nobody_named() -> None:
    subject = engine()
    events = trace([block(slow_input(900, knobs=None))], subject)
    drift = [event for event in events if event.mode is Mode.DRIFT]
    assert drift
    assert not any(decision.proposal.actions for event in drift for decision in event.decisions)
    assert any("knob_value_unknown" in note for note in drift[-1].decisions[0].proposal.notes)
    assert subject.state.plan.items == ()


def test_the_operators_word_stands_in_for_the_telemetry() -> None:
    subject = engine(operator_knobs={"dataloader_prefetch_factor": 2.0})
    trace([block(slow_input(900, knobs=None))], subject)
    assert subject.state.plan.items[0].knobs["dataloader_prefetch_factor"] not in {"", "2"}


def test_what_the_job_says_outranks_the_operator() -> None:
    subject = engine(operator_knobs={"dataloader_prefetch_factor": 7.0})
    trace([block(slow_input(900))], subject)
    assert subject.state.known["dataloader_prefetch_factor"].value == 2.0


def test_what_the_pods_were_told_outranks_the_operator_and_not_the_job() -> None:
    subject = engine(
        operator_knobs={"dataloader_prefetch_factor": 7.0}, cluster_knobs={"dataloader_prefetch_factor": 3}
    )
    known = subject.state.known["dataloader_prefetch_factor"]
    assert (known.value, known.source) == (3.0, "cluster")
    trace([block(slow_input(900))], subject)
    assert subject.state.known["dataloader_prefetch_factor"].source == "telemetry"


def test_a_quiet_interval_is_a_verdict_of_its_own() -> None:
    event = engine().no_data()
    assert event.trigger is TickTrigger.NO_DATA
    assert event.at_index == -1


def test_an_empty_stream_ends_with_one_tick() -> None:
    assert [event.trigger for event in trace([], engine())] == [TickTrigger.END_OF_INPUT]


def test_there_is_a_heartbeat() -> None:
    beats = [e.at_index for e in trace([block(slow_input(1000, onset=1000))], engine()) if e.trigger == "heartbeat"]
    assert beats == [199, 399, 599, 799, 999]


def test_the_scalar_baseline_asks_for_at_most_one_action() -> None:
    events = trace([block(slow_input(900))], engine(policy="scalar"))
    assert max(len(d.proposal.actions) for e in events for d in e.decisions) == 1


@pytest.mark.parametrize("approved", [False, True])
def test_an_advanced_change_needs_approval(approved: bool) -> None:
    rng_free = [
        msgspec.structs.replace(s, worker_latencies_ms=tuple(100.0 + (w % 3) for w in range(8)))
        for s in slow_input(400, onset=400)
    ]
    slow = [
        msgspec.structs.replace(s, worker_latencies_ms=(*(100.0 + (w % 3) for w in range(7)), 210.0 + i % 3))
        for i, s in enumerate(rng_free)
    ]
    samples = rng_free[:200] + slow[200:]
    subject = engine(approve_advanced=approved)
    trace([block(samples)], subject)
    guard = [d for d in subject.state.standing if d.proposal.chord_id == "TIMEOUT-GUARD"]
    assert [action.knob for action in guard[0].proposal.actions] == ["timeout_ms"]
    if approved:
        assert guard[0].status is DecisionStatus.PLANNED
    else:
        assert guard[0].blocked_reason == "approval_required"
        assert all("timeout_ms" not in item.knobs for item in subject.state.plan.items)
