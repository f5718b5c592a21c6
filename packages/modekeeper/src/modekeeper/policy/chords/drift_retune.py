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
    starved = confirmed(situation, SignalKind.DATA_STARVATION)
    causes = {signal.cause for signal in drifts if signal.cause is not None}
    untunable = causes & ANNOUNCED or any(signal.metric == _LOSS for signal in drifts)
    if MEMORY_PRESSURE in causes and not untunable:
        return _memory(situation, spec, limits, _first_with(drifts, MEMORY_PRESSURE))
    if (INPUT_BOUND in causes or starved) and not untunable:
        evidence = _first_with(drifts, INPUT_BOUND) if INPUT_BOUND in causes else starved[0]
        return _input(situation, spec, limits, evidence)
    return _nothing(situation, spec, drifts, sorted(causes))


def _nothing(situation: Situation, spec: ChordSpec, drifts: list[Signal], causes: list[str]) -> Proposal:
    """Why no knob is turned, the strongest reason first."""
    if announced := [cause for cause in causes if cause in ANNOUNCED]:
        text = f"the job announced this change itself ({listed(announced)}): nothing to tune"
        return hold(situation, spec, text, *(f"announced:{cause}" for cause in announced))
    if any(signal.metric == _LOSS for signal in drifts):
        text = "the loss got worse: a person must look, no knob is turned on top of that"
        return hold(situation, spec, text, "for_a_person:loss_worse")
    if causes:
        text = f"cause {listed(causes)}: no knob reaches it, a person must look"
        return hold(situation, spec, text, *(f"for_a_person:{cause}" for cause in causes))
    text = "the cause of the slow-down is not known: nothing is tuned on a guess"
    return hold(situation, spec, text, "cause_unknown", "emit:data_wait_ms")


def _input(situation: Situation, spec: ChordSpec, limits: Limits, evidence: Signal) -> Proposal:
    reason = "steps wait for input"
    move = cheapest_raise(situation, (PREFETCH, WORKERS), spec.knobs_touched, limits, reason)
    text = reason + (": the cheapest loader knob goes up one step" if move.actions else ": no loader knob can move")
    return play(situation, spec, move, promise_from(evidence), text)


def _memory(situation: Situation, spec: ChordSpec, limits: Limits, evidence: Signal) -> Proposal:
    reason = "GPU memory is short"
    move = shrink_microbatch(situation, spec.knobs_touched, limits, reason)
    same = ": smaller microbatches, more of them, the same global batch"
    text = reason + (same if move.actions else ": no exact split of the batch can be made")
    return play(situation, spec, move, promise_from(evidence), text)


def _first_with(signals: list[Signal], cause: str) -> Signal:
    return next(signal for signal in signals if signal.cause == cause)
