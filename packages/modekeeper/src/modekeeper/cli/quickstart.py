"""``mk quickstart``."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import msgspec

from modekeeper.artifacts.contracts.k8s_verify import BlockerKind, K8sVerifyReport
from modekeeper.artifacts.contracts.parts import Answer
from modekeeper.artifacts.contracts.reports import ClosedLoopReport, EvalReport, QuickstartReport, QuickstartStage
from modekeeper.artifacts.explain import ExplainLog
from modekeeper.artifacts.store import FolderStore
from modekeeper.cli.clocks import clock_from
from modekeeper.cli.closed_loop import decide_into
from modekeeper.cli.cluster_options import ClusterOptions
from modekeeper.cli.console import print_answer, print_json, say, warn
from modekeeper.cli.doctor import write_doctor_report
from modekeeper.cli.evaluate import evaluate_into
from modekeeper.cli.k8s_verify import VALID_FOR_S, verify_into
from modekeeper.cli.observe import observe_into
from modekeeper.cli.options import (
    DecisionChoice,
    cost_options,
    decision_options,
    examples,
    json_option,
    out_option,
    target_options,
)
from modekeeper.cli.plot import draw_into
from modekeeper.cli.sources import opened
from modekeeper.cli.telemetry_options import TelemetryChoice
from modekeeper.model.cluster import ClusterConfigError
from modekeeper.model.decision import Target
from modekeeper.model.errors import BadInputError, ModeKeeperError
from modekeeper.model.wording import count
from modekeeper.ports.clock import Clock
from modekeeper.reports.folder.publishing import publish_json, times

__all__ = ["quickstart"]

_BUNDLED = "gpt_training_8xh100.jsonl.gz"
_BUNDLED_GPUS = 8.0
_BUNDLED_NAME = "GPT training on 8 H100 (bundled real trace)"
_ANSWER_S = 5.0
"""A cluster that takes longer for one answer is none for a first look."""


@click.command(
    epilog=examples("mk quickstart", "mk quickstart --path run.jsonl --k8s-namespace ml --k8s-deployment trainer")
)
@click.option("--path", "paths", multiple=True, metavar="FILE", help="Your telemetry; a bundled real trace otherwise.")
@decision_options
@target_options
@cost_options
@click.option(
    "--verify/--no-verify",
    default=True,
    help="Ask the cluster of your kubeconfig, if one answers, whether it would accept the plan (server-side dry run).",
)
@out_option("report/quickstart")
@json_option
def quickstart(paths: tuple[str, ...], out: str, as_json: bool, **given: Any) -> int:
    """The whole main job in one go: doctor, observe, eval, plan, verify, picture. Changes nothing.

    Ends with a verdict, why, what it costs, what to do next, and where to look.
    """
    if "-" in paths:
        raise BadInputError(
            "quickstart reads the telemetry several times, standard input only once. Give --path a file."
        )
    clock = clock_from(os.environ)
    with ExitStack() as stack:
        label = None
        if not paths:
            trace = files("modekeeper.telemetry") / "bundled" / _BUNDLED
            paths = (str(stack.enter_context(as_file(trace))),)
            label = f"bundled:{_BUNDLED}"
        telemetry = TelemetryChoice(source="file", paths=paths, label=label)
        with opened(telemetry, clock):
            pass  # what cannot be read ends the command here, with one line
        report = _Tour(out=Path(out), telemetry=telemetry, clock=clock, bundled=label is not None, **given).run()
    if as_json:
        print_json(report)
    else:
        print_answer(report.answer)
        for stage in report.stages:
            if stage.name == "verify":
                say(f"VERIFY   {stage.detail}")
        pictured = report.stages[-1].status == "done"
        say(f"quickstart_ok={str(report.ok).lower()} out={out}" + (f" look={out}/report.html" if pictured else ""))
    return 0 if report.ok else 1


@dataclass
class _Tour:
    """The stages of one quickstart: each writes its own folder, and a failure of one does not stop the others."""

    out: Path
    telemetry: TelemetryChoice
    clock: Clock
    bundled: bool
    decision: DecisionChoice
    target: Target
    gpus: float | None
    gpu_hour_usd: float | None
    verify: bool
    stages: list[QuickstartStage] = field(default_factory=list)
    evaluated: EvalReport | None = None
    decided: ClosedLoopReport | None = None

    def run(self) -> QuickstartReport:
        """All stages in their order, and the report of them."""
        started = self.clock.now()
        store = FolderStore(self.out)
        for name, act in (
            ("doctor", self._doctor),
            ("observe", self._observe),
            ("eval", self._evaluate),
            ("plan", self._decide),
            ("verify", self._verify),
            ("picture", self._draw),
        ):
            self.stages.append(_stage(name, act))
        finished = self.clock.now()
        explain = ExplainLog(self.clock)
        for stage in self.stages:
            explain.add("stage_finished", stage=stage.name, status=stage.status, detail=stage.detail)
        report = QuickstartReport(
            **times(started, finished),
            ok=all(stage.status != "failed" for stage in self.stages),
            stages=tuple(self.stages),
            answer=self._answer(),
        )
        store.write_bytes("explain.jsonl", explain.data())
        publish_json(store, "quickstart", report, finished)
        return report

    @property
    def _name(self) -> str | None:
        return _BUNDLED_NAME if self.bundled else None

    @property
    def _gpus(self) -> float | None:
        return _BUNDLED_GPUS if self.bundled and self.gpus is None else self.gpus

    def _doctor(self) -> QuickstartStage:
        checked = write_doctor_report(self.out / "doctor", self.clock)
        failed = ", ".join(check.name for check in checked.checks if check.status == "fail")
        detail = f"failed: {failed}" if failed else f"{len(checked.checks)} checks, none failed"
        return _done("doctor", detail, f"{self.out}/doctor/doctor_latest.json")

    def _observe(self) -> QuickstartStage:
        seen = observe_into(
            self.out / "observe",
            telemetry=self.telemetry,
            clock=self.clock,
            false_alarms_per_day=self.decision.false_alarms_per_day,
        )
        detail = f"{seen.telemetry.sample_count} samples, {seen.findings.confirmed_total} findings"
        return _done("observe", detail, f"{self.out}/observe/observe_latest.json")

    def _evaluate(self) -> QuickstartStage:
        folder = self.out / "eval"
        report = evaluate_into(
            folder,
            telemetry=self.telemetry,
            clock=self.clock,
            gpus=self._gpus,
            gpu_hour_usd=self.gpu_hour_usd,
            false_alarms_per_day=self.decision.false_alarms_per_day,
            name=self._name,
        )
        self.evaluated = report
        return _done("eval", report.answer.verdict, f"{folder}/eval_latest.json", f"{folder}/eval_summary.md")

    def _decide(self) -> QuickstartStage:
        report = decide_into(
            self.out / "plan",
            telemetry=self.telemetry,
            decision=self.decision,
            target=self.target,
            gpus=self._gpus,
            gpu_hour_usd=self.gpu_hour_usd,
            clock=self.clock,
            name=self._name,
        )
        self.decided = report
        detail = f"{report.chord}, {count(report.planned_actions_count, 'change')} planned"
        latest = f"{self.out}/plan/closed_loop_latest.json"
        return _done("plan", detail, report.k8s_plan_path, report.audit_trace.path, latest)

    def _verify(self) -> QuickstartStage:
        """Ask the cluster at hand whether it would accept the plan; there need not be one."""
        if self.decided is None or not self.decided.k8s_plan_items:
            return _skipped("verify", "the plan is empty: nothing to verify")
        if not self.verify:
            return _skipped("verify", "not asked for (--no-verify)")
        folder = self.out / "verify"
        try:
            report = verify_into(
                folder,
                self.decided.k8s_plan_path,
                valid_for_s=VALID_FOR_S,
                cluster=ClusterOptions(request_timeout_s=_ANSWER_S),
                clock=self.clock,
            )
        except ClusterConfigError as error:
            return _skipped("verify", f"no cluster to ask: {error}")
        return _verified(report, f"{folder}/k8s_verify_latest.json")

    def _draw(self) -> QuickstartStage:
        if find_spec("matplotlib") is None:
            return _skipped("picture", "needs pip install 'modekeeper[plot]'")
        return _done("picture", "step time, changes, modes and actions", *draw_into(self.out / "plan", self.out))

    def _answer(self) -> Answer:
        report = self.decided or self.evaluated
        if report is None:
            verdict = "NO VERDICT: the telemetry could not be read"
            return Answer(title="quickstart", verdict=verdict, why=(), cost="-", next=())
        pictured = any(stage.name == "picture" and stage.status == "done" for stage in self.stages)
        look = [f"look:   {self.out}/report.html"] if pictured else []
        why = [f"why:    {self.decided.audit_trace.path}"] if self.decided else []
        return msgspec.structs.replace(report.answer, next=(*report.answer.next, *look, *why))


def _stage(name: str, act: Callable[[], QuickstartStage]) -> QuickstartStage:
    warn(f"{name} …")
    try:
        return act()
    except ModeKeeperError as error:
        warn(f"ERROR: {name}: {error}")
        return QuickstartStage(name=name, status="failed", detail=str(error))


def _verified(report: K8sVerifyReport, latest: str) -> QuickstartStage:
    """A plan that is not verified is an answer, too: the tour did what it came for."""
    blocker, version = report.verify_blocker, report.diagnostics.server_version or "of unknown version"
    if blocker is None:
        effects = sorted({item.effect.effect.value for item in report.items})
        word = f"would accept the plan ({', '.join(effects)}); nothing was changed"
        return _done("verify", f"the cluster ({version}) {word}", latest)
    if blocker.kind is BlockerKind.CLIENT_UNAVAILABLE:
        return _skipped("verify", f"no cluster answered: {blocker.detail}")
    return _done("verify", f"the cluster ({version}) says no: {blocker.kind.value}: {blocker.detail}", latest)


def _done(name: str, detail: str, *artifacts: str) -> QuickstartStage:
    return QuickstartStage(name=name, status="done", detail=detail, artifacts=artifacts)


def _skipped(name: str, detail: str) -> QuickstartStage:
    return QuickstartStage(name=name, status="skipped", detail=detail)
