"""The baseline a chord must beat: one knob, one step, no reasoning about causes.

The classical controller of one variable: something got slower, so the first loader knob that can move goes up by its
smallest step. It stays inside the envelope of the chord of the mode, so that the gates judge both policies alike.
"""

from modekeeper.model.decision import Proposal, RiskTier
from modekeeper.model.mode import Mode
from modekeeper.model.signal import Phase
from modekeeper.policy.chord_spec import Catalog, ChordSpec, find_chord
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
    evidence = next((s for s in sorted(situation.signals, key=lambda s: s.id) if s.phase is Phase.CONFIRMED), None)
    if situation.transition.to_mode not in _ACTS_IN:
        return _proposal(situation, spec, Move(), "nothing stands that one knob could answer")
    causes = {signal.cause for signal in situation.signals if signal.cause is not None}
    if explained := sorted(causes & (ANNOUNCED | NO_MACHINE_TO_BLAME)):
        return _proposal(situation, spec, stay(*(f"announced:{cause}" for cause in explained)), "nothing is wrong")
    if situation.outcome is not None and situation.outcome.state is OutcomeState.PENDING:
        note = f"promise_pending:{situation.outcome.chord_id}"
        return _proposal(situation, spec, stay(note), "the last change is still being judged")
    if evidence is None:
        return _proposal(situation, spec, stay("signal_missing"), "no finding stands")
    move = _first_step(situation, spec, limits)
    text = "something got slower: the first loader knob that can moves by one step"
    proposal = _proposal(situation, spec, move, text if move.actions else "no loader knob can move")
    if not move.actions:
        return proposal
    return Proposal(
        policy=proposal.policy,
        chord_id=proposal.chord_id,
        mode=proposal.mode,
        risk_tier=proposal.risk_tier,
        actions=proposal.actions,
        invariants=proposal.invariants,
        promise=promise_from(evidence),
        reason=proposal.reason,
        notes=proposal.notes,
    )


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
        chord_id="NORMAL-HOLD" if spec is None else spec.id,
        mode=situation.transition.to_mode,
        risk_tier=RiskTier.SAFE if spec is None else spec.risk_tier,
        actions=move.actions,
        invariants=() if spec is None else spec.invariants,
        reason=reason,
        notes=move.notes,
    )
