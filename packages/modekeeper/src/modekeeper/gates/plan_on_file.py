"""The gates of a plan that comes from a file: what can be known of it without asking a cluster or a licence."""

from datetime import datetime

import msgspec

from modekeeper.artifacts.contracts.k8s_verify import K8sVerifyReport
from modekeeper.gates.kill_switch import KILL_SWITCH_VARIABLE, KillSwitch
from modekeeper.gates.verification import judge_verification
from modekeeper.model.decision import Actuation, BlockReason, Plan, RiskTier, Verdict
from modekeeper.policy.chord_spec import Catalog, find_chord
from modekeeper.policy.knobs import find_knob
from modekeeper.policy.wording import listed, shown

__all__ = ["PlanCase", "judge_plan", "judge_undo", "needs_approval", "ordered_reasons"]

_ORDER = {reason: rank for rank, reason in enumerate(BlockReason)}


class PlanCase(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a plan that is to be applied. ``None`` means not known, and that is never a pass."""

    plan: Plan | None
    catalog: Catalog
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
        _approval(case),
    )


def judge_undo(kill_switch: KillSwitch, why_not_pro: str | None) -> tuple[Verdict, ...]:
    """The gates of a way back, which nobody has to verify or to approve."""
    return _kill_switch(kill_switch), _pro(why_not_pro)


def needs_approval(plan: Plan, catalog: Catalog) -> str | None:
    """Why a person has to say yes; ``None`` where nobody has to. What cannot be classified counts as advanced."""
    for item in plan.items:
        if item.actuation is not Actuation.HOT:
            return f"{shown(item.kind)}/{shown(item.name)} is changed cold: its pods restart"
        for chord_id in item.chord_id.split(","):
            chord = find_chord(catalog, chord_id)
            if chord is None or chord.risk_tier is not RiskTier.SAFE:
                return f"{shown(chord_id)} is advanced"
        for name in item.knobs:
            knob = find_knob(name)
            if knob is None or knob.tier is not RiskTier.SAFE:
                return f"{shown(name)} is advanced"
            if knob.actuation is not Actuation.HOT:
                return f"{knob.name} is cold: the pods restart"
    return None


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


def _approval(case: PlanCase) -> Verdict:
    if case.plan is None:
        detail = "there is no plan to tell by whether it needs approval"
        return Verdict(gate="approval", passed=False, reason=BlockReason.APPROVAL_REQUIRED, detail=detail)
    if case.approval_fault is not None:
        # Whoever gives one wants it to count: it is never passed over, needed or not.
        detail = f"the approval that was given is not good: {case.approval_fault}"
        return Verdict(gate="approval", passed=False, reason=BlockReason.APPROVAL_REQUIRED, detail=detail)
    why = needs_approval(case.plan, case.catalog)
    if why is None:
        return Verdict(gate="approval", passed=True, detail="hot and safe: no approval needed")
    if case.signed_by:
        return Verdict(gate="approval", passed=True, detail=f"approved by {listed(case.signed_by)}: {why}")
    if case.approve_advanced:
        return Verdict(gate="approval", passed=True, detail=f"approved: {why}")
    detail = f"{why}; approve with --approve-advanced or --approval FILE"
    return Verdict(gate="approval", passed=False, reason=BlockReason.APPROVAL_REQUIRED, detail=detail)
