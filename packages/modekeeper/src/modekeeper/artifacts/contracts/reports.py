"""The reports of the commands. Every one says when it was made and how long that took."""

from typing import Literal

import msgspec

from modekeeper.artifacts.contracts.base import Report
from modekeeper.artifacts.contracts.parts import (
    Answer,
    AuditTrace,
    EnvironmentPart,
    Findings,
    ModeSpan,
    OpportunityAssumption,
    SourcePart,
    Telemetry,
)
from modekeeper.artifacts.contracts.watch_apply import WatchApplyPart
from modekeeper.model.decision import Target
from modekeeper.model.ingest import IngestCounters
from modekeeper.model.mode import Mode
from modekeeper.model.trace import Decision

__all__ = [
    "ChordProblem",
    "ChordsValidateReport",
    "ClosedLoopReport",
    "DoctorCheck",
    "DoctorReport",
    "EvalReport",
    "EvalSignals",
    "JudgedReport",
    "ObserveReport",
    "Opportunity",
    "QuickstartReport",
    "QuickstartStage",
    "Report",
    "TelemetryReport",
    "WatchArtifactPaths",
    "WatchReport",
]


class TelemetryReport(Report, frozen=True, kw_only=True):
    """What every report that read telemetry carries."""

    source: SourcePart
    observe_ingest: IngestCounters
    observe_record_raw_path: str | None = None
    observe_record_raw_lines: int | None = None
    observe_record_raw_bytes: int | None = None
    observe_record_raw_truncated: bool | None = None
    environment: EnvironmentPart


class Opportunity(msgspec.Struct, frozen=True, kw_only=True):
    """What the findings cost, estimated; ``None`` where a needed price or rate is not known."""

    opportunity_hours_est: float
    """GPU-hours lost while a finding stood, against the healthy level of the same job."""
    opportunity_hours_low: float | None
    """Lower end of the 90 % interval, where the findings carry one."""
    opportunity_hours_high: float | None
    opportunity_usd_est: float | None
    opportunity_tokens_est: float | None
    opportunity_assumptions: tuple[OpportunityAssumption, ...]


class ObserveReport(TelemetryReport, frozen=True, kw_only=True):
    """``observe_latest.json``: what was seen, and what the detectors say of it."""

    schema_version: Literal["v0"] = "v0"
    telemetry: Telemetry
    findings: Findings


class EvalSignals(msgspec.Struct, frozen=True, kw_only=True):
    """Which signals were seen, and what could not be judged."""

    drift: bool
    burst: bool
    straggler: bool
    gpu_saturated: bool
    gpu_underused: bool
    data_starvation: bool
    heterogeneous_environment: bool
    notes: tuple[str, ...]
    """``loss_missing``, ``worker_latencies_missing`` …: what the telemetry did not carry. Sorted."""


class JudgedReport(TelemetryReport, frozen=True, kw_only=True):
    """What every report carries that judges a job."""

    mode: Mode
    answer: Answer
    findings: Findings
    mode_spans: tuple[ModeSpan, ...]
    mode_spans_left_out: int
    proposed_actions_count: int
    """Actions proposed at the end, those a gate holds back included."""
    opportunity_hours_est: float
    opportunity_hours_low: float | None
    opportunity_hours_high: float | None
    opportunity_usd_est: float | None
    opportunity_tokens_est: float | None
    opportunity_assumptions: tuple[OpportunityAssumption, ...]


class EvalReport(JudgedReport, frozen=True, kw_only=True):
    """``eval_latest.json``: is the job healthy, and what is it worth to act."""

    schema_version: Literal["eval.v0"] = "eval.v0"
    sample_count: int
    telemetry_points_included: bool
    """Whether the sample carried both loss and throughput."""
    signals: EvalSignals


