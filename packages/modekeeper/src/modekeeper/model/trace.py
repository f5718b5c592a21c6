"""One event of the decision trace: the single record every report is a projection of."""

from enum import StrEnum
from typing import Literal

import msgspec

from modekeeper.model.decision import Proposal, Verdict
from modekeeper.model.mode import Mode, Transition
from modekeeper.model.outcome import Outcome
from modekeeper.model.signal import Signal

__all__ = ["Decision", "DecisionStatus", "TickTrigger", "TraceEvent"]


class TickTrigger(StrEnum):
    """Why a tick happened at this sample."""

    SIGNAL = "signal"
    """A detector had something to say."""
    HEARTBEAT = "heartbeat"
    """A fixed number of samples passed."""
    DWELL = "dwell"
    """A waiting time of the state machine ran out."""
    EFFECT = "effect"
    """What became of an applied change was measured."""
    END_OF_INPUT = "end_of_input"
    NO_DATA = "no_data"
    """An interval of ``watch`` passed without a sample: missing data is a verdict of its own."""


class DecisionStatus(StrEnum):
    """What came of a proposal at its tick."""

    HOLD = "hold"
    """Nothing was asked for."""
    PLANNED = "planned"
    """Every gate passed; the change stands in the plan. A dry run sets nothing."""
    BLOCKED = "blocked"
    """A gate stopped it."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One proposal, what every gate said of it, and what came of it."""

    proposal: Proposal
    verdicts: tuple[Verdict, ...] = ()
    status: DecisionStatus
    blocked_reason: str | None = None
    """The first of ``block_reasons`` in the order of precedence."""
    block_reasons: tuple[str, ...] = ()
    changed_knobs: tuple[str, ...] = ()
    """Knobs the plan of this tick would set."""


class TraceEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One tick. Every time in it comes from the telemetry, so a replay gives the same bytes."""

    schema_version: Literal["decision_trace_event.v0"] = "decision_trace_event.v0"
    tick: int
    """Number of the tick, from 1."""
    trigger: TickTrigger
    at_index: int
    """Last sample seen, from 0; -1 before the first."""
    at_step: int | None
    at_ts_ms: int | None
    mode: Mode
    transition: Transition
    signals: tuple[Signal, ...] = ()
    """What the detectors said since the last tick."""
    active_signal_ids: tuple[str, ...] = ()
    """Confirmed findings that still stand, sorted."""
    chord_id: str
    """The chord of the first decision."""
    decisions: tuple[Decision, ...]
    plan_digest: str | None = None
    """Digest of the plan as it stands after this tick; ``None`` while it is empty."""
    outcome: Outcome | msgspec.UnsetType = msgspec.UNSET
    """What became of the last change that was applied; left out where there is none."""
