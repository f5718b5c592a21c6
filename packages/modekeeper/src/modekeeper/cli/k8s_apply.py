"""``mk k8s apply``: hands a plan to the licensed package, and refuses where there is none."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from modekeeper.artifacts.contracts.k8s_apply import ApprovalPart, Operation
from modekeeper.artifacts.contracts.k8s_verify import K8sVerifyReport
from modekeeper.artifacts.provenance import provenance
from modekeeper.artifacts.store import FolderStore
from modekeeper.cli.actuators import find_actuator
from modekeeper.cli.applying import Given, attempt, cluster_way, ended, show
from modekeeper.cli.clocks import clock_from
from modekeeper.cli.cluster_options import ClusterOptions, cluster_options
from modekeeper.cli.files import read_small_file
from modekeeper.cli.options import (
    examples,
    json_option,
    kill_switch_option,
    license_option,
    out_option,
    passport_option,
)
from modekeeper.cli.passport_choice import PassportChoice, choose_passport
from modekeeper.cluster.kill_switch import KillSwitchSignals
from modekeeper.gates.plan_on_file import PlanCase, judge_plan, needs_approval
from modekeeper.gates.verification import LONGEST_VERIFICATION_BYTES, read_verification
from modekeeper.model.decision import Plan, Verdict
from modekeeper.model.errors import BadInputError, ModeKeeperError
from modekeeper.planning.parse import parse_plan
from modekeeper.planning.parse_undo import parse_rollback_plan
from modekeeper.policy.catalog import load_default
from modekeeper.ports.actuator import ApplyOrder, GivenFile
from modekeeper.ports.clock import Clock
from modekeeper.reports.folder.apply_run import UNDO, ApplyAsked, ApplyRun
from modekeeper.reports.folder.approval import approval_fault, approval_part
from modekeeper.trust.check_approval import ApprovalVerdict, check_approval
from modekeeper.trust.faults import ApprovalFileError
from modekeeper.trust.finding import APPROVERS_PATH_VARIABLE, find_approvers

__all__ = ["OVERRIDE_VARIABLE", "apply"]

OVERRIDE_VARIABLE = "MODEKEEPER_INTERNAL_OVERRIDE"
"""Opens nothing; reports say that it was set."""
_FOUND = "k8s_verify_latest.json"


@click.command(
    epilog=examples(
        "mk k8s apply --plan report/plan/k8s_plan.json --verify-report report/k8s-verify/k8s_verify_latest.json",
        "mk k8s apply --plan report/plan/k8s_plan.json --approve-advanced --json",
        "mk k8s apply --plan report/plan/k8s_plan.json --approval approval.json --approvers approvers.json",
    )
)
@click.option("--plan", "plan_path", required=True, metavar="FILE", help="The plan (k8s_plan.json).")
@click.option(
    "--verify-report",
    "verify_path",
    metavar="FILE",
    help="Its verification (k8s_verify_latest.json); else the one in --out.",
)
@click.option(
    "--rollback-plan",
    "undo_path",
    metavar="FILE",
    help="What the job ran with (rollback_plan_latest.json of the plan); else the one beside the plan.",
)
@license_option
@click.option("--force", is_flag=True, help="Recorded in the report. It bypasses nothing.")
@click.option(
    "--approve-advanced",
    is_flag=True,
    help="You say yes to cold and advanced changes, and where the passport asks for it.",
)
@click.option("--approval", "approval_path", metavar="FILE", help="A second person's signed approval of this plan.")
@click.option(
    "--approvers",
    "approvers_path",
    metavar="FILE",
    help=f"Keys that may sign an approval; else {APPROVERS_PATH_VARIABLE}. None of them may sign licences.",
)
@passport_option()
@kill_switch_option
@cluster_options
@out_option("report/k8s-apply")
@json_option
def apply(*, cluster: ClusterOptions, out: str, as_json: bool, **given: Any) -> int:
    """Apply a verified plan, through the licensed package. Without it nothing is changed, and a report says why.

    Every reason that stands in the way is in k8s_apply_latest.json. Exit code 0 when every change is made, 1 when
    one was tried and failed, 2 when it was refused.
    """
    options, clock, store, files = _Options(**given), clock_from(os.environ), FolderStore(Path(out)), Given()
    way, actuator = cluster_way(cluster), find_actuator()
    plan_file = files.file(options.plan_path, "a plan")
    plan = files.parsed(plan_file, parse_plan)
    undo_file = _rollback_plan(options, plan, files)
    approval, approval_error = files.approval(options.approval_path)
    passport = choose_passport(options.passport)
    files.error = files.error or (passport.refusal() if passport.passport is None else None)
    verification = _verification(options.verify_path, store)
    second = _second(options, approval_error or approval, plan, verification.found, clock)
    case = PlanCase(
        plan=plan,
        catalog=load_default(),
        passport=passport.passport,
        passport_fault=passport.fault,
        kill_switch=KillSwitchSignals(environment=os.environ, file=options.kill_switch_file).look(),
        why_not_pro=actuator if isinstance(actuator, str) else None,
        verification=verification.found,
        approve_advanced=options.approve_advanced,
        signed_by=second.signed_by if second is not None else (),
        approval_fault=approval_fault(second),
        now=clock.now(),
    )
    verdicts = judge_plan(case)
    order = ApplyOrder(
        plan=plan_file,
        rollback_plan=undo_file,
        passport=passport.file,
        verification=verification.file,
        license_path=options.license_path,
        cluster=way,
        approve_advanced=options.approve_advanced,
        approval=approval,
        approvers_path=options.approvers_path,
        kill_switch_file=options.kill_switch_file,
        force_requested=options.force,
        store=store,
        clock=clock,
        environment=os.environ,
    )
    part = _approval(case, verdicts, options.approval_path, second)
    run = ApplyRun(store, _asked(options, case, part, verification.path, passport), clock)
    report = attempt(run, verdicts, actuator, order, files)
    show(report, out, as_json=as_json)
    return ended(report, files.error)


@dataclass(frozen=True, kw_only=True)
class _Options:
    plan_path: str
    verify_path: str | None
    undo_path: str | None
    license_path: str | None
    force: bool
    approve_advanced: bool
    approval_path: str | None
    approvers_path: str | None
    passport: str | None
    kill_switch_file: str | None


def _asked(
    options: _Options,
    case: PlanCase,
    approval: ApprovalPart,
    verify_path: str | None,
    passport: PassportChoice,
) -> ApplyAsked:
    return ApplyAsked(
        operation=Operation.APPLY,
        plan_path=options.plan_path,
        plan=case.plan,
        verify_path=verify_path,
        verification=case.verification,
        passport=passport.part,
        kill_switch=case.kill_switch,
        force=options.force,
        internal_override=bool(os.environ.get(OVERRIDE_VARIABLE)),
        approval=approval,
        provenance=provenance(),
    )


def _rollback_plan(options: _Options, plan: Plan | None, files: Given) -> GivenFile | None:
    """The rollback plan that was given, which must fit; or else the one beside the plan, where it does."""
    if options.undo_path is not None:
        given = files.file(options.undo_path, "a rollback plan")
        undo = files.parsed(given, parse_rollback_plan)
        if plan is not None and undo is not None and plan.digest != undo.plan_digest:
            text = f"{options.undo_path!r} is of another plan than {options.plan_path!r}. Give the two that fit."
            files.error = files.error or BadInputError(text)
        return given
    beside = Given()
    found = beside.file((Path(options.plan_path).parent / UNDO).as_posix(), "a rollback plan")
    undo = beside.parsed(found, parse_rollback_plan)
    return found if plan is not None and undo is not None and plan.digest == undo.plan_digest else None


@dataclass(frozen=True)
class _Verification:
    path: str | None
    file: GivenFile | None
    found: K8sVerifyReport | str | None


def _verification(given: str | None, store: FolderStore) -> _Verification:
    """The verification that was given, or else the one in the folder. One that cannot be read never counts as none."""
    path = given if given is not None else (store.root / _FOUND).as_posix()
    if given is None and not os.path.lexists(path):
        return _Verification(None, None, None)
    try:
        file = GivenFile(path=path, data=read_small_file(path, "a verification", LONGEST_VERIFICATION_BYTES))
    except ModeKeeperError as error:
        return _Verification(path, None, str(error))
    return _Verification(path, file, read_verification(file.data))


def _second(
    options: _Options,
    approval: GivenFile | ApprovalFileError | None,
    plan: Plan | None,
    verification: K8sVerifyReport | str | None,
    clock: Clock,
) -> ApprovalVerdict | None:
    """What a second person's approval is worth, as far as it can be told here; ``None``: none was given.

    No cluster is asked: which one it is, is what the verification says. Whoever applies asks the cluster itself.
    """
    if approval is None:
        return None
    cluster = verification.cluster if isinstance(verification, K8sVerifyReport) else None
    return check_approval(
        approval.data if isinstance(approval, GivenFile) else approval,
        approvers=find_approvers(options.approvers_path, os.environ),
        plan_digest=plan.digest if plan is not None else None,
        cluster_uid=cluster.uid if cluster is not None else None,
        now=clock.now(),
    )


def _approval(
    case: PlanCase, verdicts: tuple[Verdict, ...], path: str | None, second: ApprovalVerdict | None
) -> ApprovalPart:
    plan = case.plan
    passed = all(verdict.passed for verdict in verdicts if verdict.gate == "approval")
    return approval_part(
        second,
        required=None if plan is None else needs_approval(plan, case.catalog, case.passport) is not None,
        approve_advanced=case.approve_advanced,
        approval_path=path,
        approved=None if plan is None else passed,
    )
