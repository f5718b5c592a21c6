"""``mk k8s preflight``."""

import gc
import os
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modekeeper.cli.clocks import clock_from
from modekeeper.cli.cluster_options import ClusterOptions, cluster_options, opened_cluster
from modekeeper.cli.console import print_json, say, table, warn
from modekeeper.cli.options import examples, json_option, out_option, target_options
from modekeeper.cluster.preflight.facts import Facts, NoAnswer, Subject, Why
from modekeeper.cluster.preflight.gather import gather, no_facts
from modekeeper.model.cluster import ClusterConfigError
from modekeeper.model.decision import Target
from modekeeper.model.errors import BadInputError
from modekeeper.model.workload import WorkloadKind, find_workload_kind
from modekeeper.policy.wording import shown
from modekeeper.ports.clock import Clock

if TYPE_CHECKING:
    from modekeeper.artifacts.contracts.preflight import PreflightReport

__all__ = ["exit_code", "preflight"]

_LONGEST_DETAIL = 300
_WRITING = "modekeeper.reports.folder.preflight_run"
"""What judges and writes; it is imported while the cluster is thinking."""


@click.command(
    epilog=examples(
        "mk k8s preflight --k8s-namespace research --k8s-deployment trainer",
        "mk k8s preflight --k8s-kind PyTorchJob --k8s-deployment llm --context staging",
        "mk k8s preflight --cluster-client kubectl --json",
    )
)
@target_options
@click.option("--container", metavar="NAME", help="Container whose log is telemetry, where its pods have several.")
@cluster_options
@out_option("report/preflight")
@json_option
def preflight(
    *,
    target: Target,
    container: str | None,
    cluster: ClusterOptions,
    out: str,
    as_json: bool,
) -> int:
    """Is this cluster ready to be observed? Reads and asks, changes nothing.

    Connection, rights, workload, GPUs, telemetry, and who else changes the object. What stops mk observe is a blocker;
    everything else is a note. A right that is missing comes with the role to ask for.

    Exit code 0 when nothing stops, 1 when no cluster answers, 2 when something else stops.
    """
    gc.disable()  # what is imported and asked stays to the end: looking for garbage among it takes time and finds none
    subject = Subject(kind=_kind(target), namespace=target.namespace, name=target.name, container=container)
    clock = clock_from(os.environ)
    started = clock.now()
    facts = _facts(cluster, subject, clock)
    report = _written(facts, Path(out), clock, started)
    if as_json:
        print_json(report)
    else:
        table(
            ("check", "status", "detail", "hint"),
            [(check.name, check.status, check.detail, check.hint or "") for check in report.checks],
        )
        say(_last_line(report))
    if report.top_blocker is not None:
        warn(f"ERROR: {report.top_blocker}: {_reason(report)}")
    gc.freeze()  # nor at the end of the process
    return exit_code(report, facts)


def exit_code(report: "PreflightReport", facts: Facts) -> int:
    """0 ok, 1 no cluster answers, 2 anything else stops."""
    if report.ok:
        return 0
    away = report.top_blocker == "client_unavailable"
    mistaken = any(isinstance(answer, NoAnswer) and answer.why is Why.BAD_CONFIG for answer in facts.answers)
    return 1 if away and not mistaken else 2


def _facts(cluster: ClusterOptions, subject: Subject, clock: Clock) -> Facts:
    try:
        with opened_cluster(cluster, clock, os.environ) as reader:
            return gather(reader, subject, meanwhile=lambda: import_module(_WRITING))
    except ClusterConfigError as error:
        return no_facts(subject, NoAnswer(why=Why.BAD_CONFIG, detail=shown(str(error), _LONGEST_DETAIL)))


def _written(facts: Facts, out: Path, clock: Clock, started: datetime) -> "PreflightReport":
    from modekeeper.artifacts.store import FolderStore  # noqa: PLC0415 - see _WRITING
    from modekeeper.reports.folder.preflight_run import write_preflight  # noqa: PLC0415

    return write_preflight(FolderStore(out), facts, clock, started)


def _kind(target: Target) -> WorkloadKind:
    known = find_workload_kind(target.kind)
    if known is None:
        raise BadInputError(f"--k8s-kind {target.kind!r} is not known here")
    return known


def _reason(report: "PreflightReport") -> str:
    """In the words of the check that failed; else of the one that could not be made."""
    blocking = [check for check in report.checks if check.blocker == report.top_blocker]
    first = next((check for check in blocking if check.status == "fail"), blocking[0])
    return f"{first.detail.rstrip('.')}; {first.hint}" if first.hint else first.detail


def _last_line(report: "PreflightReport") -> str:
    facts: dict[str, object] = {
        "ok": report.ok,
        "top_blocker": report.top_blocker,
        "context": report.context.name if report.context else None,
        "ns": report.target.namespace,
        "deploy": report.target.name,
        "gpu_capacity_present": report.gpu_capacity_present,
        "nvidia_device_plugin_present": report.nvidia_device_plugin_present,
        "deploy_gpu_request": report.deploy_gpu_request,
        "notes": len(report.notes),
        "preflight": report.preflight_path,
        "summary": report.preflight_summary_path,
    }
    return " ".join(f"{name}={_word(value)}" for name, value in facts.items())


def _word(value: object) -> str:
    """One word, whatever a context or a folder is called."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return "".join("_" if character.isspace() else character for character in str(value))
