"""The report: what was done, what was not, and why, item by item."""

from pathlib import Path

import msgspec
from tests.door.doors import KEY, Door

from modekeeper.artifacts.canonical import document
from modekeeper.artifacts.contracts.k8s_apply import ApplyStatus, K8sApplyReport
from modekeeper.model.decision import Actuation, BlockReason
from modekeeper_pro.door.apply import apply
from modekeeper_pro.door.report import Asked, apply_report, rollback_report
from modekeeper_pro.door.rollback import rollback

HOT = Actuation.HOT


def asked(door: Door) -> Asked:
    return Asked(started=door.clock.now(), finished=door.clock.now(), plan_path="k8s_plan.json", folder="report/apply")


def test_a_plan_that_is_stopped_in_the_middle_says_what_was_done_and_what_was_not(tmp_path: Path) -> None:
    door = Door(tmp_path, HOT, ("a", "b", "c"))
    door.writer.before_write = lambda change: door.edit(change.ref, KEY, "3") if change.ref.name == "b-0" else None
    report = apply_report(apply(door.request(), door.ports), asked(door))
    assert not report.apply_ok
    assert report.apply_attempted
    assert report.block_reasons == (BlockReason.TARGET_CHANGED,)
    assert [each.status for each in report.items] == [ApplyStatus.DONE, ApplyStatus.REFUSED, ApplyStatus.NOT_DONE]
    assert [each.status for each in report.items[1].pods] == [ApplyStatus.REFUSED, ApplyStatus.NOT_DONE]
    assert report.items[1].receipt is not None
    assert report.items[1].pods[0].receipt is None
    assert "is '3'" in report.detail
    assert report.rollback_plan_path == "report/apply/rollback_plan_latest.json"
    written = [each for i in report.items for each in (i.receipt, *(pod.receipt for pod in i.pods)) if each is not None]
    assert len(written) == len(door.writer.stored) == len(door.receipts()) == 4
    assert msgspec.json.decode(document(report), type=K8sApplyReport) == report

    door.writer.before_write = lambda _change: None
    back = rollback_report(rollback(None, door.ports), asked(door))
    assert back.apply_ok
    assert [each.status for each in back.items] == [ApplyStatus.DONE, ApplyStatus.DONE]
    assert back.license is None


def test_a_refusal_names_every_reason_in_order_and_touches_nothing(tmp_path: Path) -> None:
    door = Door(tmp_path, Actuation.COLD)
    door.switches.active = True
    report = apply_report(apply(door.request(approve_advanced=False, verification=None), door.ports), asked(door))
    assert report.block_reasons == (
        BlockReason.KILL_SWITCH_ACTIVE,
        BlockReason.VERIFY_MISSING,
        BlockReason.APPROVAL_REQUIRED,
    )
    assert report.reason is report.block_reason is report.apply_blocked_reason is BlockReason.KILL_SWITCH_ACTIVE
    assert report.kill_switch_signal == "env:MODEKEEPER_KILL_SWITCH"
    assert report.verify_ok is None
    assert report.approval.required is True
    assert report.approval.approved is False
    assert not report.apply_attempted
    assert [each.status for each in report.items] == [ApplyStatus.REFUSED]
    assert report.rollback_plan_path is None


def test_the_same_facts_make_the_same_bytes(tmp_path: Path) -> None:
    made: list[tuple[bytes, dict[str, bytes]]] = []
    verification: bytes | None = None
    for name in ("one", "two"):
        door = Door(tmp_path / name, HOT)
        verification = door.verification = verification or door.verification
        applied = apply(door.request(), door.ports)
        files = {path.name: path.read_bytes() for path in (tmp_path / name / "apply" / "door").rglob("*.*")}
        made.append((document(apply_report(applied, asked(door))), files))
    assert made[0][1]["undo.json"]
    assert made[0] == made[1]
