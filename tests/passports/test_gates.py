"""What each gate makes of a passport."""

from typing import Any

import pytest
from tests.gates.cases import GUARD, NOW_MS, RETUNE, action, case, proposal
from tests.passports.documents import passport

from modekeeper.gates.approval_required import ApprovalRequired
from modekeeper.gates.base import Gate
from modekeeper.gates.budget import BudgetGate
from modekeeper.gates.case import GateCase
from modekeeper.gates.cooldown import Cooldown
from modekeeper.gates.invariants import Invariants
from modekeeper.gates.limit_exceeded import LimitExceeded
from modekeeper.gates.passport_denied import PassportDenied, why_not_made_under
from modekeeper.model.decision import Actuation, BlockReason, PassportRef
from modekeeper.passports.passport import passport_ref
from modekeeper.passports.templates import default_passport, load_template
from modekeeper.passports.watched_metrics import broken_invariants

COLD = proposal("DRIFT-RETUNE", action("concurrency", 4.0, 6.0, actuation=Actuation.COLD))
RELOCK = proposal("RECOVER-RELOCK", action("concurrency", 32.0, 4.0))
PILOT = load_template("pilot")


def said(gate: Gate, subject: GateCase) -> str | None:
    """Why the gate stops; ``None`` where it does not."""
    verdict = gate.check(subject)
    assert verdict.passed is (verdict.reason is None)
    if verdict.passed:
        return None
    assert verdict.reason is gate.reason
    return verdict.detail


@pytest.mark.parametrize(
    ("subject", "rules", "word"),
    [
        (RETUNE, {}, None),
        (RETUNE, {"chords": ["BURST-ABSORB", "RECOVER-RELOCK"]}, "does not allow DRIFT-RETUNE"),
        (RETUNE, {"chords": []}, "does not allow DRIFT-RETUNE"),
        (RETUNE, {"actuations": ["cold"]}, "does not allow hot changes"),
        (RETUNE, {"actuations": []}, "does not allow hot changes"),
        (COLD, {"actuations": ["hot"]}, "does not allow cold changes"),
        (RETUNE, {"targets": {"namespaces": ["ml"], "kinds": ["Deployment"], "names": ["trainer"]}}, None),
        (RETUNE, {"targets": {"namespaces": ["other"]}}, "is not for Deployment ml/trainer"),
        (RETUNE, {"targets": {"kinds": ["Job"]}}, "is not for Deployment ml/trainer"),
        (RETUNE, {"targets": {"namespaces": ["ml"], "names": ["trainer-2"]}}, "is not for Deployment ml/trainer"),
        (proposal("DRIFT-RETUNE"), {"chords": []}, None),
    ],
)
def test_what_a_passport_does_not_allow(subject: Any, rules: dict[str, Any], word: str | None) -> None:
    why = said(PassportDenied(), case(subject, passport=passport(**rules)))
    assert (why is None) if word is None else (why is not None and word in why)


def test_the_item_of_a_plan_says_which_way_the_change_takes() -> None:
    hot_only = passport(actuations=["hot"])
    assert said(PassportDenied(), case(passport=hot_only, item_actuation=Actuation.HOT)) is None
    assert "cold" in (said(PassportDenied(), case(passport=hot_only, item_actuation=Actuation.COLD)) or "")
    assert "cold" in (said(ApprovalRequired(), case(item_actuation=Actuation.COLD)) or "")


def test_no_passport_and_an_unknown_workload_are_no_pass() -> None:
    assert "not known" in (said(PassportDenied(), case(passport=None)) or "")
    named = passport(targets={"namespaces": ["ml"]})
    assert "unknown workload" in (said(PassportDenied(), case(passport=named, target=None)) or "")
    assert said(PassportDenied(), case(target=None)) is None
    assert said(ApprovalRequired(), case(passport=None)) is not None


def test_a_plan_is_applied_under_the_passport_it_was_made_under_alone() -> None:
    safe = default_passport()
    custom = passport(name="team", cooldown_s=60)
    other = passport(name="team", cooldown_s=61)
    assert why_not_made_under(None, safe) is None
    assert why_not_made_under(passport_ref(safe), safe) is None
    assert why_not_made_under(passport_ref(custom), custom) is None
    for made_under, given in ((passport_ref(PILOT), safe), (None, PILOT), (passport_ref(custom), safe)):
        why = why_not_made_under(made_under, given)
        assert why is not None
        assert repr(made_under.name if made_under is not None else "safe") in why
    assert "another passport 'team'" in (why_not_made_under(passport_ref(custom), other) or "")
    lying = PassportRef(name="safe", digest=passport_ref(custom).digest)
    assert why_not_made_under(lying, safe) is not None
    assert why_not_made_under(lying, custom) is not None


