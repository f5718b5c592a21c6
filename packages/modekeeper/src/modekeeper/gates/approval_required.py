"""Cold changes restart pods, advanced ones may hide faults: a person says yes first."""

from modekeeper.gates.base import block, let_pass
from modekeeper.gates.case import GateCase
from modekeeper.model.decision import Actuation, BlockReason, RiskTier, Verdict
from modekeeper.policy.chord_spec import find_chord
from modekeeper.policy.knobs import find_knob
from modekeeper.policy.wording import listed, shown

__all__ = ["ApprovalRequired"]


class ApprovalRequired:
    """Stops what nobody approved. What cannot be classified counts as advanced."""

    name = "approval"
    reason = BlockReason.APPROVAL_REQUIRED

    def check(self, case: GateCase) -> Verdict:
        """See :class:`modekeeper.gates.base.Gate`."""
        why = _why(case)
        if why is None:
            return let_pass(self, "hot and safe: no approval needed")
        if case.signed_by:
            return let_pass(self, f"approved by {listed(case.signed_by)}: {why}")
        if case.approve_advanced is True or case.proposal.chord_id in case.approvals:
            return let_pass(self, f"approved: {why}")
        return block(self, f"{why}; approve with --approve-advanced")


def _why(case: GateCase) -> str | None:
    proposal = case.proposal
    spec = find_chord(case.catalog, proposal.chord_id)
    if spec is None or RiskTier.ADVANCED in {spec.risk_tier, proposal.risk_tier}:
        return f"{shown(proposal.chord_id)} is advanced"
    for action in proposal.actions:
        knob = find_knob(action.knob)
        if knob is None or knob.tier is RiskTier.ADVANCED:
            return f"{shown(action.knob)} is advanced"
        if Actuation.COLD in {knob.actuation, action.actuation}:
            return f"{knob.name} is cold: the pods restart"
    return None
