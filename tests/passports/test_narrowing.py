"""A passport can only narrow: whatever it says, nothing passes under it that the product would stop without one."""

import math
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gates.cases import GUARD, HALVED, NOW_MS, RETUNE, action, case, proposal
from tests.passports.documents import CHORDS, NAMES, passports
from tests.policy.test_properties import limits, situations

from modekeeper.gates.base import judge
from modekeeper.gates.proposal import PROPOSAL_GATES
from modekeeper.model.decision import Actuation, BlockReason, Proposal
from modekeeper.passports.allowed import limits_under
from modekeeper.passports.passport import PASSPORT_SCHEMA, Approval, ApprovalRules, ChangeBudget, MetricGuard, Passport
from modekeeper.passports.reading import parse_passport
from modekeeper.passports.templates import default_passport, load_template, template_bytes
from modekeeper.policy.catalog import load_default
from modekeeper.policy.choose import propose
from modekeeper.policy.knobs import KNOBS
from modekeeper.policy.limits import KnobLimit, Limits, exceeds, limited_target
from modekeeper.policy.situation import Situation

ANY_NUMBER = st.floats(allow_nan=False)
WILD = st.builds(
    Passport,
    schema_version=st.just(PASSPORT_SCHEMA),
    name=NAMES,
    title=st.just("nobody checked this one"),
    targets=st.none(),
    chords=st.sets(st.sampled_from([*CHORDS, "NOT-THERE"])).map(lambda found: tuple(sorted(found))),
    actuations=st.sets(st.sampled_from(Actuation)).map(lambda found: tuple(sorted(found))),
    max_delta_per_step=st.none() | ANY_NUMBER,
    knobs=st.dictionaries(
        st.sampled_from([knob.name for knob in KNOBS]),
        st.builds(KnobLimit, min=st.none() | ANY_NUMBER, max=st.none() | ANY_NUMBER, max_step=st.none() | ANY_NUMBER),
        max_size=4,
    ),
    invariants=st.lists(
        st.builds(MetricGuard, metric=st.sampled_from(["loss", "step_time_ms"]), not_worse_rel=ANY_NUMBER), max_size=2
    ).map(tuple),
    cooldown_s=st.none() | ANY_NUMBER,
    budget=st.none() | st.builds(ChangeBudget, max_changes=st.integers(), window_s=ANY_NUMBER),
    approval=st.builds(
        ApprovalRules,
        hot=st.sampled_from(Approval),
        cold=st.sampled_from(Approval),
        advanced=st.sampled_from(Approval),
        chords=st.dictionaries(st.sampled_from(CHORDS), st.sampled_from(Approval)),
    ),
)
"""Passports no reader lets in: of such a one too the gates take only what narrows."""

SUBJECTS = st.sampled_from(
    [
        RETUNE,
        GUARD,
        HALVED,
        proposal("DRIFT-RETUNE", action("concurrency", 4.0, 9.0)),
        proposal("DRIFT-RETUNE", action("concurrency", 4.0, 6.0, actuation=Actuation.COLD)),
        proposal("RECOVER-RELOCK", action("concurrency", 6.0, 4.0)),
        proposal("RECOVER-RELOCK", action("concurrency", 64.0, 4.0)),
        proposal("DRIFT-RETUNE", action("comm_bucket_mb", 25.0, 50.0)),
        proposal("NOT-THERE", action("concurrency", 4.0, 6.0)),
    ]
)
TIMES = st.lists(st.integers(NOW_MS - 10**8, NOW_MS + 10**6), max_size=5).map(tuple)
FACTS = st.fixed_dictionaries(
    {
        "planned_at_ms": st.none() | TIMES,
        "workload_changed_at_ms": st.none() | TIMES,
        "relocked_at_ms": TIMES,
        "cooldown_s": st.none() | st.floats(0, 10**5),
        "approve_advanced": st.booleans(),
        "signed_by": st.sampled_from([(), ("second-2026",)]),
        "into_plan": st.booleans(),
        "metrics_seen": st.none() | st.frozensets(st.sampled_from(["loss", "step_time_ms"])),
        "last_good": st.just({"concurrency": 4.0}),
        "limits": st.builds(Limits, max_delta_per_step=st.floats(0, 20)),
    }
)


