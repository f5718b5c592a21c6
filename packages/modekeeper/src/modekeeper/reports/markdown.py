"""The summaries of runs as Markdown: facts of the report, one a line, for people and for ``grep``."""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

import msgspec

from modekeeper.artifacts.contracts.parts import Answer, OpportunityAssumption
from modekeeper.artifacts.contracts.reports import ClosedLoopReport, EvalReport, JudgedReport, WatchReport
from modekeeper.artifacts.contracts.watch_apply import AppliedPlan, WatchApplyPart
from modekeeper.model.ingest import IngestCounters
from modekeeper.model.trace import Decision
from modekeeper.reports.escaping import escaped

__all__ = ["closed_loop_summary", "escaped", "eval_summary", "watch_summary"]

_Value: TypeAlias = str | int | float | bool | None

_MOST_DECISIONS = 20
_MOST_LINES = 40


def closed_loop_summary(report: ClosedLoopReport) -> str:
    """``summary.md``: the decision of a closed loop, whether it was applied, what it is worth, and the files."""
    blocks = [
        *_answer(report.answer),
        _section(
            "Decision",
            _facts(
                {
                    "mode": report.mode.value,
                    "chord": report.chord,
                    "blocked_reason": report.blocked_reason,
                    "changed_knobs": _listed(report.changed_knobs),
                    "proposed_actions_count": report.proposed_actions_count,
                    "planned_actions_count": report.planned_actions_count,
                    "policy": report.policy,
                    "target": f"{report.target.kind} {report.target.namespace}/{report.target.name}",
                }
            ),
            _changes(report.decisions),
        ),
        _section(
            "Apply",
            _facts(
                {
                    "dry_run": report.dry_run,
                    "apply_requested": report.apply_requested,
                    "apply_attempted": report.apply_attempted,
                    "apply_ok": report.apply_ok,
                    "apply_blocked_reason": report.apply_blocked_reason,
                    "block_reasons": _listed(report.block_reasons),
                    "verify_ok": report.verify_ok,
                    "kill_switch_active": report.kill_switch_active,
                    "kill_switch_signal": report.kill_switch_signal,
                }
            ),
        ),
        _opportunity(report),
        _ingest(report.observe_ingest),
        _section(
            "Artifacts",
            _facts(
                {
                    "k8s_plan_path": report.k8s_plan_path,
                    "k8s_plan_script_path": report.k8s_plan_script_path,
                    "k8s_plan_digest": report.k8s_plan_digest,
                    "k8s_plan_items": report.k8s_plan_items,
                    "audit_trace_path": report.audit_trace.path,
                    "explain_path": report.explain_path,
                    "policy_bundle_path": report.policy_bundle_path,
                    "rollback_plan_path": report.rollback_plan_path,
                }
            ),
        ),
    ]
    return _document(blocks)


def eval_summary(report: EvalReport) -> str:
    """``eval_summary.md``: is the job healthy, what was seen, and what it is worth to act."""
    signals = report.signals
    seen: dict[str, _Value] = {
        "drift": signals.drift,
        "burst": signals.burst,
        "straggler": signals.straggler,
        "gpu_saturated": signals.gpu_saturated,
        "gpu_underused": signals.gpu_underused,
        "data_starvation": signals.data_starvation,
        "heterogeneous_environment": signals.heterogeneous_environment,
        "notes": _listed(signals.notes),
    }
    run: dict[str, _Value] = {
        "mode": report.mode.value,
        "sample_count": report.sample_count,
        "telemetry_points_included": report.telemetry_points_included,
        "proposed_actions_count": report.proposed_actions_count,
        "nodes_seen": _listed(report.environment.nodes_seen),
        "gpu_models_seen": _listed(report.environment.gpu_models_seen),
        "environment_unstable": report.environment.unstable,
    }
    return _document(
        [
            *_answer(report.answer),
            _section("Run", _facts(run)),
            _section("Signals", _facts(seen)),
            _opportunity(report),
            _ingest(report.observe_ingest),
        ]
    )


def watch_summary(report: WatchReport) -> str:
    """``watch_summary.md``: a session rolled up, and where its last iteration is."""
    session: dict[str, _Value] = {
        "mode": report.mode.value,
        "chord": report.chord,
        "iterations": report.iterations,
        "resumed_from_iteration": report.resumed_from_iteration,
        "intervals_skipped": report.intervals_skipped,
        "no_data_iterations": report.no_data_iterations,
        "stop_reason": report.stop_reason,
        "ticks_total": report.ticks_total,
        "transitions_total": report.transitions_total,
        "confirmed_by_kind": _tally(report.confirmed_by_kind),
    }
    totals: dict[str, _Value] = {
        "dry_run": report.dry_run,
        "apply_requested": report.apply_requested,
        "proposed_total": report.proposed_total,
        "planned_total": report.planned_total,
        "blocked_total": report.blocked_total,
        "applied_total": report.applied_total,
    }
    paths = report.artifact_paths
    pointers: dict[str, _Value] = {
        "watch_latest_path": paths.watch_latest_path,
        "watch_summary_path": paths.watch_summary_path,
        "last_iteration_report_path": paths.last_iteration_report_path,
        "last_iteration_explain_path": paths.last_iteration_explain_path,
    }
    return _document(
        [
            *_answer(report.answer),
            _section("Session", _facts(session)),
            _section("Dry run and apply", _facts(totals)),
            *([] if report.apply is msgspec.UNSET else [_applied(report.apply)]),
            _ingest(report.observe_ingest),
            _section("Artifacts", _facts(pointers)),
        ]
    )


