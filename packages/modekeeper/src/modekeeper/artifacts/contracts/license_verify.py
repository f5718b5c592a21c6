"""``license_verify_latest.json``: whether a licence is good here, now, for what was asked."""

from typing import Literal

import msgspec

from modekeeper.artifacts.contracts.base import Report
from modekeeper.model.decision import BlockReason

__all__ = ["LicenseVerifyReport", "PlacePart"]


class PlacePart(msgspec.Struct, frozen=True, kw_only=True):
    """What the bindings of a licence were compared with; ``None``: not known, which meets no binding."""

    cluster_uid: str | None
    host: str | None
    org: str | None


class LicenseVerifyReport(Report, frozen=True, kw_only=True):
    """``license_verify_latest.json``. Evidence of a moment; nothing opens because of this file."""

    schema_version: Literal["license_verify.v0"] = "license_verify.v0"
    license_ok: bool
    reason: str
    """``license_ok``, or the same as ``reason_code``."""
    reason_code: BlockReason | None
    failure_code: str | None
    failure_detail: str | None
    kid: str | None
    """As the licence says; proven only where ``issuer`` is told."""
    issuer: str | None
    """This, and what else the licence says: only where its signature was verified."""
    org: str | None
    issued_at: str | None
    expiry: str | None
    """The same as ``expires_at``."""
    expires_at: str | None
    entitlements: tuple[str, ...]
    entitlements_summary: str
    license_digest: str | None
    """What a deny-list would call it."""
    wanted: tuple[str, ...]
    license_source: Literal["option", "environment", "folder", "none"]
    license_path: str | None
    keyring_source: Literal["option", "environment", "packaged", "chain"]
    keyring_path: str | None
    """Of the root keyring where the trust chain is on."""
    keyset_path: str | None
    keyset_version: int | None
    """Set where an issuer keyset was verified."""
    place: PlacePart
    notes: tuple[str, ...]
    explain_path: str
