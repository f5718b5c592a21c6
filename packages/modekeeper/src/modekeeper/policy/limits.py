"""How far one step may go."""

import math

import msgspec

from modekeeper.model.errors import BadInputError
from modekeeper.policy.knobs import Knob

__all__ = ["DEFAULT_MAX_DELTA_PER_STEP", "KnobLimit", "Limits", "exceeds", "limited_target", "limits_from", "tighter"]

DEFAULT_MAX_DELTA_PER_STEP = 1.0
"""A knob at most doubles in one step: the smallest limit under which a value of 1 can still move."""


class KnobLimit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one knob may be set to, in its own unit; the registry's bounds count beside it."""

    min: float | None = None
    max: float | None = None
    max_step: float | None = None
    """Largest change at once."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What no step may exceed, whichever chord asks for it."""

    max_delta_per_step: float = DEFAULT_MAX_DELTA_PER_STEP
    """Largest change of a knob in one step, relative to its current value: 0.5 is half up or half down."""
    knobs: dict[str, KnobLimit] = {}
    """By knob name, what counts on top of that."""


NO_LIMIT = KnobLimit()


def limits_from(max_delta_per_step: float | None) -> Limits:
    """Limits as a user gave them; ``None`` for the default.

    Raises:
        BadInputError: the number is negative or not finite.
    """
    if max_delta_per_step is None:
        return Limits()
    if not math.isfinite(max_delta_per_step) or max_delta_per_step < 0:
        raise BadInputError(
            f"--max-delta-per-step {max_delta_per_step:g} is not usable: give the largest relative change of a"
            f" knob in one step, 0 or more (default {DEFAULT_MAX_DELTA_PER_STEP:g}: at most double)"
        )
    return Limits(max_delta_per_step=max_delta_per_step)


def tighter(one: Limits, other: Limits) -> Limits:
    """What neither of the two lets exceed."""
    names = sorted({*one.knobs, *other.knobs})
    return Limits(
        max_delta_per_step=min(one.max_delta_per_step, other.max_delta_per_step),
        knobs={name: _both(one.knobs.get(name, NO_LIMIT), other.knobs.get(name, NO_LIMIT)) for name in names},
    )


def exceeds(limits: Limits, current: float, target: float, knob: str | None = None) -> bool:
    """Whether the step from ``current`` to ``target`` is larger than allowed. What is not a number always is.

    ``knob`` names the knob, whose own limits count too.
    """
    if not abs(target - current) <= limits.max_delta_per_step * abs(current):
        return True
    own = NO_LIMIT if knob is None else limits.knobs.get(knob, NO_LIMIT)
    low, high = own.min if own.min is not None else -math.inf, own.max if own.max is not None else math.inf
    reach = own.max_step if own.max_step is not None else math.inf
    return not (low <= target <= high and abs(target - current) <= reach)


def limited_target(knob: Knob, current: float, wanted: float, limits: Limits) -> float | None:
    """The value nearest to ``wanted`` that bounds, grid and limit allow; ``None`` where that is no step at all.

    Rounds to whole steps of the knob towards ``current``, never past ``wanted``.
    """
    if not (math.isfinite(current) and math.isfinite(wanted)) or not knob.lower <= current <= knob.upper:
        return None
    own = limits.knobs.get(knob.name, NO_LIMIT)
    reach = limits.max_delta_per_step * abs(current)
    if own.max_step is not None:
        reach = min(reach, own.max_step)
    low = max(knob.lower, current - reach, knob.lower if own.min is None else own.min)
    high = min(knob.upper, current + reach, knob.upper if own.max is None else own.max)
    steps = (min(max(wanted, low), high) - knob.lower) / knob.step
    whole = math.floor(steps) if wanted > current else math.ceil(steps)
    target = knob.lower + whole * knob.step
    towards = current < target <= wanted if wanted > current else wanted <= target < current
    if not towards or target > knob.upper or exceeds(limits, current, target, knob.name):
        return None
    return target


def _both(one: KnobLimit, other: KnobLimit) -> KnobLimit:
    return KnobLimit(
        min=_extreme(one.min, other.min, highest=True),
        max=_extreme(one.max, other.max, highest=False),
        max_step=_extreme(one.max_step, other.max_step, highest=False),
    )


def _extreme(one: float | None, other: float | None, *, highest: bool) -> float | None:
    given = [value for value in (one, other) if value is not None]
    if not given:
        return None
    return max(given) if highest else min(given)
