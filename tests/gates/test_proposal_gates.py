"""What each gate between a proposal and the plan stops, and what it lets pass."""

import math
from typing import Any

import msgspec
import pytest
from tests.gates.cases import GUARD, HALVED, NOW_MS, RETUNE, action, case, proposal

from modekeeper.gates.approval_required import ApprovalRequired
from modekeeper.gates.base import first_reason, judge
from modekeeper.gates.budget import BudgetGate
from modekeeper.gates.case import GateCase
from modekeeper.gates.chord_unknown import ChordUnknown
from modekeeper.gates.cooldown import Cooldown
from modekeeper.gates.invariants import Invariants
from modekeeper.gates.limit_exceeded import LimitExceeded
from modekeeper.gates.proposal import PROPOSAL_GATES
from modekeeper.model.decision import Actuation, BlockReason, Proposal, RiskTier, Target
from modekeeper.model.workload import WORKLOAD_KINDS
from modekeeper.policy.catalog import Catalog, find_chord, load_default
from modekeeper.policy.limits import Limits

BACK = proposal("RECOVER-RELOCK", action("concurrency", 4.0, 1.0))


def with_chord(chord_id: str, **fields: Any) -> Catalog:
    catalog = load_default()
    chords = tuple(msgspec.structs.replace(c, **fields) if c.id == chord_id else c for c in catalog.chords)
    return Catalog(schema_version=catalog.schema_version, chords=chords)


# chord_unknown


def test_a_chord_that_is_not_in_the_catalog_is_blocked() -> None:
    stranger = proposal("MY-CHORD", action("concurrency", 4.0, 6.0))
    verdict = ChordUnknown().check(case(stranger))
    assert (verdict.passed, verdict.reason) == (False, BlockReason.CHORD_UNKNOWN)
    assert first_reason(judge(PROPOSAL_GATES, case(stranger))) is BlockReason.CHORD_UNKNOWN


def test_a_chord_of_the_catalog_is_known() -> None:
    for chord in load_default().chords:
        assert ChordUnknown().check(case(proposal(chord.id))).passed


def test_a_chord_taken_out_of_the_catalog_is_blocked() -> None:
    catalog = load_default()
    fewer = Catalog(schema_version=catalog.schema_version, chords=catalog.chords[:1])
    assert not ChordUnknown().check(case(RETUNE, catalog=fewer)).passed


# invariants


@pytest.mark.parametrize("subject", [RETUNE, HALVED, GUARD, proposal("NORMAL-HOLD")])
def test_what_keeps_its_envelope_passes(subject: Proposal) -> None:
    verdict = Invariants().check(case(subject))
    assert verdict.passed, verdict.detail


BUCKET = proposal("DRIFT-RETUNE", action("comm_bucket_mb", 25.0, 50.0))
WITH_BUCKET = with_chord("DRIFT-RETUNE", knobs_touched=("comm_bucket_mb", "concurrency"))


def for_kind(kind: str) -> Target:
    return Target(namespace="ml", kind=kind, name="trainer")


@pytest.mark.parametrize("kind", [known.kind for known in WORKLOAD_KINDS])
def test_a_cold_change_is_for_a_kind_whose_template_a_patch_reaches(kind: str) -> None:
    verdict = Invariants().check(case(BUCKET, target=for_kind(kind), catalog=WITH_BUCKET))
    reached = kind in ("Deployment", "StatefulSet", "Job", "LeaderWorkerSet")
    assert verdict.passed is reached
    assert reached or f"comm_bucket_mb: no patch of a plan reaches the pod template of a {kind};" in verdict.detail
    assert Invariants().check(case(RETUNE, target=for_kind(kind))).passed


def test_a_cold_change_for_nobody_knows_what_is_stopped() -> None:
    verdict = Invariants().check(case(BUCKET, target=None, catalog=WITH_BUCKET))
    assert verdict.detail == "comm_bucket_mb is cold, and which workload it is for is not known"
    verdict = Invariants().check(case(BUCKET, target=for_kind("Widget\n"), catalog=WITH_BUCKET))
    assert not verdict.passed
    assert verdict.detail.isprintable()
    assert Invariants().check(case(RETUNE, target=None)).passed


