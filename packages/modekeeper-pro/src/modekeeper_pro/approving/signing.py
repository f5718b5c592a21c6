"""An approval signed as ``modekeeper.trust`` verifies it: ed25519 over the RFC 8785 payload without the signature."""

import base64
from datetime import datetime
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from modekeeper.artifacts.canonical import document
from modekeeper.model.errors import BadInputError
from modekeeper.trust.approval import APPROVAL_SCHEMA, Approval, read_approval
from modekeeper.trust.canonical_payload import SIGNATURE_FIELD, canonical_payload
from modekeeper.trust.fields import MOMENT_FORMAT
from modekeeper.trust.keyring import KEYRING_SCHEMA, read_keyring

__all__ = ["Terms", "public_keyring", "signed_approval"]


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What is said yes to, by whom, and until when."""

    plan_digest: str
    cluster_uid: str | None
    approver: str
    kid: str
    approved_at: datetime
    expires_at: datetime
    """The first moment at which it is no longer good."""
    reason: str | None


def signed_approval(terms: Terms, key: Ed25519PrivateKey) -> tuple[bytes, Approval]:
    """The file of an approval signed by ``key``, and the approval as whoever applies reads it.

    Raises:
        ApprovalDocumentError: whoever applies would refuse its form: a field is empty, too long, not visible.
    """
    fields: dict[str, Any] = {
        "schema_version": APPROVAL_SCHEMA,
        "plan_digest": terms.plan_digest,
        "approver": terms.approver,
        "kid": terms.kid,
        "approved_at": terms.approved_at.strftime(MOMENT_FORMAT),
        "expires_at": terms.expires_at.strftime(MOMENT_FORMAT),
    }
    fields |= {} if terms.cluster_uid is None else {"cluster_uid": terms.cluster_uid}
    fields |= {} if terms.reason is None else {"reason": terms.reason}
    try:
        payload = canonical_payload(fields)
    except ValueError as error:
        raise BadInputError("a text holds what cannot be signed: half of a surrogate pair") from error
    data = document({**fields, SIGNATURE_FIELD: base64.b64encode(key.sign(payload)).decode()})
    return data, read_approval(data)


def public_keyring(kid: str, key: Ed25519PrivateKey) -> bytes:
    """The public half of a key as a keyring of one, which may be used as it is or added to another.

    Raises:
        KeyringError: ``kid`` is no name of a key.
    """
    encoded = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    data = document({"schema_version": KEYRING_SCHEMA, "keys": {kid: encoded}})
    read_keyring(data)
    return data
