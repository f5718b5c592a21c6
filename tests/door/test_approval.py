"""A second person's signed approval at the door: what it opens, what it stops, and where it is remembered."""

import itertools
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.cluster_verify.worlds import plan_of
from tests.door.doors import KEY, Door, planned
from tests.trust.approving import APPROVERS, approval
from tests.trust.signing import KEYRING, licence

from modekeeper.artifacts.canonical import canonical_digest, document
from modekeeper.artifacts.contracts.k8s_apply import K8sApplyReport
from modekeeper.cluster.memory import NAMESPACES
from modekeeper.model.cluster import ObjectRef
from modekeeper.model.decision import Actuation, BlockReason, Plan
from modekeeper.model.errors import FailedError
from modekeeper.trust.faults import KeyringError
from modekeeper_pro.door.apply import Applied, apply
from modekeeper_pro.door.gates import block_reasons
from modekeeper_pro.door.records import read_record
from modekeeper_pro.door.report import Asked, apply_report
from modekeeper_pro.door.rollback import rollback

HOT, COLD = Actuation.HOT, Actuation.COLD


def uid_of_cluster(door: Door) -> str:
    uid: str = door.cluster.get(ObjectRef(NAMESPACES, None, "kube-system"))["metadata"]["uid"]
    return uid


def signed(door: Door, plan: Plan | None = None, **changes: Any) -> bytes:
    """An approval of the door's plan, on its cluster, good for an hour of its clock."""
    now = door.clock.now()
    said = {
        "plan_digest": (plan or door.plan).digest,
        "cluster_uid": uid_of_cluster(door),
        "approved_at": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "expires_at": f"{now + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}",
    }
    return approval(**(said | changes))


def applied_with(door: Door, data: bytes | None, approvers: Any = APPROVERS, **fields: Any) -> Applied:
    request = door.request(**({"approve_advanced": False, "approval": data} | fields))
    return apply(request, replace(door.ports, approvers=approvers))


def report_of(door: Door, applied: Applied) -> K8sApplyReport:
    now = door.clock.now()
    return apply_report(applied, Asked(started=now, finished=now, approval_path="approval.json"))


def test_a_second_persons_signature_is_a_yes_and_is_remembered_with_the_change(tmp_path: Path) -> None:
    door = Door(tmp_path, COLD)
    data = signed(door)
    applied = applied_with(door, data)
    assert applied.ok, applied.verdicts
    assert len(door.writer.stored) == 1
    part = report_of(door, applied).approval
    assert (part.required, part.approved, part.approve_advanced) == (True, True, False)
    assert (part.signed_by, part.approver, part.failure_code) == (("ada",), "Ada Lovelace", None)
    record = read_record(door.ports.files, 1)
    assert record is not None
    assert (record.approved_by, record.approval_digest) == (("ada",), part.approval_digest)
    journal = (tmp_path / "apply" / "door" / "0001" / "journal.jsonl").read_text().splitlines()
    assert json.loads(journal[0])["approved_by"] == ["ada"]
    (receipt,) = door.receipts()
    assert json.loads(receipt.read_text())["approved_by"] == ["ada"]
    gate = next(verdict for verdict in applied.verdicts if verdict.gate == "approval")
    assert gate.passed

    assert rollback(None, door.ports).ok
    assert door.ours() == door.original


def test_a_change_that_nobody_signed_says_so(tmp_path: Path) -> None:
    door = Door(tmp_path, HOT)
    applied = applied_with(door, None)
    assert applied.ok
    assert report_of(door, applied).approval.signed_by == ()
    assert door.receipts()
    assert all("approved_by" not in json.loads(path.read_text()) for path in door.receipts())


def test_a_record_of_a_release_without_approvals_still_leads_back(tmp_path: Path) -> None:
    door = Door(tmp_path, HOT)
    assert applied_with(door, None).ok
    path = tmp_path / "apply" / "door" / "0001" / "undo.json"
    new = {"approved_by", "approval_digest", "digest"}
    older = {name: value for name, value in json.loads(path.read_text()).items() if name not in new}
    path.write_bytes(document(older | {"digest": canonical_digest(older)}))
    assert rollback(None, door.ports).ok
    assert door.ours() == door.original


def test_who_approved_cannot_be_changed_in_the_record_unnoticed(tmp_path: Path) -> None:
    door = Door(tmp_path, COLD)
    assert applied_with(door, signed(door)).ok
    path = tmp_path / "apply" / "door" / "0001" / "undo.json"
    path.write_bytes(path.read_bytes().replace(b'"ada"', b'"bob"'))
    with pytest.raises(FailedError, match="changed after it was written"):
        rollback(None, door.ports)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "of another plan": ({"plan_digest": f"sha256:{'0' * 64}"}, "plan_mismatch"),
    "for another cluster": ({"cluster_uid": "another"}, "cluster_mismatch"),
    "by nobody's key": ({"key": "evil"}, "signature_mismatch"),
    "by the other's kid": ({"kid": "bob"}, "signature_mismatch"),
    "by a key for licences": ({"kid": "vendor-2026", "key": "vendor-2026"}, "kid_unknown"),
    "expired": (
        {"approved_at": "2026-01-30T09:00:00Z", "expires_at": "2026-01-31T09:00:00Z"},
        "approval_expired",
    ),
    "from the future": (
        {"approved_at": "2026-01-31T09:11:00Z", "expires_at": "2026-01-31T10:00:00Z"},
        "approved_in_the_future",
    ),
    "of another schema": ({"schema_version": "license.v1"}, "schema_unsupported"),
}


