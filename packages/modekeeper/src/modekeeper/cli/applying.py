"""What ``mk k8s apply`` and ``mk k8s rollback`` share: one attempt, from what the user gave to an exit code."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from modekeeper.artifacts.contracts.k8s_apply import ApplyStatus, K8sApplyReport
from modekeeper.cli.actuators import ActuatorBrokeError, carry_out
from modekeeper.cli.cluster_options import ClusterOptions
from modekeeper.cli.console import print_json, say
from modekeeper.cli.deciding import kill_switch_line
from modekeeper.cli.files import read_small_file
from modekeeper.cluster.audit.receipt_book import runs_in
from modekeeper.gates.kill_switch import KillSwitch
from modekeeper.gates.verified import VERIFY_REQUIRED_LINE
from modekeeper.model.decision import BlockReason, Verdict
from modekeeper.model.errors import BadInputError, FailedError, ModeKeeperError, RefusedError
from modekeeper.policy.wording import shown
from modekeeper.ports.actuator import Actuator, ApplyOrder, ClusterWay, GivenFile
from modekeeper.reports.folder.apply_run import ApplyRun
from modekeeper.trust.faults import ApprovalFileError
from modekeeper.trust.finding import read_approval_file

__all__ = ["Given", "attempt", "cluster_way", "ended", "show"]

_Parsed = TypeVar("_Parsed")
_VERIFY_REASONS = frozenset(
    {
        BlockReason.VERIFY_MISSING,
        BlockReason.VERIFY_FAILED,
        BlockReason.VERIFY_PLAN_MISMATCH,
        BlockReason.VERIFY_CLUSTER_MISMATCH,
        BlockReason.VERIFY_EXPIRED,
    }
)


@dataclass
class Given:
    """Reads the files the user named, each once. The first one of no use is told in the end, when all is written."""

    error: ModeKeeperError | None = field(default=None)

    def file(self, path: str | None, what: str) -> GivenFile | None:
        """The file; ``None`` where none was named, or it cannot be read."""
        if path is None:
            return None
        try:
            return GivenFile(path=path, data=read_small_file(path, what))
        except ModeKeeperError as error:
            self.error = self.error or error
            return None

    def approval(self, path: str | None) -> tuple[GivenFile | None, ApprovalFileError | None]:
        """A second person's approval, or why it cannot be read; neither where none was named."""
        if path is None:
            return None, None
        try:
            return GivenFile(path=path, data=read_approval_file(path)), None
        except ApprovalFileError as error:
            self.error = self.error or error
            return None, error

    def parsed(self, file: GivenFile | None, parse: Callable[[bytes], _Parsed]) -> _Parsed | None:
        """What is in the file; ``None`` where there is no file, or that is not in it."""
        if file is None:
            return None
        try:
            return parse(file.data)
        except ModeKeeperError as error:
            self.error = self.error or error
            return None


def cluster_way(cluster: ClusterOptions) -> ClusterWay:
    """The cluster as an actuator takes it.

    Raises:
        BadInputError: a recording was named.
    """
    if cluster.record_to is not None or cluster.replay_from is not None:
        raise BadInputError(
            "a change is neither recorded nor replayed: leave --record-cluster and --replay-cluster out."
        )
    return ClusterWay(
        client=cluster.client,
        kubeconfig=cluster.kubeconfig,
        context=cluster.context,
        request_timeout_s=cluster.request_timeout_s,
    )


def attempt(
    run: ApplyRun,
    verdicts: tuple[Verdict, ...],
    actuator: Actuator[K8sApplyReport] | str,
    order: ApplyOrder,
    files: Given,
) -> K8sApplyReport:
    """Let the actuator do it, where there is one and it was given what it needs; the report is on disk by then."""
    if isinstance(actuator, str) or files.error is not None:
        return run.refused(verdicts, error=str(files.error) if files.error is not None else None)
    begun = runs_in(order.store.root)
    try:
        return run.done(carry_out(actuator, run.operation, order))
    except ActuatorBrokeError as broke:
        why = broke.__cause__
        if not isinstance(why, BadInputError | RefusedError) or runs_in(order.store.root) != begun:
            return run.broken(str(broke))
        files.error = why  # it said no before it began anything
        return run.refused(verdicts, error=str(why))


def show(report: K8sApplyReport, out: str, *, as_json: bool) -> None:
    """The report, or a line an item and a line for scripts."""
    if as_json:
        print_json(report)
        return
    for item in report.items:
        values = ", ".join(f"{key}={'(removed)' if text is None else shown(text)}" for key, text in item.wanted.items())
        say(f"{item.status:<9} {item.namespace} {item.kind}/{item.name} {item.actuation}: {values}")
    if report.block_reason in _VERIFY_REASONS and report.detail:
        say(f"{report.block_reason}: {report.detail}")  # the line of the error is the same for all of these
    done = sum(item.status is ApplyStatus.DONE for item in report.items)
    say(
        f"apply_ok={str(report.apply_ok).lower()} block_reason={report.block_reason or 'none'} "
        f"items={len(report.items)} items_done={done} report={Path(out).as_posix()}/k8s_apply_latest.json"
    )


def ended(report: K8sApplyReport, error: ModeKeeperError | None) -> int:
    """The exit code.

    Raises:
        ModeKeeperError: it was not done; the one line says why.
    """
    word = report.operation.value
    if report.kill_switch_active:
        switch = KillSwitch(active=True, signal=report.kill_switch_signal)
        if report.apply_attempted:
            before = f"What was done before is in {_where(report)}."
            raise RefusedError(f"{word} stopped (kill_switch_active): {kill_switch_line(switch)} {before}")
        raise RefusedError(f"{word} refused (kill_switch_active): {kill_switch_line(switch)} Nothing was changed.")
    if error is not None:
        raise error
    if report.apply_attempted and not report.apply_ok:
        failed = RefusedError if report.block_reason is not None else FailedError
        raise failed(f"the {word} was not finished: {report.detail}. What was done is in {_where(report)}.")
    if report.block_reason in _VERIFY_REASONS:
        raise RefusedError(VERIFY_REQUIRED_LINE.removeprefix("ERROR: "))
    if report.block_reason is not None:
        raise RefusedError(f"{word} refused ({report.block_reason}): {report.detail}. Nothing was changed.")
    if not report.apply_ok:
        raise FailedError(f"the {word} failed: {report.detail}. Nothing was changed.")
    return 0


def _where(report: K8sApplyReport) -> str:
    return "k8s_apply_latest.json" if report.explain_path is None else str(Path(report.explain_path).parent)
