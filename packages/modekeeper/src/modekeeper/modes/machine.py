"""One pure step of the state machine."""

from collections.abc import Sequence

import msgspec

from modekeeper.model.mode import Mode, Transition
from modekeeper.model.signal import Direction, Phase, Signal, SignalKind
from modekeeper.modes.table import BURSTS_IN_A_CROWD, CROWD_WINDOW_SAMPLES, Edge, Guard, edges_from

__all__ = ["EXPLAINED_BURSTS", "Instant", "ModeState", "due_index", "step"]

EXPLAINED_BURSTS = frozenset({"periodic_pause", "announced_pause"})
"""Causes of bursts that are the job's own doing."""
_NO_MACHINE_TO_BLAME = "possible_stage_imbalance"


class Instant(msgspec.Struct, frozen=True, kw_only=True):
    """A moment of the stream: the sample last seen."""

    index: int
    step: int | None
    ts_ms: int | None


class ModeState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the machine remembers. Plain values: it can be written down and read back."""

    mode: Mode = Mode.NORMAL
    since: Instant = Instant(index=0, step=None, ts_ms=None)
    entered_by: str = "start"
    standing: tuple[Signal, ...] = ()
    """Confirmed findings that have not been cleared, sorted by id."""
    crowd: tuple[Signal, ...] = ()
    """The last unexplained bursts, the newest last."""
    straggler_since: int | None = None
    drift_since: int | None = None
    no_straggler_since: int = 0
    calm_since: int | None = 0


def step(state: ModeState, said: Sequence[Signal], at: Instant) -> tuple[ModeState, Transition]:
    """Take in what the detectors ``said`` and move along at most one edge.

    Args:
        state: what the machine remembers.
        said: signals since the last step, in the order of the detectors.
        at: the sample last seen; never before the one of the last step.
    """
    state = _taken_in(state, said, at)
    for edge in edges_from(state.mode):
        ready = _ready_index(edge, state)
        if ready is not None and ready <= at.index:
            # An episode that was declared over must not be counted again: the machine would flap.
            crowd = () if edge.guard is Guard.CALM else state.crowd
            moved = msgspec.structs.replace(state, mode=edge.to_mode, since=at, entered_by=edge.name, crowd=crowd)
            return moved, _transition(state.mode, moved, edge.name)
    return state, _transition(state.mode, state, f"stay_{state.mode}".lower())


def due_index(state: ModeState) -> int | None:
    """The next sample at which an edge would be taken if the detectors stayed silent."""
    ready = [r for edge in edges_from(state.mode) if (r := _ready_index(edge, state)) is not None]
    return min(ready, default=None)


def _taken_in(state: ModeState, said: Sequence[Signal], at: Instant) -> ModeState:
    calm = state.straggler_since is None and state.drift_since is None and state.calm_since is not None
    if calm and not (said or state.standing or state.crowd):
        return state
    standing = {signal.id: signal for signal in state.standing}
    crowd = list(state.crowd)
    for signal in said:
        if signal.kind is SignalKind.BURST:
            if signal.phase is Phase.CONFIRMED and signal.cause not in EXPLAINED_BURSTS:
                crowd.append(signal)
        elif signal.phase is Phase.CONFIRMED:
            standing[signal.id] = signal
        elif signal.phase is Phase.CLEARED:
            standing.pop(signal.id, None)
    signals = tuple(standing[key] for key in sorted(standing))
    straggler_since = _since(state.straggler_since, at, present=any(map(_is_straggler, signals)))
    drift_since = _since(state.drift_since, at, present=any(map(_is_drift, signals)))
    straggler_ended = state.straggler_since is not None and straggler_since is None
    no_straggler_since = at.index if straggler_ended else state.no_straggler_since
    trouble = straggler_since is not None or drift_since is not None
    newest_burst = crowd[-1].at_index if len(crowd) > len(state.crowd) else None
    return msgspec.structs.replace(
        state,
        standing=signals,
        crowd=tuple(s for s in crowd[-BURSTS_IN_A_CROWD:] if s.at_index > at.index - CROWD_WINDOW_SAMPLES),
        straggler_since=straggler_since,
        drift_since=drift_since,
        no_straggler_since=no_straggler_since,
        calm_since=_calm_since(state.calm_since, at, newest_burst=newest_burst, trouble=trouble),
    )


def _since(before: int | None, at: Instant, *, present: bool) -> int | None:
    if not present:
        return None
    return at.index if before is None else before


def _calm_since(before: int | None, at: Instant, *, newest_burst: int | None, trouble: bool) -> int | None:
    if trouble:
        return None
    if newest_burst is not None:
        return newest_burst + 1
    return at.index if before is None else before


def _is_straggler(signal: Signal) -> bool:
    return signal.kind is SignalKind.STRAGGLER and signal.cause != _NO_MACHINE_TO_BLAME


def _is_drift(signal: Signal) -> bool:
    if signal.kind is SignalKind.DATA_STARVATION:
        return True
    return signal.kind is SignalKind.DRIFT and signal.direction is Direction.WORSE


def _holds_since(guard: Guard, state: ModeState) -> int | None:
    """The sample since which ``guard`` has been true without a break; ``None`` where it is not."""
    match guard:
        case Guard.STRAGGLER_STANDS:
            return state.straggler_since
        case Guard.DRIFT_STANDS:
            return state.drift_since
        case Guard.DRIFT_WITHOUT_STRAGGLER:
            if state.straggler_since is not None or state.drift_since is None:
                return None
            return max(state.no_straggler_since, state.drift_since)
        case Guard.BURSTS_CROWD:
            return state.crowd[-1].at_index if len(state.crowd) >= BURSTS_IN_A_CROWD else None
        case Guard.CALM:
            return state.calm_since


def _ready_index(edge: Edge, state: ModeState) -> int | None:
    holds_since = _holds_since(edge.guard, state)
    if holds_since is None:
        return None
    return max(holds_since + edge.hold_samples, state.since.index + edge.dwell_samples)


def _transition(before: Mode, state: ModeState, reason: str) -> Transition:
    return Transition(
        from_mode=before,
        to_mode=state.mode,
        since_index=state.since.index,
        since_step=state.since.step,
        since_ts_ms=state.since.ts_ms,
        reason=reason,
        signal_ids=tuple(signal.id for signal in state.standing),
    )
