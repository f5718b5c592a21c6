"""Who said yes, as reports tell it."""

from modekeeper.artifacts.contracts.k8s_apply import ApprovalPart
from modekeeper.artifacts.times import iso_utc
from modekeeper.trust.check_approval import ApprovalVerdict

__all__ = ["approval_fault", "approval_part"]


def approval_fault(verdict: ApprovalVerdict | None) -> str | None:
    """Why the approval that was given is not good; ``None`` where it is, or none was given."""
    if verdict is None or verdict.approved is True:
        return None
    return f"{verdict.failure_detail} [{verdict.failure_code}]"


def approval_part(
    verdict: ApprovalVerdict | None,
    *,
    required: bool | None,
    approve_advanced: bool,
    approval_path: str | None,
    approved: bool | None,
) -> ApprovalPart:
    """The part of ``k8s_apply_latest.json``.

    Args:
        verdict: on the file of a second person; ``None``: none was given.
        required: whether the plan needs approval; ``None``: there is no plan to tell by.
        approve_advanced: whether ``--approve-advanced`` was given.
        approval_path: the file, as the user named it.
        approved: what the gate said.
    """
    if verdict is None:
        return ApprovalPart(
            required=required, approve_advanced=approve_advanced, approval_path=approval_path, approved=approved
        )
    return ApprovalPart(
        required=required,
        approve_advanced=approve_advanced,
        approval_path=approval_path,
        approved=approved,
        signed_by=verdict.signed_by,
        approver=verdict.approver,
        expires_at=iso_utc(verdict.expires_at) if verdict.expires_at is not None else None,
        approval_digest=verdict.approval_digest,
        failure_code=verdict.failure_code,
        failure_detail=verdict.failure_detail,
    )
