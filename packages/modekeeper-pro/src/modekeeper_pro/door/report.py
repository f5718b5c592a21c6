"""What an apply or a rollback did, as ``k8s_apply_latest.json``. A projection: nothing is decided here."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from modekeeper.artifacts.contracts.k8s_apply import (
    ApplyChecks,
    ApplyItem,
    ApplyPod,
    ApplyStatus,
    ApprovalPart,
    K8sApplyReport,
    Operation,
)
from modekeeper.artifacts.times import iso_utc
from modekeeper.gates.kill_switch import KillSwitch
from modekeeper.model.decision import Actuation, BlockReason, Verdict
from modekeeper_pro.door.apply import Applied
from modekeeper_pro.door.case import DoorCase, ItemCase
from modekeeper_pro.door.change import PODS
from modekeeper_pro.door.gates import block_reasons
from modekeeper_pro.door.records import RunRecord
from modekeeper_pro.door.rollback import TakenBack
from modekeeper_pro.door.way_back import WAY_BACK
from modekeeper_pro.door.writing import Outcome

__all__ = ["Asked", "apply_report", "rollback_report"]

_APPROVAL = "approval"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the caller knows of the order, and the report repeats."""

    started: datetime
    finished: datetime
    plan_path: str | None = None
    verify_report_path: str | None = None
    approve_advanced: bool = False
    approval_path: str | None = None
    signed_by: tuple[str, ...] = ()
    force_requested: bool = False
    internal_override_ignored: bool = False
    policy_bundle_path: str | None = None
    explain_path: str | None = None
    rollback_plan_path: str | None = None
    """Which way back a rollback followed, or an apply that wrote nothing found there; ``None``: none."""
    folder: str = ""
    """Of the artifacts, as the user named it."""


def apply_report(applied: Applied, asked: Asked) -> K8sApplyReport:
    """The report of an apply."""
    case = applied.case
    reasons = _reasons(applied.verdicts, applied.outcomes)
    items = tuple(_item(index, each, applied, reasons) for index, each in enumerate(case.items))
    report = case.verification.report if case.verification is not None else None
    verify = [v for v in applied.verdicts if v.gate.startswith("verify")]
    return K8sApplyReport(
        **_common(
            asked,
            reasons=reasons,
            verdicts=applied.verdicts,
            outcomes=applied.outcomes,
            record=applied.record,
        ),
        operation=Operation.APPLY,
        apply_ok=applied.ok,
        **_switch(applied.outcomes, case.kill_switch),
        plan_digest=case.plan.digest if case.plan is not None else None,
        plan_items=len(case.plan.items) if case.plan is not None else 0,
        verify_ok=None if case.verification is None else all(verdict.passed for verdict in verify),
        verification_digest=report.verification_digest if report is not None else None,
        cluster=applied.cluster,
        license=case.licence,
        approval=_approval(case, applied.verdicts, asked),
        checks=ApplyChecks(items=items),
        items=items,
    )


def rollback_report(taken: TakenBack, asked: Asked) -> K8sApplyReport:
    """The report of a rollback: of every write of the plan that still stood."""
    reasons = _reasons(taken.verdicts, taken.outcomes)
    indices = sorted({outcome.write.item for outcome in taken.outcomes})
    items = tuple(_of_outcomes([o for o in taken.outcomes if o.write.item == index]) for index in indices)
    return K8sApplyReport(
        **_common(asked, reasons=reasons, verdicts=taken.verdicts, outcomes=taken.outcomes, record=taken.record),
        operation=Operation.ROLLBACK,
        apply_ok=taken.ok,
        **_switch(taken.outcomes, taken.kill_switch),
        plan_digest=taken.plan_digest,
        plan_items=len(items),
        verify_ok=None,
        verification_digest=None,
        cluster=taken.cluster,
        license=None,
        approval=ApprovalPart(
            required=False, approve_advanced=asked.approve_advanced, approval_path=asked.approval_path, approved=None
        ),
        checks=ApplyChecks(items=items),
        items=items,
    )


