"""``mk k8s rollback``: hands a way back to the licensed package, and refuses where there is none."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from modekeeper.artifacts.contracts.k8s_apply import ApprovalPart, Operation
from modekeeper.artifacts.provenance import provenance
from modekeeper.artifacts.store import FolderStore
from modekeeper.cli.actuators import find_actuator
from modekeeper.cli.applying import Given, attempt, cluster_way, ended, show
from modekeeper.cli.clocks import clock_from
from modekeeper.cli.cluster_options import ClusterOptions, cluster_options
from modekeeper.cli.k8s_apply import OVERRIDE_VARIABLE
from modekeeper.cli.options import examples, json_option, kill_switch_option, license_option, out_option
from modekeeper.cluster.audit.receipt_book import has_receipts
from modekeeper.cluster.kill_switch import KillSwitchSignals
from modekeeper.gates.plan_on_file import judge_undo
from modekeeper.model.decision import Plan
from modekeeper.model.errors import BadInputError
from modekeeper.planning.parse import parse_plan
from modekeeper.planning.parse_undo import parse_rollback_plan
from modekeeper.ports.actuator import ApplyOrder
from modekeeper.reports.folder.apply_run import UNDO, ApplyAsked, ApplyRun

__all__ = ["rollback"]


@click.command(
    epilog=examples(
        "mk k8s rollback --out report/k8s-apply",
        "mk k8s rollback --rollback-plan report/k8s-apply/rollback_plan_latest.json",
    )
)
@click.option("--plan", "plan_path", metavar="FILE", help="The plan to take back, to be sure that it is the one.")
@click.option(
    "--rollback-plan",
    "undo_path",
    metavar="FILE",
    help="The way back (rollback_plan_latest.json); else what was applied in --out.",
)
@license_option
@click.option("--force", is_flag=True, help="Recorded in the report. It bypasses nothing.")
@kill_switch_option
@cluster_options
@out_option("report/k8s-apply")
@json_option
def rollback(*, cluster: ClusterOptions, out: str, as_json: bool, **given: Any) -> int:
    """Take an applied plan back, through the licensed package: only our own keys, only where they hold what we wrote.

    It needs no verification and no approval, and a licence that has expired does not stop it; the kill-switch does.
    Exit code 0 when everything is back, 1 when it was tried and failed, 2 when it was refused.
    """
    options, clock, store, files = _Options(**given), clock_from(os.environ), FolderStore(Path(out)), Given()
    way, actuator = cluster_way(cluster), find_actuator()
    plan_file = files.file(options.plan_path, "a plan")
    plan = files.parsed(plan_file, parse_plan)
    undo_path = options.undo_path or _undo_in(store, plan)
    undo_file = files.file(undo_path, "a rollback plan")
    undo = files.parsed(undo_file, parse_rollback_plan)
    if plan is not None and undo is not None and plan.digest != undo.plan_digest:
        files.error = BadInputError(
            f"{undo_path!r} takes another plan back than {options.plan_path!r}. Give the two that fit."
        )
    switch = KillSwitchSignals(environment=os.environ, file=options.kill_switch_file).look()
    verdicts = judge_undo(switch, actuator if isinstance(actuator, str) else None)
    asked = ApplyAsked(
        operation=Operation.ROLLBACK,
        plan_path=options.plan_path,
        plan=plan,
        undo_path=undo_path if undo_file is not None else None,
        undo=undo,
        kill_switch=switch,
        force=options.force,
        internal_override=bool(os.environ.get(OVERRIDE_VARIABLE)),
        approval=ApprovalPart(required=False, approve_advanced=False, approval_path=None, approved=True),
        provenance=provenance(),
    )
    order = ApplyOrder(
        plan=plan_file,
        rollback_plan=undo_file,
        license_path=options.license_path,
        cluster=way,
        kill_switch_file=options.kill_switch_file,
        force_requested=options.force,
        store=store,
        clock=clock,
        environment=os.environ,
    )
    report = attempt(ApplyRun(store, asked, clock), verdicts, actuator, order, files)
    show(report, out, as_json=as_json)
    return ended(report, files.error)


def _undo_in(store: FolderStore, plan: Plan | None) -> str | None:
    """The way back in the folder. Where something was applied in it, the records of that are enough without one.

    There the plan that wrote last is taken back, or the one that was named.
    """
    path = (store.root / UNDO).as_posix()
    if not has_receipts(store.root):
        return path
    found = Given()
    undo = found.parsed(found.file(path, "a rollback plan"), parse_rollback_plan)
    fits = undo is not None and (plan is None or plan.digest == undo.plan_digest)
    return path if fits else None


@dataclass(frozen=True, kw_only=True)
class _Options:
    plan_path: str | None
    undo_path: str | None
    license_path: str | None
    force: bool
    kill_switch_file: str | None
