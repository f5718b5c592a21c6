"""The roll-up of a watch session: ``watch_latest.json`` and ``watch_summary.md``."""

from dataclasses import dataclass
from datetime import datetime

import msgspec

from modekeeper.artifacts.canonical import document
from modekeeper.artifacts.contracts.parts import Answer, SourcePart
from modekeeper.artifacts.contracts.reports import WatchArtifactPaths, WatchReport
from modekeeper.artifacts.contracts.watch_apply import WatchApplyPart
from modekeeper.artifacts.store import FolderStore
from modekeeper.artifacts.times import file_stamp, parse_iso
from modekeeper.loop.apply_request import ApplyRequest
from modekeeper.loop.reading import RawRecording
from modekeeper.loop.recorder import RunRecorder
from modekeeper.loop.settings import LoopSettings
from modekeeper.loop.tick import LoopState
from modekeeper.model.ingest import IngestCounters
from modekeeper.model.signal import Environment
from modekeeper.model.wording import count
from modekeeper.reports.folder.decision_facts import (
    answer_of,
    environment_part,
    opportunity_fields,
    opportunity_of,
    raw_fields,
)
from modekeeper.reports.folder.publishing import path_in, times
from modekeeper.reports.markdown import watch_summary
from modekeeper.value.opportunity import CostModel

__all__ = ["WatchRollUp", "failed_report", "publish_watch_report", "watch_report"]


@dataclass(frozen=True, kw_only=True)
class WatchRollUp:
    """The facts of a session so far."""

    name: str
    settings: LoopSettings
    started: datetime
    finished: datetime
    interval_s: float
    iterations: int
    resumed_from: int | None
    intervals_skipped: int
    stop_reason: str | None
    source: SourcePart
    ingest: IngestCounters
    raw: RawRecording | None
    environment: Environment
    recorder: RunRecorder
    no_data_iterations: int
    no_data_in_a_row: int
    """Of the last iterations, how many in a row saw nothing."""
    state: LoopState
    apply: ApplyRequest
    acts: WatchApplyPart | None
    cost: CostModel
    kept: tuple[str, ...]
    last_folder: str | None


def publish_watch_report(store: FolderStore, report: WatchReport) -> None:
    """Write the roll-up under its fixed name and under the time the session began."""
    data = document(report)
    store.write_bytes(f"watch_{file_stamp(parse_iso(report.started_at))}.json", data)
    store.write_bytes("watch_latest.json", data)
    store.write_bytes("watch_summary.md", watch_summary(report).encode())


def failed_report(last: WatchReport, when: datetime) -> WatchReport:
    """The last roll-up of a session that broke off at ``when``: what an iteration had begun is no part of it."""
    return msgspec.structs.replace(last, **times(parse_iso(last.started_at), when), stop_reason="failed")


def watch_report(store: FolderStore, roll_up: WatchRollUp) -> WatchReport:
    """The roll-up as an artifact."""
    recorder, state = roll_up.recorder, roll_up.state
    totals, findings = recorder.totals, recorder.findings()
    return WatchReport(
        **times(roll_up.started, roll_up.finished),
        dry_run=not roll_up.apply.requested,
        apply_requested=roll_up.apply.requested,
        kill_switch_active=roll_up.apply.kill_switch.active,
        kill_switch_signal=roll_up.apply.kill_switch.signal,
        interval_s=roll_up.interval_s,
        iterations=roll_up.iterations,
        resumed_from_iteration=roll_up.resumed_from,
        intervals_skipped=roll_up.intervals_skipped,
        stop_reason=roll_up.stop_reason,
        source=roll_up.source,
        observe_ingest=roll_up.ingest,
        **raw_fields(roll_up.raw),
        environment=environment_part(roll_up.environment),
        ticks_total=totals.ticks,
        transitions_total=totals.transitions,
        confirmed_by_kind=findings.confirmed_by_kind,
        proposed_total=totals.proposed,
        planned_total=totals.planned,
        blocked_total=totals.blocked,
        applied_total=0 if roll_up.acts is None else roll_up.acts.applied_total,
        no_data_iterations=roll_up.no_data_iterations,
        mode=state.modes.mode,
        chord=state.standing[0].proposal.chord_id if state.standing else "NORMAL-HOLD",
        findings=findings,
        mode_spans=recorder.mode_spans,
        mode_spans_left_out=recorder.mode_spans_left_out,
        telemetry=recorder.series.telemetry(),
        answer=_answer(roll_up),
        proposed_actions_count=sum(len(decision.proposal.actions) for decision in state.standing),
        **opportunity_fields(opportunity_of(recorder, roll_up.cost)),
        apply=msgspec.UNSET if roll_up.acts is None else roll_up.acts,
        kept_iterations=roll_up.kept,
        artifact_paths=WatchArtifactPaths(
            watch_latest_path=path_in(store, "watch_latest.json"),
            watch_summary_path=path_in(store, "watch_summary.md"),
            last_iteration_report_path=_last(store, roll_up.last_folder, "closed_loop_latest.json"),
            last_iteration_explain_path=_last(store, roll_up.last_folder, "explain.jsonl"),
        ),
    )


def _answer(roll_up: WatchRollUp) -> Answer:
    """The answer over the session; that nothing comes any more is never "all is well"."""
    said = answer_of(
        roll_up.name,
        roll_up.settings,
        recorder=roll_up.recorder,
        state=roll_up.state,
        cost=roll_up.cost,
        next_steps=(),
    )
    if not roll_up.no_data_in_a_row or not roll_up.recorder.series.sample_count:
        return said
    silence = f"NO DATA in the last {count(roll_up.no_data_in_a_row, 'iteration')}; before that: "
    return msgspec.structs.replace(said, verdict=silence + said.verdict)


def _last(store: FolderStore, folder: str | None, name: str) -> str | None:
    if folder is None or not (store.root / folder / name).is_file():
        return None
    return path_in(store, f"{folder}/{name}")
