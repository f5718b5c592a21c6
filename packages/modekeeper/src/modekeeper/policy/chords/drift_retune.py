"""DRIFT-RETUNE: a lasting slow-down whose cause is named and within reach of a knob."""

from modekeeper.model.decision import Proposal
from modekeeper.model.signal import Direction, Signal, SignalKind
from modekeeper.policy.chord_spec import ChordSpec
from modekeeper.policy.chords.base import hold, play, reason_to_wait
from modekeeper.policy.knobs import PREFETCH, WORKERS
from modekeeper.policy.limits import Limits
from modekeeper.policy.moves import cheapest_raise, shrink_microbatch
from modekeeper.policy.promises import promise_from
from modekeeper.policy.situation import Situation, confirmed
from modekeeper.policy.vocabulary import ANNOUNCED, INPUT_BOUND, MEMORY_PRESSURE
from modekeeper.policy.wording import listed

__all__ = ["propose"]

_LOSS = "loss"


def propose(situation: Situation, spec: ChordSpec, limits: Limits) -> Proposal:
    """One step of the knobs that address the named cause, the cheapest first; nothing where no cause is named.

    A slow-down the job announced itself, a loss that got worse, and a cause no knob reaches all mean: nothing.
    """
    wait = reason_to_wait(situation, spec)
    if wait is not None:
        return wait
    drifts = [s for s in confirmed(situation, SignalKind.DRIFT) if s.direction is not Direction.BETTER]
    causes = {signal.cause for signal in drifts if signal.cause is not None}
    if announced := sorted(causes & ANNOUNCED):
        text = f"the job announced this change itself ({listed(announced)}): nothing to tune"
        return hold(situation, spec, text, *(f"announced:{cause}" for cause in announced))
    if any(signal.metric == _LOSS for signal in drifts):
        return hold(
            situation, spec, "the loss got worse: no knob is turned on top of that", "for_a_person:loss_worse"
        )
    starved = confirmed(situation, SignalKind.DATA_STARVATION)
    if MEMORY_PRESSURE in causes:
        return _memory(situation, spec, limits, _first_with(drifts, MEMORY_PRESSURE))
    if INPUT_BOUND in causes or starved:
        evidence = starved[0] if INPUT_BOUND not in causes else _first_with(drifts, INPUT_BOUND)
        return _input(situation, spec, limits, evidence)
    if causes:
        text = f"cause {listed(sorted(causes))}: no knob reaches it, a person must look"
        return hold(situation, spec, text, *(f"for_a_person:{cause}" for cause in sorted(causes)))
    return hold(
        situation,
        spec,
        "the cause of the slow-down is not known: nothing is tuned on a guess",
        "cause_unknown",
        "emit:data_wait_ms",
    )


def _input(situation: Situation, spec: ChordSpec, limits: Limits, evidence: Signal) -> Proposal:
    reason = "steps wait for input"
    move = cheapest_raise(situation, (PREFETCH, WORKERS), spec.knobs_touched, limits, reason)
    text = reason + (
        ": the cheapest loader knob goes up one step" if move.actions else ": no loader knob can move"
    )
    return play(situation, spec, move, promise_from(evidence), text)


def _memory(situation: Situation, spec: ChordSpec, limits: Limits, evidence: Signal) -> Proposal:
    reason = "GPU memory is short"
    move = shrink_microbatch(situation, spec.knobs_touched, limits, reason)
    same = ": smaller microbatches, more of them, the same global batch"
    text = reason + (same if move.actions else ": no exact split of the batch can be made")
    return play(situation, spec, move, promise_from(evidence), text)


def _first_with(signals: list[Signal], cause: str) -> Signal:
    return next(signal for signal in signals if signal.cause == cause)
