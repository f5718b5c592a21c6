"""The door under a passport: which one counts, what it stops, and what it counts."""

from datetime import timedelta
from pathlib import Path

import pytest
from tests.cluster_verify.worlds import plan_of
from tests.door.doors import Door, made_under, planned
from tests.passports.documents import passport as passport_with

from modekeeper.artifacts.canonical import document
from modekeeper.model.decision import Actuation, BlockReason
from modekeeper.passports.passport import Passport, passport_bytes
from modekeeper.passports.templates import default_passport, load_template, template_bytes
from modekeeper_pro.door.apply import apply
from modekeeper_pro.door.gates import block_reasons
from modekeeper_pro.door.report import Asked, apply_report
from modekeeper_pro.door.rollback import rollback

HOT, COLD = Actuation.HOT, Actuation.COLD
SAFE, PILOT = default_passport(), load_template("pilot")
TEAM = passport_with(name="team", cooldown_s=60)


@pytest.mark.parametrize(
    ("plan_under", "given", "passes"),
    [
        (None, None, True),
        (None, template_bytes("safe"), True),
        (SAFE, None, True),
        (SAFE, template_bytes("safe"), True),
        (None, template_bytes("pilot"), False),
        (SAFE, template_bytes("pilot"), False),
        (PILOT, None, False),
        (PILOT, template_bytes("safe"), False),
        (PILOT, template_bytes("pilot"), True),
        (TEAM, None, False),
        (TEAM, template_bytes("pilot"), False),
        (TEAM, passport_bytes(TEAM), True),
        (TEAM, passport_bytes(passport_with(name="team", cooldown_s=59)), False),
        (TEAM, passport_bytes(passport_with(name="team", cooldown_s=61)), False),
        (TEAM, b"", False),
        (None, b"", False),
        (None, b"{}", False),
        (None, passport_bytes(SAFE).replace(b'"none"', b'"signed"'), False),
    ],
)
def test_a_plan_is_applied_under_the_passport_it_was_made_under(
    plan_under: Passport | None, given: bytes | None, passes: bool, tmp_path: Path
) -> None:
    door = Door(tmp_path, HOT)
    door.plan = made_under(door.plan, plan_under)
    door.verification, door.passport = door.verified(door.plan), given
    applied = apply(door.request(approve_advanced=True), door.ports)
    assert applied.ok is passes
    # Without a passport nobody knows who has to approve: that may be a second reason, never the first.
    assert block_reasons(applied.verdicts)[:1] == (() if passes else (BlockReason.PASSPORT_DENIED,))
    assert bool(door.writer.stored) is passes


def test_a_plan_whose_passport_was_taken_out_or_exchanged_is_another_plan(tmp_path: Path) -> None:
    door = Door(tmp_path, HOT, passport=PILOT)
    stripped = made_under(door.plan, None)
    for plan in (stripped, made_under(door.plan, SAFE)):
        applied = apply(door.request(plan=document(plan), passport=None), door.ports)
        assert block_reasons(applied.verdicts) == (BlockReason.VERIFY_PLAN_MISMATCH,)
    for old, new in ((b'"pilot"', b'"safe"'), (b'"digest": "sha256:', b'"digest": "sha256:0')):
        changed = document(door.plan).replace(old, new, 1)
        assert changed != document(door.plan)
        assert not apply(door.request(plan=changed, passport=None), door.ports).ok
    assert door.writer.stored == []


@pytest.mark.parametrize(("approved", "passes"), [(False, False), (True, True)])
def test_pilot_asks_a_person_for_what_safe_does_by_itself(approved: bool, passes: bool, tmp_path: Path) -> None:
    assert apply((plain := Door(tmp_path / "safe", HOT)).request(approve_advanced=False), plain.ports).ok
    door = Door(tmp_path / "pilot", HOT, passport=PILOT)
    applied = apply(door.request(approve_advanced=approved), door.ports)
    assert block_reasons(applied.verdicts) == (() if passes else (BlockReason.APPROVAL_REQUIRED,))
    assert bool(door.writer.stored) is passes
    report = apply_report(applied, Asked(started=door.clock.now(), finished=door.clock.now()))
    assert report.approval.required
    assert report.passport is not None
    assert (report.passport.name, report.made_under) == ("pilot", door.plan.passport)