class ClosedLoopReport(JudgedReport, frozen=True, kw_only=True):
    """``closed_loop_latest.json``: the decision a run ended with, and everything that led to it."""

    schema_version: Literal["v0"] = "v0"
    target: Target
    policy: str
    dry_run: bool
    apply_requested: bool
    apply_attempted: bool
    apply_ok: bool | None
    apply_blocked_reason: str | None
    """The first of ``block_reasons``; ``None`` unless an apply was asked for."""
    block_reasons: tuple[str, ...]
    kill_switch_active: bool
    kill_switch_signal: str | None
    verify_ok: bool | None
    chord: str
    blocked_reason: str | None
    """Why the standing proposal is not in the plan; ``None`` where nothing is held back."""
    changed_knobs: tuple[str, ...]
    """Knobs the plan would set."""
    decisions: tuple[Decision, ...]
    """The decisions that stand at the end."""
    planned_actions_count: int
    """Actions in the plan."""
    k8s_plan_path: str
    k8s_plan_script_path: str
    k8s_plan_digest: str
    k8s_plan_items: int
    audit_trace: AuditTrace
    explain_path: str
    policy_bundle_path: str
    rollback_plan_path: str | None
    transitions_total: int
    telemetry: Telemetry


class WatchArtifactPaths(msgspec.Struct, frozen=True, kw_only=True):
    """Where to look. The last two are ``None`` while no iteration is on disk."""

    watch_latest_path: str
    watch_summary_path: str
    last_iteration_report_path: str | None
    last_iteration_explain_path: str | None


class WatchReport(JudgedReport, frozen=True, kw_only=True):
    """``watch_latest.json``: a session of iterations, rolled up. Rewritten after each of them.

    ``observe_ingest`` counts over all iterations.
    """

    schema_version: Literal["v0"] = "v0"
    dry_run: bool
    apply_requested: bool
    kill_switch_active: bool
    """As of the last iteration."""
    kill_switch_signal: str | None
    interval_s: float
    iterations: int
    """Iterations of this session, earlier processes of it included."""
    resumed_from_iteration: int | None
    """The last iteration of the earlier process this one goes on from."""
    intervals_skipped: int
    """Intervals that had passed before the iteration before them was done."""
    stop_reason: str | None
    """``max_iterations``, ``signal``, ``blocked`` or ``failed``; ``None`` while it runs."""
    ticks_total: int
    transitions_total: int
    confirmed_by_kind: dict[str, int]
    proposed_total: int
    """Ticks whose decisions carried an action."""
    planned_total: int
    blocked_total: int
    applied_total: int
    no_data_iterations: int
    chord: str
    telemetry: Telemetry
    apply: WatchApplyPart | msgspec.UnsetType = msgspec.UNSET
    """What ``--apply`` did; left out where nobody asked for it and nothing was ever applied in this session."""
    kept_iterations: tuple[str, ...]
    """Folders of the iterations still on disk, the oldest first."""
    artifact_paths: WatchArtifactPaths


class ChordProblem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong with a catalog."""

    path: str
    code: str
    message: str


class ChordsValidateReport(Report, frozen=True, kw_only=True):
    """``chords_validate_latest.json``."""

    schema_version: Literal["chords_validate.v0"] = "chords_validate.v0"
    ok: bool
    catalog: str
    catalog_digest: str | None
    chords: tuple[str, ...]
    problems: tuple[ChordProblem, ...]


class DoctorCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One check of the machine ModeKeeper runs on."""

    name: str
    status: Literal["pass", "note", "fail"]
    detail: str
    hint: str | None = None


class DoctorReport(Report, frozen=True, kw_only=True):
    """``doctor_latest.json``."""

    schema_version: Literal["doctor.v0"] = "doctor.v0"
    ok: bool
    checks: tuple[DoctorCheck, ...]


class QuickstartStage(msgspec.Struct, frozen=True, kw_only=True):
    """One stage of a quickstart."""

    name: str
    status: Literal["done", "skipped", "failed"]
    detail: str
    artifacts: tuple[str, ...] = ()


class QuickstartReport(Report, frozen=True, kw_only=True):
    """``quickstart_latest.json``."""

    schema_version: Literal["quickstart.v0"] = "quickstart.v0"
    ok: bool
    stages: tuple[QuickstartStage, ...]
    answer: Answer
