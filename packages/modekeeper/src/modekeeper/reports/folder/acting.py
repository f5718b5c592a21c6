"""From a plan in memory to what became of it: verified against the cluster, handed to the actuator, told in a folder.

The same door and the same artifacts as ``mk k8s apply``. What is checked here is evidence for a reader; whoever
applies asks everything again.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from modekeeper.artifacts.canonical import document
from modekeeper.artifacts.contracts.bundle import Provenance
from modekeeper.artifacts.contracts.k8s_apply import ApprovalPart, K8sApplyReport, Operation
from modekeeper.artifacts.contracts.k8s_verify import K8sVerifyReport
from modekeeper.artifacts.explain import ExplainLog
from modekeeper.artifacts.store import FolderStore
from modekeeper.cluster.kubectl_version import KubectlVersion
from modekeeper.cluster.verify.gather import gather
from modekeeper.gates.kill_switch import NOT_ACTIVE, KillSwitch
from modekeeper.gates.plan_on_file import PlanCase, judge_plan, judge_undo, needs_approval
from modekeeper.model.cluster import ClusterConfigError
from modekeeper.model.decision import LICENCE_REASONS, Plan, Verdict
from modekeeper.passports.passport import Passport, passport_bytes
from modekeeper.planning.undo import RollbackPlan, rollback_plan
from modekeeper.policy.catalog import load_default
from modekeeper.ports.actuator import ApplyOrder, ClusterWay, GivenFile
from modekeeper.ports.clock import Clock
from modekeeper.ports.cluster import ClusterReader
from modekeeper.reports.folder.apply_run import ApplyAsked, ApplyRun
from modekeeper.reports.folder.decision_facts import passport_part
from modekeeper.reports.folder.publishing import path_in
from modekeeper.reports.folder.verify_run import VerifyRun

__all__ = [
    "APPLIED_PLAN",
    "APPLIED_UNDO",
    "NOTHING_TO_APPLY",
    "Acted",
    "ActingPlace",
    "Hands",
    "PlanToAct",
    "acted",
    "apply_plan",
    "licence_refusal",
    "take_back",
]

APPLIED_PLAN, APPLIED_UNDO = "k8s_plan_applied.json", "rollback_plan_applied.json"
"""The plan an iteration acted upon, and its way back, where it is not the one it decided."""
_VERIFY = "k8s_verify_latest.json"
_VALID_FOR_S = 15 * 60.0


@dataclass(frozen=True, kw_only=True)
class Hands:
    """What a change needs from outside. Nothing in it is a permission."""

    actuate: Callable[[Operation, ApplyOrder], K8sApplyReport | str]
    """The installed actuator; gives why it broke off, where it did."""
    reader: Callable[[], AbstractContextManager[ClusterReader]]
    """Opens the cluster to verify against; raises ``ClusterConfigError`` where the way to it cannot be told."""
    kubectl: Callable[[], KubectlVersion]
    way: ClusterWay
    passport: Passport
    """The one plans are made under; whoever applies is given it, and reads it anew."""
    passport_source: str
    license_path: str | None = None
    approve_advanced: bool = False
    kill_switch_file: str | None = None
    internal_override: bool = False
    environment: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class PlanToAct:
    """A plan, and the way back of it as far as it was known when it was made."""

    plan: Plan
    plan_path: str
    """Where the plan lies, as reports name it."""
    undo: RollbackPlan
    undo_path: str

    @property
    def file(self) -> GivenFile:
        """The plan as the actuator takes it."""
        return GivenFile(path=self.plan_path, data=document(self.plan))


@dataclass(frozen=True, kw_only=True)
class ActingPlace:
    """Where artifacts go, and what a report repeats."""

    folder: FolderStore
    door: FolderStore
    """Holds the folder ``door/``: records, journals and receipts; of a session of watch the session's."""
    explain: ExplainLog
    clock: Clock
    provenance: Provenance
    bundle_path: str | None


@dataclass(frozen=True, kw_only=True)
class Acted:
    """What the report of a run says of an apply that was asked for."""

    attempted: bool = False
    ok: bool | None = None
    """``None``: there was nothing to apply."""
    reasons: tuple[str, ...] = ()
    verify_ok: bool | None = None


NOTHING_TO_APPLY = Acted()


def acted(report: K8sApplyReport) -> Acted:
    """The same of a report."""
    return Acted(
        attempted=report.apply_attempted,
        ok=report.apply_ok,
        reasons=tuple(report.block_reasons),
        verify_ok=report.verify_ok,
    )


