"""The baseline a chord must beat: one knob, one step, no reasoning about causes.

The classical controller of one variable: something got slower, so the first loader knob that can move goes up by
its smallest step. It stays inside the envelope of the chord of the mode, so the gates judge both policies alike.
"""

import msgspec

from modekeeper.model.decision import Proposal, RiskTier
from modekeeper.model.mode import Mode
from modekeeper.model.signal import Direction, Phase, Signal
from modekeeper.policy.chord_spec import HOLD_CHORD, Catalog, ChordSpec, find_chord
from modekeeper.policy.knobs import PREFETCH, WORKERS, action_for, format_value, knob_named
from modekeeper.policy.limits import Limits, limited_target
from modekeeper.policy.moves import Move, stay, usable_value
from modekeeper.policy.promises import promise_from
from modekeeper.policy.situation import OutcomeState, Situation
from modekeeper.policy.vocabulary import ANNOUNCED, NO_MACHINE_TO_BLAME

__all__ = ["propose"]

_ACTS_IN = frozenset({Mode.DRIFT, Mode.BURST, Mode.STRAGGLER})


def propose(situation: Situation, catalog: Catalog, limits: Limits, *, chord_id: str) -> Proposal:
    """No or one action, under the envelope of ``chord_id``. The same situation always gives the same proposal."""
    spec = find_chord(catalog, chord_id)
    if spec is None:
        return _proposal(situation, None, stay(f"chord_not_in_catalog:{chord_id}"), "nothing is changed")
    wait = _reason_to_wait(situation, spec)
    if wait is not None:
        return wait
    move = _first_step(situation, spec, limits)
    if not move.actions:
        return _proposal(situation, spec, move, "no loader knob can move")
    text = "something got slower: the first loader knob that can moves by one step"
    evidence = min(_standing(situation), key=lambda signal: signal.id)
    return msgspec.structs.replace(_proposal(situation, spec, move, text), promise=promise_from(evidence))


def _reason_to_wait(situation: Situation, spec: ChordSpec) -> Proposal | None:
    signals = _standing(situation)
    if situation.transition.to_mode not in _ACTS_IN or not signals:
        return _proposal(situation, spec, Move(), "nothing stands that one knob could answer")
    causes = {signal.cause for signal in signals if signal.cause is not None}
    if explained := sorted(causes & (ANNOUNCED | NO_MACHINE_TO_BLAME)):
        notes = stay(*(f"announced:{cause}" for cause in explained))
        return _proposal(situation, spec, notes, "explained by the job itself: nothing is wrong")
    if situation.outcome is not None and situation.outcome.state is OutcomeState.PENDING:
        note = stay(f"promise_pending:{situation.outcome.chord_id}")
        return _proposal(situation, spec, note, "the last change is still being judged")
    return None


def _standing(situation: Situation) -> list[Signal]:
    return [s for s in situation.signals if s.phase is Phase.CONFIRMED and s.direction is Direction.WORSE]


def _first_step(situation: Situation, spec: ChordSpec, limits: Limits) -> Move:
    notes: list[str] = []
    for name in (PREFETCH, WORKERS):
        knob = knob_named(name)
        if name not in spec.knobs_touched:
            notes.append(f"knob_not_in_catalog:{name}")
            continue
        known = usable_value(situation, knob)
        if isinstance(known, str):
            notes.append(known)
            continue
        target = limited_target(knob, known.value, known.value + knob.step, limits)
        if target is None:
            notes.append(f"limited_to_no_step:{name}")
            continue
        text = f"one step up: {name} from {known.value:g} to {format_value(knob, target)} {knob.unit}"
        action = action_for(knob, current=known.value, source=known.source, target=target, reason=text)
        return Move(actions=(action,), notes=tuple(notes))
    return stay(*notes)


def _proposal(situation: Situation, spec: ChordSpec | None, move: Move, reason: str) -> Proposal:
    return Proposal(
        policy="scalar",
        chord_id=HOLD_CHORD if spec is None else spec.id,
        mode=situation.transition.to_mode,
        risk_tier=RiskTier.SAFE if spec is None else spec.risk_tier,
        actions=move.actions,
        invariants=() if spec is None else spec.invariants,
        reason=reason,
        notes=move.notes,
    )
