"""No knob moves further in one step than the limit says."""

from collections.abc import Iterator

from modekeeper.gates.base import block, let_pass
from modekeeper.gates.case import GateCase
from modekeeper.model.decision import Action, BlockReason, Verdict
from modekeeper.passports.allowed import limits_under
from modekeeper.policy.chord_spec import RELOCK_CHORD
from modekeeper.policy.limits import Limits, exceeds
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
        limits = case.limits if case.passport is None else limits_under(case.limits, case.passport)
        too_far = [
            action
            for action in case.proposal.actions
            if exceeds(limits, action.current, action.target, action.knob)
            and not (goes_back and case.last_good.get(action.knob) == action.target)
        ]
        if too_far:
            return block(self, "; ".join(_texts(too_far, limits)))
        return let_pass(self)


def _texts(too_far: list[Action], limits: Limits) -> Iterator[str]:
    plain = Limits(max_delta_per_step=limits.max_delta_per_step)
    relative = sorted(a.knob for a in too_far if exceeds(plain, a.current, a.target))
    if relative:
        yield f"{listed(relative)}: more than {plain.max_delta_per_step:g} times the current value in one step"
    own = sorted({a.knob for a in too_far} - set(relative))
    if own:
        yield f"{listed(own)}: outside the limits that are set for it"
