"""Documents signed as ``modekeeper.trust`` verifies them: ed25519 over the RFC 8785 payload without the signature."""

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from modekeeper.artifacts.canonical import document
from modekeeper.model.errors import BadInputError
from modekeeper.trust.canonical_payload import SIGNATURE_FIELD, canonical_payload
from modekeeper.trust.fields import MOMENT_FORMAT
from modekeeper.trust.issuer_keyset import ISSUER_KEYSET_SCHEMA, read_issuer_keyset
from modekeeper.trust.keyring import Keyring
from modekeeper.trust.license import LICENSE_SCHEMA, License, read_license

__all__ = ["LicenseTerms", "keyset", "licence", "moment"]


class LicenseTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What a licence grants, to whom, until when and where."""

    org: str
    issuer: str
    issued_at: datetime
    expires_at: datetime
    """The first moment at which it is no longer good."""
    entitlements: tuple[str, ...]
    bindings: Mapping[str, str]
    """``cluster``, ``host``, ``org``: each that is there must be met."""


def moment(when: datetime) -> str:
    """A time as licences write it.

    Raises:
        BadInputError: it cannot be written so.
    """
    if when.year < 1000:  # noqa: PLR2004 - four digits
        raise BadInputError(f"the year {when.year} is no year of a licence")
    return when.strftime(MOMENT_FORMAT)


def licence(terms: LicenseTerms, kid: str, key: Ed25519PrivateKey) -> tuple[bytes, License]:
    """The file of a licence signed by ``key``, whose name is ``kid``, and the licence as a customer reads it.

    Raises:
        LicenseDocumentError: a customer's ModeKeeper would refuse its form: a field is empty, too long, not visible.
    """
    if not terms.entitlements:
        raise BadInputError("a licence without an entitlement opens nothing: give --entitlement")
    fields: dict[str, Any] = {
        "schema_version": LICENSE_SCHEMA,
        "org": terms.org,
        "kid": kid,
        "issuer": terms.issuer,
        "issued_at": moment(terms.issued_at),
        "expires_at": moment(terms.expires_at),
        "entitlements": sorted(set(terms.entitlements)),
    }
    if terms.bindings:
        fields["bindings"] = dict(terms.bindings)
    data = _signed(fields, key)
    return data, read_license(data)


def keyset(  # noqa: D417 - the rest is told by the summary
    keyring: Keyring, *, kid: str, key: Ed25519PrivateKey, version: int, issued_at: datetime, expires_at: datetime
) -> bytes:
    """The issuers' keyring and deny-list, signed by the root's ``key``, whose name is ``kid``.

    Args:
        version: grows with every keyset: a customer who saw one takes no older one.

    Raises:
        IssuerKeysetError: a customer's ModeKeeper would refuse its form.
    """
    data = _signed(
        {
            "schema_version": ISSUER_KEYSET_SCHEMA,
            "kid": kid,
            "version": version,
            "issued_at": moment(issued_at),
            "expires_at": moment(expires_at),
            "keys": {name: base64.b64encode(raw).decode() for name, raw in keyring.keys.items()},
            "revoked_kids": sorted(keyring.revoked_kids),
            "revoked_licenses": sorted(keyring.revoked_licenses),
        },
        key,
    )
    read_issuer_keyset(data)
    return data


def _signed(fields: Mapping[str, Any], key: Ed25519PrivateKey) -> bytes:
    try:
        payload = canonical_payload(fields)
    except ValueError as error:
        raise BadInputError("a text holds what cannot be signed: half of a surrogate pair") from error
    return document({**fields, SIGNATURE_FIELD: base64.b64encode(key.sign(payload)).decode()})