def test_a_hot_knob_that_is_changed_cold_is_a_cold_change(tmp_path: Path) -> None:
    signed = passport_with(approval={"hot": "none", "cold": "signed", "advanced": "operator"})
    door = Door(tmp_path, COLD, passport=signed)
    applied = apply(door.request(approve_advanced=True), door.ports)
    assert block_reasons(applied.verdicts) == (BlockReason.APPROVAL_REQUIRED,)
    assert door.writer.stored == []


def test_an_operators_yes_is_no_second_persons_signature(tmp_path: Path) -> None:
    signed = passport_with(approval={"hot": "signed", "cold": "signed", "advanced": "signed"})
    door = Door(tmp_path, HOT, passport=signed)
    applied = apply(door.request(approve_advanced=True, approvals=frozenset({"DRIFT-RETUNE"})), door.ports)
    assert block_reasons(applied.verdicts) == (BlockReason.APPROVAL_REQUIRED,)
    assert "second person" in next(v.detail for v in applied.verdicts if v.gate == "approval")
    assert door.writer.stored == []


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ({"targets": {"namespaces": ["train"], "names": ["trainer"]}}, None),
        ({"targets": {"namespaces": ["elsewhere"]}}, BlockReason.PASSPORT_DENIED),
        ({"chords": ["BURST-ABSORB", "RECOVER-RELOCK"]}, BlockReason.PASSPORT_DENIED),
        ({"actuations": ["cold"]}, BlockReason.PASSPORT_DENIED),
        ({"knobs": {"dataloader_prefetch_factor": {"max": 4}}}, None),
        ({"knobs": {"dataloader_prefetch_factor": {"max": 3}}}, BlockReason.LIMIT_EXCEEDED),
        ({"knobs": {"dataloader_prefetch_factor": {"max_step": 1}}}, BlockReason.LIMIT_EXCEEDED),
        ({"max_delta_per_step": 0.9}, BlockReason.LIMIT_EXCEEDED),
    ],
)
def test_the_door_holds_a_change_against_the_passport(
    rules: dict[str, object], reason: BlockReason | None, tmp_path: Path
) -> None:
    door = Door(tmp_path, HOT, passport=passport_with(**rules))
    assert block_reasons(apply(door.request(), door.ports).verdicts) == (() if reason is None else (reason,))
    assert bool(door.writer.stored) is (reason is None)


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ({"cooldown_s": 86_400}, BlockReason.COOLDOWN_ACTIVE),
        ({"budget": {"max_changes": 1, "window_s": 86_400}}, BlockReason.BUDGET_EXHAUSTED),
        ({}, None),
    ],
)
def test_the_door_counts_changes_of_a_workload_and_making_one_again_is_another(
    rules: dict[str, object], reason: BlockReason | None, tmp_path: Path
) -> None:
    """Taken back and made anew, hours later and verified anew: a plan cannot be applied as often as one likes."""
    door = Door(tmp_path, HOT, passport=passport_with(**rules))
    assert apply(door.request(), door.ports).ok
    assert apply(door.request(), door.ports).ok, "what is done already can be asked for again"
    assert rollback(None, door.ports).ok
    door.clock.time += timedelta(hours=2)
    door.verification = door.verified(door.plan)
    applied = apply(door.request(), door.ports)
    assert block_reasons(applied.verdicts) == (() if reason is None else (reason,))


def test_two_plans_in_turn_do_not_hide_each_other_from_a_budget(tmp_path: Path) -> None:
    """Forth and back and forth: the first plan is asked for again, and is counted for its first time."""
    door = Door(tmp_path, HOT, passport=(rules := passport_with(budget={"max_changes": 2, "window_s": 86_400})))
    forth = door.plan
    back = made_under(plan_of(planned(HOT, value="2")), rules)
    for plan, passes in ((forth, True), (back, True), (forth, False)):
        door.clock.time += timedelta(hours=2)
        door.plan, door.verification = plan, door.verified(plan)
        applied = apply(door.request(), door.ports)
        assert block_reasons(applied.verdicts) == (() if passes else (BlockReason.BUDGET_EXHAUSTED,))
