"""One observation from a source to a folder of artifacts: what was seen, without a decision."""

import msgspec

from modekeeper.artifacts.contracts.reports import ObserveReport
from modekeeper.artifacts.explain import ExplainLog
from modekeeper.artifacts.store import FolderStore
from modekeeper.detect.panel import DEFAULT_SETTINGS
from modekeeper.detect.settings import DetectorSettings
from modekeeper.loop.observing import observe
from modekeeper.loop.reading import Reading
from modekeeper.ports.clock import Clock
from modekeeper.reports.folder.decision_facts import (
    detection_payload,
    environment_part,
    raw_fields,
    recording_payload,
)
from modekeeper.reports.folder.publishing import publish_json, times

__all__ = ["run_observe"]


def run_observe(
    store: FolderStore, reading: Reading, clock: Clock, detectors: DetectorSettings = DEFAULT_SETTINGS
) -> ObserveReport:
    """Read, detect and write ``observe_latest.json`` and ``explain.jsonl``.

    Raises:
        BadInputError: the telemetry cannot be read.
        FailedError: reading or writing broke off.
    """
    started = clock.now()
    explain = ExplainLog(clock)
    explain.add("run_started", source=reading.describe_source().describe, **detection_payload(detectors))
    seen = observe(reading, detectors)
    finished = clock.now()
    ingest, raw = reading.source.counters(), reading.describe_recording()
    explain.add("observe_ingest", **msgspec.to_builtins(ingest), **recording_payload(raw))
    report = ObserveReport(
        **times(started, finished),
        source=reading.describe_source(),
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
