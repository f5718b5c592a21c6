"""The door as a whole: what is written, what is not, what stays on the disk."""

import itertools
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.cluster_verify.worlds import plan_of
from tests.door.doors import DEPLOYMENTS, KEY, TRAINER, Door, planned
from tests.passports.documents import passport as passport_with

from modekeeper.artifacts.canonical import document
from modekeeper.artifacts.contracts.k8s_apply import ApplyStatus, LicensePart, Receipt, receipt_digest
from modekeeper.cluster.memory import NAMESPACES, PODS
from modekeeper.gates.kill_switch import KillSwitch
from modekeeper.gates.plan_on_file import PlanCase, judge_plan, ordered_reasons
from modekeeper.gates.verification import read_verification
from modekeeper.model.cluster import ObjectRef
from modekeeper.model.decision import Actuation, BlockReason, CurrentValueSource, Target
from modekeeper.model.errors import BadInputError, RefusedError
from modekeeper.passports.reading import check_passport
from modekeeper.passports.templates import default_passport
from modekeeper.planning.parse import parse_plan
from modekeeper.policy.catalog import load_default
from modekeeper.policy.situation import KnownValue
from modekeeper_pro.door.apply import apply
from modekeeper_pro.door.case import DoorCase
from modekeeper_pro.door.gates import MANDATORY_GATES, DoorGate, block_reasons, judge
from modekeeper_pro.door.rollback import rollback
from modekeeper_pro.door.runs import locked
from modekeeper_pro.door.verification import parse_verification

HOT, COLD = Actuation.HOT, Actuation.COLD
POD = ObjectRef(PODS, "train", "trainer-0")


@pytest.mark.parametrize("actuation", [HOT, COLD])
def test_a_verified_plan_is_applied_and_taken_back(actuation: Actuation, tmp_path: Path) -> None:
    door = Door(tmp_path, actuation)
    applied = apply(door.request(), door.ports)
    assert applied.ok, applied.verdicts
    changed = door.ours()
    if actuation is HOT:
        assert [c.ref.name for c in door.writer.stored] == ["trainer", "trainer-0", "trainer-1"]
        names = ["Deployment/trainer", "Pod/trainer-0", "Pod/trainer-1"]
        assert {name: changed[name][KEY] for name in names} == dict.fromkeys(names, "4")
    else:
        assert [c.ref.name for c in door.writer.stored] == ["trainer"]
        assert changed["Deployment/trainer template"][KEY] == "4"
    assert all("somebody/else" in values for name, values in changed.items())
    assert len(door.receipts()) == len(door.writer.stored)
    for path in door.receipts():
        receipt = msgspec.json.decode(path.read_bytes(), type=Receipt)
        assert receipt.digest == receipt_digest(receipt)
        assert receipt.plan_digest == door.plan.digest

    taken = rollback(None, door.ports)
    assert taken.ok, (taken.verdicts, taken.outcomes)
    assert door.ours() == door.original
    assert len(door.receipts()) == len(door.writer.stored)
    again = rollback(door.plan.digest, door.ports)
    assert again.outcomes == ()
    assert door.ours() == door.original


SWITCH = (False, True)
LICENCE = (None, *[r for r in BlockReason if r.value.startswith(("license", "binding", "entitlement"))])
VERIFICATION = (None, "missing", "damaged", "of another plan", "of another cluster", "expired", "failed")
APPROVED = (True, False)
PASSPORT = ("allowed", "denied", "unreadable", "laxer than the plan's")
PRO = (True, False)
TARGET = (False, True)
EXPECTED = {
    "missing": BlockReason.VERIFY_MISSING,
    "damaged": BlockReason.VERIFY_FAILED,
    "of another plan": BlockReason.VERIFY_PLAN_MISMATCH,
    "of another cluster": BlockReason.VERIFY_CLUSTER_MISMATCH,
    "expired": BlockReason.VERIFY_EXPIRED,
    "failed": BlockReason.VERIFY_FAILED,
}


