"""``issuer_keyset.v1``: the keys that may sign licences, signed by a root key. For the trust chain only."""

from datetime import datetime

import msgspec

from modekeeper.trust.canonical_payload import canonical_payload, payload_digest
from modekeeper.trust.faults import IssuerKeysetError
from modekeeper.trust.fields import DIGEST, KID, read_document
from modekeeper.trust.keyring import LONGEST_KEYRING_BYTES, Keyring, read_keys

__all__ = ["ISSUER_KEYSET_SCHEMA", "LONGEST_KEYSET_BYTES", "IssuerKeyset", "read_issuer_keyset"]

ISSUER_KEYSET_SCHEMA = "issuer_keyset.v1"
LONGEST_KEYSET_BYTES = LONGEST_KEYRING_BYTES
_REQUIRED = ("schema_version", "kid", "version", "issued_at", "expires_at", "keys", "signature")
_OPTIONAL = ("revoked_kids", "revoked_licenses")


class IssuerKeyset(msgspec.Struct, frozen=True, kw_only=True):
    """A keyset whose form is right. Nothing in it is true before its signature was verified."""

    kid: str
    """Of the root key that signed it."""
    version: int
    """From 1; each new keyset has a higher one, whichever root key signs it."""
    issued_at: datetime
    expires_at: datetime
    """The first moment at which it is no longer good."""
    keyring: Keyring
    signature: bytes
    payload: bytes
    digest: str


def read_issuer_keyset(data: bytes) -> IssuerKeyset:
    """The keyset in ``data``.

    Raises:
        IssuerKeysetError: it is none; codes begin with ``keyset_``, and end as those of a licence or a keyring.
    """
    try:
        return _read(data)
    except IssuerKeysetError as error:
        raise IssuerKeysetError(f"keyset_{error.code}", f"the issuer keyset: {error.detail}") from error


def _read(data: bytes) -> IssuerKeyset:
    fields = read_document(data, LONGEST_KEYSET_BYTES, IssuerKeysetError)
    fields.schema(ISSUER_KEYSET_SCHEMA)
    fields.exactly(_REQUIRED, _OPTIONAL)
    kid, version, signature = fields.match("kid", KID), fields.whole("version", 1), fields.signature()
    issued_at, expires_at = fields.moment("issued_at"), fields.moment("expires_at")
    if expires_at <= issued_at:
        raise IssuerKeysetError("field_invalid", "$.expires_at: must be later than issued_at")
    keyring = Keyring(
        keys=read_keys(fields.inner("keys"), IssuerKeysetError),
        revoked_kids=frozenset(fields.words("revoked_kids", KID)),
        revoked_licenses=frozenset(fields.words("revoked_licenses", DIGEST)),
    )
    payload = canonical_payload(fields.object)  # texts and one exact number, which that form can carry
    return IssuerKeyset(
        kid=kid,
        version=version,
        issued_at=issued_at,
        expires_at=expires_at,
        keyring=keyring,
        signature=signature,
        payload=payload,
        digest=payload_digest(payload),
    )
