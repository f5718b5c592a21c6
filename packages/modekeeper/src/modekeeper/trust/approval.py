"""``approval.v1``: what a second person signs who has read one plan and says yes to it."""

from datetime import datetime, timedelta

import msgspec

from modekeeper.trust.canonical_payload import canonical_payload, payload_digest
from modekeeper.trust.faults import ApprovalDocumentError
from modekeeper.trust.fields import DIGEST, KID, read_document

__all__ = ["APPROVAL_SCHEMA", "LONGEST_APPROVAL_BYTES", "LONGEST_APPROVAL_DAYS", "Approval", "read_approval"]

APPROVAL_SCHEMA = "approval.v1"
LONGEST_APPROVAL_BYTES = 64 * 1024
LONGEST_APPROVAL_DAYS = 7
"""A yes is to a plan in the state the job is in: after a week somebody looks again."""
_REQUIRED = ("schema_version", "plan_digest", "approver", "kid", "approved_at", "expires_at", "signature")
_OPTIONAL = ("cluster_uid", "reason")


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """An approval whose form is right. Nothing in it is true before its signature was verified."""

    plan_digest: str
    """Of the one plan it says yes to."""
    approver: str
    """Who said yes, as that person wrote it; who it was is told by ``kid`` alone."""
    kid: str
    approved_at: datetime
    expires_at: datetime
    """The first moment at which it is no longer good."""
    cluster_uid: str | None
    """Of the namespace ``kube-system`` of the only cluster it is good for; ``None``: of whichever the plan is for."""
    reason: str | None
    signature: bytes
    payload: bytes
    """What the signature is over."""
    digest: str
    """``sha256:<hex>`` of the payload: what a deny-list calls it."""


def read_approval(data: bytes) -> Approval:
    """The approval in ``data``.

    Raises:
        ApprovalDocumentError: it is none, with the first fault; codes as those of a licence.
    """
    fields = read_document(data, LONGEST_APPROVAL_BYTES, ApprovalDocumentError)
    fields.schema(APPROVAL_SCHEMA)
    fields.exactly(_REQUIRED, _OPTIONAL)
    approved_at, expires_at = fields.moment("approved_at"), fields.moment("expires_at")
    if not timedelta() < expires_at - approved_at <= timedelta(days=LONGEST_APPROVAL_DAYS):
        text = f"$.expires_at: must be later than approved_at, and at most {LONGEST_APPROVAL_DAYS} days later"
        raise ApprovalDocumentError("field_invalid", text)
    plan_digest, kid = fields.match("plan_digest", DIGEST), fields.match("kid", KID)
    approver, signature = fields.text("approver"), fields.signature()
    cluster_uid, reason = (fields.text(name) if name in fields.object else None for name in _OPTIONAL)
    payload = canonical_payload(fields.object)  # all of it is known to be texts by now, which that form can carry
    return Approval(
        plan_digest=plan_digest,
        approver=approver,
        kid=kid,
        approved_at=approved_at,
        expires_at=expires_at,
        cluster_uid=cluster_uid,
        reason=reason,
        signature=signature,
        payload=payload,
        digest=payload_digest(payload),
    )
