"""What decided, so that a decision can be traced to it and taken back."""

from typing import Any, Literal

import msgspec

from modekeeper.artifacts.contracts.parts import PassportPart

__all__ = ["PolicyBundle", "PolicyPart", "Provenance", "RollbackPart"]


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """Which code, on which machine. ``None`` where it cannot be told."""

    version: str
    git_commit: str | None
    """Commit of the checkout the product runs from; ``None`` when installed from a wheel."""
    git_dirty: bool | None
    host: str
    python: str


class PolicyPart(msgspec.Struct, frozen=True, kw_only=True):
    """Which policy, with which settings and which catalog."""

    name: str
    catalog_schema: str
    catalog_digest: str
    catalog_source: str
    """``built-in``, or the file it was narrowed by."""
    catalog_trusted: bool
    """False when a given catalog was refused: the built-in one stayed in force."""
    chords: tuple[str, ...]
    knob_registry_digest: str
    passport: PassportPart | None = None
    """The one in force; ``None`` of a rollback, which asks for none."""
    settings: dict[str, Any]


class RollbackPart(msgspec.Struct, frozen=True, kw_only=True):
    """How to go back."""

    from_verify_report: str | None
    rollback_plan_path: str | None


class PolicyBundle(msgspec.Struct, frozen=True, kw_only=True):
    """``policy_bundle_latest.json``.

    ``digest`` covers ``policy`` alone, so the same policy has the same digest on every machine.
    """

    schema_version: Literal["policy_bundle.v1"] = "policy_bundle.v1"
    digest: str
    created_at: str
    policy: PolicyPart
    provenance: Provenance
    plan_digest: str
    rollback: RollbackPart
