"""``mk quickstart``."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path

import click

from modekeeper.artifacts.contracts.parts import Answer
from modekeeper.artifacts.contracts.reports import ClosedLoopReport, QuickstartReport, QuickstartStage
from modekeeper.artifacts.explain import ExplainLog
from modekeeper.artifacts.store import FolderStore
from modekeeper.cli.clocks import clock_from
from modekeeper.cli.closed_loop import decide_into
from modekeeper.cli.cluster_question import NO_CLUSTER, ask_cluster, cluster_answers
from modekeeper.cli.console import print_answer, print_json, say, warn
from modekeeper.cli.doctor import write_doctor_report
from modekeeper.cli.evaluate import evaluate_into
from modekeeper.cli.observe import observe_into
from modekeeper.cli.options import (
    DecisionChoice,
    TelemetryChoice,
    examples,
    json_option,
    out_option,
    target_options,
)
from modekeeper.cli.plot import draw_into
from modekeeper.model.errors import ModeKeeperError
from modekeeper.ports.clock import Clock
from modekeeper.reports.publishing import publish_json, times

__all__ = ["quickstart"]

_BUNDLED = "gpt_training_8xh100.jsonl.gz"
_BUNDLED_GPUS = 8.0
_BUNDLED_NAME = "GPT training on 8 H100 (bundled real trace)"


@dataclass
class _Tour:
    """What the stages found so far."""

    stages: list[QuickstartStage] = field(default_factory=list)

    def stage(self, name: str, act: Callable[[], tuple[str, tuple[str, ...]]]) -> None:
        """Run one stage; a failure is recorded, and the tour goes on."""
        warn(f"{name} …")
        try:
            detail, artifacts = act()
            self.stages.append(QuickstartStage(name=name, status="done", detail=detail, artifacts=artifacts))
        except ModeKeeperError as error:
            warn(f"ERROR: {name}: {error}")
            self.stages.append(QuickstartStage(name=name, status="failed", detail=str(error)))


@click.command(
    epilog=examples("mk quickstart", "mk quickstart --path run.jsonl --k8s-namespace ml --k8s-deployment trainer")
)
@click.option("--path", "paths", multiple=True, metavar="FILE", help="Your telemetry; a bundled real trace otherwise.")
@target_options
@out_option("report/quickstart")
@json_option
def quickstart(paths: tuple[str, ...], k8s_namespace: str, k8s_deployment: str, out: str, as_json: bool) -> int:
    """The whole main job in one go: doctor, observe, eval, plan, picture. Reads only.

    Ends with a verdict, why, what it costs, what to do next, and where to look.
    """
    clock = clock_from(os.environ)
    with ExitStack() as stack:
        label = None
        if not paths:
            trace = files("modekeeper.telemetry") / "bundled" / _BUNDLED
            paths = (str(stack.enter_context(as_file(trace))),)
            label = f"bundled:{_BUNDLED}"
        telemetry = TelemetryChoice(source="file", paths=paths, label=label)
        report = _tour(
            Path(out),
            telemetry,
            clock,
            namespace=k8s_namespace,
            deployment=k8s_deployment,
            bundled=label is not None,
        )
    if as_json:
        print_json(report)
    else:
        print_answer(report.answer)
        for stage in report.stages:
            if stage.name == "verify":
                say(f"VERIFY   {stage.detail}")
        say(f"quickstart_ok={str(report.ok).lower()} out={out} look={out}/report.html")
    return 0 if report.ok else 1


def _tour(
    out: Path, telemetry: TelemetryChoice, clock: Clock, *, namespace: str, deployment: str, bundled: bool
) -> QuickstartReport:
    started = clock.now()
    store = FolderStore(out)
    name, gpus = (_BUNDLED_NAME, _BUNDLED_GPUS) if bundled else (None, None)
    tour, answers = _Tour(), list[Answer]()
    plans: list[ClosedLoopReport] = []

    def doctor() -> tuple[str, tuple[str, ...]]:
        checked = write_doctor_report(out / "doctor", clock)
        failed = ", ".join(c.name for c in checked.checks if c.status == "fail")
        detail = f"failed: {failed}" if failed else f"{len(checked.checks)} checks, none failed"
        return detail, (f"{out}/doctor/doctor_latest.json",)

    def observe() -> tuple[str, tuple[str, ...]]:
        seen = observe_into(out / "observe", telemetry=telemetry, clock=clock)
        detail = f"{seen.telemetry.sample_count} samples, {seen.findings.confirmed_total} findings"
        return detail, (f"{out}/observe/observe_latest.json",)

    def judge() -> tuple[str, tuple[str, ...]]:
        judged = evaluate_into(out / "eval", telemetry=telemetry, clock=clock, gpus=gpus, name=name)
        answers.append(judged.answer)
        return judged.answer.verdict, (f"{out}/eval/eval_latest.json", f"{out}/eval/eval_summary.md")

    def decide() -> tuple[str, tuple[str, ...]]:
        decided = decide_into(
            out / "plan",
            telemetry=telemetry,
            decision=DecisionChoice(),
            k8s_namespace=namespace,
            k8s_deployment=deployment,
            gpus=gpus,
            gpu_hour_usd=None,
            clock=clock,
            name=name,
        )
        answers.append(decided.answer)
        plans.append(decided)
        return f"{decided.chord}, {decided.planned_actions_count} changes planned", (
            decided.k8s_plan_path,
            decided.audit_trace.path,
            f"{out}/plan/closed_loop_latest.json",
        )

    for stage, act in (("doctor", doctor), ("observe", observe), ("eval", judge), ("plan", decide)):
        tour.stage(stage, act)
    tour.stages.append(_verify_stage(plans))
    tour.stages.append(_picture_stage(tour, out))
    finished = clock.now()
    explain = ExplainLog(clock)
    for done in tour.stages:
        explain.add("stage_finished", stage=done.name, status=done.status, detail=done.detail)
    report = QuickstartReport(
        **times(started, finished),
        ok=all(stage.status != "failed" for stage in tour.stages),
        stages=tuple(tour.stages),
        answer=_final_answer(answers, out, pictured=tour.stages[-1].status == "done"),
    )
    store.write_bytes("explain.jsonl", explain.data())
    publish_json(store, "quickstart", report, finished)
    return report


def _verify_stage(plans: list[ClosedLoopReport]) -> QuickstartStage:
    """Ask the cluster at hand whether it would accept the plan; there need not be one."""
    if not plans or not plans[0].k8s_plan_items:
        return QuickstartStage(name="verify", status="skipped", detail="the plan is empty: nothing to verify")
    version = cluster_answers(os.environ)
    if version is None:
        return QuickstartStage(name="verify", status="skipped", detail=NO_CLUSTER)
    warn("verify …")
    accepted, word = ask_cluster(Path(plans[0].k8s_plan_script_path), os.environ)
    verdict = word if accepted else f"not accepted: {word}"
    return QuickstartStage(name="verify", status="done", detail=f"cluster {version}: {verdict}")


def _picture_stage(tour: _Tour, out: Path) -> QuickstartStage:
    if find_spec("matplotlib") is None:
        return QuickstartStage(name="picture", status="skipped", detail="needs pip install 'modekeeper[plot]'")
    tour.stage("picture", lambda: ("step time, changes, modes and actions", tuple(draw_into(out / "plan", out))))
    return tour.stages.pop()


def _final_answer(answers: list[Answer], out: Path, *, pictured: bool) -> Answer:
    if not answers:
        return Answer(
            title="quickstart", verdict="NO VERDICT: the telemetry could not be read", why=(), cost="-", next=()
        )
    last = answers[-1]
    look = [f"look:   {out}/report.html"] if pictured else []
    explain = f"why:    {out}/plan/decision_trace_latest.jsonl"
    return Answer(
        title=last.title,
        verdict=last.verdict,
        why=last.why,
        cost=last.cost,
        next=(*last.next, *look, explain),
        unknown=last.unknown,
    )