NONE, OPERATOR, SIGNED = "none", "operator", "signed"


@pytest.mark.parametrize(
    ("subject", "rules", "operator", "signed", "passes"),
    [
        (RETUNE, {}, False, False, True),
        (RETUNE, {"hot": OPERATOR}, False, False, False),
        (RETUNE, {"hot": OPERATOR}, True, False, True),
        (RETUNE, {"hot": OPERATOR}, False, True, True),
        (RETUNE, {"hot": SIGNED}, True, False, False),
        (RETUNE, {"hot": SIGNED}, False, True, True),
        (RETUNE, {"chords": {"DRIFT-RETUNE": SIGNED}}, True, False, False),
        (RETUNE, {"chords": {"BURST-ABSORB": SIGNED}}, False, False, True),
        (COLD, {}, False, False, False),
        (COLD, {}, True, False, True),
        (COLD, {}, False, True, True),
        (COLD, {"cold": SIGNED}, True, False, False),
        (COLD, {"hot": SIGNED}, True, False, True),
        (GUARD, {}, False, False, False),
        (GUARD, {"advanced": SIGNED}, True, False, False),
        (GUARD, {"advanced": SIGNED}, False, True, True),
    ],
)
def test_who_has_to_say_yes(subject: Any, rules: dict[str, Any], operator: bool, signed: bool, passes: bool) -> None:
    approval = {"hot": NONE, "cold": OPERATOR, "advanced": OPERATOR} | rules
    subject = case(
        subject,
        passport=passport(approval=approval),
        approve_advanced=operator,
        signed_by=("second-2026",) if signed else (),
    )
    assert (said(ApprovalRequired(), subject) is None) is passes


def test_approving_one_chord_is_an_operators_yes_and_no_signature() -> None:
    for hot, passes in ((OPERATOR, True), (SIGNED, False)):
        rules = passport(approval={"hot": hot, "cold": OPERATOR, "advanced": OPERATOR})
        subject = case(passport=rules, approvals=frozenset({"DRIFT-RETUNE"}))
        assert (said(ApprovalRequired(), subject) is None) is passes


def test_a_plan_can_be_made_before_it_is_signed_but_a_cold_one_not_unasked() -> None:
    """Nobody can sign a plan that is not there yet."""
    signed = passport(approval={"hot": SIGNED, "cold": SIGNED, "advanced": SIGNED})
    assert said(ApprovalRequired(), case(passport=signed, into_plan=True)) is None
    assert said(ApprovalRequired(), case(COLD, passport=signed, into_plan=True)) is not None
    assert said(ApprovalRequired(), case(COLD, passport=signed, into_plan=True, approve_advanced=True)) is None
    assert said(ApprovalRequired(), case(COLD, passport=signed, approve_advanced=True)) is not None


@pytest.mark.parametrize(
    ("rules", "target", "passes"),
    [
        ({}, 8.0, True),
        ({"max_delta_per_step": 0.5}, 6.0, True),
        ({"max_delta_per_step": 0.5}, 7.0, False),
        ({"knobs": {"concurrency": {"max": 6}}}, 6.0, True),
        ({"knobs": {"concurrency": {"max": 6}}}, 7.0, False),
        ({"knobs": {"concurrency": {"min": 3}}}, 2.0, False),
        ({"knobs": {"concurrency": {"max_step": 1}}}, 5.0, True),
        ({"knobs": {"concurrency": {"max_step": 1}}}, 6.0, False),
        ({"knobs": {"pin_memory": {"max": 0}}}, 8.0, True),
    ],
)
def test_how_far_a_knob_may_go(rules: dict[str, Any], target: float, passes: bool) -> None:
    subject = proposal("DRIFT-RETUNE", action("concurrency", 4.0, target))
    assert (said(LimitExceeded(), case(subject, passport=passport(**rules))) is None) is passes


def test_the_exact_way_back_has_no_limit_cooldown_or_budget_of_a_passport() -> None:
    tight = passport(
        knobs={"concurrency": {"min": 8, "max_step": 1}},
        cooldown_s=10**6,
        budget={"max_changes": 1, "window_s": 10**6},
        invariants=[{"metric": "loss", "not_worse_rel": 0}],
    )
    back = case(
        RELOCK, passport=tight, last_good={"concurrency": 4.0}, workload_changed_at_ms=(NOW_MS - 1,), into_plan=True
    )
    assert [said(gate, back) for gate in (LimitExceeded(), Cooldown(), BudgetGate(), Invariants())] == [None] * 4
    elsewhere = case(RELOCK, passport=tight, last_good={"concurrency": 5.0})
    assert said(LimitExceeded(), elsewhere) is not None


