"""One event of the decision trace: the single record every report is a projection of."""

from enum import StrEnum
from typing import Literal

import msgspec

from modekeeper.model.decision import Proposal, Verdict
from modekeeper.model.mode import Mode, Transition
from modekeeper.model.signal import Signal

__all__ = ["TickResult", "TickTrigger", "TraceEvent"]


class TickTrigger(StrEnum):
    """Why a tick happened at this sample."""

    SIGNAL = "signal"
    """A detector had something to say."""
    HEARTBEAT = "heartbeat"
    """A fixed number of samples passed."""
    END_OF_INPUT = "end_of_input"
    NO_DATA = "no_data"
    """An interval of ``watch`` passed without a sample: missing data is a verdict of its own."""


class TickResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the proposal at this tick."""

    status: str
    """``hold`` (nothing asked for), ``planned`` (dry run), ``blocked`` or ``refused``."""
    blocked_reason: str | None = None
    block_reasons: tuple[str, ...] = ()
    changed_knobs: tuple[str, ...] = ()
    """Knobs the plan of this tick would set; in a dry run nothing is set for real."""
    plan_digest: str | None = None


class TraceEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One tick. Every time in it comes from the telemetry, so a replay gives the same bytes."""

    schema_version: Literal["decision_trace_event.v0"] = "decision_trace_event.v0"
    tick: int
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
    """Confirmed findings that still stand."""
    proposal: Proposal
    verdicts: tuple[Verdict, ...] = ()
    result: TickResult
