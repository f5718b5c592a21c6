"""What a picture of a run shows, decided before anything is drawn: positions, limits, labels. Plain data."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from modekeeper.artifacts.contracts.parts import Finding, ModeSpan, SeriesPoint
from modekeeper.model.mode import Mode
from modekeeper.model.signal import Direction, Phase, Signal, SignalKind
from modekeeper.model.trace import Decision, DecisionStatus, TraceEvent
from modekeeper.model.untrusted import visible
from modekeeper.model.wording import count, signed_percent
from modekeeper.reports.figure.ruler import Ruler
from modekeeper.reports.figure.series_view import SeriesView, series_view
from modekeeper.reports.recorded import Recorded
from modekeeper.reports.wording import moment

__all__ = ["ActionMark", "Band", "FindingMark", "Scene", "Tone", "scene"]

_MOST_FINDINGS = 40
_MOST_LABELS = 10
_MOST_BURSTS = 400
_MOST_ACTIONS = 16
_MOST_BANDS = 400
_MOST_NODES = 2
_MOST_WORKERS = 4


class Tone(StrEnum):
    """How a finding is drawn."""

    WORSE = "worse"
    BETTER = "better"
    NEUTRAL = "neutral"
    STRAGGLER = "straggler"


@dataclass(frozen=True, slots=True)
class Band:
    """A stay in a mode, from ``start`` to ``stop`` on the x axis."""

    mode: Mode
    start: float
    stop: float


@dataclass(frozen=True, slots=True)
class FindingMark:
    """A confirmed finding: where it began, where that was decided. An empty label is not written."""

    x: float
    decided_x: float
    tone: Tone
    label: str


@dataclass(frozen=True, slots=True)
class ActionMark:
    """A proposed change, at the tick it was proposed."""

    x: float
    label: str
    held_back: bool


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything a picture shows. Texts are already fit to be shown, but not to any width."""

    title: str
    verdict: str
    ruler: Ruler
    series: SeriesView
    bands: tuple[Band, ...]
    findings: tuple[FindingMark, ...]
    bursts: tuple[float, ...]
    actions: tuple[ActionMark, ...]
    notes: tuple[str, ...]


def scene(recorded: Recorded) -> Scene:
    """The picture of ``recorded``, bounded whatever the size of the run."""
    telemetry = recorded.telemetry
    points: Sequence[SeriesPoint] = telemetry.points if telemetry else ()
    ruler = Ruler(points)
    answer = recorded.answer
    findings = (*recorded.findings.standing, *recorded.findings.ended)
    changes = [f for f in findings if f.signal.kind is not SignalKind.BURST and f.signal.phase is Phase.CONFIRMED]
    bursts = [f for f in findings if f.signal.kind is SignalKind.BURST]
    marks, unmarked = _finding_marks(changes, ruler)
    actions, unacted = _action_marks(recorded.turns, ruler)
    levels = [
        level
        for f in changes
        if f.signal.metric == "step_time_ms"
        for level in (f.signal.baseline, f.signal.level)
        if level is not None
    ]
    series = series_view(points, ruler, levels)
    notes = [*series.notes]
    if unmarked + recorded.findings.left_out:
        notes.append(f"{count(unmarked + recorded.findings.left_out, 'more finding')} not drawn, see the report")
    if unacted:
        notes.append(f"{count(unacted, 'more proposal')} not drawn, see the decision trace")
    return Scene(
        title=visible(answer.title, 200),
        verdict=visible(answer.verdict, 400),
        ruler=ruler,
        series=series,
        bands=_bands(recorded.mode_spans, ruler),
        findings=marks,
        bursts=_burst_ticks(bursts, ruler),
        actions=actions,
        notes=tuple(notes),
    )


def _bands(spans: Sequence[ModeSpan], ruler: Ruler) -> tuple[Band, ...]:
    shown = spans[-_MOST_BANDS:]
    starts = [ruler.at(s.from_index, s.from_step, s.from_ts_ms) for s in shown]
    bands = []
    for number, span in enumerate(shown):
        # A stay lasts until the next one begins: no gap between two samples.
        following = starts[number + 1] if number + 1 < len(shown) else None
        start, stop = starts[number], following
        if stop is None:
            stop = ruler.at(span.to_index, span.to_step, span.to_ts_ms)
        if start is not None and stop is not None and stop >= start:
            bands.append(Band(span.mode, start, stop))
    return tuple(bands)