def reasons(subject: Proposal, passport: Passport, facts: dict[str, Any]) -> set[BlockReason | None]:
    verdicts = judge(PROPOSAL_GATES, case(subject, passport=passport, **facts))
    assert all(verdict.detail.isprintable() for verdict in verdicts)
    return {verdict.reason for verdict in verdicts if not verdict.passed}


@given(SUBJECTS, passports() | WILD, FACTS)
@settings(max_examples=600, deadline=None)
def test_what_the_product_stops_no_passport_lets_pass(
    subject: Proposal, passport: Passport, facts: dict[str, Any]
) -> None:
    # A chord that is not there is no chord of any template either: chord_unknown stops it.
    product = reasons(subject, default_passport(), facts) - {BlockReason.PASSPORT_DENIED}
    assert product <= reasons(subject, passport, facts)


@given(SUBJECTS, FACTS)
@settings(max_examples=200, deadline=None)
def test_what_safe_stops_pilot_stops_too(subject: Proposal, facts: dict[str, Any]) -> None:
    assert reasons(subject, default_passport(), facts) <= reasons(subject, load_template("pilot"), facts)


@given(passports(), SUBJECTS, FACTS, st.data())
@settings(max_examples=200, deadline=None)
def test_one_more_rule_never_allows_more(
    passport: Passport, subject: Proposal, facts: dict[str, Any], data: st.DataObject
) -> None:
    """Each field of a passport, made tighter by itself, stops at least what it stopped before."""
    tighter = {
        "chords": passport.chords[1:],
        "actuations": passport.actuations[1:],
        "max_delta_per_step": (1.0 if passport.max_delta_per_step is None else passport.max_delta_per_step) / 2,
        "knobs": passport.knobs | {"concurrency": KnobLimit(min=5, max=5)},
        "invariants": (MetricGuard(metric="loss", not_worse_rel=0),),
        "cooldown_s": (passport.cooldown_s or 0) + 10**4,
        "budget": ChangeBudget(max_changes=1, window_s=2_592_000),
        "approval": ApprovalRules(hot=Approval.SIGNED, cold=Approval.SIGNED, advanced=Approval.SIGNED),
    }
    name = data.draw(st.sampled_from(sorted(tighter)))
    if name == "knobs" and "concurrency" in passport.knobs:
        return
    if name == "invariants":
        tighter[name] = (*(g for g in passport.invariants if g.metric != "loss"), *tighter[name])  # type: ignore[misc]
    narrower = msgspec.structs.replace(passport, **{name: tighter[name]})
    assert reasons(subject, passport, facts) <= reasons(subject, narrower, facts)


@given(situations(), limits, passports() | WILD)
@settings(max_examples=150, deadline=None)
def test_what_the_policy_asks_for_stays_within_the_limits_of_the_passport(
    situation: Situation, limit: Limits, passport: Passport
) -> None:
    under = limits_under(limit, passport)
    for each in propose(situation, load_default(), under):
        if each.chord_id != "RECOVER-RELOCK":
            for asked in each.actions:
                assert not exceeds(under, asked.current, asked.target, asked.knob)
                assert not exceeds(limit, asked.current, asked.target)


@given(st.sampled_from(KNOBS), st.data())
@settings(max_examples=150, deadline=None)
def test_a_limited_step_is_inside_every_limit(knob: Any, data: st.DataObject) -> None:
    number = st.floats(knob.lower, knob.upper)
    low, high = sorted((data.draw(number), data.draw(number)))
    own = KnobLimit(min=low, max=high, max_step=data.draw(st.floats(knob.step, knob.upper)))
    current, wanted = data.draw(number), data.draw(number)
    target = limited_target(knob, current, wanted, Limits(knobs={knob.name: own}))
    if target is not None:
        assert low <= target <= high
        assert own.max_step is not None
        assert abs(target - current) <= own.max_step
        assert math.isfinite(target)


def test_the_templates_are_among_what_can_be_read() -> None:
    assert parse_passport(template_bytes("safe")) == default_passport()
