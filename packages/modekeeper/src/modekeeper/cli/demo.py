"""``mk demo modes``."""

import os
from pathlib import Path

import click

from modekeeper.artifacts.contracts.reports import ClosedLoopReport
from modekeeper.cli.clocks import clock_from
from modekeeper.cli.closed_loop import decide_into, summary_line
from modekeeper.cli.console import print_answer, print_json, say, table
from modekeeper.cli.options import DEFAULT_TARGET, DecisionChoice, examples, json_option, out_option
from modekeeper.cli.telemetry_options import TelemetryChoice
from modekeeper.reports.wording import moment

__all__ = ["modes"]


@click.command(epilog=examples("mk demo modes", "mk demo modes --seed 7 --out report/demo"))
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the scenario.")
@out_option("report/demo-modes")
@json_option
def modes(seed: int, out: str, as_json: bool) -> int:
    """An incident from healthy to healthy: input-bound drift, bursts, a straggler, and the recovery from each.

    Telemetry is synthetic and seeded; everything else is the real thing, as in mk plan. Nothing is changed.
    """
    telemetry = TelemetryChoice(source="synthetic", scenario="incident_and_recovery", seed=seed)
    report = decide_into(
        Path(out),
        telemetry=telemetry,
        decision=DecisionChoice(),
        target=DEFAULT_TARGET,
        gpus=None,
        gpu_hour_usd=None,
        clock=clock_from(os.environ),
        name="demo",
    )
    if as_json:
        print_json(report)
        return 0
    print_spans(report)
    print_answer(report.answer)
    say(summary_line(report))
    return 0


def print_spans(report: ClosedLoopReport) -> None:
    """One row a stay in a mode."""
    rows = [
        (
            span.mode,
            moment(span.from_step, span.from_ts_ms),
            moment(span.to_step, span.to_ts_ms),
            span.reason,
            span.chord_id,
        )
        for span in report.mode_spans
    ]
    table(("mode", "from", "to", "entered by", "chord"), rows)
