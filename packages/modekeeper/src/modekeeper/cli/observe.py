"""``mk observe``."""

import os
from pathlib import Path

import click

from modekeeper.artifacts.contracts.reports import ObserveReport
from modekeeper.artifacts.store import FolderStore
from modekeeper.cli.clocks import clock_from
from modekeeper.cli.cluster_options import ClusterOptions
from modekeeper.cli.console import print_json, say, table
from modekeeper.cli.deciding import detectors_from
from modekeeper.cli.options import examples, false_alarms_option, json_option, out_option
from modekeeper.cli.reading import reading
from modekeeper.cli.telemetry_options import TelemetryChoice, live_options, telemetry_options
from modekeeper.model.decision import Target
from modekeeper.model.ingest import IngestCounters
from modekeeper.ports.clock import Clock
from modekeeper.reports.folder.observe_run import run_observe

__all__ = ["ingest_lines", "observe", "observe_into"]


@click.command(
    epilog=examples(
        "mk observe --path run.jsonl",
        "mk observe --path 'logs/run-*.jsonl.gz' --record-raw raw.jsonl --out report/observe",
        "mk observe --path run.jsonl --follow --duration 10m",
        "mk observe --source k8s --k8s-namespace ml --k8s-deployment trainer --duration 1h",
        "mk observe --prometheus-url http://localhost:9090 --k8s-namespace ml --k8s-deployment trainer",
    )
)
@telemetry_options()
@live_options
@false_alarms_option
@out_option("report/observe")
@json_option
def observe(
    *,
    telemetry: TelemetryChoice,
    target: Target,
    cluster: ClusterOptions,
    false_alarms_per_day: float | None,
    out: str,
    as_json: bool,
) -> int:
    """Read telemetry and say what is in it: how much was usable, what the detectors found. Decides nothing."""
    report = observe_into(
        Path(out),
        telemetry=telemetry.of(target, cluster),
        clock=clock_from(os.environ),
        false_alarms_per_day=false_alarms_per_day,
    )
    if as_json:
        print_json(report)
    else:
        _show(report, out)
    return 0


def observe_into(
    out: Path, *, telemetry: TelemetryChoice, clock: Clock, false_alarms_per_day: float | None = None
) -> ObserveReport:
    """Observe the telemetry asked for, into the folder ``out``."""
    store = FolderStore(out)
    with reading(telemetry, clock) as what:
        return run_observe(store, what, clock, detectors_from(false_alarms_per_day))


def _show(report: ObserveReport, out: str) -> None:
    for line in ingest_lines(report.observe_ingest):
        say(line)
    for note in (*report.source.notes, *report.environment.notes):
        say(f"note: {note}")
    rows = [
        (f.signal.kind, f.signal.metric, "stands" if f.ended_index is None else "over", f.signal.explanation)
        for f in (*report.findings.ended[-20:], *report.findings.standing)
    ]
    if rows:
        table(("finding", "metric", "state", "evidence"), rows)
    else:
        say("no finding")
    for signal in report.findings.undecided:
        say(f"cannot tell: {signal.explanation}")
    say(
        f"samples={report.telemetry.sample_count} findings={report.findings.confirmed_total} "
        f"unstable={str(report.environment.unstable).lower()} report={out}/observe_latest.json"
    )


def ingest_lines(ingest: IngestCounters) -> list[str]:
    """What happened to the records, with an example of each kind of dirt."""
    total = (
        f"read {ingest.read_total:,} records: {ingest.accepted_total:,} accepted "
        f"({ingest.repaired_total:,} of them repaired), {ingest.dropped_total:,} dropped"
    )
    lines = [total]
    for title, reasons in (("dropped", ingest.dropped_by_reason), ("repaired", ingest.repaired_by_reason)):
        if reasons:
            lines.append(f"{title}: " + ", ".join(f"{reason} {count:,}" for reason, count in sorted(reasons.items())))
    shown: set[str] = set()
    for example in ingest.examples:
        if example.reason not in shown:
            shown.add(example.reason)
            lines.append(f"  {example.reason}, {example.source} line {example.line}: {example.text}")
    return lines
