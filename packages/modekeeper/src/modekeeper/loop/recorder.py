"""The facts of a run that reports are made from: series, findings, stays in a mode. Bounded, whatever the run."""

from typing import Any

import msgspec

from modekeeper.artifacts.contracts.parts import Findings, ModeSpan
from modekeeper.loop.findings import FindingsRegister
from modekeeper.loop.series import SeriesRecorder
from modekeeper.model.block import SampleBlock
from modekeeper.model.trace import DecisionStatus, TraceEvent

__all__ = ["RunRecorder", "Totals"]

_KEPT = 100
"""So many stays are kept; older ones are counted."""


class Totals(msgspec.Struct, kw_only=True):
    """Counts over a run."""

    ticks: int = 0
    transitions: int = 0
    proposed: int = 0
    """Ticks whose decisions carried an action."""
    planned: int = 0
    blocked: int = 0


class _State(msgspec.Struct, kw_only=True):
    """Stays and counts. Plain values."""

    spans: list[ModeSpan] = []
    spans_left_out: int = 0
    totals: Totals = msgspec.field(default_factory=Totals)


class RunRecorder:
    """Takes in the samples and the trace of a run as they come; what it gives is a projection of the two."""

    def __init__(self, points: int = 600) -> None:
        self._series = SeriesRecorder(points)
        self._findings = FindingsRegister()
        self._state = _State()
        self._samples_before = 0

    def add_block(self, block: SampleBlock) -> None:
        """Take in samples."""
        self._series.add(block)

    def add_event(self, event: TraceEvent) -> None:
        """Take in one line of the decision trace."""
        for signal in event.signals:
            self._findings.add(signal)
        self._stay(event)
        totals = self._state.totals
        totals.ticks += 1
        totals.transitions += event.transition.changed
        totals.proposed += any(decision.proposal.actions for decision in event.decisions)
        totals.planned += any(decision.status is DecisionStatus.PLANNED for decision in event.decisions)
        totals.blocked += any(decision.status is DecisionStatus.BLOCKED for decision in event.decisions)

    @property
    def series(self) -> SeriesRecorder:
        """The samples, thinned."""
        return self._series

    @property
    def samples_before(self) -> int:
        """Samples of the run before this part of it."""
        return self._samples_before

    @property
    def totals(self) -> Totals:
        """Counts over the run."""
        return self._state.totals

    @property
    def mode_spans(self) -> tuple[ModeSpan, ...]:
        """Stays in a mode, the oldest first."""
        return tuple(self._state.spans)

    @property
    def mode_spans_left_out(self) -> int:
        """How many older stays are counted but not kept."""
        return self._state.spans_left_out

    def findings(self) -> Findings:
        """What the detectors found."""
        return self._findings.findings()

    def next_part(self, points: int) -> "RunRecorder":
        """A recorder for the next part of the same run: it starts with what still stands."""
        part = RunRecorder(points)
        part._findings = self._findings.next_part()
        part._state.spans = self._state.spans[-1:]
        part._samples_before = self._samples_before + self._series.sample_count
        return part

    def snapshot(self) -> Any:
        """Everything remembered, as plain JSON values."""
        return {
            "series": self._series.snapshot(),
            "findings": self._findings.snapshot(),
            "state": msgspec.to_builtins(self._state),
        }

    def restore(self, snapshot: Any) -> None:
        """Go on from a ``snapshot``.

        Raises:
            msgspec.ValidationError: it is not one.
            KeyError: a part of it is missing.
        """
        self._series.restore(snapshot["series"])
        self._findings.restore(snapshot["findings"])
        self._state = msgspec.convert(snapshot["state"], _State)

    def _stay(self, event: TraceEvent) -> None:
        spans = self._state.spans
        if not spans:
            spans.append(self._start(event))
        spans[-1] = msgspec.structs.replace(
            spans[-1], to_index=event.at_index, to_step=event.at_step, to_ts_ms=event.at_ts_ms
        )
        if not event.transition.changed:
            spans[-1] = msgspec.structs.replace(spans[-1], chord_id=event.chord_id)
            return
        spans.append(_entered(event))
        if len(spans) > _KEPT:
            del spans[0]
            self._state.spans_left_out += 1

    def _start(self, event: TraceEvent) -> ModeSpan:
        """The stay a run begins with."""
        first_ts_ms, first_step = self._series.first or (None, None)
        return ModeSpan(
            mode=event.transition.from_mode,
            reason="start",
            from_index=0,
            from_step=first_step,
            from_ts_ms=first_ts_ms,
            to_index=event.at_index,
            to_step=event.at_step,
            to_ts_ms=event.at_ts_ms,
            chord_id=event.chord_id if not event.transition.changed else "NORMAL-HOLD",
        )


def _entered(event: TraceEvent) -> ModeSpan:
    transition = event.transition
    return ModeSpan(
        mode=event.mode,
        reason=transition.reason,
        from_index=transition.since_index,
        from_step=transition.since_step,
        from_ts_ms=transition.since_ts_ms,
        to_index=event.at_index,
        to_step=event.at_step,
        to_ts_ms=event.at_ts_ms,
        chord_id=event.chord_id,
    )
