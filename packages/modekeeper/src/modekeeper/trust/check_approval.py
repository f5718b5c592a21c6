"""The one question about an approval: did a second person say yes to this plan? Pure; steps of docs/APPROVALS.md."""

from datetime import datetime, timedelta

import msgspec

from modekeeper.model.untrusted import visible
from modekeeper.trust.approval import Approval, read_approval
from modekeeper.trust.check import CLOCK_TOLERANCE_S
from modekeeper.trust.ed25519 import signature_fault, signature_is_valid
from modekeeper.trust.faults import ApprovalDocumentError, ApprovalFileError, TrustError
from modekeeper.trust.fields import MOMENT_FORMAT
from modekeeper.trust.keyring import Keyring

__all__ = ["ApprovalVerdict", "check_approval"]


class ApprovalVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a second person said yes, or the first step that stopped it."""

    approved: bool
    failure_code: str | None = None
    """Set exactly when ``approved`` is false: what exactly, for scripts."""
    failure_detail: str | None = None
    """One line for a person; text from outside in it is escaped."""
    kid: str | None = None
    """As the document says, from step 4 on."""
    approver: str | None = None
    """This and all below: only once the signature was verified."""
    reason: str | None = None
    approved_at: datetime | None = None
    expires_at: datetime | None = None
    approval_digest: str | None = None

    @property
    def signed_by(self) -> tuple[str, ...]:
        """The ``kid`` of the person who said yes to this plan; nobody where it is not good."""
        return (self.kid,) if self.approved is True and self.kid else ()


class _Stop(msgspec.Struct, frozen=True):
    code: str
    detail: str


def check_approval(
    data: bytes | ApprovalFileError,
    *,
    approvers: Keyring | TrustError,
    plan_digest: str | None,
    cluster_uid: str | None,
    now: datetime,
) -> ApprovalVerdict:
    """Whether the approval in ``data`` is good for a plan. Whatever ``data`` holds, nothing is raised.

    Args:
        data: the bytes of the file, or why they cannot be read. Where none was given there is nothing to ask.
        approvers: who may approve, or why that cannot be told, which stops every approval.
        plan_digest: of the plan; ``None``: it is no plan, and no approval is for it.
        cluster_uid: of the namespace ``kube-system``; ``None``: not known, and no binding is met by that.
        now: the time of the one clock, with a zone.
    """
    # Step 1: it can be read.
    if isinstance(data, ApprovalFileError):
        return _stopped(_Stop(data.code, data.detail))
    # Steps 2 and 3: it is JSON without leniency, and exactly an approval.v1.
    try:
        document = read_approval(data)
    except ApprovalDocumentError as error:
        return _stopped(_Stop(error.code, error.detail))
    # Steps 4 to 6: the key, the signature, the deny-list.
    if stop := _key_stop(document, approvers):
        return _stopped(stop, kid=document.kid)
    # Steps 7 to 9: the time, the plan, the place.
    return _of(
        document,
        _time_stop(document, now) or _plan_stop(document, plan_digest) or _cluster_stop(document, cluster_uid),
    )


def _key_stop(document: Approval, approvers: Keyring | TrustError) -> _Stop | None:
    """Step 4: the approvers' keys can be used, and have the key, which is not revoked."""
    if isinstance(approvers, TrustError):
        return _Stop(approvers.code, approvers.detail)
    if document.kid in approvers.revoked_kids:
        return _Stop("kid_revoked", f"the key {document.kid!r} is revoked: its approvals count no more")
    if document.kid not in approvers.keys:
        text = f"none of the {len(approvers.keys)} approvers' keys is {document.kid!r}: list the approver's public key"
        return _Stop("kid_unknown", text)
    return _signature_stop(document, approvers)


def _signature_stop(document: Approval, approvers: Keyring) -> _Stop | None:
    """Steps 5 and 6: that very key signed these very fields; and they are not revoked."""
    if (fault := signature_fault(document.signature)) is not None:
        return _Stop("signature_malformed", f"the signature {fault}")
    if not signature_is_valid(approvers.keys[document.kid], document.signature, document.payload):
        text = f"the key {document.kid!r} did not sign what the approval says: get the file again"
        return _Stop("signature_mismatch", text)
    if document.digest in approvers.revoked_licenses:
        return _Stop("approval_revoked", f"the approval {document.digest} is revoked")
    return None


def _time_stop(document: Approval, now: datetime) -> _Stop | None:
    """Step 7: it is from the past, and not expired."""
    if document.approved_at - now > timedelta(seconds=CLOCK_TOLERANCE_S):
        return _Stop("approved_in_the_future", f"approved at {_iso(document.approved_at)}, and it is {_iso(now)}")
    if document.expires_at <= now:
        text = f"expired at {_iso(document.expires_at)}, and it is {_iso(now)}: ask for another one"
        return _Stop("approval_expired", text)
    return None


def _plan_stop(document: Approval, plan_digest: str | None) -> _Stop | None:
    """Step 8: it is of this plan."""
    if plan_digest is not None and document.plan_digest == plan_digest:
        return None
    this = "this is no plan" if plan_digest is None else f"this one has {visible(plan_digest, 80)}"
    return _Stop("plan_mismatch", f"it is of the plan with the digest {document.plan_digest}, and {this}")


def _cluster_stop(document: Approval, cluster_uid: str | None) -> _Stop | None:
    """Step 9: where it names a cluster, it is this one."""
    bound = document.cluster_uid
    if bound is None or bound == cluster_uid:
        return None
    if cluster_uid is None:
        return _Stop("cluster_unknown", f"it is for the cluster {bound!r}, and which cluster this is is not known")
    return _Stop("cluster_mismatch", f"it is for the cluster {bound!r}, and this is {visible(cluster_uid, 200)!r}")


def _stopped(stop: _Stop, kid: str | None = None) -> ApprovalVerdict:
    return ApprovalVerdict(approved=False, failure_code=stop.code, failure_detail=stop.detail, kid=kid)


def _of(document: Approval, stop: _Stop | None) -> ApprovalVerdict:
    return ApprovalVerdict(
        approved=stop is None,
        failure_code=stop.code if stop is not None else None,
        failure_detail=stop.detail if stop is not None else None,
        kid=document.kid,
        approver=document.approver,
        reason=document.reason,
        approved_at=document.approved_at,
        expires_at=document.expires_at,
        approval_digest=document.digest,
    )


def _iso(moment: datetime) -> str:
    return moment.strftime(MOMENT_FORMAT)
