"""``mk k8s verify``, which is ``mk verify``."""

import os
from pathlib import Path
from typing import Any

import click

from modekeeper.artifacts.contracts.k8s_verify import BlockerKind, K8sVerifyReport
from modekeeper.artifacts.store import FolderStore
from modekeeper.cli.clocks import clock_from
from modekeeper.cli.cluster_options import ClusterOptions, cluster_options, opened_cluster
from modekeeper.cli.console import print_json, say, warn
from modekeeper.cli.k8s_render import plan_or_error
from modekeeper.cli.options import DURATION, examples, json_option, out_option
from modekeeper.cluster.audit.looking import Audit, audit
from modekeeper.cluster.audit.receipt_book import has_receipts
from modekeeper.cluster.kubectl_version import KubectlVersion, kubectl_version
from modekeeper.cluster.verify.gather import gather
from modekeeper.model.decision import Plan, Target
from modekeeper.model.errors import BadInputError, ModeKeeperError
from modekeeper.ports.clock import Clock
from modekeeper.ports.cluster import ClusterReader
from modekeeper.reports.folder.verify_run import VerifyRun
from modekeeper.reports.verify_summary import told, verify_lines

__all__ = ["VALID_FOR_S", "k8s_verify", "verify", "verify_into"]

VALID_FOR_S = 15 * 60.0

_SHORTEST_S, _LONGEST_S = 1.0, 24 * 3600.0


def _command(words: str) -> click.Command:
    """The command as it is typed: ``verify`` or ``k8s verify``."""

    @click.command(
        name="verify",
        epilog=examples(
            f"mk {words} --plan report/plan/k8s_plan.json",
            f"mk {words} --plan report/plan/k8s_plan.json --context staging --valid-for 5m",
            f"mk {words} --plan report/plan/k8s_plan.json --json | jq -r .role_yaml",
        ),
    )
    @click.option("--plan", "plan_path", required=True, metavar="FILE", help="The plan (k8s_plan.json).")
    @click.option(
        "--valid-for",
        "valid_for_s",
        type=DURATION,
        default="15m",
        show_default=True,
        help="How long the verification is good for: 90s, 15m, 1h; a day at most.",
    )
    @click.option(
        "--receipts",
        "receipts_path",
        metavar="FOLDER",
        help="The --out of earlier applies: what was changed in our name must have a receipt there.",
    )
    @cluster_options
    @out_option("report/k8s-verify")
    @json_option
    def command(*, cluster: ClusterOptions, out: str, as_json: bool, **given: Any) -> int:
        """Would the cluster accept a plan, and what would the plan do to it. Changes nothing.

        Asks with server-side dry runs, which need the right to patch; without it, says which rule is missing and
        everything that reading can tell. Exit code 0 when every change is verified, 1 when the cluster does not
        answer, 2 when something stands in the way.
        """
        if not _SHORTEST_S <= given["valid_for_s"] <= _LONGEST_S:
            raise BadInputError("--valid-for is a second at least and a day at most. Give one like 15m.")
        report = verify_into(Path(out), cluster=cluster, clock=clock_from(os.environ), **given)
        if as_json:
            print_json(report)
        else:
            for line in verify_lines(report):
                say(line)
            say(_last_line(report, out))
        return _code(report)

    return command


verify = _command("verify")
k8s_verify = _command("k8s verify")


def verify_into(
    out: Path,
    plan_path: str,
    *,
    valid_for_s: float,
    cluster: ClusterOptions,
    clock: Clock,
    receipts_path: str | None = None,
) -> K8sVerifyReport:
    """Verify a plan, into the folder ``out``; with the receipts of ``receipts_path``, or else those in ``out``.

    Raises:
        BadInputError: the plan is none, or the receipts cannot be relied on; the folder says so too.
        ClusterConfigError: the way to the cluster cannot be told; the folder says so too.
    """
    run = VerifyRun(FolderStore(out), plan_path, valid_for_s, clock)
    plan = plan_or_error(plan_path)
    if isinstance(plan, ModeKeeperError):
        run.refused(plan, None)
        raise plan
    try:
        with opened_cluster(cluster, clock, os.environ) as reader:
            facts = gather(reader, plan)
            # Where nobody answers there is nothing to ask once more.
            audited = None if facts.version.value is None else _audit(reader, plan, receipts_path, out)
    except BadInputError as error:
        run.refused(error, plan)
        raise
    replayed = cluster.replay_from is not None
    kubectl = KubectlVersion(error="replayed") if replayed else kubectl_version(os.environ)
    return run.judged(facts, kubectl, audited)


def _audit(reader: ClusterReader, plan: Plan, given: str | None, out: Path) -> Audit | None:
    """``None``: nobody said where receipts are, and nothing was applied in the folder."""
    if given is None and not has_receipts(out):
        return None
    targets = [Target(namespace=item.namespace, kind=item.kind, name=item.name) for item in plan.items]
    return audit(reader, targets, Path(given) if given is not None else out)


def _last_line(report: K8sVerifyReport, out: str) -> str:
    blocker = report.verify_blocker
    return (
        f"verify_ok={str(report.ok).lower()} verify_blocker={blocker.kind if blocker is not None else 'none'} "
        f"items={len(report.items)} items_ok={sum(item.ok for item in report.items)} "
        f"report={Path(out).as_posix()}/k8s_verify_latest.json"
    )


def _code(report: K8sVerifyReport) -> int:
    blocker = report.verify_blocker
    if blocker is None:
        return 0
    warn(f"ERROR: the plan is not verified: {told(blocker.kind, blocker.detail)}")
    return 1 if blocker.kind is BlockerKind.CLIENT_UNAVAILABLE else 2
