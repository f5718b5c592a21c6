"""The gates of the door: a constant, in the order of the specification. Step 3 of docs/DOOR.md."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from modekeeper.artifacts.contracts.k8s_verify import BlockerKind, Effect, VerifyItem
from modekeeper.gates.approval_required import ApprovalRequired
from modekeeper.gates.base import Gate
from modekeeper.gates.base import judge as judge_public
from modekeeper.gates.budget import BudgetGate
from modekeeper.gates.chord_unknown import ChordUnknown
from modekeeper.gates.cooldown import Cooldown
from modekeeper.gates.invariants import Invariants
from modekeeper.gates.limit_exceeded import LimitExceeded
from modekeeper.gates.passport_denied import PassportDenied, why_not_made_under
from modekeeper.model.decision import LICENCE_REASONS, Actuation, BlockReason, PlanItem, Verdict
from modekeeper.policy.wording import listed
from modekeeper_pro.door.case import DoorCase

__all__ = ["MANDATORY_GATES", "DoorGate", "block_reasons", "judge"]

_ORDER = {reason: rank for rank, reason in enumerate(BlockReason)}
_WANTED_EFFECT = {Actuation.HOT: Effect.HOT, Actuation.COLD: Effect.RESTART}
_MOST_SAID = 5


class Stop(NamedTuple):
    """Why a change may not go on."""

    detail: str
    reason: BlockReason | None = None
    """``None``: the gate's own."""


class DoorGate(NamedTuple):
    """One pure check. Its reason is fixed, so that a gate that breaks still has one."""

    name: str
    reason: BlockReason
    check: Callable[[DoorCase], Any]
    """A ``Stop``, or ``None`` where the change may go on; anything else is no verdict, and stops it."""


def judge(case: DoorCase, gates: Sequence[DoorGate] | None = None) -> tuple[Verdict, ...]:
    """The verdict of every mandatory gate, in their order. No gates, and a gate that breaks, stop the change."""
    gates = MANDATORY_GATES if gates is None else gates
    if not gates:
        text = "no gate was given: nothing was checked"
        return (Verdict(gate="gates", passed=False, reason=BlockReason.INVARIANT_VIOLATED, detail=text),)
    return tuple(_verdict(gate, case) for gate in gates)


def block_reasons(verdicts: Sequence[Verdict]) -> tuple[BlockReason, ...]:
    """Every reason, in the order of the specification; no verdicts at all count as a stop."""
    if not verdicts:
        return (BlockReason.INVARIANT_VIOLATED,)
    found = {v.reason or BlockReason.INVARIANT_VIOLATED for v in verdicts if v.passed is not True or v.reason}
    return tuple(sorted(found, key=_ORDER.__getitem__))


def _verdict(gate: DoorGate, case: DoorCase) -> Verdict:
    try:
        stop = gate.check(case)
    except Exception as error:  # noqa: BLE001 - whatever breaks in a gate stops the change
        stop = Stop(f"the gate broke: {type(error).__name__}")
    if stop is None:
        return Verdict(gate=gate.name, passed=True)
    if not isinstance(stop, Stop):
        return Verdict(gate=gate.name, passed=False, reason=gate.reason, detail="the gate gave no proper verdict")
    return Verdict(gate=gate.name, passed=False, reason=stop.reason or gate.reason, detail=stop.detail)


def _kill_switch(case: DoorCase) -> Stop | None:
    switch = case.kill_switch
    if switch is None:
        return Stop("the kill-switches were not looked at")
    return None if switch.active is False else Stop(f"{switch.signal} is set: nothing is changed")


def _licence(case: DoorCase) -> Stop | None:
    licence = case.licence
    if licence is None:
        return Stop("the licence was not looked at")
    if licence.license_ok is True and licence.reason is None:
        return None
    known = licence.reason in LICENCE_REASONS
    return Stop(licence.failure_detail or "the licence allows nothing", licence.reason if known else None)


def _pro(case: DoorCase) -> Stop | None:
    return None if case.pro_installed is True else Stop("the licensed package that applies plans is not installed")


def _verified(case: DoorCase) -> Stop | None:
    if case.verification is None:
        if case.verification_fault is None:
            return Stop("no verification of this plan was given")
        return Stop(case.verification_fault, BlockReason.VERIFY_FAILED)
    report = case.verification.report
    if report.ok is True and report.verify_blocker is None and report.items and all(i.ok is True for i in report.items):
        return None
    return Stop("the verification of this plan failed", BlockReason.VERIFY_FAILED)


def _verified_plan(case: DoorCase) -> Stop | None:
    if case.verification is None:
        return None  # the gate before says so
    report, plan = case.verification.report, case.plan
    if plan is None or report.plan_digest != plan.digest or report.plan_items != len(plan.items):
        return Stop("the verification is of another plan")
    pairs = zip(plan.items, report.items, strict=False)
    if len(report.items) != len(plan.items) or not all(_is_of(i, *pair) for i, pair in enumerate(pairs)):
        return Stop("the verification is not of the items of this plan")
    return None


def _is_of(index: int, item: PlanItem, verified: VerifyItem) -> bool:
    ours = (index, item.namespace, item.kind, item.name, item.actuation)
    return ours == (verified.index, verified.namespace, verified.kind, verified.name, verified.actuation)


def _verified_cluster(case: DoorCase) -> Stop | None:
    if case.cluster_uid is None:
        return Stop("which cluster this is could not be told: the uid of the namespace kube-system could not be read")
    if case.verification is None:
        return None
    cluster = case.verification.report.cluster
    if cluster is None or cluster.uid is None:
        return Stop("the verification does not say of which cluster it is")
    return None if cluster.uid == case.cluster_uid else Stop("the verification is of another cluster")


