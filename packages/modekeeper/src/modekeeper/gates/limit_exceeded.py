"""No knob moves further in one step than the limit says."""

from modekeeper.gates.base import block, let_pass
from modekeeper.gates.case import GateCase
from modekeeper.model.decision import BlockReason, Verdict
from modekeeper.policy.chord_spec import RELOCK_CHORD
from modekeeper.policy.limits import exceeds
from modekeeper.policy.wording import listed

__all__ = ["LimitExceeded"]


class LimitExceeded:
    """Stops a step that is too large. The exact way back to values the job ran well with has no limit."""

    name = "limit"
    reason = BlockReason.LIMIT_EXCEEDED

    def check(self, case: GateCase) -> Verdict:
        """See :class:`modekeeper.gates.base.Gate`."""
        # Bound to the chord, not to its invariants: a user's own catalog may add invariants to any chord.
        goes_back = case.proposal.chord_id == RELOCK_CHORD
        too_far = [
            action.knob
            for action in case.proposal.actions
            if exceeds(case.limits, action.current, action.target)
            and not (goes_back and case.last_good.get(action.knob) == action.target)
        ]
        if too_far:
            most = case.limits.max_delta_per_step
            return block(self, f"{listed(sorted(too_far))}: more than {most:g} times the current value in one step")
        return let_pass(self)