@pytest.mark.parametrize(
    ("asked_s", "ago_ms", "passes"),
    [(None, 1, True), (0, 0, True), (60, 59_999, False), (60, 60_000, True), (60, -5, False)],
)
def test_a_workload_rests_whichever_chord_changed_it(asked_s: float | None, ago_ms: int, passes: bool) -> None:
    rules = {} if asked_s is None else {"cooldown_s": asked_s}
    subject = case(passport=passport(**rules), workload_changed_at_ms=(NOW_MS - ago_ms,))
    assert (said(Cooldown(), subject) is None) is passes


def test_a_short_cooldown_of_a_passport_does_not_shorten_that_of_the_chord() -> None:
    subject = case(passport=passport(cooldown_s=1), planned_at_ms=(NOW_MS - 5000,), workload_changed_at_ms=())
    assert "DRIFT-RETUNE acted" in (said(Cooldown(), subject) or "")


@pytest.mark.parametrize(("spent", "passes"), [(1, True), (2, False), (3, False)])
def test_a_workload_has_a_budget_of_its_own(spent: int, passes: bool) -> None:
    rules = passport(budget={"max_changes": 2, "window_s": 60})
    times = tuple(NOW_MS - 1000 * n for n in range(spent))
    old = (NOW_MS - 60_000, NOW_MS - 70_000)
    subject = case(passport=rules, workload_changed_at_ms=(*old, *times))
    assert (said(BudgetGate(), subject) is None) is passes


def test_a_large_budget_of_a_passport_does_not_enlarge_that_of_the_chord() -> None:
    rules = passport(budget={"max_changes": 64, "window_s": 1})
    subject = case(passport=rules, planned_at_ms=tuple(NOW_MS - 10**6 * n for n in range(1, 5)))
    assert said(BudgetGate(), subject) is not None


@pytest.mark.parametrize("gate", [Cooldown(), BudgetGate()])
def test_what_is_not_known_of_the_workload_is_no_pass(gate: Gate) -> None:
    rules = passport(cooldown_s=60, budget={"max_changes": 2, "window_s": 60})
    assert "not known" in (said(gate, case(passport=rules, workload_changed_at_ms=None)) or "")
    assert said(gate, case(workload_changed_at_ms=None)) is None


@pytest.mark.parametrize(
    ("seen", "into_plan", "passes"),
    [(None, True, False), ((), True, False), (("loss",), True, True), ((), False, True)],
)
def test_what_is_to_be_watched_must_be_there(seen: tuple[str, ...] | None, into_plan: bool, passes: bool) -> None:
    rules = passport(invariants=[{"metric": "loss", "not_worse_rel": 0.01}])
    subject = case(passport=rules, metrics_seen=None if seen is None else frozenset(seen), into_plan=into_plan)
    why = said(Invariants(), subject)
    assert (why is None) is passes
    assert why is None or "watches loss" in why


@pytest.mark.parametrize(
    ("before", "after", "broken"),
    [
        ({"loss": 2.0, "throughput": 100.0}, {"loss": 2.02, "throughput": 99.0}, ()),
        ({"loss": 2.0, "throughput": 100.0}, {"loss": 2.1, "throughput": 99.0}, ("loss",)),
        ({"loss": 2.0, "throughput": 100.0}, {"loss": 1.0, "throughput": 80.0}, ("throughput",)),
        ({"loss": 2.0, "throughput": 100.0}, {"throughput": 100.0}, ("loss",)),
        ({"loss": float("nan"), "throughput": 0.0}, {"loss": 1.0, "throughput": 1.0}, ("loss", "throughput")),
        ({"loss": 2.0, "throughput": 100.0}, {"loss": float("inf"), "throughput": 100.0}, ("loss",)),
    ],
)
def test_a_metric_that_got_worse_or_cannot_be_judged_is_broken(
    before: dict[str, float], after: dict[str, float], broken: tuple[str, ...]
) -> None:
    rules = passport(
        invariants=[{"metric": "loss", "not_worse_rel": 0.01}, {"metric": "throughput", "not_worse_rel": 0.01}]
    )
    assert tuple(each.metric for each in broken_invariants(rules.invariants, before, after)) == broken
    assert broken_invariants(default_passport().invariants, before, after) == ()


def test_the_reason_of_a_passport_stands_after_an_unknown_chord_and_before_limits() -> None:
    order = list(BlockReason)
    place = order.index(BlockReason.PASSPORT_DENIED)
    assert order[place - 1] is BlockReason.CHORD_UNKNOWN
    assert order[place + 1] is BlockReason.INVARIANT_VIOLATED
