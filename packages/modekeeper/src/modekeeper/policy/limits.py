"""How far one step may go."""

import math

import msgspec

from modekeeper.model.errors import BadInputError
from modekeeper.policy.knobs import Knob

__all__ = ["DEFAULT_MAX_DELTA_PER_STEP", "Limits", "exceeds", "limited_target", "limits_from"]

DEFAULT_MAX_DELTA_PER_STEP = 1.0
"""A knob at most doubles in one step: the smallest limit under which a value of 1 can still move."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What no step may exceed, whichever chord asks for it."""

    max_delta_per_step: float = DEFAULT_MAX_DELTA_PER_STEP
    """Largest change of a knob in one step, relative to its current value: 0.5 is half up or half down."""


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


def exceeds(limits: Limits, current: float, target: float) -> bool:
    """Whether the step from ``current`` to ``target`` is larger than allowed. What is not a number always is."""
    return not abs(target - current) <= limits.max_delta_per_step * abs(current)


def limited_target(knob: Knob, current: float, wanted: float, limits: Limits) -> float | None:
    """The value nearest to ``wanted`` that bounds, grid and limit allow; ``None`` where that is no step at all.

    Rounds to whole steps of the knob towards ``current``, never past ``wanted``.
    """
    if not (math.isfinite(current) and math.isfinite(wanted)) or not knob.lower <= current <= knob.upper:
        return None
    reach = limits.max_delta_per_step * abs(current)
    low, high = max(knob.lower, current - reach), min(knob.upper, current + reach)
    steps = (min(max(wanted, low), high) - knob.lower) / knob.step
    whole = math.floor(steps) if wanted > current else math.ceil(steps)
    target = knob.lower + whole * knob.step
    towards = current < target <= wanted if wanted > current else wanted <= target < current
    if not towards or target > knob.upper or exceeds(limits, current, target):
        return None
    return target
