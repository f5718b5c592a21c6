"""``mk k8s render``."""

import os
from pathlib import Path

import click

from modekeeper.artifacts.store import FolderStore
from modekeeper.cli.clocks import clock_from
from modekeeper.cli.console import print_json, say
from modekeeper.cli.files import read_small_file
from modekeeper.cli.options import examples, json_option, out_option
from modekeeper.model.decision import Plan
from modekeeper.model.errors import ModeKeeperError
from modekeeper.planning.parse import parse_plan
from modekeeper.reports.folder.render_run import write_render_folder

__all__ = ["plan_or_error", "render"]


@click.command(epilog=examples("mk k8s render --plan report/plan/k8s_plan.json"))
@click.option("--plan", "plan_path", required=True, metavar="FILE", help="The plan (k8s_plan.json).")
@out_option("report/k8s-render")
@json_option
def render(plan_path: str, out: str, as_json: bool) -> int:
    """Check a plan and write its script, k8s_plan.kubectl.sh. No cluster is asked."""
    store = FolderStore(Path(out))
    plan = plan_or_error(plan_path)
    report = write_render_folder(store, plan_path, plan, clock_from(os.environ))
    if isinstance(plan, ModeKeeperError):
        raise plan
    if as_json:
        print_json(report)
        return 0
    for item in report.items:
        knobs = ", ".join(f"{name}={value}" for name, value in item.knobs.items())
        say(f"{item.namespace} {item.kind}/{item.name} {item.actuation}: {knobs}")
    say(f"plan_ok=true items={report.plan_items} plan_digest={report.plan_digest} script={report.k8s_plan_script_path}")
    return 0


def plan_or_error(path: str) -> Plan | ModeKeeperError:
    """The plan in a file, or why it is none."""
    try:
        return parse_plan(read_small_file(path, "a plan"))
    except ModeKeeperError as error:
        return error
