"""BURST-ABSORB: bursts of input latency; pauses the job makes on purpose are not chased."""

from modekeeper.model.decision import Proposal
from modekeeper.model.signal import Direction, SignalKind
from modekeeper.policy.chord_spec import ChordSpec
from modekeeper.policy.chords.base import hold, play, reason_to_wait
from modekeeper.policy.knobs import PREFETCH, WORKERS
from modekeeper.policy.limits import Limits
from modekeeper.policy.moves import cheapest_raise
from modekeeper.policy.promises import promise_from
from modekeeper.policy.situation import Situation, confirmed
from modekeeper.policy.vocabulary import ANNOUNCED, INPUT_BOUND
from modekeeper.policy.wording import listed

__all__ = ["propose"]


def propose(situation: Situation, spec: ChordSpec, limits: Limits) -> Proposal:
    """Deeper prefetch, then more loader processes, where the bursts come from the input."""
    wait = reason_to_wait(situation, spec)
    if wait is not None:
        return wait
    bursts = [s for s in confirmed(situation, SignalKind.BURST) if s.direction is not Direction.BETTER]
    pauses = sorted({s.cause for s in bursts if s.cause is not None and s.cause in ANNOUNCED})
    left = [signal for signal in bursts if signal.cause not in ANNOUNCED]
    if bursts and not left:
        text = f"the job pauses on purpose ({listed(pauses)}): nothing to absorb"
        return hold(situation, spec, text, *(f"announced:{cause}" for cause in pauses))
    from_input = [signal for signal in left if signal.cause == INPUT_BOUND]
    evidence = (*from_input, *confirmed(situation, SignalKind.DATA_STARVATION))
    if evidence:
        reason = "bursts of input latency"
        move = cheapest_raise(situation, (PREFETCH, WORKERS), spec.knobs_touched, limits, reason)
        text = reason + (": the cheapest loader knob goes up one step" if move.actions else ": no knob can move")
        return play(situation, spec, move, promise_from(evidence[0]), text)
    named = sorted({signal.cause for signal in left if signal.cause is not None})
    if named:
        text = f"bursts with the cause {listed(named)}: no knob reaches it, a person must look"
        return hold(situation, spec, text, *(f"for_a_person:{cause}" for cause in named))
    text = "the cause of the bursts is not known: nothing is tuned on a guess"
    return hold(situation, spec, text, "cause_unknown", "emit:data_wait_ms", "emit:phase")
