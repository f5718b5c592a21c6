"""The gates of a plan that comes from a file: what can be known of it without asking a cluster or a licence."""

from datetime import datetime

import msgspec

from modekeeper.artifacts.contracts.k8s_verify import K8sVerifyReport
from modekeeper.gates.kill_switch import KILL_SWITCH_VARIABLE, KillSwitch
from modekeeper.gates.passport_denied import why_not_made_under
from modekeeper.gates.verification import judge_verification
from modekeeper.model.decision import Actuation, BlockReason, Plan, PlanItem, RiskTier, Target, Verdict
from modekeeper.passports.allowed import approval_needed, why_denied
from modekeeper.passports.passport import Approval, Passport
from modekeeper.policy.chord_spec import Catalog, find_chord
from modekeeper.policy.knobs import find_knob
from modekeeper.policy.wording import listed, shown

__all__ = ["PlanCase", "judge_plan", "judge_undo", "needs_approval", "ordered_reasons"]

_ORDER = {reason: rank for rank, reason in enumerate(BlockReason)}


class PlanCase(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a plan that is to be applied. ``None`` means not known, and that is never a pass."""

    plan: Plan | None
    catalog: Catalog
    passport: Passport | None = None
    """The one in force."""
    passport_fault: str | None = None
    """Why what was named is no passport; ``None`` where it is one."""
    kill_switch: KillSwitch
    why_not_pro: str | None
    """Why nothing here can apply; ``None`` where something can."""
    verification: K8sVerifyReport | str | None
    """See :func:`modekeeper.gates.verification.judge_verification`."""
    approve_advanced: bool
    signed_by: tuple[str, ...] = ()
    """Keys (``kid``) of second persons whose signed approval of this plan was checked."""
    approval_fault: str | None = None
    """Why the signed approval that was given is not good; ``None`` where it is, or none was given."""
    now: datetime


def judge_plan(case: PlanCase) -> tuple[Verdict, ...]:
    """The verdict of every gate, in the order of precedence."""
    digest = case.plan.digest if case.plan is not None else None
    return (
        *judge_undo(case.kill_switch, case.why_not_pro),
        *judge_verification(case.verification, digest, case.now),
        _passport(case),
        _approval(case),
    )


def judge_undo(kill_switch: KillSwitch, why_not_pro: str | None) -> tuple[Verdict, ...]:
    """The gates of a way back, which nobody has to verify or to approve."""
    return _kill_switch(kill_switch), _pro(why_not_pro)


def needs_approval(plan: Plan, catalog: Catalog, passport: Passport | None) -> str | None:
    """Why a person has to say yes; ``None`` where nobody has to. What cannot be classified counts as advanced."""
    return next((why for _level, why in _approvals(plan, catalog, passport)), None)


def _approvals(plan: Plan, catalog: Catalog, passport: Passport | None) -> list[tuple[Approval, str]]:
    """Who has to say yes to each item that needs it, and why; the strictest first."""
    found: list[tuple[Approval, str]] = []
    for item in plan.items:
        chord_ids = item.chord_id.split(",")
        cold, advanced = _cold(item), _advanced(item, chord_ids, catalog)
        why = cold or advanced
        level = Approval.NONE if why is None else Approval.OPERATOR
        if passport is not None:
            level = approval_needed(passport, chord_ids=chord_ids, cold=cold is not None, advanced=advanced is not None)
        if level is not Approval.NONE:
            found.append((level, why or f"{_named(item)}: the passport asks for approval"))
    return sorted(found, key=lambda each: each[0] is not Approval.SIGNED)


def _cold(item: PlanItem) -> str | None:
    if item.actuation is not Actuation.HOT:
        return f"{_named(item)} is changed cold: its pods restart"
    knobs = [(name, find_knob(name)) for name in item.knobs]
    cold = [name for name, knob in knobs if knob is not None and knob.actuation is not Actuation.HOT]
    return f"{shown(cold[0])} is cold: the pods restart" if cold else None


def _advanced(item: PlanItem, chord_ids: list[str], catalog: Catalog) -> str | None:
    for chord_id in chord_ids:
        chord = find_chord(catalog, chord_id)
        if chord is None or chord.risk_tier is not RiskTier.SAFE:
            return f"{shown(chord_id)} is advanced"
    for name in item.knobs:
        knob = find_knob(name)
        if knob is None or knob.tier is not RiskTier.SAFE:
            return f"{shown(name)} is advanced"
    return None


def _named(item: PlanItem) -> str:
    return f"{shown(item.kind)}/{shown(item.name)}"


def ordered_reasons(verdicts: tuple[Verdict, ...]) -> tuple[BlockReason, ...]:
    """Every reason, each once, in the order of precedence."""
    return tuple(sorted({v.reason for v in verdicts if v.reason is not None}, key=_ORDER.__getitem__))


def _kill_switch(switch: KillSwitch) -> Verdict:
    if switch.active is False:
        return Verdict(gate="kill_switch", passed=True)
    why = f" ({switch.detail})" if switch.detail else ""
    detail = f"{switch.signal or KILL_SWITCH_VARIABLE} is set: nothing is changed{why}"
    return Verdict(gate="kill_switch", passed=False, reason=BlockReason.KILL_SWITCH_ACTIVE, detail=detail)


def _pro(why_not: str | None) -> Verdict:
    if why_not is None:
        return Verdict(gate="pro_installed", passed=True)
    return Verdict(gate="pro_installed", passed=False, reason=BlockReason.PRO_NOT_INSTALLED, detail=why_not)


def _passport(case: PlanCase) -> Verdict:
    why = _why_denied(case)
    if why is None:
        return Verdict(gate="passport", passed=True)
    return Verdict(gate="passport", passed=False, reason=BlockReason.PASSPORT_DENIED, detail=why)


def _why_denied(case: PlanCase) -> str | None:
    if case.passport is None:
        return case.passport_fault or "which passport is in force is not known"
    if case.plan is None:
        return "there is no plan to tell by whether it is allowed"
    return why_not_made_under(case.plan.passport, case.passport) or next(
        (why for item in case.plan.items if (why := _why_item_denied(item, case.passport)) is not None), None
    )


def _why_item_denied(item: PlanItem, passport: Passport) -> str | None:
    return why_denied(
        passport,
        target=Target(namespace=item.namespace, kind=item.kind, name=item.name),
        chord_ids=item.chord_id.split(","),
        actuations=(item.actuation,),
    )


def _approval(case: PlanCase) -> Verdict:
    if case.plan is None:
        detail = "there is no plan to tell by whether it needs approval"
        return Verdict(gate="approval", passed=False, reason=BlockReason.APPROVAL_REQUIRED, detail=detail)
    if case.approval_fault is not None:
        # Whoever gives one wants it to count: it is never passed over, needed or not.
        detail = f"the approval that was given is not good: {case.approval_fault}"
        return Verdict(gate="approval", passed=False, reason=BlockReason.APPROVAL_REQUIRED, detail=detail)
    needed = _approvals(case.plan, case.catalog, case.passport)
    if not needed:
        return Verdict(gate="approval", passed=True, detail="hot and safe: no approval needed")
    level, why = needed[0]
    if case.signed_by:
        return Verdict(gate="approval", passed=True, detail=f"approved by {listed(case.signed_by)}: {why}")
    if case.approve_advanced and level is not Approval.SIGNED:
        return Verdict(gate="approval", passed=True, detail=f"approved: {why}")
    ways = "--approval FILE" if level is Approval.SIGNED else "--approve-advanced or --approval FILE"
    detail = f"{why}; approve with {ways}"
    return Verdict(gate="approval", passed=False, reason=BlockReason.APPROVAL_REQUIRED, detail=detail)