def arrange(door: Door, verification: str | None) -> None:
    match verification:
        case "missing":
            door.verification = None
        case "damaged":
            door.verification = (door.verification or b"").replace(b'"ok": true', b'"ok" : true,"x":1', 1)
        case "of another plan":
            other = Door(door.folder / "other", COLD, ("another",))
            door.verification = other.verification
        case "of another cluster":
            found = door.cluster.get(ObjectRef(NAMESPACES, None, "kube-system"))
            found["metadata"]["uid"] = "another"
            door.cluster.put(NAMESPACES, found)
        case "expired":
            door.clock.time = door.clock.time.replace(hour=10)
        case "failed":
            owned = door.cluster.get(TRAINER)
            owned["metadata"]["ownerReferences"] = [{"kind": "Owner", "name": "o", "controller": True, "uid": "u"}]
            door.cluster.put(DEPLOYMENTS, owned)
            door.verification = door.verified(door.plan)
            del owned["metadata"]["ownerReferences"]
            door.cluster.put(DEPLOYMENTS, owned)


def door_under(passport: str, folder: Path) -> Door:
    """A door for a cold plan made under a passport, and what is named as the passport when it is applied."""
    strict = passport_with(cooldown_s=60, **({"actuations": ["hot"]} if passport == "denied" else {}))
    door = Door(folder, COLD, passport=strict)
    match passport:
        case "unreadable":
            door.passport = (door.passport or b"")[:-3]
        case "laxer than the plan's":
            door.passport = None
    return door


def public_reasons(door: Door, *, active: bool, approved: bool) -> tuple[BlockReason, ...]:
    """What the public package says, which has no door to ask."""
    found = read_verification(door.verification) if door.verification is not None else None
    passport = check_passport(door.passport).passport if door.passport is not None else default_passport()
    case = PlanCase(
        plan=parse_plan(document(door.plan)),
        catalog=load_default(),
        passport=passport,
        kill_switch=KillSwitch(active=active),
        why_not_pro="the licensed package is not installed",
        verification=found,
        approve_advanced=approved,
        now=door.clock.now(),
    )
    return ordered_reasons(judge_plan(case))


@pytest.mark.parametrize(
    ("active", "licence", "pro", "verification", "approved", "passport", "changed"),
    list(itertools.product(SWITCH, LICENCE, PRO, VERIFICATION, APPROVED, PASSPORT, TARGET)),
)
def test_writes_happen_in_exactly_one_row(  # noqa: PLR0917 - the columns of the table
    active: bool,
    licence: BlockReason | None,
    pro: bool,
    verification: str | None,
    approved: bool,
    passport: str,
    changed: bool,
    tmp_path: Path,
) -> None:
    door = door_under(passport, tmp_path)
    arrange(door, verification)
    if not pro:
        reasons = public_reasons(door, active=active, approved=approved)
        assert reasons[0] is (BlockReason.KILL_SWITCH_ACTIVE if active else BlockReason.PRO_NOT_INSTALLED)
        assert (BlockReason.PASSPORT_DENIED in reasons) is (passport != "allowed")
        assert (BlockReason.APPROVAL_REQUIRED in reasons) is not approved
        assert door.writer.stored == []
        return
    door.switches.active = active
    if licence is not None:
        door.licence.part = msgspec.structs.replace(door.licence.part, license_ok=False, reason=licence)
    door.approve_advanced = approved
    if changed:
        door.edit(TRAINER, KEY, "3", template=True)
    before = door.ours()

    applied = apply(door.request(), door.ports)

    expected = [
        reason
        for holds, reason in [
            (active, BlockReason.KILL_SWITCH_ACTIVE),
            (licence is not None, licence),
            (verification is not None, EXPECTED.get(verification or "")),
            (passport != "allowed", BlockReason.PASSPORT_DENIED),
            (not approved, BlockReason.APPROVAL_REQUIRED),
            (changed and verification not in {"missing", "damaged"}, BlockReason.TARGET_CHANGED),
        ]
        if holds and reason is not None
    ]
    reasons = block_reasons(applied.verdicts)
    assert set(expected) <= set(reasons)
    if expected:
        assert reasons[0] is expected[0]
        assert door.writer.stored == []
        assert door.ours() == before
        assert not (tmp_path / "apply" / "door").exists()
    else:
        assert reasons == ()
        assert len(door.writer.stored) == 1
    the_row = (False, None, True, None, True, "allowed", False)
    row = (active, licence, pro, verification, approved, passport, changed)
    assert bool(door.writer.stored) is (row == the_row)


def test_nothing_is_approved_by_a_hot_item_for_a_cold_one(tmp_path: Path) -> None:
    door = Door(tmp_path, COLD)
    applied = apply(door.request(approve_advanced=False), door.ports)
    assert block_reasons(applied.verdicts) == (BlockReason.APPROVAL_REQUIRED,)