def _finding_marks(findings: Sequence[Finding], ruler: Ruler) -> tuple[tuple[FindingMark, ...], int]:
    """The weightiest findings in the order of their onset, and how many others there are."""
    ranked = sorted((f.signal for f in findings), key=_weight)
    marks = []
    labels = 0
    for signal in ranked[:_MOST_FINDINGS]:
        x = ruler.at(signal.since_index, signal.since_step, signal.since_ts_ms)
        decided = ruler.at(signal.at_index, signal.at_step, signal.at_ts_ms)
        if x is None or decided is None:
            continue
        label = _finding_label(signal) if labels < _MOST_LABELS else ""
        labels += bool(label)
        marks.append(FindingMark(x, decided, _tone(signal), label))
    return tuple(sorted(marks, key=lambda mark: (mark.x, mark.label))), len(ranked) - len(marks)


def _weight(signal: Signal) -> tuple[bool, bool, float, int, str]:
    """Workers first, then what made the job slower, the largest effect first."""
    return (
        signal.kind is not SignalKind.STRAGGLER,
        signal.direction is not Direction.WORSE,
        -abs(signal.effect or 0.0),
        signal.since_index,
        signal.id,
    )


def _tone(signal: Signal) -> Tone:
    if signal.kind is SignalKind.STRAGGLER:
        return Tone.STRAGGLER
    return Tone(signal.direction.value)


def _finding_label(signal: Signal) -> str:
    since = f"since {moment(signal.since_step, signal.since_ts_ms)}"
    effect = "" if signal.effect is None else signed_percent(signal.effect)
    if signal.kind is SignalKind.STRAGGLER:
        parts = [_workers(signal), effect, since]
    elif signal.kind is SignalKind.DRIFT:
        metric = "" if signal.metric == "step_time_ms" else signal.metric.replace("_", " ")
        parts = [metric, effect or "drift", since]
    else:
        parts = [signal.kind.replace("_", " ").replace("gpu", "GPU"), since]
    return visible(" ".join(part for part in parts if part), 120)


def _workers(signal: Signal) -> str:
    ranks = ", ".join(str(rank) for rank in signal.workers[:_MOST_WORKERS])
    if len(signal.workers) > _MOST_WORKERS:
        ranks += f" and {len(signal.workers) - _MOST_WORKERS} more"
    name = "straggler" if not ranks else f"worker {ranks}" if len(signal.workers) == 1 else f"workers {ranks}"
    nodes = ", ".join(visible(node, 30) for node in signal.nodes[:_MOST_NODES])
    return f"{name} on {nodes}" if nodes else name


def _burst_ticks(findings: Sequence[Finding], ruler: Ruler) -> tuple[float, ...]:
    """At most ``_MOST_BURSTS`` ticks: of those too near to be told apart, one is drawn."""
    ticks: dict[int, float] = {}
    for finding in findings:
        signal = finding.signal
        x = ruler.at(signal.since_index, signal.since_step, signal.since_ts_ms)
        if x is not None:
            ticks.setdefault(ruler.column(x, _MOST_BURSTS), x)
    return tuple(sorted(ticks.values()))


def _action_marks(turns: Sequence[TraceEvent], ruler: Ruler) -> tuple[tuple[ActionMark, ...], int]:
    marks: list[ActionMark] = []
    before: dict[str, str] = {}
    for event in turns:
        x = ruler.at(event.at_index, event.at_step, event.at_ts_ms)
        now = {d.proposal.chord_id: _action_label(d) for d in event.decisions if d.proposal.actions}
        for decision in event.decisions:
            chord = decision.proposal.chord_id
            if x is not None and chord in now and before.get(chord) != now[chord]:
                held_back = decision.status is not DecisionStatus.PLANNED
                marks.append(ActionMark(x, now[chord], held_back))
        before = now
    left_out = max(len(marks) - _MOST_ACTIONS, 0)
    return tuple(marks[:_MOST_ACTIONS]), left_out


def _action_label(decision: Decision) -> str:
    first, *rest = decision.proposal.actions
    text = f"{first.knob} {first.current:g} → {first.target:g}"
    if rest:
        text += f" and {len(rest)} more"
    if decision.blocked_reason:
        text += f" (held back: {decision.blocked_reason})"
    return visible(text, 120)
