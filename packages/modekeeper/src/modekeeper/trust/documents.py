"""The signed documents as they stand in their files, for the published JSON Schemas.

The readers of this room are stricter than a schema can say: no key twice, one way to write each value, keys and
signatures that every verifier takes. A document that fits its schema may still be refused; one that does not, is.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

__all__ = ["ApprovalDocument", "BindingsDocument", "IssuerKeysetDocument", "KeyringDocument", "LicenseDocument"]

Line = Annotated[str, Meta(min_length=1, max_length=200, description="visible characters, Unicode form NFC")]
Kid = Annotated[str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="name of a key")]
Word = Annotated[str, Meta(pattern="^[a-z][a-z0-9_.-]{0,63}$")]
Digest = Annotated[str, Meta(pattern="^sha256:[0-9a-f]{64}$")]
Moment = Annotated[
    str, Meta(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$", description="UTC, whole seconds")
]
Key = Annotated[str, Meta(pattern="^[A-Za-z0-9+/]{43}=$", description="32 bytes in base64: an ed25519 public key")]
Signature = Annotated[
    str, Meta(pattern="^[A-Za-z0-9+/]{86}==$", description="64 bytes in base64: ed25519 over the RFC 8785 payload")
]
Version = Annotated[int, Meta(ge=1, le=2**53 - 1)]


class BindingsDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where alone a licence is good; one at least, and each that is there must be met."""

    cluster: Line | UnsetType = UNSET
    host: Line | UnsetType = UNSET
    org: Line | UnsetType = UNSET


class LicenseDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``license.v1``: what the vendor signs and a customer holds."""

    schema_version: Literal["license.v1"]
    org: Line
    kid: Kid
    issuer: Line
    issued_at: Moment
    expires_at: Moment
    entitlements: list[Word]
    bindings: BindingsDocument | UnsetType = UNSET
    signature: Signature


class KeyringDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``keyring.v1``: whose signature counts; of licences, of approvals, or of issuer keysets."""

    schema_version: Literal["keyring.v1"]
    keys: dict[Kid, Key]
    revoked_kids: list[Kid] | UnsetType = UNSET
    revoked_licenses: list[Digest] | UnsetType = UNSET
    """Digests of licences, and in the approvers' keyring of approvals."""


class IssuerKeysetDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``issuer_keyset.v1``: the keys that may sign licences, signed by a root key."""

    schema_version: Literal["issuer_keyset.v1"]
    kid: Kid
    version: Version
    issued_at: Moment
    expires_at: Moment
    keys: dict[Kid, Key]
    revoked_kids: list[Kid] | UnsetType = UNSET
    revoked_licenses: list[Digest] | UnsetType = UNSET
    signature: Signature


class ApprovalDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``approval.v1``: what a second person signs who has read one plan and says yes to it."""

    schema_version: Literal["approval.v1"]
    plan_digest: Digest
    cluster_uid: Line | UnsetType = UNSET
    approver: Line
    kid: Kid
    approved_at: Moment
    expires_at: Moment
    reason: Line | UnsetType = UNSET
    signature: Signature