def test_somebody_elses_edit_just_before_the_write_stops_it(tmp_path: Path) -> None:
    door = Door(tmp_path, HOT)
    door.writer.before_write = lambda change: (
        door.edit(change.ref, KEY, "3") if change.ref.name == "trainer-0" else None
    )
    applied = apply(door.request(), door.ports)
    assert not applied.ok
    assert [outcome.status for outcome in applied.outcomes] == [
        ApplyStatus.DONE,
        ApplyStatus.REFUSED,
        ApplyStatus.NOT_DONE,
    ]
    assert applied.outcomes[1].reason is BlockReason.TARGET_CHANGED
    assert "was '2' and is '3'" in applied.outcomes[1].detail
    assert len(door.receipts()) == len(door.writer.stored) == 1
    door.writer.before_write = lambda _change: None
    rollback(None, door.ports)
    assert door.ours() == door.original | {"Pod/trainer-0": {KEY: "3", "somebody/else": "z"}}


def test_an_object_that_moves_without_its_values_is_tried_again(tmp_path: Path) -> None:
    door = Door(tmp_path, HOT)
    moves = iter(range(3))
    door.writer.before_write = lambda change: (
        door.edit(change.ref, "somebody/else", "new") if next(moves, None) is not None else None
    )
    assert apply(door.request(), door.ports).ok
    assert len(door.receipts()) == len(door.writer.stored) == 3


def test_an_object_that_never_stands_still_is_given_up(tmp_path: Path) -> None:
    door = Door(tmp_path, HOT)
    door.writer.before_write = lambda change: door.edit(change.ref, "somebody/else", "new")
    applied = apply(door.request(), door.ports)
    assert applied.outcomes[0].status is ApplyStatus.FAILED
    assert door.receipts() == []
    assert door.writer.stored == []


def test_a_deleted_and_recreated_object_is_another_one(tmp_path: Path) -> None:
    door = Door(tmp_path, COLD)
    found = door.cluster.get(TRAINER)
    door.cluster.delete(TRAINER)
    del found["metadata"]["uid"]
    door.cluster.put(DEPLOYMENTS, found)
    applied = apply(door.request(), door.ports)
    assert block_reasons(applied.verdicts) == (BlockReason.TARGET_CHANGED,)
    assert "another object of the same name" in applied.verdicts[-3].detail
    assert door.writer.stored == []


def test_admission_that_rewrites_our_value_stops_everything(tmp_path: Path) -> None:
    door = Door(tmp_path, COLD)

    def clamp(_ref: ObjectRef, found: dict[str, object]) -> dict[str, object]:
        found["spec"]["template"]["metadata"]["annotations"][KEY] = "3"  # type: ignore[index]
        return found

    door.cluster.admit(clamp)
    applied = apply(door.request(), door.ports)
    assert BlockReason.EFFECT_UNKNOWN in block_reasons(applied.verdicts)
    assert door.writer.stored == []


def test_the_kill_switch_stops_between_two_writes_and_a_rollback_too(tmp_path: Path) -> None:
    door = Door(tmp_path, HOT)
    door.writer.after_write = lambda change: setattr(door.switches, "active", change.ref.name == "trainer-0")
    applied = apply(door.request(), door.ports)
    assert [outcome.status for outcome in applied.outcomes] == [
        ApplyStatus.DONE,
        ApplyStatus.DONE,
        ApplyStatus.REFUSED,
    ]
    assert applied.outcomes[2].reason is BlockReason.KILL_SWITCH_ACTIVE
    taken = rollback(None, door.ports)
    assert not taken.ok
    assert len(door.writer.stored) == 2
    door.writer.after_write = lambda _change: None
    door.switches.active = False
    door.licence.expire()
    asked = len(door.licence.asked)
    assert rollback(None, door.ports).ok
    assert len(door.licence.asked) == asked
    assert door.ours() == door.original


def test_two_appliers_one_folder_or_two_write_once(tmp_path: Path) -> None:
    door = Door(tmp_path / "one", HOT)
    with locked(door.ports), pytest.raises(RefusedError, match="Another apply"):
        apply(door.request(), door.ports)
    second = Door(tmp_path / "two", HOT)
    second.cluster, second.writer = door.cluster, door.writer
    begun: list[object] = []

    def meanwhile(_change: object) -> None:
        if not begun:
            begun.append(True)
            begun.append(apply(second.request(verification=door.verification), second.ports))

    door.writer.before_write = meanwhile
    applied = apply(door.request(), door.ports)
    assert not applied.ok
    assert applied.outcomes[0].reason is BlockReason.TARGET_CHANGED
    assert begun[1].ok  # type: ignore[attr-defined]
    assert len(door.writer.stored) == len(second.receipts()) == 3
    assert door.receipts() == []


