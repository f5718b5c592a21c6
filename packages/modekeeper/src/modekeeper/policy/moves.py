"""Single steps of knobs: how far a chord asks to go, and why a knob cannot be moved."""

from collections.abc import Collection, Sequence

import msgspec

from modekeeper.model.decision import Action
from modekeeper.policy.knobs import (
    ACCUMULATION,
    MICROBATCH,
    Knob,
    action_for,
    format_value,
    is_on_grid,
    knob_named,
)
from modekeeper.policy.limits import Limits, exceeds, limited_target
from modekeeper.policy.situation import KnownValue, Outcome, OutcomeState, Situation, current_value

__all__ = ["RAISE", "Move", "cheapest_raise", "every_raise", "raise_knob", "shrink_microbatch", "stay"]

RAISE = 1.5
"""A knob is raised by half, at least by one of its steps: the smallest move whose effect stands out from noise at
low values, and that three moves, each judged before the next, turn into more than three times."""


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """Actions that belong together, or notes on why there are none."""

    actions: tuple[Action, ...] = ()
    notes: tuple[str, ...] = ()


def stay(*notes: str) -> Move:
    """No move, and why."""
    return Move(notes=notes)


def usable_value(situation: Situation, knob: Knob) -> KnownValue | str:
    """The current value of ``knob``, or the note that says why none can be used."""
    names = [name for name in (knob.name, *knob.aliases) if name in situation.known]
    if not names:
        return f"knob_value_unknown:{knob.name}"
    known = current_value(situation, knob)
    if known is None:
        return f"knob_value_contradictory:{knob.name}"
    whole = not knob.integral or float(known.value).is_integer()
    if not (knob.lower <= known.value <= knob.upper and whole):
        return f"knob_value_out_of_bounds:{knob.name}"
    return known


def raise_knob(situation: Situation, name: str, limits: Limits, reason: str) -> Move:
    """Raise one knob by half of its value, at least by one step, as far as bounds and limits allow."""
    knob = knob_named(name)
    known = usable_value(situation, knob)
    if isinstance(known, str):
        return stay(known)
    target = limited_target(knob, known.value, max(known.value * RAISE, known.value + knob.step), limits)
    if target is None:
        at_bound = known.value + knob.step > knob.upper
        return stay(f"knob_at_bound:{name}" if at_bound else f"limited_to_no_step:{name}")
    text = f"{reason}: {knob.name} from {known.value:g} to {format_value(knob, target)} {knob.unit}"
    action = action_for(knob, current=known.value, source=known.source, target=target, reason=text)
    return Move(actions=(action,))


def cheapest_raise(
    situation: Situation, names: Sequence[str], allowed: Collection[str], limits: Limits, reason: str
) -> Move:
    """The first of ``names``, cheapest first, that can move and was not just tried in vain."""
    notes: list[str] = []
    for name in names:
        if name not in allowed:
            notes.append(f"knob_not_in_catalog:{name}")
        elif _tried_in_vain(situation.outcome, name):
            notes.append(f"tried_without_effect:{name}")
        else:
            move = raise_knob(situation, name, limits, reason)
            notes.extend(move.notes)
            if move.actions:
                return Move(actions=move.actions, notes=tuple(notes))
    return stay(*notes)


def every_raise(
    situation: Situation, names: Sequence[str], allowed: Collection[str], limits: Limits, reason: str
) -> Move:
    """All of ``names`` that can move, together."""
    actions: list[Action] = []
    notes: list[str] = []
    for name in names:
        if name not in allowed:
            notes.append(f"knob_not_in_catalog:{name}")
            continue
        if _tried_in_vain(situation.outcome, name):
            notes.append(f"tried_without_effect:{name}")
            continue
        move = raise_knob(situation, name, limits, reason)
        actions.extend(move.actions)
        notes.extend(move.notes)
    return Move(actions=tuple(actions), notes=tuple(notes))


def shrink_microbatch(situation: Situation, allowed: Collection[str], limits: Limits, reason: str) -> Move:
    """The smallest cut of the microbatch size that accumulation makes up for exactly, both at once.

    Their product stays the same, and with the number of ranks unchanged so does the global batch.
    """
    micro, steps = knob_named(MICROBATCH), knob_named(ACCUMULATION)
    missing = [f"knob_not_in_catalog:{knob.name}" for knob in (micro, steps) if knob.name not in allowed]
    size, count = usable_value(situation, micro), usable_value(situation, steps)
    notes = (*missing, *(value for value in (size, count) if isinstance(value, str)))
    if notes or isinstance(size, str) or isinstance(count, str):
        return stay(*notes)
    if any(_tried_in_vain(situation.outcome, knob.name) for knob in (micro, steps)):
        return stay(f"tried_without_effect:{micro.name}")
    product = int(size.value) * int(count.value)
    for smaller in range(int(size.value) - 1, int(micro.lower) - 1, -1):
        larger = product // smaller
        if exceeds(limits, size.value, smaller, micro.name) or exceeds(limits, count.value, larger, steps.name):
            break
        if product % smaller == 0 and is_on_grid(steps, larger):
            text = f"{reason}: microbatch {int(size.value)} to {smaller}, accumulation {int(count.value)} to {larger}"
            pair = ((micro, size, smaller), (steps, count, larger))
            return Move(
                actions=tuple(
                    action_for(knob, current=known.value, source=known.source, target=float(target), reason=text)
                    for knob, known, target in pair
                )
            )
    return stay("no_exact_split_within_limits")


def _tried_in_vain(outcome: Outcome | None, name: str) -> bool:
    return outcome is not None and outcome.state is OutcomeState.MISSED and name in outcome.knobs
