"""One evaluation from a source to a folder: is the job healthy, and what would it be worth to act."""

import msgspec

from modekeeper.artifacts.contracts.parts import Finding
from modekeeper.artifacts.contracts.reports import EvalReport, EvalSignals
from modekeeper.artifacts.explain import ExplainLog
from modekeeper.artifacts.store import FolderStore
from modekeeper.loop.engine import Engine
from modekeeper.loop.reading import Reading
from modekeeper.loop.recorder import RunRecorder
from modekeeper.loop.run import run
from modekeeper.loop.settings import LoopSettings
from modekeeper.model.signal import Direction, SignalKind
from modekeeper.ports.clock import Clock
from modekeeper.reports.answer import telemetry_gaps
from modekeeper.reports.folder.decision_facts import (
    answer_of,
    detection_payload,
    environment_part,
    opportunity_fields,
    opportunity_of,
    raw_fields,
    recording_payload,
)
from modekeeper.reports.folder.publishing import path_in, publish_json, times
from modekeeper.reports.markdown import eval_summary
from modekeeper.value.opportunity import CostModel

__all__ = ["run_eval"]


def run_eval(
    store: FolderStore,
    reading: Reading,
    settings: LoopSettings,
    cost: CostModel,
    clock: Clock,
    *,
    name: str | None = None,
) -> EvalReport:
    """Read, judge and write ``eval_latest.json``, ``eval_summary.md`` and ``explain.jsonl``.

    Raises:
        BadInputError: the telemetry cannot be read.
        FailedError: reading or writing broke off.
    """
    started = clock.now()
    explain = ExplainLog(clock)
    explain.add("run_started", source=reading.describe_source().describe, **detection_payload(settings.detectors))
    engine, recorder = Engine(settings), RunRecorder()
    run(reading, engine, recorder, lambda _event: None)
    finished = clock.now()
    telemetry, findings, state = recorder.series.telemetry(), recorder.findings(), engine.state
    raw, ingest = reading.describe_recording(), reading.source.counters()
    report = EvalReport(
        **times(started, finished),
        source=reading.describe_source(),
        observe_ingest=ingest,
        **raw_fields(raw),
        environment=environment_part(engine.environment()),
        mode=state.modes.mode,
        answer=answer_of(
            name or reading.name,
            settings,
            recorder=recorder,
            state=state,
            cost=cost,
            next_steps=[f"report: {path_in(store, 'eval_latest.json')}"],
        ),
        sample_count=telemetry.sample_count,
        telemetry_points_included={"loss", "throughput"} <= set(telemetry.metrics_seen),
        signals=_signals((*findings.ended, *findings.standing), telemetry_gaps(telemetry)),
        findings=findings,
        mode_spans=recorder.mode_spans,
        mode_spans_left_out=recorder.mode_spans_left_out,
        proposed_actions_count=sum(len(decision.proposal.actions) for decision in state.standing),
        **opportunity_fields(opportunity_of(recorder, cost)),
    )
    explain.add("observe_ingest", **msgspec.to_builtins(ingest), **recording_payload(raw))
    explain.add("verdict", mode=report.mode, verdict=report.answer.verdict)
    store.write_bytes("explain.jsonl", explain.data())
    store.write_bytes("eval_summary.md", eval_summary(report).encode())
    publish_json(store, "eval", report, finished)
    return report


def _signals(findings: tuple[Finding, ...], gaps: tuple[str, ...]) -> EvalSignals:
    def seen(kind: SignalKind) -> bool:
        return any(f.signal.kind is kind and f.signal.direction is not Direction.BETTER for f in findings)

    return EvalSignals(
        drift=seen(SignalKind.DRIFT),
        burst=seen(SignalKind.BURST),
        straggler=seen(SignalKind.STRAGGLER),
        gpu_saturated=seen(SignalKind.GPU_SATURATED),
        gpu_underused=seen(SignalKind.GPU_UNDERUSED),
        data_starvation=seen(SignalKind.DATA_STARVATION),
        heterogeneous_environment=seen(SignalKind.HETEROGENEOUS_ENVIRONMENT),
        notes=tuple(f"{_short(gap)}_missing" for gap in gaps),
    )


def _short(metric: str) -> str:
    return metric.removesuffix("_ms").removesuffix("_pct")