def test_a_rollback_changes_only_what_is_still_ours(tmp_path: Path) -> None:
    door = Door(tmp_path, HOT, ("a", "b"))
    assert apply(door.request(), door.ports).ok
    door.edit(ObjectRef(PODS, "train", "a-1"), KEY, "7")
    taken = rollback(None, door.ports)
    assert not taken.ok
    refused = [outcome for outcome in taken.outcomes if outcome.status is ApplyStatus.REFUSED]
    assert [outcome.write.name for outcome in refused] == ["a-1"]
    assert "was '4' and is '7'" in refused[0].detail
    assert door.ours() == door.original | {"Pod/a-1": {KEY: "7", "somebody/else": "z"}}


def case_of(door: Door) -> DoorCase:
    return apply(door.request(), door.ports).case


def test_a_gate_without_its_fact_stops_and_each_gate_has_its_reason(tmp_path: Path) -> None:
    case = case_of(Door(tmp_path, COLD))
    assert block_reasons(judge(case)) == ()
    for missing, reason in [
        ({"kill_switch": None}, BlockReason.KILL_SWITCH_ACTIVE),
        ({"licence": None}, BlockReason.LICENSE_INVALID),
        ({"pro_installed": None}, BlockReason.PRO_NOT_INSTALLED),
        ({"pro_installed": False}, BlockReason.PRO_NOT_INSTALLED),
        ({"verification": None}, BlockReason.VERIFY_MISSING),
        ({"cluster_uid": None}, BlockReason.VERIFY_CLUSTER_MISMATCH),
        ({"plan": None}, BlockReason.VERIFY_PLAN_MISMATCH),
        ({"items": ()}, BlockReason.CHORD_UNKNOWN),
    ]:
        assert block_reasons(judge(replace(case, **missing)))[0] is reason, missing  # type: ignore[arg-type]


def test_no_gates_and_broken_gates_stop(tmp_path: Path) -> None:
    case = case_of(Door(tmp_path, COLD))
    assert block_reasons(judge(case, ())) == (BlockReason.INVARIANT_VIOLATED,)
    assert block_reasons(()) == (BlockReason.INVARIANT_VIOLATED,)

    def breaks(_case: DoorCase) -> None:
        raise RuntimeError("anything")

    for broken in (breaks, lambda _case: True, lambda _case: "fine"):
        gate = DoorGate("limit", BlockReason.LIMIT_EXCEEDED, broken)
        assert block_reasons(judge(case, (gate,))) == (BlockReason.LIMIT_EXCEEDED,)


def test_the_gates_stand_in_the_order_of_the_specification() -> None:
    order = list(BlockReason)
    ranks = [order.index(gate.reason) for gate in MANDATORY_GATES]
    assert ranks == sorted(ranks)
    # Every reason has a gate; those of one gate share the rank of its neighbours.
    covered = {gate.reason for gate in MANDATORY_GATES}
    licence = {reason for reason in order if reason.value.startswith(("license", "binding", "entitlement"))}
    assert set(order) - covered - licence == {BlockReason.VERIFY_FAILED}


@pytest.mark.parametrize("broken", [None, "off", object(), RuntimeError("cannot be read")])
def test_a_kill_switch_that_cannot_be_read_is_active(broken: object, tmp_path: Path) -> None:
    door = Door(tmp_path, HOT)

    def look(_namespaces: tuple[str, ...]) -> object:
        if isinstance(broken, Exception):
            raise broken
        return broken

    door.switches.look = look  # type: ignore[method-assign, assignment]
    assert block_reasons(apply(door.request(), door.ports).verdicts) == (BlockReason.KILL_SWITCH_ACTIVE,)
    assert door.writer.stored == []


def test_a_licence_that_cannot_be_checked_allows_nothing(tmp_path: Path) -> None:
    door = Door(tmp_path, HOT)

    def check(_uid: str | None) -> LicensePart:
        raise RuntimeError("anything")

    door.licence.check = check  # type: ignore[method-assign, assignment]
    assert block_reasons(apply(door.request(), door.ports).verdicts) == (BlockReason.LICENSE_INVALID,)


