"""The kill-switch stops every change, whatever else is in order."""

from modekeeper.gates.base import block, let_pass
from modekeeper.gates.case import GateCase
from modekeeper.gates.kill_switch import KILL_SWITCH_VARIABLE
from modekeeper.model.decision import BlockReason, Verdict

__all__ = ["KillSwitchActive"]


class KillSwitchActive:
    """Stops while the switch is on, or was not looked at."""

    name = "kill_switch"
    reason = BlockReason.KILL_SWITCH_ACTIVE

    def check(self, case: GateCase) -> Verdict:
        """See :class:`modekeeper.gates.base.Gate`."""
        switch = case.kill_switch
        if switch is None:
            return block(self, f"{KILL_SWITCH_VARIABLE} was not looked at")
        if switch.active is not False:
            why = f" ({switch.detail})" if switch.detail else ""
            return block(self, f"{switch.signal or KILL_SWITCH_VARIABLE} is set: nothing is changed{why}")
        return let_pass(self)
