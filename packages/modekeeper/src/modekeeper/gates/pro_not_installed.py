"""The public package cannot change a cluster; the licensed one must be there."""

from modekeeper.gates.base import block, let_pass
from modekeeper.gates.case import GateCase
from modekeeper.model.decision import BlockReason, Verdict

__all__ = ["ProNotInstalled"]


class ProNotInstalled:
    """Stops where nothing could apply the plan anyway."""

    name = "pro_installed"
    reason = BlockReason.PRO_NOT_INSTALLED

    def check(self, case: GateCase) -> Verdict:
        """See :class:`modekeeper.gates.base.Gate`."""
        if case.pro_installed is True:
            return let_pass(self)
        return block(self, "the licensed package that applies plans is not installed")
