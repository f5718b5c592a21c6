"""One observation from a source to a folder of artifacts: what was seen, without a decision."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from modekeeper.artifacts.contracts.parts import SourcePart
from modekeeper.artifacts.contracts.reports import ObserveReport
from modekeeper.artifacts.explain import ExplainLog
from modekeeper.artifacts.store import FolderStore
from modekeeper.loop.observing import observe
from modekeeper.ports.clock import Clock, StopSignal
from modekeeper.ports.telemetry import TelemetrySource
from modekeeper.reports.folder.decision_facts import RawRecording, environment_part, raw_fields, recording_payload
from modekeeper.reports.folder.publishing import publish_json, times

__all__ = ["ObserveJob", "run_observe"]


@dataclass(frozen=True, kw_only=True)
class ObserveJob:
    """What to look at."""

    source: TelemetrySource
    duration_s: float | None
    describe_source: Callable[[], SourcePart]
    describe_recording: Callable[[], RawRecording | None]


def run_observe(
    store: FolderStore,
    job: ObserveJob,
    clock: Clock,
    stop: StopSignal,
    advanced: Callable[[int], None] = lambda _count: None,
) -> ObserveReport:
    """Read, detect and write ``observe_latest.json`` and ``explain.jsonl``.

    Raises:
        BadInputError: the telemetry cannot be read.
        FailedError: reading or writing broke off.
    """
    started = clock.now()
    explain = ExplainLog(clock)
    explain.add("run_started", source=job.describe_source().describe)
    seen = observe(job.source, stop, duration_s=job.duration_s, advanced=advanced)
    finished = clock.now()
    ingest, raw = job.source.counters(), job.describe_recording()
    explain.add("observe_ingest", **msgspec.to_builtins(ingest), **recording_payload(raw))
    report = ObserveReport(
        **times(started, finished),
        source=job.describe_source(),
        observe_ingest=ingest,
        **raw_fields(raw),
        environment=environment_part(seen.environment),
        telemetry=seen.telemetry,
        findings=seen.findings,
    )
    for finding in report.findings.standing:
        explain.add("finding_stands", id=finding.signal.id, explanation=finding.signal.explanation)
    store.write_bytes("explain.jsonl", explain.data())
    publish_json(store, "observe", report, finished)
    return report
