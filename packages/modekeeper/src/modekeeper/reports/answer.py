"""The answer for a person: verdict, why, cost and what to do next, from recorded findings and decisions."""

from collections.abc import Sequence

import msgspec

from modekeeper.artifacts.contracts.parts import Answer, Finding, Findings, ModeSpan, Telemetry
from modekeeper.artifacts.contracts.reports import Opportunity
from modekeeper.model.mode import Mode
from modekeeper.model.signal import Direction, Signal, SignalKind
from modekeeper.model.trace import Decision
from modekeeper.model.wording import count, level, metric_name, percent, signed_percent
from modekeeper.modes.machine import EXPLAINED_BURSTS
from modekeeper.modes.table import CROWD_WINDOW_SAMPLES
from modekeeper.reports.advice import proposals
from modekeeper.reports.wording import duration, moment

__all__ = ["RunFacts", "answer", "telemetry_gaps"]

_MOST_REASONS = 4
_HINTS = {
    "step_time_ms": "DRIFT and BURST not judged on step time",
    "loss": "LOSS not judged",
    "worker_latencies_ms": "STRAGGLER not judged",
    "data_wait_ms": "the loader cannot be told from the rest, so no cause is named",
    "gpu_util_pct": "GPU use not judged",
}


class RunFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The recorded facts an answer is made from."""

    name: str
    telemetry: Telemetry
    findings: Findings
    mode_spans: Sequence[ModeSpan]
    decisions: Sequence[Decision]
    opportunity: Opportunity
    warm_up_samples: int
    """Samples the detectors need before they say anything."""


def answer(facts: RunFacts, next_steps: Sequence[str]) -> Answer:
    """The answer; ``next_steps`` are the commands and paths only the caller knows."""
    telemetry = facts.telemetry
    if telemetry.sample_count < max(1, facts.warm_up_samples):
        return _too_little(facts, next_steps)
    return Answer(
        title=_title(facts),
        verdict=_verdict(facts),
        why=tuple(_why(facts)),
        cost=_cost(facts.opportunity, facts.findings),
        next=(*proposals(facts.decisions, telemetry.metrics_seen), *next_steps),
        unknown=tuple(_unknown(telemetry, facts.findings.undecided)),
    )


def _too_little(facts: RunFacts, next_steps: Sequence[str]) -> Answer:
    """Missing data is a verdict of its own, never that all is well."""
    samples, needed = facts.telemetry.sample_count, facts.warm_up_samples
    if samples == 0:
        verdict = "NO VERDICT: not one usable sample was read"
        why = "no record carried a time and a metric; observe_ingest in the report counts what was dropped, and why"
        todo = 'give telemetry with at least "ts" and "step_time_ms", see docs/TELEMETRY.md'
    else:
        verdict = f"NO VERDICT yet: {count(samples, 'sample')} read, {needed} needed to judge this job"
        why = "what is usual for this job is not known yet, so nothing can be called unusual"
        todo = f"read again when there are {needed} samples"
    return Answer(
        title=_title(facts),
        verdict=verdict,
        why=(why,),
        cost="not known",
        next=(todo, *next_steps),
        unknown=tuple(_unknown(facts.telemetry, ())),
    )


def telemetry_gaps(telemetry: Telemetry) -> tuple[str, ...]:
    """What the telemetry did not carry that a detector would use, sorted."""
    seen = set(telemetry.metrics_seen)
    if telemetry.workers_max > 1:
        seen.add("worker_latencies_ms")
    return tuple(sorted(set(_HINTS) - seen))


def _title(facts: RunFacts) -> str:
    telemetry = facts.telemetry
    parts = [facts.name, count(telemetry.sample_count, "step")]
    if telemetry.first_ts_ms is not None and telemetry.last_ts_ms is not None:
        parts.append(duration((telemetry.last_ts_ms - telemetry.first_ts_ms) / 1000))
    if telemetry.workers_max > 1:
        parts.append(count(telemetry.workers_max, "worker"))
    return " · ".join(parts)


def _verdict(facts: RunFacts) -> str:
    span = facts.mode_spans[-1] if facts.mode_spans else None
    if span is None or span.mode is Mode.NORMAL:
        return _normal(facts)
    since = moment(span.from_step, span.from_ts_ms)
    if span.mode is Mode.RECOVER:
        return f"RECOVER since {since}: back at its healthy pace, not yet for long enough to call it NORMAL"
    return f"{span.mode} since {_onset(facts, span)}: {_headline(facts, span.mode)}"


def _normal(facts: RunFacts) -> str:
    telemetry = facts.telemetry
    troubles = [span for span in facts.mode_spans if span.mode not in (Mode.NORMAL, Mode.RECOVER)]
    if troubles:
        last = troubles[-1]
        when = f"{moment(last.from_step, last.from_ts_ms)} to {moment(last.to_step, last.to_ts_ms)}"
        return f"NORMAL again: {count(len(troubles), 'episode')} before, the last one {last.mode} from {when}"
    parts = [count(telemetry.sample_count, "step"), "0 abnormal"]
    times = [p.step_time_ms for p in telemetry.points if p.step_time_ms is not None]
    if times:
        ordered = sorted(times)
        middle = ordered[len(ordered) // 2]
        spread = (ordered[(len(ordered) * 3) // 4] - ordered[len(ordered) // 4]) / 2
        steady = f" ± {percent(spread / middle)}" if middle > 0 else ""
        parts.append(f"step time {level('step_time_ms', middle)}{steady}")
    return f"NORMAL: nothing to do. {', '.join(parts)}"


def _troubles(facts: RunFacts, mode: Mode) -> list[Signal]:
    kinds = {
        Mode.STRAGGLER: (SignalKind.STRAGGLER,),
        Mode.DRIFT: (SignalKind.DRIFT, SignalKind.DATA_STARVATION),
        Mode.BURST: (SignalKind.BURST,),
    }[mode]
    findings: Sequence[Finding] = facts.findings.ended if mode is Mode.BURST else facts.findings.standing
    signals = [f.signal for f in findings if f.signal.kind in kinds]
    if mode is Mode.BURST:
        began = facts.mode_spans[-1].from_index - CROWD_WINDOW_SAMPLES
        signals = [s for s in signals if s.at_index >= began and s.cause not in EXPLAINED_BURSTS]
    return [s for s in signals if s.direction is not Direction.BETTER]


def _onset(facts: RunFacts, span: ModeSpan) -> str:
    signals = _troubles(facts, span.mode)
    if span.mode is Mode.BURST or not signals:
        return moment(span.from_step, span.from_ts_ms)
    if span.mode is Mode.DRIFT:
        began = _first_drift(facts, span, signals[0])
        return moment(began.since_step, began.since_ts_ms)
    first = min(signals, key=lambda signal: signal.since_index)
    return moment(first.since_step, first.since_ts_ms)


def _first_drift(facts: RunFacts, span: ModeSpan, otherwise: Signal) -> Signal:
    """The drift this stay in DRIFT began with."""
    history = (finding.signal for finding in _drift_history(facts, span))
    return min(history, key=lambda signal: (signal.since_index, signal.metric != otherwise.metric), default=otherwise)


def _drift_history(facts: RunFacts, span: ModeSpan) -> list[Finding]:
    """Drifts of this stay in DRIFT, earlier and smaller ones that a worse one replaced included."""
    return [
        finding
        for finding in (*facts.findings.ended, *facts.findings.standing)
        if finding.signal.kind is SignalKind.DRIFT
        and finding.signal.direction is Direction.WORSE
        and finding.signal.at_index >= span.from_index
    ]


def _headline(facts: RunFacts, mode: Mode) -> str:
    signals = _troubles(facts, mode)
    if not signals:
        return "the evidence is in the decision trace"
    if mode is Mode.STRAGGLER:
        workers = sorted({worker for signal in signals for worker in signal.workers})
        names = ", ".join(str(worker) for worker in workers[:8])
        more = f" and {len(workers) - 8} more" if len(workers) > 8 else ""  # noqa: PLR2004 - a line has an end
        noun = "worker" if len(workers) == 1 else "workers"
        return f"{noun} {names}{more} of {facts.telemetry.workers_max}"
    if mode is Mode.BURST:
        return f"{count(len(signals), 'pause')} nobody announced"
    worst = max(signals, key=_severity)
    if worst.kind is SignalKind.DATA_STARVATION:
        return worst.explanation
    began = _first_drift(facts, facts.mode_spans[-1], worst)
    healthy = began.baseline if began.metric == worst.metric else worst.baseline
    if healthy is None or worst.level is None:
        return worst.explanation
    change = f" ({signed_percent(worst.level / healthy - 1)})" if healthy > 0 else ""
    return f"{metric_name(worst.metric)} {level(worst.metric, healthy)} → {level(worst.metric, worst.level)}{change}"


def _severity(signal: Signal) -> tuple[bool, float]:
    return signal.metric == "step_time_ms", abs(signal.effect or 0.0)


def _why(facts: RunFacts) -> list[str]:
    mode = facts.mode_spans[-1].mode if facts.mode_spans else Mode.NORMAL
    signals: list[Signal] = []
    if mode is Mode.DRIFT:
        history = _drift_history(facts, facts.mode_spans[-1])
        signals = [finding.signal for finding in history if finding.signal.metric == "step_time_ms"]
    if not signals and mode in (Mode.DRIFT, Mode.BURST, Mode.STRAGGLER):
        signals = _troubles(facts, mode)
    if not signals:
        signals = [finding.signal for finding in facts.findings.standing]
    ordered = sorted(signals, key=lambda signal: (signal.since_index, signal.id))
    lines = [signal.explanation for signal in ordered if signal.explanation]
    if len(lines) > _MOST_REASONS:
        lines = [*lines[: _MOST_REASONS - 1], f"and {len(lines) - _MOST_REASONS + 1} more in the report"]
    return lines or _quiet(facts)


def _quiet(facts: RunFacts) -> list[str]:
    pauses = facts.findings.confirmed_by_kind.get(SignalKind.BURST, 0)
    lines = _ended_troubles(facts)[:_MOST_REASONS]
    if not lines and pauses:
        lines = [f"{count(pauses, 'pause')} seen; none of them changed the pace of the job"]
    return lines or ["no detector found a change worth paying for"]


def _ended_troubles(facts: RunFacts) -> list[str]:
    """What happened before, in a run that is healthy again."""
    kinds = (SignalKind.DRIFT, SignalKind.STRAGGLER, SignalKind.DATA_STARVATION)
    ended = [f for f in facts.findings.ended if f.signal.kind in kinds and f.signal.direction is Direction.WORSE]
    lines = [
        f"{f.signal.explanation}; over at {moment(f.ended_step, f.ended_ts_ms)}" for f in ended if f.signal.explanation
    ]
    crowds = [span for span in facts.mode_spans if span.mode is Mode.BURST]
    lines += [f"a crowd of pauses from {moment(span.from_step, span.from_ts_ms)}" for span in crowds]
    return lines


def _cost(opportunity: Opportunity, findings: Findings) -> str:
    hours = opportunity.opportunity_hours_est
    if hours == 0:
        worse = [f for f in (*findings.standing, *findings.ended) if f.signal.direction is Direction.WORSE]
        return "a loss that cannot be counted" if worse else "nothing lost against the job's own healthy pace"
    low, high = opportunity.opportunity_hours_low, opportunity.opportunity_hours_high
    interval = "" if low is None or high is None else f", 90 % interval {_hours(low)} to {_hours(high)}"
    money = "" if opportunity.opportunity_usd_est is None else f" ({opportunity.opportunity_usd_est:,.2f} USD)"
    assumed = [a.note for a in opportunity.opportunity_assumptions if a.name == "gpus" and a.source != "given"]
    basis = f"; {assumed[0]}" if assumed else ""
    return f"{_hours(hours)} lost so far{money}{interval}; method in the report{basis}"


def _hours(hours: float) -> str:
    """GPU time with two digits that mean something."""
    for unit, size in (("GPU-hours", 1.0), ("GPU-minutes", 60.0)):
        if hours * size >= 1:
            amount = hours * size
            return f"{amount:,.1f} {unit}" if amount < 100 else f"{amount:,.0f} {unit}"  # noqa: PLR2004
    return f"{hours * 3600:.1f} GPU-seconds"


def _unknown(telemetry: Telemetry, undecided: Sequence[Signal]) -> list[str]:
    """What is not known: what no record carried, and what the detectors could not tell from what was there."""
    if telemetry.sample_count == 0:
        return []
    gaps = telemetry_gaps(telemetry)
    missing = [f'no {name} in the telemetry: {_HINTS[name]}. Emit "{name}", see docs/TELEMETRY.md' for name in gaps]
    said = tuple(f"no {name} in the telemetry" for name in gaps)
    rest = (s.explanation for s in undecided if s.metric not in gaps and s.explanation)
    open_questions = list(dict.fromkeys(text for text in rest if not text.startswith(said)))
    return [*missing, *open_questions[:_MOST_REASONS]]
