"""``mk eval file``, ``mk eval k8s``."""

import os
from pathlib import Path
from typing import Any

import click
import msgspec

from modekeeper.artifacts.contracts.reports import EvalReport
from modekeeper.artifacts.store import FolderStore
from modekeeper.cli.clocks import clock_from
from modekeeper.cli.cluster_options import ClusterOptions
from modekeeper.cli.console import print_answer, print_json, say
from modekeeper.cli.deciding import settings_from
from modekeeper.cli.options import (
    DEFAULT_TARGET,
    DURATION,
    DecisionChoice,
    cost_options,
    examples,
    false_alarms_option,
    json_option,
    out_option,
)
from modekeeper.cli.reading import reading
from modekeeper.cli.telemetry_options import TelemetryChoice, jobs_option, live_options
from modekeeper.model.decision import Target
from modekeeper.ports.clock import Clock
from modekeeper.reports.folder.eval_run import run_eval
from modekeeper.value.opportunity import CostModel

__all__ = ["eval_file", "eval_k8s", "evaluate_into"]


@click.command(
    name="file",
    epilog=examples(
        "mk eval file --path run.jsonl",
        "mk eval file --path run.jsonl --gpus 64 --gpu-hour-usd 2.50",
        "zcat run.jsonl.gz | mk eval file --path -",
    ),
)
@click.option(
    "--path",
    "paths",
    multiple=True,
    required=True,
    metavar="FILE",
    help="JSON lines or CSV, plain, gzip or zstd; a glob; '-' is standard input. May be repeated.",
)
@cost_options
@false_alarms_option
@jobs_option
@out_option("report/eval")
@json_option
def eval_file(paths: tuple[str, ...], out: str, as_json: bool, jobs: int | None, **given: Any) -> int:
    """Verdict, why and cost of a recorded run. Reads only."""
    telemetry = TelemetryChoice(source="file", paths=paths, jobs=jobs or msgspec.UNSET)
    report = evaluate_into(Path(out), telemetry=telemetry, clock=clock_from(os.environ), **given)
    _show(report, out, as_json=as_json)
    return 0


@click.command(
    name="k8s",
    epilog=examples(
        "mk eval k8s --k8s-namespace ml --k8s-deployment trainer",
        "mk eval k8s --k8s-namespace ml --k8s-deployment trainer --duration 2h --gpus 64 --gpu-hour-usd 2.50",
    ),
)
@live_options
@click.option("--container", metavar="NAME", help="Container of the pods, where there is more than one candidate.")
@click.option("--duration", "duration_s", type=DURATION, help="The last so much: 90s, 5m, 1h. Else all there is.")
@click.option("--record-raw", metavar="FILE", help="Keep what was read, byte for byte, for a later replay.")
@cost_options
@false_alarms_option
@out_option("report/eval_k8s")
@json_option
def eval_k8s(*, target: Target, cluster: ClusterOptions, out: str, as_json: bool, **given: Any) -> int:
    """Verdict, why and cost of a running job, from the logs of its pods. Reads only, changes nothing."""
    own = {name: given.pop(name) for name in ("container", "duration_s", "record_raw")}
    telemetry = TelemetryChoice(source="k8s", **own).of(target, cluster)
    report = evaluate_into(Path(out), telemetry=telemetry, target=target, clock=clock_from(os.environ), **given)
    _show(report, out, as_json=as_json)
    return 0


def _show(report: EvalReport, out: str, *, as_json: bool) -> None:
    if as_json:
        print_json(report)
        return
    print_answer(report.answer)
    say(
        f"mode={report.mode} sample_count={report.sample_count} drift={_yes(report.signals.drift)} "
        f"burst={_yes(report.signals.burst)} straggler={_yes(report.signals.straggler)} "
        f"opportunity_hours_est={report.opportunity_hours_est:g} eval={out}/eval_latest.json "
        f"summary={out}/eval_summary.md"
    )


def evaluate_into(
    out: Path,
    *,
    telemetry: TelemetryChoice,
    clock: Clock,
    gpus: float | None = None,
    gpu_hour_usd: float | None = None,
    false_alarms_per_day: float | None = None,
    name: str | None = None,
    target: Target = DEFAULT_TARGET,
) -> EvalReport:
    """Evaluate the telemetry asked for, into the folder ``out``."""
    store = FolderStore(out)
    settings, _ = settings_from(DecisionChoice(false_alarms_per_day=false_alarms_per_day), target)
    cost = CostModel(gpus=gpus, gpu_hour_usd=gpu_hour_usd)
    with reading(telemetry, clock) as what:
        return run_eval(store, what, settings, cost, clock, name=name)


def _yes(seen: bool) -> str:
    return str(seen).lower()
