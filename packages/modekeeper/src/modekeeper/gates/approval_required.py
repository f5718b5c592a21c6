"""Cold changes restart pods, advanced ones may hide faults: a person says yes first. A passport may ask for more."""

from modekeeper.gates.base import block, let_pass
from modekeeper.gates.case import GateCase
from modekeeper.model.decision import Actuation, BlockReason, RiskTier, Verdict
from modekeeper.passports.allowed import approval_needed
from modekeeper.passports.passport import Approval
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
        if case.passport is None:
            return block(self, "who has to approve is not known: no passport is in force")
        advanced, cold = _advanced(case), _cold(case)
        own = advanced or cold
        needed = approval_needed(
            case.passport,
            chord_ids=(case.proposal.chord_id,),
            cold=cold is not None,
            advanced=advanced is not None,
        )
        if own is None and not case.proposal.actions:
            return let_pass(self, "nothing is asked for")
        if needed is Approval.NONE:
            return let_pass(self, "hot and safe: no approval needed")
        why = own or f"passport {shown(case.passport.name)!r} asks for approval"
        if case.into_plan and own is None:
            return let_pass(self, f"{why} ({needed}) before it is applied")
        said = _missing(case, needed)
        if said is not None:
            return block(self, f"{why}; {said}")
        by = f" by {listed(case.signed_by)}" if case.signed_by else ""
        return let_pass(self, f"approved{by}: {why}")


def _missing(case: GateCase, needed: Approval) -> str | None:
    """What has to be given yet, if anything. A second person's signature stands for an operator's yes too."""
    if case.signed_by:
        return None
    if needed is Approval.SIGNED and not case.into_plan:
        return "a second person has to sign the plan: --approval FILE"
    if case.approve_advanced is True or case.proposal.chord_id in case.approvals:
        return None
    return "approve with --approve-advanced"


def _advanced(case: GateCase) -> str | None:
    proposal = case.proposal
    spec = find_chord(case.catalog, proposal.chord_id)
    if spec is None or RiskTier.ADVANCED in {spec.risk_tier, proposal.risk_tier}:
        return f"{shown(proposal.chord_id)} is advanced"
    for action in proposal.actions:
        knob = find_knob(action.knob)
        if knob is None or knob.tier is RiskTier.ADVANCED:
            return f"{shown(action.knob)} is advanced"
    return None


def _cold(case: GateCase) -> str | None:
    if case.item_actuation is Actuation.COLD:
        return f"{shown(case.proposal.chord_id)} is carried out cold: the pods restart"
    for action in case.proposal.actions:
        knob = find_knob(action.knob)
        if Actuation.COLD in {action.actuation, knob.actuation if knob is not None else None}:
            return f"{shown(action.knob)} is cold: the pods restart"
    return None
