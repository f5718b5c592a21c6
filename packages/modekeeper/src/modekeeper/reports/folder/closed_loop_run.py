"""One closed-loop run from a source to a folder of artifacts."""

from dataclasses import dataclass

import msgspec

from modekeeper.artifacts.contracts.bundle import Provenance
from modekeeper.artifacts.contracts.reports import ClosedLoopReport
from modekeeper.artifacts.explain import ExplainLog
from modekeeper.artifacts.store import FolderStore
from modekeeper.artifacts.times import file_stamp
from modekeeper.loop.apply_request import ApplyRequest, KillSwitchLook
from modekeeper.loop.engine import Engine
from modekeeper.loop.reading import Reading
from modekeeper.loop.recorder import RunRecorder
from modekeeper.loop.run import run
from modekeeper.loop.settings import LoopSettings
from modekeeper.ports.clock import Clock
from modekeeper.reports.folder.decision_facts import CatalogUse, detection_payload, recording_payload
from modekeeper.reports.folder.run_folder import RunRecord, write_run_folder
from modekeeper.reports.folder.trace_file import TRACE_NAME, trace_file
from modekeeper.value.opportunity import CostModel

__all__ = ["ClosedLoopJob", "run_closed_loop"]


@dataclass(frozen=True, kw_only=True)
class ClosedLoopJob:
    """How to decide."""

    name: str | None
    """What the answer calls the job; the name of the telemetry where ``None``."""
    settings: LoopSettings
    apply: ApplyRequest
    kill_switch: KillSwitchLook
    """Looked at once everything is read."""
    catalog: CatalogUse
    cost: CostModel
    provenance: Provenance


def run_closed_loop(store: FolderStore, reading: Reading, job: ClosedLoopJob, clock: Clock) -> ClosedLoopReport:
    """Read, decide and write every artifact of the run into ``store``.

    Raises:
        BadInputError: the telemetry cannot be read.
        FailedError: reading or writing broke off.
    """
    started = clock.now()
    explain = ExplainLog(clock)
    explain.add(
        "run_started",
        source=reading.describe_source().describe,
        policy=job.settings.policy,
        **detection_payload(job.settings.detectors),
    )
    engine, recorder = Engine(job.settings), RunRecorder()
    with trace_file(store) as trace:
        run(reading, engine, recorder, trace.add)
    finished = clock.now()
    store.also_as(TRACE_NAME, f"decision_trace_{file_stamp(finished)}.jsonl")
    ingest, raw = reading.source.counters(), reading.describe_recording()
    explain.add("observe_ingest", **msgspec.to_builtins(ingest), **recording_payload(raw))
    for span in recorder.mode_spans:
        explain.add("mode_entered", mode=span.mode, reason=span.reason, index=span.from_index, step=span.from_step)
    record = RunRecord(
        name=job.name or reading.name,
        settings=job.settings,
        source=reading.describe_source(),
        ingest=ingest,
        environment=engine.environment(),
        recorder=recorder,
        state=engine.state,
        trace=trace.described(store),
        apply=msgspec.structs.replace(job.apply, kill_switch=job.kill_switch()),
        catalog=job.catalog,
        raw=raw,
        cost=job.cost,
        provenance=job.provenance,
    )
    return write_run_folder(store, record, explain, started, finished)
