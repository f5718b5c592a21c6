"""INPUT-STRAGGLER: some workers fall behind their own peers because they wait for input."""

from modekeeper.model.decision import Proposal
from modekeeper.model.signal import Direction, Signal, SignalKind
from modekeeper.policy.chord_spec import ChordSpec
from modekeeper.policy.chords.base import hold, play, reason_to_wait
from modekeeper.policy.knobs import PREFETCH, WORKERS
from modekeeper.policy.limits import Limits
from modekeeper.policy.moves import every_raise
from modekeeper.policy.promises import promise_from
from modekeeper.policy.situation import Situation, confirmed
from modekeeper.policy.vocabulary import ANNOUNCED, INPUT_BOUND, NO_MACHINE_TO_BLAME
from modekeeper.policy.wording import listed

__all__ = ["blamed", "place", "propose"]


def propose(situation: Situation, spec: ChordSpec, limits: Limits) -> Proposal:
    """More prefetch and loader processes where waiting for input is the cause; else the machine for a person."""
    wait = reason_to_wait(situation, spec)
    if wait is not None:
        return wait
    slow = blamed(situation)
    if not slow:
        text = "workers differ by stage, not by machine: nobody is to blame, nothing is tuned"
        return hold(situation, spec, text, "stage_imbalance")
    where = place(slow)
    causes = {signal.cause for signal in slow if signal.cause is not None}
    if announced := sorted(causes & ANNOUNCED):
        text = f"{where}: announced by the job itself ({listed(announced)}), nothing to tune"
        return hold(situation, spec, text, *(f"announced:{cause}" for cause in announced))
    if beyond := sorted(causes - {INPUT_BOUND}):
        text = f"{where}: cause {listed(beyond)}, no knob reaches it, a person must look"
        return hold(situation, spec, text, *(f"for_a_person:{cause}" for cause in beyond))
    if not _waits_for_input(situation, slow):
        text = f"{where}: why is not known, nothing is tuned on a guess; look at the machine"
        return hold(situation, spec, text, "cause_unknown", "emit:data_wait_ms", "for_a_person:slow_worker")
    move = every_raise(situation, (PREFETCH, WORKERS), spec.knobs_touched, limits, "slow workers wait for input")
    does = "more prefetch and loader processes" if move.actions else "no loader knob can move"
    return play(situation, spec, move, promise_from(slow[0]), f"{where}: waiting for input, {does}")


def blamed(situation: Situation) -> tuple[Signal, ...]:
    """The findings that name slow workers, without those that a stage of the model explains."""
    found = confirmed(situation, SignalKind.STRAGGLER)
    return tuple(s for s in found if s.cause not in NO_MACHINE_TO_BLAME and s.direction is not Direction.BETTER)


def place(signals: tuple[Signal, ...]) -> str:
    """``worker 6 (telemetry names node-3, H100)``: where a person should look, as far as anything is named.

    A record of several workers names the machine that wrote it, which need not be the slow worker's own.
    """
    ranks = sorted({rank for signal in signals for rank in signal.workers})
    nodes = sorted({node for signal in signals for node in signal.nodes})
    models = sorted({model for signal in signals for model in signal.gpu_models})
    who = f"worker{'s' if len(ranks) > 1 else ''} {listed([str(rank) for rank in ranks])}" if ranks else "a worker"
    named = [listed(words) for words in (nodes, models) if words]
    return f"{who} (telemetry names {', '.join(named)})" if named else f"{who} (telemetry names no machine)"


def _waits_for_input(situation: Situation, slow: tuple[Signal, ...]) -> bool:
    drifts = confirmed(situation, SignalKind.DRIFT)
    named = any(signal.cause == INPUT_BOUND for signal in (*slow, *drifts))
    waits_longer = any(s.metric == "data_wait_ms" and s.direction is Direction.WORSE for s in drifts)
    return named or waits_longer or bool(confirmed(situation, SignalKind.DATA_STARVATION))
