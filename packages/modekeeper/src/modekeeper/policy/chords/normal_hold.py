"""NORMAL-HOLD: the job is healthy; touch nothing, and remember what it runs with."""

from modekeeper.model.decision import Proposal
from modekeeper.model.mode import Mode
from modekeeper.model.signal import Direction, Phase
from modekeeper.policy.chord_spec import ChordSpec
from modekeeper.policy.chords.base import hold
from modekeeper.policy.knobs import KNOBS
from modekeeper.policy.limits import Limits
from modekeeper.policy.moves import usable_value
from modekeeper.policy.situation import OutcomeState, Situation

__all__ = ["healthy_values", "propose"]


def propose(situation: Situation, spec: ChordSpec, limits: Limits) -> Proposal:  # noqa: ARG001 - all chords alike
    """Never an action."""
    return hold(situation, spec, "healthy: nothing to change")


def healthy_values(situation: Situation) -> dict[str, float]:
    """The knob values to go back to if a later change does harm, by knob name.

    Empty unless the job is healthy: in NORMAL, nothing worse stands, and no change is being judged.
    """
    worse = any(s.phase is Phase.CONFIRMED and s.direction is Direction.WORSE for s in situation.signals)
    outcome = situation.outcome
    judged = outcome is None or outcome.state in {OutcomeState.KEPT, OutcomeState.MISSED}
    if not situation.known or situation.transition.to_mode is not Mode.NORMAL or worse or not judged:
        return {}
    values = {knob.name: usable_value(situation, knob) for knob in KNOBS}
    return {name: known.value for name, known in values.items() if not isinstance(known, str)}