def apply_plan(hands: Hands, what: PlanToAct, place: ActingPlace, switch: KillSwitch) -> K8sApplyReport:
    """Verify the plan and let the actuator apply it; every artifact is in the folder by then.

    While a kill-switch is on, and where there is no way to a cluster, nothing is asked.

    Raises:
        FailedError: the folder cannot be written.
    """
    run = VerifyRun(place.folder, what.plan_path, _VALID_FOR_S, place.clock, explain=place.explain)
    verification: K8sVerifyReport | None = None
    why_not: ClusterConfigError | None = None
    if not switch.active:
        try:
            with hands.reader() as reader:
                facts = gather(reader, what.plan)
            verification = run.judged(facts, hands.kubectl())
        except ClusterConfigError as error:
            verification, why_not = run.refused(error, what.plan), error
    case = PlanCase(
        plan=what.plan,
        catalog=load_default(),
        kill_switch=switch,
        why_not_pro=None,
        verification=verification,
        approve_advanced=hands.approve_advanced,
        passport=hands.passport,
        now=place.clock.now(),
    )
    verdicts = judge_plan(case)
    verify_path = None if verification is None else path_in(place.folder, _VERIFY)
    asked = ApplyAsked(
        operation=Operation.APPLY,
        plan_path=what.plan_path,
        plan=what.plan,
        verify_path=verify_path,
        verification=verification,
        passport=passport_part(hands.passport, hands.passport_source),
        kill_switch=switch,
        internal_override=hands.internal_override,
        approval=_approval(case, verdicts),
        provenance=place.provenance,
    )
    attempt = ApplyRun(place.folder, asked, place.clock, explain=place.explain, bundle_path=place.bundle_path)
    if verification is None or verify_path is None or why_not is not None:
        return attempt.refused(verdicts)
    file = GivenFile(path=verify_path, data=document(verification))
    return _carried_out(hands, attempt, _order(hands, what, place, file))


def licence_refusal(hands: Hands, place: ActingPlace, empty: Plan, plan_path: str) -> K8sApplyReport | None:
    """Ask for nothing: the actuator writes nothing of an empty plan, and says what it thinks of the licence.

    Gives its report, which is on the disk by then; ``None`` where the licence is no reason, or nobody answered.
    """
    undo = rollback_plan(empty, {})
    what = PlanToAct(plan=empty, plan_path=plan_path, undo=undo, undo_path="")
    report = hands.actuate(Operation.APPLY, _order(hands, what, place, None))
    if isinstance(report, str) or report.apply_attempted or report.block_reason not in LICENCE_REASONS:
        return None
    asked = ApplyAsked(
        operation=Operation.APPLY,
        plan_path=plan_path,
        plan=empty,
        kill_switch=NOT_ACTIVE,
        approval=report.approval,
        provenance=place.provenance,
    )
    attempt = ApplyRun(place.folder, asked, place.clock, explain=place.explain, bundle_path=place.bundle_path)
    return attempt.done(report)


def take_back(hands: Hands, what: PlanToAct, place: ActingPlace, switch: KillSwitch) -> K8sApplyReport:
    """Let the actuator take back what the plan wrote; nothing is asked while a kill-switch is on.

    Raises:
        FailedError: the folder cannot be written.
    """
    asked = ApplyAsked(
        operation=Operation.ROLLBACK,
        plan_path=what.plan_path,
        plan=what.plan,
        undo_path=what.undo_path,
        undo=what.undo,
        kill_switch=switch,
        internal_override=hands.internal_override,
        approval=ApprovalPart(required=False, approve_advanced=False, approval_path=None, approved=True),
        provenance=place.provenance,
    )
    attempt = ApplyRun(place.folder, asked, place.clock, explain=place.explain, bundle_path=place.bundle_path)
    if switch.active:
        return attempt.refused(judge_undo(switch, None))
    return _carried_out(hands, attempt, _order(hands, what, place, None))


def _carried_out(hands: Hands, attempt: ApplyRun, order: ApplyOrder) -> K8sApplyReport:
    report = hands.actuate(attempt.operation, order)
    return attempt.broken(report) if isinstance(report, str) else attempt.done(report)


def _order(hands: Hands, what: PlanToAct, place: ActingPlace, verification: GivenFile | None) -> ApplyOrder:
    return ApplyOrder(
        plan=what.file,
        rollback_plan=GivenFile(path=what.undo_path, data=document(what.undo)),
        passport=GivenFile(path=hands.passport_source, data=passport_bytes(hands.passport)),
        verification=verification,
        license_path=hands.license_path,
        cluster=hands.way,
        approve_advanced=hands.approve_advanced,
        kill_switch_file=hands.kill_switch_file,
        store=place.door,
        clock=place.clock,
        environment=hands.environment,
    )


def _approval(case: PlanCase, verdicts: tuple[Verdict, ...]) -> ApprovalPart:
    required = case.plan is not None and needs_approval(case.plan, case.catalog, case.passport) is not None
    return ApprovalPart(
        required=required,
        approve_advanced=case.approve_advanced,
        approval_path=None,
        approved=all(verdict.passed for verdict in verdicts if verdict.gate == "approval"),
    )
