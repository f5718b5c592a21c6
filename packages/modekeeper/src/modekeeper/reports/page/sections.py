"""The parts of the page of a run, one function each; ``None`` where a run has nothing to show."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from modekeeper.artifacts.contracts.parts import Finding
from modekeeper.artifacts.contracts.reports import ClosedLoopReport, ObserveReport, WatchReport
from modekeeper.artifacts.times import iso_ms
from modekeeper.model.decision import Action, Verdict
from modekeeper.model.signal import SignalKind
from modekeeper.model.trace import Decision, TraceEvent
from modekeeper.model.wording import count, level, signed_percent
from modekeeper.reports.page.markup import Child, Markup, tag, text
from modekeeper.reports.recorded import Recorded
from modekeeper.reports.wording import moment

__all__ = [
    "answer_box",
    "cost_section",
    "decisions_section",
    "environment_section",
    "findings_section",
    "ingest_section",
    "modes_section",
    "provenance_section",
]

_MOST_ROWS = 200
_MOST_WORKERS = 16
_LONG = 2000

_Column: TypeAlias = tuple[str, str]
"""Name of a column and the class of its cells: ``short`` is never broken, ``long`` is given room."""

_Row: TypeAlias = Sequence[Sequence[Child]]
"""What stands in each cell."""


def answer_box(recorded: Recorded) -> Markup:
    """Verdict, why, cost and what to do next."""
    answer = recorded.answer
    rows: list[Markup] = [tag("dt", "VERDICT"), tag("dd", text(answer.verdict, _LONG), class_="verdict")]
    for name, lines in (("WHY", answer.why), ("COST", (answer.cost,)), ("NEXT", answer.next)):
        written = [line for line in lines if line]
        if written:
            rows += [tag("dt", name), tag("dd", *(tag("p", text(line, _LONG)) for line in written))]
    if answer.unknown:
        rows += [tag("dt", "NOT KNOWN"), tag("dd", *(tag("p", text(line, _LONG)) for line in answer.unknown))]
    return tag("dl", *rows, class_="answer")


def findings_section(recorded: Recorded) -> Markup:
    """What the detectors stand by, and what they cannot tell. Bursts, of which there may be many, come last."""
    findings = recorded.findings
    ordered = sorted((*findings.standing, *findings.ended), key=_finding_order)
    rows = [_finding_row(finding) for finding in ordered[:_MOST_ROWS]]
    parts: list[Child] = []
    if rows:
        head = (("Finding", ""), ("Since", "short"), ("Until", "short"), ("Change", "short"), ("Seen", "long"))
        parts.append(_table("Findings: those that stand, then the newest", head, rows))
    else:
        parts.append(tag("p", "No detector found a change."))
    more = len(ordered) - len(rows) + findings.left_out
    if more:
        parts.append(tag("p", f"{count(more, 'older finding')} not shown.", class_="muted"))
    undecided = [signal.explanation for signal in findings.undecided if signal.explanation]
    parts += [tag("p", f"Not decided: {line}", class_="muted") for line in undecided[:_MOST_ROWS]]
    return _section("Findings", *parts)


def _finding_order(finding: Finding) -> tuple[bool, bool, int, str]:
    signal = finding.signal
    return finding.ended_index is not None, signal.kind is SignalKind.BURST, -signal.since_index, signal.id


def _finding_row(finding: Finding) -> _Row:
    signal = finding.signal
    names = [signal.kind.replace("_", " ").replace("gpu", "GPU")]
    if signal.kind is SignalKind.DRIFT:
        names.append(f"of {signal.metric.replace('_', ' ')}")
    if signal.workers:
        shown = ", ".join(str(worker) for worker in signal.workers[:_MOST_WORKERS])
        more = f" and {len(signal.workers) - _MOST_WORKERS} more" if len(signal.workers) > _MOST_WORKERS else ""
        names.append(f"worker{'s' if len(signal.workers) > 1 else ''} {shown}{more}")
    if signal.nodes:
        names.append(f"on {', '.join(signal.nodes[:8])}")
    stands = finding.ended_index is None
    until = "still standing" if stands else _moment(finding.ended_step, finding.ended_ts_ms, finding.ended_index)
    return (
        [" ".join(names)],
        [_moment(signal.since_step, signal.since_ts_ms, signal.since_index)],
        [until],
        _effect(finding),
        [text(signal.explanation, _LONG), *_cause(signal.cause)],
    )


def _effect(finding: Finding) -> list[Child]:
    signal = finding.signal
    if signal.effect is None:
        return []
    parts: list[Child] = [signed_percent(signal.effect)]
    if signal.baseline is not None and signal.level is not None:
        parts += [tag("br"), f"{level(signal.metric, signal.baseline)} → {level(signal.metric, signal.level)}"]
    if signal.effect_low is not None and signal.effect_high is not None:
        low, high = signed_percent(signal.effect_low), signed_percent(signal.effect_high)
        parts += [tag("br"), tag("span", f"90 %: {low} to {high}", class_="muted")]
    return parts


def _cause(cause: str | None) -> list[Child]:
    return [] if cause is None else [tag("p", f"Cause: {cause.replace('_', ' ')}", class_="muted")]


def decisions_section(recorded: Recorded) -> Markup | None:
    """What was proposed, what every gate said, and what came of it, each time it became something else."""
    if recorded.trace_file is None:
        return None
    rows = [
        _decision_row(event, decision)
        for event in recorded.turns[-_MOST_ROWS:][::-1]
        for decision in event.decisions[:_MOST_ROWS]
    ]
    head = (
        ("At", "short"), ("Mode", ""), ("Chord", "short"), ("Changes", ""), ("Gates", ""), ("Outcome", ""),
        ("Why", "long"),
    )  # fmt: skip
    shown = min(len(recorded.turns), _MOST_ROWS)
    more = recorded.turns_left_out + len(recorded.turns) - shown
    note = f"{count(recorded.trace_events, 'tick')} in the decision trace; one row where something changed"
    if more:
        note += f", {count(more, 'older row')} not shown"
    return _section(
        "Decisions", _table("Decisions, the newest first", head, rows), tag("p", f"{note}.", class_="muted")
    )


def _decision_row(event: TraceEvent, decision: Decision) -> _Row:
    proposal = decision.proposal
    outcome: list[Child] = [decision.status.value]
    if decision.block_reasons:
        outcome.append(tag("p", ", ".join(decision.block_reasons), class_="muted"))
    why: list[Child] = [text(proposal.reason, _LONG)]
    why += [tag("p", note, class_="muted") for note in proposal.notes[:8]]
    return (
        [_moment(event.at_step, event.at_ts_ms, event.at_index)],
        [event.mode.value],
        [proposal.chord_id, tag("p", proposal.risk_tier.value, class_="muted")],
        [_change(action) for action in proposal.actions[:16]],
        [_gate(verdict) for verdict in decision.verdicts[:32]],
        outcome,
        why,
    )


def _change(action: Action) -> Markup:
    change = f"{action.knob} {action.current:g} → {action.target:g} {action.unit}"
    return tag("p", change.strip(), tag("br"), tag("span", f"{action.actuation}: {action.reason}", class_="muted"))


def _gate(verdict: Verdict) -> Markup:
    said = "pass" if verdict.passed else f"stop: {verdict.reason or 'no reason given'}"
    detail: list[Child] = [tag("br"), tag("span", verdict.detail, class_="muted")] if verdict.detail else []
    return tag("p", f"{verdict.gate}: {said}", *detail)


def modes_section(recorded: Recorded) -> Markup | None:
    """Every stay in a mode."""
    if isinstance(recorded.report, ObserveReport):
        return None
    spans = recorded.mode_spans[-_MOST_ROWS:]
    rows: list[_Row] = [
        (
            [span.mode.value],
            [_moment(span.from_step, span.from_ts_ms, span.from_index)],
            [_moment(span.to_step, span.to_ts_ms, span.to_index)],
            [f"{span.to_index - span.from_index + 1:,}"],
            [span.chord_id],
            [span.reason.replace("_", " ")],
        )
        for span in spans[::-1]
    ]
    more = len(recorded.mode_spans) - len(spans) + recorded.report.mode_spans_left_out
    head = (("Mode", ""), ("From", "short"), ("To", "short"), ("Samples", ""), ("Chord", ""), ("Entered by", ""))
    parts: list[Child] = [_table("Stays in each mode, the newest first", head, rows)]
    if more:
        parts.append(tag("p", f"{count(more, 'older stay')} not shown.", class_="muted"))
    return _section("Modes", *parts)


def cost_section(recorded: Recorded) -> Markup | None:
    """The estimate of what was lost, with everything it takes for granted."""
    report = recorded.report
    if isinstance(report, ObserveReport | WatchReport):
        return None
    low, high = report.opportunity_hours_low, report.opportunity_hours_high
    interval = "not known" if low is None or high is None else f"{low:,.4g} to {high:,.4g}"
    facts = [
        ("GPU-hours lost, estimate", f"{report.opportunity_hours_est:,.4g}"),
        ("90 % interval, GPU-hours", interval),
        ("USD, estimate", _number(report.opportunity_usd_est)),
        ("Tokens, estimate", _number(report.opportunity_tokens_est)),
    ]
    rows: list[_Row] = [
        (
            [item.name.replace("_", " ")],
            [f"{item.value:,.6g}" if isinstance(item.value, float) else item.value or "not known"],
            [item.source],
            [text(item.note, _LONG)],
        )
        for item in report.opportunity_assumptions[:_MOST_ROWS]
    ]
    head = (("Assumption", ""), ("Value", ""), ("Source", ""), ("Note", "long"))
    table = [_table("What the estimate takes for granted", head, rows)] if rows else []
    return _section("Cost", _facts("The estimate", facts), *table)


def _number(value: float | None) -> str:
    return "not known" if value is None else f"{value:,.6g}"


def ingest_section(recorded: Recorded) -> Markup:
    """What happened to the records on their way in."""
    ingest = recorded.report.observe_ingest
    facts = [
        ("Read", f"{ingest.read_total:,}"),
        ("Accepted", f"{ingest.accepted_total:,}"),
        ("Dropped", _by_reason(ingest.dropped_total, ingest.dropped_by_reason)),
        ("Accepted after a repair", _by_reason(ingest.repaired_total, ingest.repaired_by_reason)),
    ]
    parts = [_facts("Records", facts)]
    rows: list[_Row] = [
        (
            [example.source],
            [f"{example.line:,}"],
            [example.reason.replace("_", " ")],
            [tag("code", example.text)],
        )
        for example in ingest.examples[:40]
    ]
    if rows:
        head = (("Source", ""), ("Line", ""), ("Reason", ""), ("Record", "long"))
        parts.append(_table("Examples of records that were dropped or repaired", head, rows))
    return _section("Telemetry read", *parts)


def _by_reason(total: int, reasons: dict[str, int]) -> str:
    listed = ", ".join(f"{name.replace('_', ' ')} {reasons[name]:,}" for name in sorted(reasons)[:40])
    return f"{total:,} ({listed})" if listed else f"{total:,}"


def environment_section(recorded: Recorded) -> Markup:
    """Where the samples came from."""
    report = recorded.report
    seen = report.environment
    facts = [
        ("Source", f"{report.source.kind}: {report.source.describe}"),
        *(("Note", note) for note in report.source.notes[:20]),
        ("Nodes", _listed(seen.nodes_seen)),
        ("GPU models", _listed(seen.gpu_models_seen)),
        ("One node, one GPU model", "no: levels of different machines are mixed" if seen.unstable else "yes"),
        *(("Note", note) for note in seen.notes[:20]),
    ]
    telemetry = recorded.telemetry
    if telemetry is not None:
        facts += [
            ("Samples", f"{telemetry.sample_count:,}"),
            ("First sample", iso_ms(telemetry.first_ts_ms) or "not known"),
            ("Last sample", iso_ms(telemetry.last_ts_ms) or "not known"),
            ("Metrics", _listed(telemetry.metrics_seen)),
        ]
    return _section("Environment", _facts("Where the samples came from", facts))


def _listed(names: Sequence[str]) -> str:
    most = 20
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}" if names else "none named"


def provenance_section(recorded: Recorded) -> Markup:
    """From which files this page was made, and how to know them again."""
    report = recorded.report
    facts = [
        ("Report", str(recorded.report_file.path)),
        ("Report, SHA-256", recorded.report_file.sha256),
        ("Report, schema", report.schema_version),
        ("Started", report.started_at),
        ("Finished", report.finished_at),
        ("Duration", f"{report.duration_s:,} s"),
    ]
    if recorded.trace_file is not None:
        facts += [
            ("Decision trace", str(recorded.trace_file.path)),
            ("Decision trace, SHA-256", recorded.trace_file.sha256),
        ]
    if isinstance(report, ClosedLoopReport):
        facts += [
            ("Plan", report.k8s_plan_path),
            ("Plan, digest", report.k8s_plan_digest),
            ("Policy bundle", report.policy_bundle_path),
            ("Explain log", report.explain_path),
            ("Rollback plan", report.rollback_plan_path or "none"),
        ]
    return _section("Where this comes from", _facts("Files", facts))


def _moment(step: int | None, ts_ms: int | None, index: int | None) -> str:
    if step is None and ts_ms is None and index is not None:
        return f"sample {index:,}"
    return moment(step, ts_ms)


def _section(name: str, *children: Child) -> Markup:
    return tag("section", tag("h2", name), *children)


def _facts(caption: str, facts: Iterable[tuple[str, str]]) -> Markup:
    rows = (tag("tr", tag("th", name, scope="row"), tag("td", text(value, _LONG))) for name, value in facts)
    return tag("table", tag("tbody", *rows), class_="facts", aria_label=caption)


def _table(caption: str, columns: Sequence[_Column], rows: Iterable[_Row]) -> Markup:
    """A table; where the screen is narrow, each row becomes a list of its cells with the names before them."""
    written = (
        tag(
            "tr",
            *(
                tag("td", *cell, class_=class_name, data_label=name, role="cell")
                for (name, class_name), cell in zip(columns, row, strict=True)
            ),
            role="row",
        )
        for row in rows
    )
    head = (tag("th", name, scope="col", role="columnheader") for name, _ in columns)
    # The roles are spelled out because a table laid out as blocks is no longer read as one.
    table = tag(
        "table",
        tag("thead", tag("tr", *head, role="row"), role="rowgroup"),
        tag("tbody", *written, role="rowgroup"),
        class_="rows",
        role="table",
        aria_label=caption,
    )
    return tag("div", table, class_="scroll", role="region", aria_label=caption, tabindex="0")