def test_the_kill_switch_is_looked_at_before_each_write(tmp_path: Path) -> None:
    door = Door(tmp_path, HOT)
    order: list[str] = []
    look = door.switches.look

    def noted(namespaces: tuple[str, ...]) -> KillSwitch:
        order.append("look")
        return look(namespaces)

    door.switches.look = noted  # type: ignore[method-assign]
    door.writer.before_write = lambda _change: order.append("write")
    assert apply(door.request(), door.ports).ok
    # Once at first, and right before each write; again where something had to be waited for after a look.
    assert order.count("write") == 3
    assert order[:3] == ["look", "look", "write"]
    assert all(order[place - 1] == "look" for place, what in enumerate(order) if what == "write")


def test_a_value_that_nobody_knows_stops_and_the_operators_word_helps(tmp_path: Path) -> None:
    door = Door(tmp_path, COLD)
    found = door.cluster.get(TRAINER)
    del found["spec"]["template"]["metadata"]["annotations"][KEY]
    door.cluster.put(DEPLOYMENTS, found)
    door.verification = door.verified(door.plan)
    refused = apply(door.request(), door.ports)
    assert BlockReason.LIMIT_EXCEEDED in block_reasons(refused.verdicts)
    known = {"dataloader_prefetch_factor": KnownValue(value=2.0, source=CurrentValueSource.OPERATOR)}
    target = Target(namespace="train", kind="Deployment", name="trainer")
    assert apply(door.request(known={target: known}), door.ports).ok
    assert rollback(None, door.ports).ok
    assert KEY not in door.ours()["Deployment/trainer template"]


def test_what_somebody_wrote_by_hand_comes_back_to_the_byte(tmp_path: Path) -> None:
    door = Door(tmp_path, COLD)
    door.edit(TRAINER, KEY, "2\n\u00fc \u0000;$(x)", template=True)
    door.verification, before = door.verified(door.plan), door.ours()
    known = {"dataloader_prefetch_factor": KnownValue(value=2.0, source=CurrentValueSource.OPERATOR)}
    target = Target(namespace="train", kind="Deployment", name="trainer")
    assert apply(door.request(known={target: known}), door.ports).ok
    assert rollback(None, door.ports).ok
    assert door.ours() == before


def test_a_way_back_that_cannot_be_gone_stops_before_the_first_change(tmp_path: Path) -> None:
    door = Door(tmp_path, COLD)
    door.edit(TRAINER, KEY, "2" * 5000, template=True)
    door.verification = door.verified(door.plan)
    with pytest.raises(RefusedError, match="too long"):
        apply(door.request(), door.ports)
    assert door.writer.stored == []


def test_a_second_plan_waits_for_the_cooldown(tmp_path: Path) -> None:
    door = Door(tmp_path, HOT)
    assert apply(door.request(), door.ports).ok
    door.plan = plan_of(planned(HOT, value="6"))
    door.verification = door.verified(door.plan)
    refused = apply(door.request(), door.ports)
    assert block_reasons(refused.verdicts) == (BlockReason.COOLDOWN_ACTIVE,)
    door.clock.time += timedelta(hours=1)
    door.verification = door.verified(door.plan)
    assert apply(door.request(), door.ports).ok


@pytest.mark.parametrize("given_plan", [b"", b"{}", b"\xff", b"[" * 100])
def test_what_is_no_plan_is_refused(given_plan: bytes, tmp_path: Path) -> None:
    door = Door(tmp_path, HOT)
    applied = apply(door.request(plan=given_plan), door.ports)
    assert not applied.ok
    assert door.writer.stored == []


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_verification_with_any_byte_changed_is_none(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    global _VERIFICATION  # noqa: PLW0603 - made once
    _VERIFICATION = _VERIFICATION or Door(tmp_path_factory.mktemp("door"), HOT).verification or b""
    place = data.draw(st.integers(0, len(_VERIFICATION) - 1))
    byte = data.draw(st.integers(0, 255))
    changed = _VERIFICATION[:place] + bytes([byte]) + _VERIFICATION[place + 1 :]
    try:
        parsed = parse_verification(changed)
    except BadInputError:
        return
    assert parsed == parse_verification(_VERIFICATION)  # white space alone


_VERIFICATION = b""
