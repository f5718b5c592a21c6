"""One closed-loop run from a source to a folder of artifacts."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import msgspec

from modekeeper.artifacts.contracts.bundle import Provenance
from modekeeper.artifacts.contracts.k8s_apply import K8sApplyReport
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
from modekeeper.reports.folder.acting import NOTHING_TO_APPLY, ActingPlace, Hands, acted, apply_plan
from modekeeper.reports.folder.decision_facts import CatalogUse, detection_payload, recording_payload
from modekeeper.reports.folder.run_folder import RunRecord, write_plan, write_run_folder
from modekeeper.reports.folder.trace_file import TRACE_NAME, trace_file
from modekeeper.value.opportunity import CostModel

__all__ = ["ClosedLoopDone", "ClosedLoopJob", "run_closed_loop"]


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
    hands: Hands | None = None
    """What applies the plan; ``None``: nobody asked, or nothing here can."""


class ClosedLoopDone(NamedTuple):
    """The report of a run, and that of its apply."""

    report: ClosedLoopReport
    applied: K8sApplyReport | None
    """``None``: nothing was to be applied."""


def run_closed_loop(store: FolderStore, reading: Reading, job: ClosedLoopJob, clock: Clock) -> ClosedLoopDone:
    """Read, decide, apply where that was asked for, and write every artifact of the run into ``store``.

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
    decided = write_plan(store, record, finished)
    if job.hands is None:
        return ClosedLoopDone(write_run_folder(store, record, decided, explain, (started, finished)), None)
    what, applied = decided.to_act, None
    if what is not None:
        place = ActingPlace(
            folder=store,
            door=store,
            explain=explain,
            clock=clock,
            provenance=job.provenance,
            bundle_path=decided.bundle_path,
        )
        applied = apply_plan(job.hands, what, place, record.apply.kill_switch)
    record = replace(record, acted=NOTHING_TO_APPLY if applied is None else acted(applied))
    return ClosedLoopDone(write_run_folder(store, record, decided, explain, (started, clock.now())), applied)
