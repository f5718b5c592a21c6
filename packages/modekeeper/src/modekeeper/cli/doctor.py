"""``mk doctor``."""

import os
from pathlib import Path

import click

from modekeeper.artifacts.contracts.reports import DoctorReport
from modekeeper.artifacts.explain import ExplainLog
from modekeeper.artifacts.store import FolderStore
from modekeeper.cli.clocks import clock_from
from modekeeper.cli.console import print_json, say, table
from modekeeper.cli.machine_checks import check_machine
from modekeeper.cli.options import examples, json_option, out_option
from modekeeper.ports.clock import Clock
from modekeeper.reports.folder.publishing import publish_json, times

__all__ = ["doctor", "write_doctor_report"]


@click.command(epilog=examples("mk doctor", "mk doctor --json"))
@out_option("report/doctor")
@json_option
def doctor(out: str, as_json: bool) -> int:
    """Check that this machine has what ModeKeeper needs.

    Exit code 0 when nothing failed, 2 otherwise. A note is no failure: it says what would be possible, and how.
    """
    report = write_doctor_report(Path(out), clock_from(os.environ))
    if as_json:
        print_json(report)
    else:
        table(
            ("check", "status", "detail", "hint"),
            [(c.name, c.status, c.detail, c.hint or "") for c in report.checks],
        )
        say(f"doctor_ok={str(report.ok).lower()} report={out}/doctor_latest.json")
    return 0 if report.ok else 2


def write_doctor_report(out: Path, clock: Clock) -> DoctorReport:
    """Check the machine and write ``doctor_latest.json`` and ``explain.jsonl``."""
    started = clock.now()
    checks = check_machine(os.environ, out)
    store = FolderStore(out)
    explain = ExplainLog(clock)
    for check in checks:
        explain.add("machine_checked", check=check.name, status=check.status, detail=check.detail)
    finished = clock.now()
    report = DoctorReport(**times(started, finished), ok=all(check.status != "fail" for check in checks), checks=checks)
    publish_json(store, "doctor", report, finished)
    store.write_bytes("explain.jsonl", explain.data())
    return report