def _verified_lately(case: DoorCase) -> Stop | None:
    if case.verification is None:
        return None
    if case.now < case.verification.verified_at:
        return Stop("the verification is from the future: set the clock")
    if case.now >= case.verification.expires_at:
        return Stop(f"the verification expired at {case.verification.report.verification_expires_at}")
    return None


def _for_each(gate: Gate) -> Callable[[DoorCase], Stop | None]:
    """A gate of the public package, asked about every item: one that stops is enough, and no item is none."""

    def check(case: DoorCase) -> Stop | None:
        if case.plan is None or not case.items:
            return Stop(case.plan_fault or "the plan has no items")
        for each in case.items:
            for verdict in judge_public((gate,), each.gates):
                if verdict.passed is not True:
                    unknown = f"; what {listed(list(each.unknown))} is set to now is not known" if each.unknown else ""
                    return Stop(f"{each.item.kind}/{each.item.name}: {verdict.detail}{unknown}", verdict.reason)
        return None

    return check


def _allowed(case: DoorCase) -> Stop | None:
    if case.passport is None:
        return Stop(case.passport_fault or "which passport is in force is not known")
    if case.plan is not None and (why := why_not_made_under(case.plan.passport, case.passport)) is not None:
        return Stop(why)
    return _for_each(PassportDenied())(case)


def _approved(case: DoorCase) -> Stop | None:
    second = case.approval
    if second is not None and not (second.approved is True and second.signed_by):
        # Whoever gives one wants it to count: it is never passed over, whatever else was said.
        return Stop(f"the approval that was given is not good: {second.failure_detail} [{second.failure_code}]")
    for each in case.items:
        # Cold always needs approval, whatever the registry says of the knob.
        cold, said = each.item.actuation is not Actuation.HOT, each.gates
        if cold and not (said.signed_by or said.approve_advanced is True or each.item.chord_id in said.approvals):
            how = "approve with --approve-advanced or --approval FILE"
            return Stop(f"{each.item.kind}/{each.item.name}: the pods restart; {how}")
    return _for_each(ApprovalRequired())(case)


def _unchanged(case: DoorCase) -> Stop | None:
    differences = [text for each in case.items for text in each.differences]
    if not differences:
        return None
    more = len(differences) - _MOST_SAID
    return Stop("; ".join([*differences[:_MOST_SAID], *([f"and {more} more"] if more > 0 else [])]))


def _effect(case: DoorCase) -> Stop | None:
    for each in case.items:
        name = f"{each.item.kind}/{each.item.name}"
        if each.done:
            continue
        if each.fresh is None or not each.wanted:
            return Stop(f"{name}: what the change would do could not be found out")
        for problem in each.fresh.problems:
            if problem.kind in (BlockerKind.CLIENT_UNAVAILABLE, BlockerKind.DRY_RUN_FAILED, BlockerKind.UNKNOWN):
                return Stop(f"{name}: {problem.detail}")
        effect = each.fresh.effect.effect
        if effect is not _WANTED_EFFECT.get(each.item.actuation):
            return Stop(f"{name}: the change would be {effect.value}: {each.fresh.effect.detail}")
        if each.verified is not None and each.verified.effect.effect is not effect:
            return Stop(f"{name}: the change would be {effect.value}, and was verified to be something else")
    return None


def _rights(case: DoorCase) -> Stop | None:
    denied = next(_denials(case), None)
    return None if denied is None else Stop(denied)


def _denials(case: DoorCase) -> Iterator[str]:
    for each in case.items:
        for problem in each.fresh.problems if each.fresh is not None else ():
            if problem.kind is BlockerKind.RBAC_DENIED:
                yield f"{each.item.kind}/{each.item.name}: {problem.detail}"


MANDATORY_GATES: tuple[DoorGate, ...] = (
    DoorGate("kill_switch", BlockReason.KILL_SWITCH_ACTIVE, _kill_switch),
    DoorGate("licence", BlockReason.LICENSE_INVALID, _licence),
    DoorGate("pro_installed", BlockReason.PRO_NOT_INSTALLED, _pro),
    DoorGate("verify", BlockReason.VERIFY_MISSING, _verified),
    DoorGate("verify_plan", BlockReason.VERIFY_PLAN_MISMATCH, _verified_plan),
    DoorGate("verify_cluster", BlockReason.VERIFY_CLUSTER_MISMATCH, _verified_cluster),
    DoorGate("verify_expiry", BlockReason.VERIFY_EXPIRED, _verified_lately),
    DoorGate("chord_unknown", BlockReason.CHORD_UNKNOWN, _for_each(ChordUnknown())),
    DoorGate("passport", BlockReason.PASSPORT_DENIED, _allowed),
    DoorGate("invariants", BlockReason.INVARIANT_VIOLATED, _for_each(Invariants())),
    DoorGate("limit", BlockReason.LIMIT_EXCEEDED, _for_each(LimitExceeded())),
    DoorGate("approval", BlockReason.APPROVAL_REQUIRED, _approved),
    DoorGate("cooldown", BlockReason.COOLDOWN_ACTIVE, _for_each(Cooldown())),
    DoorGate("budget", BlockReason.BUDGET_EXHAUSTED, _for_each(BudgetGate())),
    DoorGate("target", BlockReason.TARGET_CHANGED, _unchanged),
    DoorGate("effect", BlockReason.EFFECT_UNKNOWN, _effect),
    DoorGate("rights", BlockReason.RBAC_DENIED, _rights),
)
