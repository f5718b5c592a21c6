"""What a passport does to decisions, and what the plan says of it."""

import functools
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.loop.stories import block, cut, slow_input
from tests.loop.test_engine import TARGET
from tests.passports.documents import passport

from modekeeper.artifacts.canonical import document, json_line
from modekeeper.loop.apply_request import ApplyRequest, apply_block_reasons
from modekeeper.loop.engine import Engine
from modekeeper.loop.settings import LoopSettings
from modekeeper.loop.tick import LoopState
from modekeeper.model.decision import BlockReason, Target
from modekeeper.model.sample import Sample
from modekeeper.model.trace import DecisionStatus, TraceEvent
from modekeeper.passports.passport import Passport, passport_ref
from modekeeper.passports.templates import default_passport, load_template
from modekeeper.planning.parse import parse_plan
from modekeeper.policy.catalog import load_default

SLOW = slow_input(600, onset=300)
PILOT = load_template("pilot")


def settings_under(rules: Passport, **more: Any) -> LoopSettings:
    return LoopSettings(**{"target": TARGET, "catalog": load_default(), "passport": rules} | more)


def run(rules: Passport, samples: list[Sample] = SLOW, **more: Any) -> tuple[LoopState, list[TraceEvent]]:
    engine = Engine(settings_under(rules, **more))
    events = [*engine.feed(block(samples)), engine.finish()]
    return engine.state, events


def blocked(state: LoopState) -> set[str | None]:
    return {d.blocked_reason for d in state.standing if d.status is DecisionStatus.BLOCKED}


def test_a_plan_says_under_which_passport_it_was_made() -> None:
    digests = set()
    for rules in (default_passport(), PILOT, passport(cooldown_s=5)):
        plan = run(rules)[0].plan
        assert plan.items
        assert plan.passport == passport_ref(rules)
        assert parse_plan(document(plan)) == plan
        digests.add(plan.digest)
    assert len(digests) == 3


def test_pilot_plans_what_safe_plans_and_leaves_the_yes_to_the_apply() -> None:
    safe, pilot = run(default_passport())[0], run(PILOT)[0]
    assert pilot.plan.items == safe.plan.items
    (verdict,) = [v for v in pilot.standing[0].verdicts if v.gate == "approval"]
    assert verdict.passed
    assert "operator" in verdict.detail
    request = ApplyRequest(requested=True, pro_installed=True)
    for rules, state, asked in ((default_passport(), safe, False), (PILOT, pilot, True)):
        reasons = apply_block_reasons(request, state, settings_under(rules))
        assert (BlockReason.APPROVAL_REQUIRED in reasons) is asked
    assert BlockReason.APPROVAL_REQUIRED not in apply_block_reasons(
        request, pilot, settings_under(PILOT, approve_advanced=True)
    )


def test_what_a_passport_does_not_allow_is_not_planned() -> None:
    forbidding: tuple[dict[str, Any], ...] = (
        {"chords": []},
        {"chords": ["BURST-ABSORB", "RECOVER-RELOCK"]},
        {"actuations": []},
        {"targets": {"namespaces": ["elsewhere"]}},
    )
    for rules in forbidding:
        state, _ = run(passport(**rules))
        assert blocked(state) == {BlockReason.PASSPORT_DENIED}
        assert state.plan.items == ()
    state, _ = run(passport(targets={"namespaces": ["ml"]}), target=Target(namespace="x", kind="Job", name="trainer"))
    assert blocked(state) == {BlockReason.PASSPORT_DENIED}


def test_what_is_proposed_stays_inside_the_passport() -> None:
    name = "dataloader_prefetch_factor"
    (action,) = run(default_passport())[0].standing[0].proposal.actions
    assert (action.knob, action.current, action.target) == (name, 2.0, 3.0)
    held = run(passport(knobs={name: {"max": 2}}))[0].standing[0].proposal
    assert name not in {a.knob for a in held.actions}
    assert f"limited_to_no_step:{name}" in held.notes


def test_a_metric_that_is_to_be_watched_and_is_not_there_stops_every_change() -> None:
    loss = passport(invariants=[{"metric": "loss", "not_worse_rel": 0.01}])
    state, _ = run(loss)
    assert blocked(state) == {BlockReason.INVARIANT_VIOLATED}
    with_loss = [*SLOW[:450], *(msgspec.structs.replace(sample, loss=2.0) for sample in SLOW[450:])]
    state, events = run(loss, with_loss)
    assert state.metrics_seen == ("loss",)
    first = next(e for e in events for d in e.decisions if d.status is DecisionStatus.PLANNED)
    assert first.at_index >= 450
    assert state.plan.items


@functools.cache
def _watched() -> tuple[LoopSettings, list[Sample], list[bytes]]:
    rules = settings_under(
        passport(invariants=[{"metric": "loss", "not_worse_rel": 0.01}, {"metric": "throughput", "not_worse_rel": 1}])
    )
    samples = [
        msgspec.structs.replace(s, loss=2.0 if i >= 430 else None, throughput=9.0 if i >= 410 else None)
        for i, s in enumerate(SLOW)
    ]
    return rules, samples, _lines(rules, samples, [])


def _lines(rules: LoopSettings, samples: list[Sample], cuts: list[int]) -> list[bytes]:
    engine, lines = Engine(rules), []
    for part in cut(samples, cuts):
        lines += [json_line(event) for event in engine.feed(part)]
        written = engine.snapshot()
        engine = Engine(rules)
        engine.restore(written)
    return [*lines, json_line(engine.finish())]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(390, 450), min_size=1, max_size=6))
def test_what_was_seen_does_not_depend_on_how_the_stream_is_cut(cuts: list[int]) -> None:
    rules, samples, whole = _watched()
    assert _lines(rules, samples, cuts) == whole


def test_two_changes_of_a_workload_have_the_time_between_them_that_the_passport_asks_for() -> None:
    """Sudden latency once every while makes BURST-ABSORB act again and again under safe."""
    times: dict[str, list[int]] = {}
    for name, rules in (("safe", default_passport()), ("slow", passport(cooldown_s=40_000))):
        state, _ = run(rules, _two_incidents())
        times[name] = sorted(t for each in state.planned_at_ms.values() for t in each)
    assert len(times["safe"]) > len(times["slow"]) >= 1
    assert all(later - earlier >= 40_000_000 for earlier, later in zip(times["slow"], times["slow"][1:], strict=False))


def test_a_workload_has_no_more_changes_than_its_passport_has_in_its_budget() -> None:
    state, _ = run(passport(budget={"max_changes": 1, "window_s": 2_592_000}), _two_incidents())
    assert sum(len(each) for each in state.planned_at_ms.values()) == 1


def _two_incidents() -> list[Sample]:
    """Two spells of a slow loader, a quarter of an hour apart."""
    spells = []
    for number in range(2):
        shift_ms = number * 1_800_000
        spells += [
            msgspec.structs.replace(s, ts_ms=s.ts_ms + shift_ms, step=(s.step or 0) + number * 1100)
            for s in slow_input(1100, onset=300, end=700)
        ]
    return spells
