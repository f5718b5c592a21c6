"""Only a plan that was verified against the cluster may be applied."""

from modekeeper.gates.base import block, let_pass
from modekeeper.gates.case import GateCase
from modekeeper.model.decision import BlockReason, Verdict

__all__ = ["VERIFY_REQUIRED_LINE", "Verified"]

VERIFY_REQUIRED_LINE = "ERROR: verify_ok=true is required for apply/mutate operations"
"""What a user is told, word for word: scripts look for it."""


class Verified:
    """Stops an apply without a verification, or with one that failed."""

    name = "verify"
    reason = BlockReason.VERIFY_MISSING

    def check(self, case: GateCase) -> Verdict:
        """See :class:`modekeeper.gates.base.Gate`."""
        if case.verify_ok is True:
            return let_pass(self)
        if case.verify_ok is None:
            return block(self, "no verification of this plan was given")
        return block(self, "the verification of this plan failed", BlockReason.VERIFY_FAILED)