def retune(knob: str = "concurrency", current: float = 4.0, target: float = 6.0, **fields: Any) -> Proposal:
    return proposal("DRIFT-RETUNE", action(knob, current, target, **fields))


def renamed(knob: str) -> Proposal:
    return proposal("DRIFT-RETUNE", msgspec.structs.replace(action("concurrency", 4.0, 6.0), knob=knob))


VIOLATIONS: dict[str, tuple[Proposal, str]] = {
    "above the bound": (retune(target=129.0), "no value from"),
    "below the bound": (retune(target=0.0), "no value from"),
    "between two steps": (retune(target=4.5), "no value from"),
    "not a number": (retune(target=math.nan), "no value from"),
    "endless": (retune(target=math.inf), "no value from"),
    "no step at all": (retune(target=4.0), "is the current value"),
    "current out of bounds": (retune(current=0.0), "current value is outside"),
    "current not a number": (retune(current=math.nan), "current value is outside"),
    "bounds widened": (retune(target=128.0, upper_bound=1000.0), "wider than the registry"),
    "a lower bound widened": (retune(lower_bound=0.0), "wider than the registry"),
    "bounds that are no numbers": (retune(lower_bound=math.nan), "own bounds"),
    "outside its own bounds": (retune(upper_bound=5.0), "own bounds"),
    "another step": (retune(step=0.5), "unit or step"),
    "another unit": (retune(unit="threads"), "unit or step"),
    "hot called cold": (retune(actuation=Actuation.COLD), "how it reaches"),
    "ranks need not agree": (
        proposal(
            "DRIFT-RETUNE",
            action("microbatch_size", 8.0, 4.0, ranks_must_agree=False),
            action("grad_accum_steps", 4.0, 8.0),
        ),
        "how it reaches",
    ),
    "a knob the chord does not touch": (retune("pin_memory", 0.0, 1.0), "does not touch pin_memory"),
    "a knob nobody knows": (renamed("rm\n-rf"), "no knob of the registry"),
    "an alias": (renamed("dataloader_num_workers"), "no knob of the registry"),
    "a timeout in a safe chord": (retune("timeout_ms", 1000.0, 2000.0), "advanced, DRIFT-RETUNE is safe"),
    "one knob twice": (
        proposal("DRIFT-RETUNE", action("concurrency", 4.0, 5.0), action("concurrency", 4.0, 6.0)),
        "changed twice",
    ),
    "half a batch": (retune("microbatch_size", 8.0, 4.0), "must change together"),
    "another half of a batch": (retune("grad_accum_steps", 4.0, 8.0), "must change together"),
    "another batch": (
        proposal("DRIFT-RETUNE", action("microbatch_size", 8.0, 4.0), action("grad_accum_steps", 4.0, 7.0)),
        "global batch would change",
    ),
    "a batch of fractions": (
        proposal("DRIFT-RETUNE", action("microbatch_size", 7.5, 5.0), action("grad_accum_steps", 4.0, 6.0)),
        "fractions",
    ),
    "an invariant left out": (
        msgspec.structs.replace(RETUNE, invariants=RETUNE.invariants[1:]),
        "left out: cpu_request",
    ),
    "no promise": (msgspec.structs.replace(RETUNE, promise=None), "without a promise"),
    "an advanced chord that calls itself safe": (
        msgspec.structs.replace(GUARD, risk_tier=RiskTier.SAFE),
        "calls itself safe",
    ),
    "a change by the chord that changes nothing": (
        proposal("NORMAL-HOLD", action("concurrency", 4.0, 6.0)),
        "never changes anything",
    ),
    "a chord without an envelope": (proposal("MY-CHORD"), "without an envelope"),
    "a way back nobody knows": (BACK, "last good value is not known"),
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_what_leaves_its_envelope_is_blocked(name: str) -> None:
    subject, said = VIOLATIONS[name]
    verdict = Invariants().check(case(subject))
    assert (verdict.passed, verdict.reason) == (False, BlockReason.INVARIANT_VIOLATED)
    assert said in verdict.detail
    assert verdict.detail.isprintable()


def test_every_violation_is_named() -> None:
    subject = proposal("DRIFT-RETUNE", action("concurrency", 4.0, 200.0), action("timeout_ms", 1000.0, 1050.0))
    detail = Invariants().check(case(subject)).detail
    assert detail.count(";") >= 3


def test_a_way_back_must_lead_exactly_to_the_last_good_value() -> None:
    assert Invariants().check(case(BACK, last_good={"concurrency": 1.0})).passed
    verdict = Invariants().check(case(BACK, last_good={"concurrency": 2.0}))
    assert "not the last good value" in verdict.detail


# limit_exceeded


@pytest.mark.parametrize(("most", "passes"), [(1.0, True), (0.5, True), (0.49, False), (0.0, False), (math.nan, False)])
def test_a_step_larger_than_the_limit_is_blocked(most: float, passes: bool) -> None:
    verdict = LimitExceeded().check(case(RETUNE, limits=Limits(max_delta_per_step=most)))
    assert verdict.passed is passes
    assert verdict.reason is (None if passes else BlockReason.LIMIT_EXCEEDED)


def test_from_zero_every_step_is_too_large() -> None:
    assert not LimitExceeded().check(case(retune("pin_memory", 0.0, 1.0))).passed


def test_only_the_exact_way_back_has_no_limit() -> None:
    small = Limits(max_delta_per_step=0.1)
    assert LimitExceeded().check(case(BACK, limits=small, last_good={"concurrency": 1.0})).passed
    assert not LimitExceeded().check(case(BACK, limits=small, last_good={"concurrency": 2.0})).passed
    assert not LimitExceeded().check(case(BACK, limits=small)).passed


def test_a_catalog_cannot_lend_the_way_back_to_another_chord() -> None:
    """An added invariant narrows; it once also lifted the limit of whichever chord carried it."""
    invariants = tuple(sorted({*RETUNE.invariants, "exact_previous_values"}))
    catalog = with_chord("DRIFT-RETUNE", invariants=invariants)
    subject = msgspec.structs.replace(RETUNE, invariants=invariants)
    small = Limits(max_delta_per_step=0.1)
    given = case(subject, catalog=catalog, limits=small, last_good={"concurrency": 6.0})
    assert LimitExceeded().check(given).reason is BlockReason.LIMIT_EXCEEDED


# approval_required


def test_hot_and_safe_needs_no_approval() -> None:
    assert ApprovalRequired().check(case(RETUNE)).passed


COLD = proposal("DRIFT-RETUNE", action("comm_bucket_mb", 25.0, 50.0))
NEEDS_APPROVAL = {
    "an advanced chord": GUARD,
    "a cold knob": COLD,
    "a cold knob called hot": proposal("DRIFT-RETUNE", action("comm_bucket_mb", 25.0, 50.0, actuation=Actuation.HOT)),
    "a hot knob called cold": retune(actuation=Actuation.COLD),
    "a proposal that calls itself advanced": msgspec.structs.replace(RETUNE, risk_tier=RiskTier.ADVANCED),
    "an advanced chord that calls itself safe": msgspec.structs.replace(GUARD, risk_tier=RiskTier.SAFE),
    "an advanced knob in a safe chord": retune("timeout_ms", 1000.0, 2000.0),
    "a chord nobody knows": proposal("MY-CHORD", action("concurrency", 4.0, 6.0)),
}


@pytest.mark.parametrize("name", NEEDS_APPROVAL)
def test_cold_and_advanced_are_blocked_until_a_person_approves(name: str) -> None:
    subject = NEEDS_APPROVAL[name]
    verdict = ApprovalRequired().check(case(subject))
    assert (verdict.passed, verdict.reason) == (False, BlockReason.APPROVAL_REQUIRED)
    assert ApprovalRequired().check(case(subject, approve_advanced=True)).passed
    assert ApprovalRequired().check(case(subject, approvals=frozenset({subject.chord_id}))).passed
    assert not ApprovalRequired().check(case(subject, approvals=frozenset({"BURST-ABSORB"}))).passed
    signed = ApprovalRequired().check(case(subject, signed_by=("ada", "bob")))
    assert signed.passed
    assert "approved by ada, bob" in signed.detail


def test_a_chord_whose_tier_was_raised_needs_approval() -> None:
    catalog = with_chord("DRIFT-RETUNE", risk_tier=RiskTier.ADVANCED)
    assert not ApprovalRequired().check(case(RETUNE, catalog=catalog)).passed


def test_an_approved_timeout_passes_every_gate() -> None:
    assert first_reason(judge(PROPOSAL_GATES, case(GUARD))) is BlockReason.APPROVAL_REQUIRED
    assert first_reason(judge(PROPOSAL_GATES, case(GUARD, approve_advanced=True))) is None


# cooldown_active


def cooled(subject: Proposal = RETUNE, *, ago_ms: int, **fields: Any) -> bool:
    given: GateCase = case(subject, planned_at_ms=(NOW_MS - 10**9, NOW_MS - ago_ms), **fields)
    verdict = Cooldown().check(given)
    assert verdict.reason is (None if verdict.passed else BlockReason.COOLDOWN_ACTIVE)
    return verdict.passed


def test_a_chord_rests_for_its_cooldown() -> None:
    assert not cooled(ago_ms=599_999)
    assert cooled(ago_ms=600_000)


def test_a_longer_cooldown_can_be_asked_for_and_never_a_shorter_one() -> None:
    assert not cooled(ago_ms=700_000, cooldown_s=900.0)
    assert cooled(ago_ms=900_000, cooldown_s=900.0)
    for shorter in (0.0, -5.0, math.nan):
        assert not cooled(ago_ms=599_999, cooldown_s=shorter)
    assert not cooled(ago_ms=10**8, cooldown_s=math.inf)


def test_a_change_in_the_future_counts_in_full() -> None:
    assert not cooled(ago_ms=-(10**9))


@pytest.mark.parametrize("missing", [{"now_ms": None}, {"planned_at_ms": None}])
def test_an_unknown_time_is_never_a_pass(missing: dict[str, Any]) -> None:
    for gate in (Cooldown(), BudgetGate()):
        assert not gate.check(case(RETUNE, **missing)).passed
        assert gate.check(case(proposal("DRIFT-RETUNE"), **missing)).passed, "nothing is asked for"


def test_an_unknown_cooldown_is_never_a_pass() -> None:
    assert not Cooldown().check(case(RETUNE, catalog=with_chord("DRIFT-RETUNE", cooldown_ms=None))).passed


def test_after_a_change_was_taken_back_every_other_chord_is_locked() -> None:
    fresh, old = (NOW_MS - 899_999,), (NOW_MS - 900_000,)
    assert not Cooldown().check(case(RETUNE, relocked_at_ms=fresh)).passed
    assert Cooldown().check(case(RETUNE, relocked_at_ms=old)).passed
    assert Cooldown().check(case(BACK, relocked_at_ms=fresh)).passed


def test_a_lock_of_unknown_length_holds() -> None:
    catalog = load_default()
    fewer = Catalog(
        schema_version=catalog.schema_version, chords=tuple(c for c in catalog.chords if c.id != "RECOVER-RELOCK")
    )
    assert not Cooldown().check(case(RETUNE, catalog=fewer, relocked_at_ms=(0,))).passed


# budget_exhausted


def test_a_chord_that_spent_its_budget_is_blocked() -> None:
    spec = find_chord(load_default(), "DRIFT-RETUNE")
    assert spec is not None
    assert spec.budget is not None
    inside = tuple(NOW_MS - hour * 3_600_000 for hour in range(1, spec.budget.max_changes + 1))
    verdict = BudgetGate().check(case(RETUNE, planned_at_ms=inside))
    assert (verdict.passed, verdict.reason) == (False, BlockReason.BUDGET_EXHAUSTED)
    assert BudgetGate().check(case(RETUNE, planned_at_ms=inside[1:])).passed
    left_the_window = (*inside[1:], NOW_MS - spec.budget.window_ms)
    assert BudgetGate().check(case(RETUNE, planned_at_ms=left_the_window)).passed


def test_without_a_budget_in_the_catalog_nothing_is_counted() -> None:
    many = tuple(range(100))
    assert BudgetGate().check(case(RETUNE, planned_at_ms=many, catalog=with_chord("DRIFT-RETUNE", budget=None))).passed
