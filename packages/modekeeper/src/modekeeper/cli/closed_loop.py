"""``mk plan``, ``mk closed-loop run``."""

import os
from pathlib import Path
from typing import Any

import click
import msgspec

from modekeeper.artifacts.contracts.reports import ClosedLoopReport
from modekeeper.artifacts.provenance import provenance
from modekeeper.artifacts.store import FolderStore
from modekeeper.cli.applying import ended, show
from modekeeper.cli.clocks import clock_from
from modekeeper.cli.cluster_options import ClusterOptions
from modekeeper.cli.console import print_answer, print_json, say
from modekeeper.cli.deciding import apply_request, kill_switch_look, refuse_apply, settings_from
from modekeeper.cli.hands import hands_for
from modekeeper.cli.options import (
    DecisionChoice,
    apply_option,
    cost_options,
    decision_options,
    examples,
    json_option,
    kill_switch_option,
    license_option,
    out_option,
)
from modekeeper.cli.reading import reading
from modekeeper.cli.telemetry_options import TelemetryChoice, live_options, telemetry_options
from modekeeper.gates.kill_switch import KillSwitch
from modekeeper.loop.apply_request import NO_APPLY, ApplyRequest
from modekeeper.loop.settings import LoopSettings
from modekeeper.model.decision import Target
from modekeeper.ports.clock import Clock
from modekeeper.reports.folder.acting import Hands
from modekeeper.reports.folder.closed_loop_run import ClosedLoopDone, ClosedLoopJob, run_closed_loop
from modekeeper.reports.folder.decision_facts import CatalogUse
from modekeeper.value.opportunity import CostModel

__all__ = ["decide_into", "plan", "run"]


@click.command(
    epilog=examples(
        "mk plan --observe-path run.jsonl --knob dataloader_prefetch_factor=2",
        "mk plan --scenario drift --out report/plan",
        "mk plan --observe-source k8s --k8s-namespace ml --k8s-deployment trainer --observe-duration 1h",
    )
)
@telemetry_options("observe-")
@decision_options
@live_options
@cost_options
@click.option("--dry-run", is_flag=True, default=True, help="Always on: mk plan never applies.")
@license_option
@kill_switch_option
@out_option("report/plan")
@json_option
def plan(dry_run: bool, license_path: str | None, **given: Any) -> int:
    """Decide, and write the plan. Changes nothing.

    Reads telemetry, says which mode the job is in and why, and writes k8s_plan.json with the change that would
    help, k8s_plan.kubectl.sh to review and run by hand, and the decision trace that led there.
    """
    del dry_run, license_path  # accepted so that a command line of closed-loop run works here too
    return _run(apply=False, **given)


@click.command(
    epilog=examples(
        "mk closed-loop run --observe-path run.jsonl --dry-run",
        "mk closed-loop run --scenario straggler --policy scalar",
    )
)
@telemetry_options("observe-")
@decision_options
@live_options
@cost_options
@apply_option
@license_option
@kill_switch_option
@out_option("report/closed-loop-run")
@json_option
def run(dry_run: bool, license_path: str | None, **given: Any) -> int:
    """One pass of the loop: observe, decide, plan; with --apply and the licensed package, apply.

    Without the licensed package --apply is refused: the plan is still written, with the reason, and the exit code
    is 2.
    """
    return _run(apply=not dry_run, license_path=license_path, **given)


def _run(
    *,
    apply: bool,
    telemetry: TelemetryChoice,
    decision: DecisionChoice,
    target: Target,
    cluster: ClusterOptions,
    kill_switch_file: str | None,
    out: str,
    as_json: bool,
    license_path: str | None = None,
    **given: Any,
) -> int:
    clock = clock_from(os.environ)
    settings, catalog = settings_from(decision, target)
    hands = (
        hands_for(cluster, clock, settings, catalog, license_path=license_path, kill_switch_file=kill_switch_file)
        if apply
        else None
    )
    report, applied = _decide(
        Path(out),
        telemetry=telemetry.of(target, cluster),
        settings=settings,
        catalog=catalog,
        clock=clock,
        apply=apply_request(hands),
        kill_switch_file=kill_switch_file,
        hands=hands if isinstance(hands, Hands) else None,
        **given,
    )
    if as_json:
        print_json(report)
    else:
        print_answer(report.answer)
        say(summary_line(report))
        if applied is not None:
            show(applied, out, as_json=False)
    if isinstance(hands, str):
        refuse_apply(KillSwitch(active=report.kill_switch_active, signal=report.kill_switch_signal), hands)
    return 0 if applied is None else ended(applied, None)


def decide_into(out: Path, *, decision: DecisionChoice, target: Target, **given: Any) -> ClosedLoopReport:
    """Run the loop once over the telemetry asked for, into the folder ``out``, and change nothing."""
    settings, catalog = settings_from(decision, target)
    return _decide(out, settings=settings, catalog=catalog, **given).report


def _decide(
    out: Path,
    *,
    telemetry: TelemetryChoice,
    settings: LoopSettings,
    catalog: CatalogUse,
    gpus: float | None,
    gpu_hour_usd: float | None,
    clock: Clock,
    apply: ApplyRequest = NO_APPLY,
    kill_switch_file: str | None = None,
    name: str | None = None,
    hands: Hands | None = None,
) -> ClosedLoopDone:
    store = FolderStore(out)
    with reading(telemetry, clock) as what:
        job = ClosedLoopJob(
            name=name,
            settings=msgspec.structs.replace(settings, cluster_knobs=dict(what.knobs)),
            apply=apply,
            kill_switch=kill_switch_look(kill_switch_file, what.cluster, settings.target.namespace),
            catalog=catalog,
            cost=CostModel(gpus=gpus, gpu_hour_usd=gpu_hour_usd),
            provenance=provenance(),
            hands=hands,
        )
        return run_closed_loop(store, what, job, clock)


def summary_line(report: ClosedLoopReport) -> str:
    """One line a script can read."""
    refused = f"apply_blocked_reason={report.apply_blocked_reason} " if report.apply_requested else ""
    return (
        f"mode={report.mode} chord={report.chord} proposed_actions={report.proposed_actions_count} "
        f"planned_actions={report.planned_actions_count} blocked_reason={report.blocked_reason or 'none'} {refused}"
        f"plan={report.k8s_plan_path}"
    )
