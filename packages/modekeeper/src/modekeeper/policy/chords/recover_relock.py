"""RECOVER-RELOCK: after a change, wait, compare with the promise, and keep it or go back."""

from modekeeper.model.decision import Action, Proposal
from modekeeper.policy.chord_spec import ChordSpec
from modekeeper.policy.chords.base import hold, play
from modekeeper.policy.knobs import ACCUMULATION, MICROBATCH, action_for, find_knob, format_value, is_on_grid
from modekeeper.policy.limits import Limits
from modekeeper.policy.moves import Move, usable_value
from modekeeper.policy.promises import promise_no_worse
from modekeeper.policy.situation import Outcome, OutcomeState, Situation

__all__ = ["propose"]


def propose(situation: Situation, spec: ChordSpec, limits: Limits) -> Proposal:  # noqa: ARG001 - all chords alike
    """Hold, unless the last change made the job worse: then its knobs go back to exactly the last good values.

    Limits do not shorten the way back: half of it would be a third state nobody has seen.
    """
    outcome = situation.outcome
    if outcome is None:
        return hold(situation, spec, "the trouble is over: hold, and watch that it stays so")
    match outcome.state:
        case OutcomeState.PENDING:
            text = f"the change by {outcome.chord_id} is still being judged: hold"
            return hold(situation, spec, text, f"promise_pending:{outcome.chord_id}")
        case OutcomeState.KEPT:
            return hold(situation, spec, f"{outcome.chord_id} kept its promise{_gain(outcome)}: its change stays")
        case OutcomeState.MISSED:
            text = f"{outcome.chord_id} did no harm and not enough good{_gain(outcome)}: its change stays, locked"
            return hold(situation, spec, text, f"promise_missed:{outcome.chord_id}")
        case OutcomeState.NOT_MEASURED:
            text = f"what {outcome.chord_id} did could not be measured: its change stays, and a person should look"
            return hold(situation, spec, text, f"promise_not_measured:{outcome.chord_id}")
        case OutcomeState.WORSE:
            move = _way_back(situation, spec, outcome)
            does = "back to the last good values" if move.actions else "the way back needs a person"
            text = f"the job got worse after {outcome.chord_id}{_gain(outcome)}: {does}"
            promise = promise_no_worse(outcome.promise.metric, outcome.promise.direction)
            return play(situation, spec, move, promise, text)


def _way_back(situation: Situation, spec: ChordSpec, outcome: Outcome) -> Move:
    """All knobs of the change, or none: half a way back is no known state."""
    actions: list[Action] = []
    notes: list[str] = []
    for name in sorted(_with_partner(outcome.knobs)):
        step = _one_back(situation, spec, name)
        if isinstance(step, str):
            notes.append(step)
        elif step is not None:
            actions.append(step)
    if notes:
        return Move(notes=tuple(notes))
    return Move(actions=tuple(actions)) if actions else Move(notes=("already_at_last_good",))


def _one_back(situation: Situation, spec: ChordSpec, name: str) -> Action | str | None:
    """The step back of one knob; ``None`` where it is there already; a note where it cannot be made."""
    knob = find_knob(name)
    if knob is None or knob.name not in spec.knobs_touched:
        return f"for_a_person:take_back_{name if knob is None else knob.name}"
    good = situation.last_good.get(knob.name)
    if good is None or not is_on_grid(knob, good):
        return f"last_good_value_unknown:{knob.name}"
    known = usable_value(situation, knob)
    if isinstance(known, str):
        return known
    if known.value == good:
        return None
    text = f"back from {known.value:g} to the last good {format_value(knob, good)} {knob.unit}"
    return action_for(knob, current=known.value, source=known.source, target=good, reason=text)


def _with_partner(knobs: tuple[str, ...]) -> set[str]:
    pair = {MICROBATCH, ACCUMULATION}
    return set(knobs) | (pair if pair & set(knobs) else set())


def _gain(outcome: Outcome) -> str:
    if outcome.improvement is None:
        return ""
    word = "better" if outcome.improvement >= 0 else "worse"
    return f" ({abs(outcome.improvement):.1%} {word})"