def _applied(part: WatchApplyPart) -> str:
    totals: dict[str, _Value] = {
        "taken_back_total": part.taken_back_total,
        "given_again_total": part.given_again_total,
        "stopped": part.stopped,
        "stopped_detail": part.stopped_detail,
    }
    lines = [_plan_told(plan) for plan in part.plans]
    waits = [
        f"waiting with {waiting.what} ({_listed(waiting.reasons)}), not before {waiting.next_at}: {waiting.detail}"
        for waiting in part.waiting
    ]
    return _section("Applied", _facts(totals), _bullets([*lines, *waits]))


def _plan_told(plan: AppliedPlan) -> str:
    knobs = ", ".join(f"{name}={text}" for name, text in plan.knobs.items())
    became = "its effect is being measured" if plan.outcome is None else f"{plan.outcome.state}: {plan.outcome.detail}"
    return f"{_listed(plan.chords)}, {knobs}, in iteration {plan.iteration}: {plan.fate}; {became}"


def _answer(answer: Answer) -> list[str]:
    blocks = [f"# {escaped(answer.title) or 'ModeKeeper'}", f"**{escaped(answer.verdict)}**"]
    for name, lines in (("Why", answer.why), ("Cost", (answer.cost,)), ("Next", answer.next)):
        written = [line for line in lines if line]
        if written:
            blocks.append(_section(name, _bullets(written)))
    if answer.unknown:
        blocks.append(_section("Not known", _bullets(answer.unknown)))
    return blocks


def _opportunity(report: JudgedReport) -> str:
    estimate: dict[str, _Value] = {
        "opportunity_hours_est": report.opportunity_hours_est,
        "opportunity_hours_low": report.opportunity_hours_low,
        "opportunity_hours_high": report.opportunity_hours_high,
        "opportunity_usd_est": report.opportunity_usd_est,
        "opportunity_tokens_est": report.opportunity_tokens_est,
    }
    method = (
        "GPU-hours lost while a finding stood, against the healthy level of the same job; "
        "low and high are the ends of a 90 % interval. It takes for granted:"
    )
    assumptions = "\n".join(_assumption(item) for item in report.opportunity_assumptions[:_MOST_LINES])
    return _section("Opportunity, estimated", _facts(estimate), method, assumptions or "- nothing")


def _assumption(item: OpportunityAssumption) -> str:
    note = f": {escaped(item.note)}" if item.note else ""
    return f"- {escaped(item.name)} = {_written(item.value)} ({escaped(item.source)}){note}"


def _ingest(ingest: IngestCounters) -> str:
    totals: dict[str, _Value] = {
        "read_total": ingest.read_total,
        "accepted_total": ingest.accepted_total,
        "dropped_total": ingest.dropped_total,
        "repaired_total": ingest.repaired_total,
        "dropped_by_reason": _tally(ingest.dropped_by_reason),
        "repaired_by_reason": _tally(ingest.repaired_by_reason),
    }
    return _section("observe_ingest", _facts(totals))


def _changes(decisions: Iterable[Decision]) -> str:
    lines = []
    for decision in list(decisions)[:_MOST_DECISIONS]:
        for action in decision.proposal.actions[:_MOST_DECISIONS]:
            outcome = decision.status.value
            if decision.blocked_reason:
                outcome += f", {escaped(decision.blocked_reason)}"
            change = escaped(f"{action.knob} {action.current:g} → {action.target:g} {action.unit}".strip())
            lines.append(f"- {change} ({action.actuation}, {outcome}): {escaped(action.reason)}")
    return "\n".join(["Proposed at the end:", "", *lines]) if lines else ""


def _section(name: str, *blocks: str) -> str:
    return "\n\n".join([f"## {name}", *(block for block in blocks if block)])


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {escaped(line)}" for line in lines)


def _facts(facts: Mapping[str, _Value]) -> str:
    return "\n".join(f"- {name}: {_written(value)}" for name, value in facts.items())


def _written(value: _Value) -> str:
    """A value as the JSON of the report spells it, without the quotes."""
    return escaped(value) if isinstance(value, str) else msgspec.json.encode(value).decode()


def _listed(names: Iterable[str]) -> str:
    listed = list(names)
    more = f", and {len(listed) - _MOST_LINES} more" if len(listed) > _MOST_LINES else ""
    return (", ".join(listed[:_MOST_LINES]) or "none") + more


def _tally(counts: Mapping[str, int]) -> str:
    return _listed(f"{name} {counts[name]}" for name in sorted(counts))


def _document(blocks: Iterable[str]) -> str:
    return "\n\n".join(blocks) + "\n"
