"""Recorded runs to draw: a job that gets slower twice, with a proposal at each time. Everything is made up."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from modekeeper.artifacts.canonical import document, json_line
from modekeeper.artifacts.contracts.parts import (
    Answer,
    AuditTrace,
    EnvironmentPart,
    Finding,
    Findings,
    ModeSpan,
    OpportunityAssumption,
    PassportPart,
    SeriesPoint,
    SourcePart,
    Telemetry,
)
from modekeeper.artifacts.contracts.reports import (
    ClosedLoopReport,
    EvalReport,
    EvalSignals,
    ObserveReport,
    WatchArtifactPaths,
    WatchReport,
)
from modekeeper.model.decision import (
    Action,
    Actuation,
    BlockReason,
    CurrentValueSource,
    Proposal,
    RiskTier,
    Target,
    Verdict,
)
from modekeeper.model.ingest import IngestCounters, IngestExample
from modekeeper.model.mode import Mode, Transition
from modekeeper.model.signal import Direction, Phase, Signal, SignalKind
from modekeeper.model.trace import Decision, DecisionStatus, TickTrigger, TraceEvent
from modekeeper.reports.recorded import Recorded, RecordedFile

START_MS = 1_764_374_400_000
SAMPLES = 2000
FIRST, SECOND = 700, 1400
SPIKE = 300


def step_time(index: int) -> float:
    level = 34.0 if index < FIRST else 60.0 if index < SECOND else 88.0
    return 5000.0 if index == SPIKE else level + (index * 7919 % 13) / 13


def ts_ms(index: int) -> int:
    return START_MS + index * 50


def points(samples: int = SAMPLES, *, stepped: bool = True) -> tuple[SeriesPoint, ...]:
    result = []
    for start in range(0, samples, 2):
        values = [step_time(start), step_time(min(start + 1, samples - 1))]
        result.append(
            SeriesPoint(
                ts_ms=ts_ms(start),
                index=start,
                samples=2,
                step=start + 2 if stepped else None,
                step_time_ms=sum(values) / 2,
                step_time_min_ms=min(values),
                step_time_max_ms=max(values),
            )
        )
    return tuple(result)


def telemetry(series: Sequence[SeriesPoint]) -> Telemetry:
    first, last = (series[0], series[-1]) if series else (None, None)
    return Telemetry(
        sample_count=sum(point.samples for point in series),
        first_ts_ms=first.ts_ms if first else None,
        last_ts_ms=last.ts_ms if last else None,
        first_step=first.step if first else None,
        last_step=last.step if last else None,
        workers_max=0,
        metrics_seen=("step_time_ms",) if series else (),
        samples_per_point=2,
        points=tuple(series),
    )


def signal(name: str, kind: SignalKind, since: int, decided: int, **more: Any) -> Signal:
    facts: dict[str, Any] = {
        "phase": Phase.CONFIRMED,
        "metric": "step_time_ms",
        "direction": Direction.WORSE,
        "explanation": f"{kind} since sample {since}",
    }
    return Signal(
        id=name,
        kind=kind,
        at_index=decided,
        at_step=decided + 2,
        at_ts_ms=ts_ms(decided),
        since_index=since,
        since_step=since + 2,
        since_ts_ms=ts_ms(since),
        **(facts | more),
    )


def drift(name: str, since: int, before: float, after: float) -> Finding:
    said = signal(
        name,
        SignalKind.DRIFT,
        since,
        since + 25,
        baseline=before,
        level=after,
        effect=after / before - 1,
        effect_low=after / before - 1.02,
        effect_high=after / before - 0.98,
        cause="input_bound",
        nodes=("node-a",),
    )
    return Finding(signal=said)


def findings() -> Findings:
    first = msgspec.structs.replace(
        drift("drift-1", FIRST, 34.0, 60.0),
        ended_index=SECOND,
        ended_step=SECOND + 2,
        ended_ts_ms=ts_ms(SECOND),
    )
    burst = Finding(signal=signal("burst-1", SignalKind.BURST, SPIKE, SPIKE, effect=146.0), ended_index=SPIKE + 1)
    undecided = signal("straggler-0", SignalKind.STRAGGLER, 0, 10, phase=Phase.UNDECIDED)
    return Findings(
        standing=(drift("drift-2", SECOND, 60.0, 88.0),),
        ended=(first, burst),
        confirmed_total=3,
        suspected_total=5,
        confirmed_by_kind={"burst": 1, "drift": 2},
        undecided=(undecided,),
    )


def action(knob: str, current: float, target: float) -> Action:
    return Action(
        knob=knob,
        unit="batches",
        current=current,
        current_source=CurrentValueSource.TELEMETRY,
        target=target,
        lower_bound=1,
        upper_bound=64,
        step=1,
        actuation=Actuation.HOT,
        ranks_must_agree=False,
        reason="the loader explains the slow-down",
    )


def decision(status: DecisionStatus, actions: tuple[Action, ...] = (), mode: Mode = Mode.DRIFT) -> Decision:
    blocked = status is DecisionStatus.BLOCKED
    reason = BlockReason.COOLDOWN_ACTIVE if blocked else None
    return Decision(
        proposal=Proposal(
            policy="chord",
            chord_id="DRIFT-RETUNE" if actions else "NORMAL-HOLD",
            mode=mode,
            risk_tier=RiskTier.SAFE,
            actions=actions,
            reason="input-bound" if actions else "healthy",
            notes=("knob_value_unknown:concurrency",),
        ),
        verdicts=(
            Verdict(gate="catalog", passed=True),
            Verdict(gate="cooldown", passed=not blocked, reason=reason, detail="186 s of 300 s left"),
        ),
        status=status,
        blocked_reason=reason,
        block_reasons=(BlockReason.COOLDOWN_ACTIVE,) if blocked else (),
        changed_knobs=tuple(a.knob for a in actions) if status is DecisionStatus.PLANNED else (),
    )


HOLD = decision(DecisionStatus.HOLD, mode=Mode.NORMAL)
PLANNED = decision(DecisionStatus.PLANNED, (action("dataloader_prefetch_factor", 2, 4),))
BLOCKED = decision(DecisionStatus.BLOCKED, (action("dataloader_num_workers", 4, 6),))


def event(tick: int, index: int, before: Mode, mode: Mode, made: Decision) -> TraceEvent:
    step, at = index + 2, ts_ms(index)
    return TraceEvent(
        tick=tick,
        trigger=TickTrigger.SIGNAL,
        at_index=index,
        at_step=step,
        at_ts_ms=at,
        mode=mode,
        transition=Transition(
            from_mode=before, to_mode=mode, since_index=index, since_step=step, since_ts_ms=at, reason="stay"
        ),
        signals=(signal("drift-1", SignalKind.DRIFT, index, index),),
        chord_id=made.proposal.chord_id,
        decisions=(made,),
    )


def events() -> tuple[TraceEvent, ...]:
    normal, slow = Mode.NORMAL, Mode.DRIFT
    return (
        event(1, 100, normal, normal, HOLD),
        event(2, FIRST + 25, normal, slow, PLANNED),
        event(3, 1000, slow, slow, PLANNED),
        event(4, SECOND + 25, slow, slow, BLOCKED),
        event(5, SAMPLES - 1, slow, slow, BLOCKED),
    )


def span(mode: Mode, start: int, stop: int) -> ModeSpan:
    return ModeSpan(
        mode=mode,
        reason="normal_to_drift" if mode is Mode.DRIFT else "start",
        from_index=start,
        from_step=start + 2,
        from_ts_ms=ts_ms(start),
        to_index=stop,
        to_step=stop + 2,
        to_ts_ms=ts_ms(stop),
        chord_id="DRIFT-RETUNE" if mode is Mode.DRIFT else "NORMAL-HOLD",
    )


SPANS = (span(Mode.NORMAL, 0, FIRST + 24), span(Mode.DRIFT, FIRST + 25, SAMPLES - 1))

ANSWER = Answer(
    title="trainer · 2,000 steps · 1 min 40 s",
    verdict="DRIFT since step 702: step time 34.0 ms → 88.0 ms (+159 %)",
    why=(
        "step time rose from 34.0 ms to 60.0 ms at step 702",
        "step time rose from 60.0 ms to 88.0 ms at step 1,402",
    ),
    cost="2.1 GPU-minutes lost so far; method in the report",
    next=("held back (cooldown_active): DRIFT-RETUNE", "check: mk verify --plan report/plan/k8s_plan.json"),
    unknown=('no loss in the telemetry: LOSS not judged. Emit "loss"',),
)

INGEST = IngestCounters(
    read_total=2011,
    accepted_total=2000,
    dropped_total=11,
    repaired_total=3,
    dropped_by_reason={"invalid_json": 9, "duplicate": 2},
    repaired_by_reason={"reordered": 3},
    examples=(IngestExample(source="run.jsonl", line=17, reason="invalid_json", text='{"ts":"2025-'),),
)

ENVIRONMENT = EnvironmentPart(
    nodes_seen=("node-a", "node-b"), gpu_models_seen=("H100",), unstable=True, notes=("two nodes",)
)

TIMES: dict[str, Any] = {
    "started_at": "2026-01-31T09:08:07.006Z",
    "finished_at": "2026-01-31T09:08:09.006Z",
    "duration_s": 2,
}
READ: dict[str, Any] = {
    "source": SourcePart(kind="file", describe="run.jsonl", notes=("gzip",)),
    "observe_ingest": INGEST,
    "environment": ENVIRONMENT,
}
WORTH: dict[str, Any] = {
    "opportunity_hours_est": 0.0351,
    "opportunity_hours_low": 0.033,
    "opportunity_hours_high": None,
    "opportunity_usd_est": None,
    "opportunity_tokens_est": 12_500.0,
    "opportunity_assumptions": (
        OpportunityAssumption(name="gpus", value=8.0, source="assumed", note="8 GPUs assumed"),
        OpportunityAssumption(name="gpu_hour_usd", value=None, source="given", note="no price was given"),
    ),
}


def closed_loop(trace: bytes = b"", **other: Any) -> ClosedLoopReport:
    facts: dict[str, Any] = {
        "target": Target(namespace="train", kind="Deployment", name="trainer"),
        "passport": PassportPart(source="built-in", name="safe", digest="sha256:" + "cd" * 32),
        "policy": "chord",
        "dry_run": True,
        "apply_requested": False,
        "apply_attempted": False,
        "apply_ok": None,
        "apply_blocked_reason": None,
        "block_reasons": (),
        "kill_switch_active": False,
        "kill_switch_signal": None,
        "verify_ok": None,
        "mode": Mode.DRIFT,
        "chord": "DRIFT-RETUNE",
        "blocked_reason": "cooldown_active",
        "changed_knobs": ("dataloader_prefetch_factor",),
        "decisions": (BLOCKED,),
        "proposed_actions_count": 2,
        "planned_actions_count": 1,
        "k8s_plan_path": "report/plan/k8s_plan.json",
        "k8s_plan_script_path": "report/plan/k8s_plan.kubectl.sh",
        "k8s_plan_digest": "sha256:" + "ab" * 32,
        "k8s_plan_items": 1,
        "audit_trace": AuditTrace(
            path="report/plan/decision_trace_latest.jsonl", events=5, sha256=hashlib.sha256(trace).hexdigest()
        ),
        "explain_path": "report/plan/explain.jsonl",
        "policy_bundle_path": "report/plan/policy_bundle_latest.json",
        "rollback_plan_path": None,
        "findings": findings(),
        "mode_spans": SPANS,
        "mode_spans_left_out": 0,
        "transitions_total": 1,
        "telemetry": telemetry(points()),
        "answer": ANSWER,
    }
    return ClosedLoopReport(**(TIMES | READ | WORTH | facts | other))


def evaluated(**other: Any) -> EvalReport:
    facts: dict[str, Any] = {
        "mode": Mode.DRIFT,
        "answer": ANSWER,
        "sample_count": SAMPLES,
        "telemetry_points_included": False,
        "signals": EvalSignals(
            drift=True,
            burst=True,
            straggler=False,
            gpu_saturated=False,
            gpu_underused=False,
            data_starvation=False,
            heterogeneous_environment=True,
            notes=("loss_missing",),
        ),
        "findings": findings(),
        "mode_spans": SPANS,
        "mode_spans_left_out": 0,
        "proposed_actions_count": 1,
    }
    return EvalReport(**(TIMES | READ | WORTH | facts | other))


def observed(**other: Any) -> ObserveReport:
    facts: dict[str, Any] = {"telemetry": telemetry(points()), "findings": findings()}
    return ObserveReport(**(TIMES | READ | facts | other))


def watched(**other: Any) -> WatchReport:
    facts: dict[str, Any] = {
        "dry_run": True,
        "apply_requested": False,
        "kill_switch_active": False,
        "kill_switch_signal": None,
        "interval_s": 30.0,
        "iterations": 3,
        "resumed_from_iteration": None,
        "intervals_skipped": 0,
        "stop_reason": "max_iterations",
        "ticks_total": 12,
        "transitions_total": 1,
        "confirmed_by_kind": {"drift": 2},
        "findings": findings(),
        "mode_spans": SPANS,
        "mode_spans_left_out": 0,
        "telemetry": telemetry(points()),
        "proposed_actions_count": 1,
        "proposed_total": 4,
        "planned_total": 3,
        "blocked_total": 1,
        "applied_total": 0,
        "no_data_iterations": 0,
        "mode": Mode.DRIFT,
        "chord": "DRIFT-RETUNE",
        "answer": ANSWER,
        "kept_iterations": ("iter_0003",),
        "artifact_paths": WatchArtifactPaths(
            watch_latest_path="report/watch/watch_latest.json",
            watch_summary_path="report/watch/watch_summary.md",
            last_iteration_report_path="report/watch/iter_0003/closed_loop_latest.json",
            last_iteration_explain_path=None,
        ),
    }
    return WatchReport(**(TIMES | READ | WORTH | facts | other))


def recorded(**other: Any) -> Recorded:
    """A run as if it had been read back."""
    return Recorded(
        report=closed_loop(**other),
        report_file=RecordedFile(Path("report/plan/closed_loop_latest.json"), "0" * 64),
        trace_file=RecordedFile(Path("report/plan/decision_trace_latest.jsonl"), "1" * 64),
        turns=tuple(e for e in events() if e.tick in {1, 2, 4}),
        trace_events=5,
    )


def write_run(folder: Path, **other: Any) -> Path:
    """A run on disk, as ``closed-loop run`` leaves it."""
    trace = b"".join(map(json_line, events()))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "decision_trace_latest.jsonl").write_bytes(trace)
    (folder / "closed_loop_latest.json").write_bytes(document(closed_loop(trace, **other)))
    return folder


def with_every_text(value: Any, change: Callable[[str], str]) -> Any:
    """``value`` with every free text in it changed; names of enumerations and schemas stay."""
    if type(value) is str:
        return change(value)
    if isinstance(value, tuple):
        return tuple(with_every_text(item, change) for item in value)
    if isinstance(value, dict):
        return {f"{change(key)}{n}": with_every_text(value[key], change) for n, key in enumerate(value)}
    if isinstance(value, msgspec.Struct):
        names = [name for name in value.__struct_fields__ if name != "schema_version"]
        changed = {name: with_every_text(getattr(value, name), change) for name in names}
        return msgspec.structs.replace(value, **changed)
    return value


def poisoned(attack: str) -> Recorded:
    """A run with ``attack`` before every text in it."""
    run = recorded()
    return Recorded(
        report=with_every_text(run.report, lambda text: attack + text),
        report_file=RecordedFile(Path(attack.replace("/", "|")), "0" * 64),
        trace_file=run.trace_file,
        turns=with_every_text(run.turns, lambda text: attack + text),
        trace_events=run.trace_events,
    )
