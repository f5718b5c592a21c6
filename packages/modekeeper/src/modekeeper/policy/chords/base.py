"""What all chords have in common."""

from typing import Protocol

from modekeeper.model.decision import Promise, Proposal
from modekeeper.policy.chord_spec import ChordSpec
from modekeeper.policy.limits import Limits
from modekeeper.policy.moves import Move
from modekeeper.policy.situation import OutcomeState, Situation, stands

__all__ = ["ChordFunction", "hold", "play", "reason_to_wait"]


class ChordFunction(Protocol):
    """One chord: the same arguments always give the same proposal."""

    def __call__(self, situation: Situation, spec: ChordSpec, limits: Limits) -> Proposal:
        """Decide what to ask for, if anything."""
        ...


def hold(situation: Situation, spec: ChordSpec, reason: str, *notes: str) -> Proposal:
    """Ask for nothing, and say why."""
    return play(situation, spec, Move(notes=notes), None, reason)


def play(situation: Situation, spec: ChordSpec, move: Move, promise: Promise | None, reason: str) -> Proposal:
    """Ask for ``move``; without actions there is nothing to promise."""
    return Proposal(
        policy="chord",
        chord_id=spec.id,
        mode=situation.transition.to_mode,
        risk_tier=spec.risk_tier,
        actions=move.actions,
        invariants=spec.invariants,
        promise=promise if move.actions else None,
        reason=reason,
        notes=tuple(dict.fromkeys(move.notes)),
    )


def reason_to_wait(situation: Situation, spec: ChordSpec) -> Proposal | None:
    """A hold where a chord may not act yet: a change is still being judged, or a required signal is missing."""
    outcome = situation.outcome
    if outcome is not None and outcome.state is OutcomeState.PENDING:
        text = f"the change by {outcome.chord_id} is still being judged: one change at a time"
        return hold(situation, spec, text, f"promise_pending:{outcome.chord_id}")
    missing = [kind for kind in spec.required_signals if not stands(situation, kind)]
    if missing:
        text = f"{spec.id} waits for: {', '.join(missing)}"
        return hold(situation, spec, text, *(f"signal_missing:{kind}" for kind in missing))
    return None
