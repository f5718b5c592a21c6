"""``license.v1``: the document a vendor signs and a customer holds."""

from datetime import datetime

import msgspec

from modekeeper.trust.canonical_payload import canonical_payload, payload_digest
from modekeeper.trust.faults import LicenseDocumentError
from modekeeper.trust.fields import KID, WORD, read_document

__all__ = ["LICENSE_SCHEMA", "LONGEST_LICENSE_BYTES", "Bindings", "License", "read_license"]

LICENSE_SCHEMA = "license.v1"
LONGEST_LICENSE_BYTES = 64 * 1024
_REQUIRED = ("schema_version", "org", "kid", "issuer", "issued_at", "expires_at", "entitlements", "signature")
_BINDINGS = ("cluster", "host", "org")


class Bindings(msgspec.Struct, frozen=True, kw_only=True):
    """Where alone a licence is good: every one that is set must be met."""

    cluster: str | None = None
    """The uid of the namespace ``kube-system``."""
    host: str | None = None
    """The host name of the machine ``mk`` runs on."""
    org: str | None = None
    """The organisation this installation says it is of."""


class License(msgspec.Struct, frozen=True, kw_only=True):
    """A licence whose form is right. Nothing in it is true before its signature was verified."""

    org: str
    kid: str
    issuer: str
    issued_at: datetime
    expires_at: datetime
    """The first moment at which it is no longer good."""
    entitlements: tuple[str, ...]
    bindings: Bindings
    signature: bytes
    payload: bytes
    """What the signature is over."""
    digest: str
    """``sha256:<hex>`` of the payload: what a deny-list calls it."""


def read_license(data: bytes) -> License:
    """The licence in ``data``.

    Raises:
        LicenseDocumentError: it is none, with the first fault; codes as in :func:`read_document`, and
            ``schema_unsupported``, ``field_missing``, ``field_unknown``, ``field_invalid``, ``signature_malformed``.
    """
    fields = read_document(data, LONGEST_LICENSE_BYTES, LicenseDocumentError)
    fields.schema(LICENSE_SCHEMA)
    fields.exactly(_REQUIRED, ("bindings",))
    issued_at, expires_at = fields.moment("issued_at"), fields.moment("expires_at")
    if expires_at <= issued_at:
        raise LicenseDocumentError("field_invalid", "$.expires_at: must be later than issued_at")
    bindings = Bindings()
    if "bindings" in fields.object:
        bound = fields.inner("bindings")
        bound.exactly((), _BINDINGS)
        if not bound.object:
            raise LicenseDocumentError("field_invalid", "$.bindings: binds nothing; leave it out")
        bindings = Bindings(**{name: bound.text(name) for name in _BINDINGS if name in bound.object})
    org, kid, issuer = fields.text("org"), fields.match("kid", KID), fields.text("issuer")
    entitlements, signature = fields.words("entitlements", WORD), fields.signature()
    payload = canonical_payload(fields.object)  # all of it is known to be texts by now, which that form can carry
    return License(
        org=org,
        kid=kid,
        issuer=issuer,
        issued_at=issued_at,
        expires_at=expires_at,
        entitlements=entitlements,
        bindings=bindings,
        signature=signature,
        payload=payload,
        digest=payload_digest(payload),
    )
