"""The folder of one closed-loop run: every artifact, from the facts the run recorded."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from modekeeper.artifacts.canonical import canonical_digest, document
from modekeeper.artifacts.contracts.bundle import PolicyBundle, PolicyPart, Provenance, RollbackPart
from modekeeper.artifacts.contracts.parts import AuditTrace, SourcePart
from modekeeper.artifacts.contracts.reports import ClosedLoopReport
from modekeeper.artifacts.explain import ExplainLog
from modekeeper.artifacts.store import FolderStore
from modekeeper.loop.apply_request import ApplyRequest, apply_block_reasons
from modekeeper.loop.reading import RawRecording
from modekeeper.loop.recorder import RunRecorder
from modekeeper.loop.settings import LoopSettings
from modekeeper.loop.tick import LoopState
from modekeeper.model.decision import Plan
from modekeeper.model.ingest import IngestCounters
from modekeeper.model.signal import Environment
from modekeeper.model.trace import DecisionStatus
from modekeeper.planning.kubectl_script import render
from modekeeper.planning.undo import RollbackPlan, rollback_plan
from modekeeper.policy.catalog import catalog_digest
from modekeeper.policy.knobs import registry_digest
from modekeeper.reports.folder.acting import Acted, PlanToAct
from modekeeper.reports.folder.decision_facts import (
    CatalogUse,
    answer_of,
    environment_part,
    opportunity_fields,
    opportunity_of,
    raw_fields,
)
from modekeeper.reports.folder.publishing import path_in, publish_json, times
from modekeeper.reports.markdown import closed_loop_summary
from modekeeper.value.opportunity import CostModel

__all__ = ["DecidedPlan", "RunRecord", "write_plan", "write_run_folder"]


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """The facts of one run: everything its artifacts are made from."""

    name: str
    """What the answer calls the job."""
    settings: LoopSettings
    source: SourcePart
    ingest: IngestCounters
    environment: Environment
    recorder: RunRecorder
    state: LoopState
    trace: AuditTrace
    """The decision trace, which is in the folder already."""
    apply: ApplyRequest
    catalog: CatalogUse
    raw: RawRecording | None
    cost: CostModel
    provenance: Provenance
    acted: Acted | None = None
    """What became of an apply; ``None``: none was asked for, or nothing here can apply."""


@dataclass(frozen=True, kw_only=True)
class DecidedPlan:
    """The plan on the disk, before anybody acts upon it."""

    plan: Plan
    undo: RollbackPlan | None
    """``None``: the plan is empty."""
    plan_path: str
    rollback_path: str | None
    bundle_path: str

    @property
    def to_act(self) -> PlanToAct | None:
        """As it is acted upon."""
        if self.undo is None or self.rollback_path is None:
            return None
        return PlanToAct(plan=self.plan, plan_path=self.plan_path, undo=self.undo, undo_path=self.rollback_path)


def write_plan(store: FolderStore, run: RunRecord, when: datetime) -> DecidedPlan:
    """Write plan, script, undo and bundle."""
    plan = run.state.plan
    store.write_bytes("k8s_plan.json", document(plan))
    store.write_bytes("k8s_plan.kubectl.sh", render(plan).encode())
    undo = rollback_plan(plan, run.state.known) if plan.items else None
    rollback = publish_json(store, "rollback_plan", undo, when) if undo is not None else None
    bundle = publish_json(store, "policy_bundle", _bundle(run, plan, rollback, when), when)
    return DecidedPlan(
        plan=plan, undo=undo, plan_path=path_in(store, "k8s_plan.json"), rollback_path=rollback, bundle_path=bundle
    )


def write_run_folder(
    store: FolderStore,
    run: RunRecord,
    decided: DecidedPlan,
    explain: ExplainLog,
    when: tuple[datetime, datetime],
) -> ClosedLoopReport:
    """Write what comes after the plan: summary, explain log and report; the report comes last.

    ``when``: when the run started, and when it finished.
    """
    report = _report(store, run, times(*when), rollback_path=decided.rollback_path, bundle_path=decided.bundle_path)
    explain.add("decision", **_explained(report))
    store.write_bytes("explain.jsonl", explain.data())
    store.write_bytes("summary.md", closed_loop_summary(report).encode())
    publish_json(store, "closed_loop", report, when[1])
    return report


def _bundle(run: RunRecord, plan: Plan, rollback: str | None, finished: datetime) -> PolicyBundle:
    settings = run.settings
    policy = PolicyPart(
        name=settings.policy,
        catalog_schema=settings.catalog.schema_version,
        catalog_digest=catalog_digest(settings.catalog),
        catalog_source=run.catalog.source,
        catalog_trusted=run.catalog.trusted,
        chords=tuple(sorted(chord.id for chord in settings.catalog.chords)),
        knob_registry_digest=registry_digest(),
        settings={
            "approve_advanced": settings.approve_advanced,
            "cooldown_s": settings.cooldown_s,
            "heartbeat_samples": settings.heartbeat_samples,
            "max_delta_per_step": settings.limits.max_delta_per_step,
            "detectors": msgspec.to_builtins(settings.detectors),
        },
    )
    return PolicyBundle(
        digest=canonical_digest(policy),
        created_at=times(finished, finished)["finished_at"],
        policy=policy,
        provenance=run.provenance,
        plan_digest=plan.digest,
        rollback=RollbackPart(from_verify_report=None, rollback_plan_path=rollback),
    )


def _report(
    store: FolderStore, run: RunRecord, when: dict[str, Any], *, rollback_path: str | None, bundle_path: str
) -> ClosedLoopReport:
    state, recorder, plan = run.state, run.recorder, run.state.plan
    telemetry, findings = recorder.series.telemetry(), recorder.findings()
    opportunity = opportunity_of(recorder, run.cost)
    decisions = state.standing
    acted = run.acted or Acted(
        ok=False if run.apply.requested else None, reasons=apply_block_reasons(run.apply, state, run.settings)
    )
    switch = run.apply.kill_switch
    planned = [d for d in decisions if d.status is DecisionStatus.PLANNED]
    held_back = next((d.blocked_reason for d in decisions if d.status is DecisionStatus.BLOCKED), None)
    return ClosedLoopReport(
        **when,
        source=run.source,
        observe_ingest=run.ingest,
        **raw_fields(run.raw),
        environment=environment_part(run.environment),
        target=run.settings.target,
        policy=run.settings.policy,
        dry_run=not run.apply.requested,
        apply_requested=run.apply.requested,
        apply_attempted=acted.attempted,
        apply_ok=acted.ok,
        apply_blocked_reason=acted.reasons[0] if acted.reasons else None,
        block_reasons=acted.reasons,
        kill_switch_active=switch.active,
        kill_switch_signal=switch.signal,
        verify_ok=acted.verify_ok,
        mode=state.modes.mode,
        chord=decisions[0].proposal.chord_id if decisions else "NORMAL-HOLD",
        blocked_reason=held_back,
        changed_knobs=tuple(sorted({a.knob for d in planned for a in d.proposal.actions})),
        decisions=decisions,
        proposed_actions_count=sum(len(d.proposal.actions) for d in decisions),
        planned_actions_count=sum(len(d.proposal.actions) for d in planned),
        k8s_plan_path=path_in(store, "k8s_plan.json"),
        k8s_plan_script_path=path_in(store, "k8s_plan.kubectl.sh"),
        k8s_plan_digest=plan.digest,
        k8s_plan_items=len(plan.items),
        audit_trace=run.trace,
        explain_path=path_in(store, "explain.jsonl"),
        policy_bundle_path=bundle_path,
        rollback_plan_path=rollback_path,
        findings=findings,
        mode_spans=recorder.mode_spans,
        mode_spans_left_out=recorder.mode_spans_left_out,
        transitions_total=recorder.totals.transitions,
        telemetry=telemetry,
        answer=answer_of(
            run.name,
            run.settings,
            recorder=recorder,
            state=state,
            cost=run.cost,
            next_steps=_next_steps(store, plan),
        ),
        **opportunity_fields(opportunity),
    )


def _next_steps(store: FolderStore, plan: Plan) -> list[str]:
    if not plan.items:
        return []
    return [
        f"review: {path_in(store, 'k8s_plan.json')}",
        f"check:  mk verify --plan {path_in(store, 'k8s_plan.json')}",
    ]


def _explained(report: ClosedLoopReport) -> dict[str, Any]:
    return {
        "mode": report.mode,
        "chord": report.chord,
        "blocked_reason": report.blocked_reason,
        "changed_knobs": report.changed_knobs,
        "plan_digest": report.k8s_plan_digest,
        "apply_blocked_reason": report.apply_blocked_reason,
        "block_reasons": report.block_reasons,
    }
