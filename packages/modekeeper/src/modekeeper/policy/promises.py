"""What a chord promises, and whether it was kept."""

import math

from modekeeper.model.decision import Promise
from modekeeper.model.signal import Signal
from modekeeper.policy.situation import OutcomeState

__all__ = ["HIGHER_IS_BETTER", "judge_promise", "promise_from", "promise_no_worse"]

WITHIN_SAMPLES = 200
SHARE_OF_LOSS = 0.25
"""A change that addresses the named cause wins back at least a quarter of what was lost, else it missed it."""
LEAST_REL = 0.01
"""Below one percent no effect can be told from noise."""
WORSE_REL = 0.02
"""Worse by more than this at the end of the window takes the change back."""
HARM_REL = 0.10
"""Worse by more than this ends the window early, once a quarter of it was seen."""

HIGHER_IS_BETTER = frozenset({"throughput", "gpu_util_pct"})


def promise_from(signal: Signal) -> Promise:
    """A quarter of what the finding took from its metric comes back."""
    higher = signal.metric in HIGHER_IS_BETTER
    effect = abs(signal.effect) if signal.effect is not None and math.isfinite(signal.effect) else 0.0
    # What was lost, relative to the level the job is at now: that is what the improvement is measured against.
    lost = effect / max(1.0 - effect, LEAST_REL) if higher else effect / (1.0 + effect)
    return Promise(
        metric=signal.metric,
        direction="higher" if higher else "lower",
        at_least_rel=round(min(max(SHARE_OF_LOSS * lost, LEAST_REL), 1.0), 4),
        within_samples=WITHIN_SAMPLES,
    )


def promise_no_worse(metric: str, direction: str) -> Promise:
    """Nothing gets better, and nothing gets worse."""
    return Promise(metric=metric, direction=direction, at_least_rel=0.0, within_samples=WITHIN_SAMPLES)


def judge_promise(
    promise: Promise, *, before: float, after: float | None, samples: int
) -> tuple[OutcomeState, float | None]:
    """What became of ``promise``, and the relative improvement measured (negative where it got worse).

    Args:
        promise: what was promised.
        before: level of its metric before the change, more than 0.
        after: level since the change; ``None`` or not finite where it could not be measured.
        samples: samples seen since the change reached the job.
    """
    if after is None or not math.isfinite(after) or not math.isfinite(before) or before <= 0:
        return OutcomeState.PENDING, None
    gain = (after - before if promise.direction == "higher" else before - after) / before
    if samples < promise.within_samples:
        early = samples * 4 >= promise.within_samples and gain < -HARM_REL
        return (OutcomeState.WORSE if early else OutcomeState.PENDING), gain
    if gain < -WORSE_REL:
        return OutcomeState.WORSE, gain
    return (OutcomeState.KEPT if gain >= promise.at_least_rel else OutcomeState.MISSED), gain