@pytest.mark.parametrize(("name", "actuation", "also"), list(itertools.product(BAD, (HOT, COLD), (False, True))))
def test_one_that_is_not_good_stops_the_plan_whatever_else_was_said(
    name: str, actuation: Actuation, also: bool, tmp_path: Path
) -> None:
    changes, code = BAD[name]
    door = Door(tmp_path, actuation)
    applied = applied_with(door, signed(door, **changes), approve_advanced=also)
    assert block_reasons(applied.verdicts) == (BlockReason.APPROVAL_REQUIRED,)
    assert door.writer.stored == []
    assert door.ours() == door.original
    report = report_of(door, applied)
    assert code in report.detail
    assert (report.approval.approved, report.approval.signed_by) == (False, ())
    assert (report.approval.required, report.approval.failure_code) == (actuation is COLD, code)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", licence(), b" " * 10_000_000])
def test_whatever_is_given_for_an_approval_is_judged(data: bytes, tmp_path: Path) -> None:
    door = Door(tmp_path, HOT)
    applied = applied_with(door, data, approve_advanced=True)
    assert block_reasons(applied.verdicts) == (BlockReason.APPROVAL_REQUIRED,)
    assert door.writer.stored == []


def test_keys_that_cannot_be_used_approve_nothing(tmp_path: Path) -> None:
    door = Door(tmp_path, COLD)
    data = signed(door)
    for approvers, code in (
        (KeyringError("keyring_file_unreadable", "cannot be read"), "keyring_file_unreadable"),
        (KEYRING, "kid_unknown"),
    ):
        applied = applied_with(door, data, approvers)
        assert block_reasons(applied.verdicts) == (BlockReason.APPROVAL_REQUIRED,)
        assert report_of(door, applied).approval.failure_code == code
    # A door that was told of no approvers has none.
    applied = apply(door.request(approve_advanced=False, approval=data), door.ports)
    assert report_of(door, applied).approval.failure_code == "approvers_not_given"
    assert door.writer.stored == []


def test_it_approves_one_plan_and_not_the_next(tmp_path: Path) -> None:
    door = Door(tmp_path, COLD)
    data = signed(door)
    door.plan = plan_of(planned(COLD, value="3"))
    door.verification = door.verified(door.plan)
    applied = applied_with(door, data)
    assert block_reasons(applied.verdicts) == (BlockReason.APPROVAL_REQUIRED,)
    assert report_of(door, applied).approval.failure_code == "plan_mismatch"


def test_it_opens_no_other_gate(tmp_path: Path) -> None:
    door = Door(tmp_path, COLD)
    data = signed(door)
    door.switches.active = True
    door.licence.expire()
    applied = applied_with(door, data, verification=None)
    assert block_reasons(applied.verdicts) == (
        BlockReason.KILL_SWITCH_ACTIVE,
        BlockReason.LICENSE_EXPIRED,
        BlockReason.VERIFY_MISSING,
    )
    assert door.writer.stored == []


def test_a_plan_that_is_none_is_approved_by_nobody(tmp_path: Path) -> None:
    door = Door(tmp_path, COLD)
    applied = applied_with(door, signed(door), plan=document(door.plan).replace(KEY.encode(), b"modekeeper/x"))
    report = report_of(door, applied)
    assert (report.approval.required, report.approval.approved) == (None, None)
    assert report.approval.failure_code == "plan_mismatch"
    assert BlockReason.APPROVAL_REQUIRED in report.block_reasons


def test_it_is_looked_at_again_when_a_plan_goes_on_after_a_crash(tmp_path: Path) -> None:
    door = Door(tmp_path, COLD, ("a", "b"))
    data = signed(door)
    door.writer.before_write = lambda change: setattr(door.switches, "active", change.ref.name == "a")
    door.verification = door.verified(door.plan, valid_for_s=86_400)
    assert not applied_with(door, data).ok
    assert len(door.writer.stored) == 1
    door.switches.active = False
    door.clock.time += timedelta(hours=1)
    assert block_reasons(applied_with(door, data).verdicts) == (BlockReason.APPROVAL_REQUIRED,)
    assert len(door.writer.stored) == 1
    again = signed(door, kid="bob", key="bob", approver="Bob")
    door.writer.before_write = lambda _change: None
    assert applied_with(door, again).ok
    found = [json.loads(path.read_text())["approved_by"] for path in door.receipts()]
    assert found == [["ada"], ["bob"]]