def _common(
    asked: Asked,
    *,
    reasons: tuple[BlockReason, ...],
    verdicts: Sequence[Verdict],
    outcomes: Sequence[Outcome],
    record: RunRecord | None,
) -> dict[str, Any]:
    first = reasons[0] if reasons else None
    details = [v.detail for v in verdicts if not v.passed and v.reason is first]
    details += [o.detail for o in outcomes if o.status in (ApplyStatus.FAILED, ApplyStatus.REFUSED)]
    way_back = asked.rollback_plan_path
    if record is not None and record.operation is Operation.APPLY:
        way_back = (PurePosixPath(asked.folder) / WAY_BACK).as_posix()
    return {
        "started_at": iso_utc(asked.started),
        "finished_at": iso_utc(asked.finished),
        "duration_s": max(0, int((asked.finished - asked.started).total_seconds())),
        "dry_run": False,
        "apply_requested": True,
        "apply_attempted": any(outcome.sent for outcome in outcomes),
        "block_reason": first,
        "reason": first,
        "apply_blocked_reason": first,
        "block_reasons": reasons,
        "detail": details[0] if details else "",
        "gates": tuple(verdicts),
        "force_requested": asked.force_requested,
        "internal_override_ignored": asked.internal_override_ignored,
        "plan_path": asked.plan_path,
        "verify_report_path": asked.verify_report_path,
        "policy_bundle_path": asked.policy_bundle_path,
        "rollback_plan_path": way_back,
        "explain_path": asked.explain_path,
    }


def _reasons(verdicts: Sequence[Verdict], outcomes: Sequence[Outcome]) -> tuple[BlockReason, ...]:
    later = {outcome.reason for outcome in outcomes if outcome.reason is not None}
    order = list(BlockReason)
    return tuple(sorted({*block_reasons(verdicts), *later}, key=order.index))


def _switch(outcomes: Sequence[Outcome], first: KillSwitch | None) -> dict[str, Any]:
    """As it was when it stopped a write; else as it was at first."""
    switch = next((outcome.switch for outcome in outcomes if outcome.switch is not None), first)
    active = switch is None or switch.active is not False
    return {"kill_switch_active": active, "kill_switch_signal": switch.signal if switch is not None else None}


def _approval(case: DoorCase, verdicts: Sequence[Verdict], asked: Asked) -> ApprovalPart:
    passed = all(verdict.passed for verdict in verdicts if verdict.gate == _APPROVAL)
    cold = any(each.item.actuation is not Actuation.HOT for each in case.items)
    return ApprovalPart(
        required=None if case.plan is None else cold or not passed,
        approve_advanced=asked.approve_advanced,
        approval_path=asked.approval_path,
        approved=None if case.plan is None else passed,
        signed_by=asked.signed_by,
    )


def _item(index: int, each: ItemCase, applied: Applied, reasons: tuple[BlockReason, ...]) -> ApplyItem:
    outcomes = [outcome for outcome in applied.outcomes if outcome.write.item == index]
    if outcomes:
        return _of_outcomes(outcomes)
    item, place = each.item, each.wanted[0] if each.wanted else None
    done = each.done and not reasons
    wanted: dict[str, str | None] = dict(place.write.after) if place is not None else {}
    return ApplyItem(
        index=index,
        namespace=item.namespace,
        kind=item.kind,
        name=item.name,
        actuation=item.actuation,
        status=ApplyStatus.DONE if done else ApplyStatus.REFUSED,
        block_reason=None if done or not reasons else reasons[0],
        detail="" if done else next(iter(each.differences), "the plan was refused: see block_reasons"),
        uid=place.write.uid if place is not None else None,
        before=place.write.before if place is not None else {},
        after=place.write.after if done and place is not None else {},
        wanted=wanted,
        receipt=None,
        pods=(),
    )


def _of_outcomes(outcomes: Sequence[Outcome]) -> ApplyItem:
    objects = [outcome for outcome in outcomes if outcome.write.resource != PODS]
    pods = [outcome for outcome in outcomes if outcome.write.resource == PODS]
    first = (objects or pods)[0]
    own = objects[0] if objects else None
    bad = next((outcome for outcome in outcomes if outcome.status is not ApplyStatus.DONE), None)
    write = first.write
    return ApplyItem(
        index=write.item,
        namespace=write.namespace,
        kind=write.kind,
        name=write.workload,
        actuation=write.actuation,
        status=ApplyStatus.DONE if bad is None else bad.status,
        block_reason=None if bad is None else bad.reason,
        detail="" if bad is None else bad.detail or "a failure before it stopped the plan",
        uid=own.write.uid if own is not None else None,
        before=own.write.before if own is not None else {},
        after=own.after if own is not None else {},
        wanted=write.after,
        receipt=own.receipt if own is not None else None,
        pods=tuple(_pod(outcome) for outcome in sorted(pods, key=lambda outcome: outcome.write.name)),
    )


def _pod(outcome: Outcome) -> ApplyPod:
    return ApplyPod(
        name=outcome.write.name,
        uid=outcome.write.uid,
        status=outcome.status,
        before=outcome.write.before,
        after=outcome.after,
        receipt=outcome.receipt,
        detail=outcome.detail,
    )
