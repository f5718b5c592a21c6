"""TIMEOUT-GUARD (advanced): workers that fall behind for good; more patience before the job is given up."""

from modekeeper.model.decision import Proposal
from modekeeper.policy.chord_spec import ChordSpec
from modekeeper.policy.chords.base import hold, play, reason_to_wait
from modekeeper.policy.chords.input_straggler import blamed, place
from modekeeper.policy.knobs import TIMEOUT
from modekeeper.policy.limits import Limits
from modekeeper.policy.moves import cheapest_raise
from modekeeper.policy.promises import promise_no_worse
from modekeeper.policy.situation import Situation

__all__ = ["propose"]


def propose(situation: Situation, spec: ChordSpec, limits: Limits) -> Proposal:
    """Raise ``timeout_ms`` where its current value is known; a person must approve, always."""
    wait = reason_to_wait(situation, spec)
    if wait is not None:
        return wait
    slow = blamed(situation)
    if not slow:
        return hold(situation, spec, "workers differ by stage, not by machine: no timeout is near", "stage_imbalance")
    where = place(slow)
    move = cheapest_raise(situation, (TIMEOUT,), spec.knobs_touched, limits, "slow workers need patience")
    does = "a higher timeout keeps the job alive, and hides a hung worker for longer"
    text = f"{where}: {does if move.actions else 'no timeout is changed'}"
    return play(situation, spec, move, promise_no_worse(slow[0].metric, "lower"), text)
