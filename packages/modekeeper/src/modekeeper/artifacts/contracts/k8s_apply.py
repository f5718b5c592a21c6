"""``k8s_apply_latest.json``: what an apply or a rollback did to each object, or why it did nothing."""

from enum import StrEnum
from typing import Literal

import msgspec

from modekeeper.artifacts.canonical import canonical_digest
from modekeeper.artifacts.contracts.base import Report
from modekeeper.artifacts.contracts.k8s_verify import ClusterIdentity
from modekeeper.model.decision import Actuation, BlockReason, Verdict

__all__ = [
    "ApplyChecks",
    "ApplyItem",
    "ApplyPod",
    "ApplyStatus",
    "ApprovalPart",
    "K8sApplyReport",
    "LicensePart",
    "Operation",
    "Receipt",
    "receipt_digest",
]


class Operation(StrEnum):
    """What was asked for."""

    APPLY = "apply"
    ROLLBACK = "rollback"


class ApplyStatus(StrEnum):
    """What became of one object."""

    DONE = "done"
    """Written and read back."""
    NOT_DONE = "not_done"
    """Never tried: a reason that is not this object's stopped the plan before it."""
    FAILED = "failed"
    """Tried; the cluster said no, or did not say."""
    REFUSED = "refused"
    """Not tried, for a reason of its own, or of the whole plan where nothing was begun."""


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """One write that the API server confirmed. It stands for itself: no other part is needed to check it."""

    plan_digest: str
    kind: str
    namespace: str
    name: str
    uid: str
    place: tuple[str, ...]
    """Where the annotations stand: ``metadata, annotations``, or those of the pod template."""
    field_manager: str
    resource_version_before: str
    resource_version_after: str
    written_at: str
    """UTC, ISO 8601."""
    before: dict[str, str | None]
    """By annotation key, what was there. ``null``: it was not there."""
    after: dict[str, str | None]
    """By annotation key, what was read back."""
    digest: str
    """``sha256:<hex>`` over the canonical JSON of everything but itself."""


class ApplyPod(msgspec.Struct, frozen=True, kw_only=True):
    """One live pod of a hot item."""

    name: str
    uid: str
    status: ApplyStatus
    before: dict[str, str | None]
    """By annotation key, as read before the write; a key is left out where it could not be read."""
    after: dict[str, str | None]
    """By annotation key, as read back; empty where nothing was written, or it could not be read back."""
    receipt: Receipt | None
    """``None``: not written, or not known to be."""
    detail: str = ""


class ApplyItem(msgspec.Struct, frozen=True, kw_only=True):
    """One item of the plan."""

    index: int
    namespace: str
    kind: str
    name: str
    actuation: Actuation
    status: ApplyStatus
    """Of the whole item, its pods included: ``done`` only where each of them is."""
    block_reason: BlockReason | None
    """Why it was refused; ``None`` where it was not."""
    detail: str
    """One line for a person; empty where it is done."""
    uid: str | None
    """Of the live object; ``None`` where it was not read."""
    before: dict[str, str | None]
    """By annotation key, at the place the patch writes to, as read before the write. ``null``: it was not there; a
    key is left out where it could not be read."""
    after: dict[str, str | None]
    """By annotation key, as read back; empty where nothing was written, or it could not be read back."""
    wanted: dict[str, str | None]
    """By annotation key, what the patch sets. ``null``: it removes the key."""
    receipt: Receipt | None
    """Of the object's own write. ``None``: not written, or not known to be."""
    pods: tuple[ApplyPod, ...]
    """Hot items: every live pod, by name."""


class ApplyChecks(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for, object by object."""

    items: tuple[ApplyItem, ...] = ()


class LicensePart(msgspec.Struct, frozen=True, kw_only=True):
    """What the licence says, as far as it was looked at."""

    license_ok: bool
    license_path: str | None
    """Where it was read; ``None``: there was none."""
    reason: BlockReason | None
    """Why it allows nothing; ``None`` where it is good."""
    failure_code: str | None = None
    failure_detail: str | None = None
    kid: str | None = None
    org: str | None = None
    expires_at: str | None = None
    entitlements: tuple[str, ...] = ()


class ApprovalPart(msgspec.Struct, frozen=True, kw_only=True):
    """Who said yes."""

    required: bool | None
    """Whether the plan needs approval; ``None``: there is no plan to tell by."""
    approve_advanced: bool
    """``--approve-advanced`` was given."""
    approval_path: str | None
    """The file of a second person; ``None``: none was given."""
    approved: bool | None
    """Whether what is required was given. ``None``: a file was given and nobody could check it."""
    signed_by: tuple[str, ...] = ()
    """Keys (``kid``) whose signature under this plan's digest was checked."""


class K8sApplyReport(Report, frozen=True, kw_only=True):
    """``k8s_apply_latest.json``, of an apply and of a rollback. Written for every attempt, refused ones too."""

    schema_version: Literal["v0"] = "v0"
    operation: Operation
    dry_run: bool
    """False: both commands ask for the change itself."""
    apply_requested: bool
    apply_attempted: bool
    """The first write was sent."""
    apply_ok: bool
    """Every item is done; false where any is not."""
    block_reason: BlockReason | None
    """The first of ``block_reasons``."""
    reason: BlockReason | None
    """The same as ``block_reason``."""
    apply_blocked_reason: BlockReason | None
    """The same as ``block_reason``."""
    block_reasons: tuple[BlockReason, ...]
    """Every reason that is known, in the order of precedence; none where nothing was stopped."""
    detail: str
    """One line for a person: the first reason, or what failed; empty where all is done."""
    gates: tuple[Verdict, ...]
    """What each gate said."""
    kill_switch_active: bool
    kill_switch_signal: str | None
    """``env:MODEKEEPER_KILL_SWITCH``, ``file:<path>`` or ``configmap:<ns>/<name>``; ``None`` while not active."""
    force_requested: bool
    """``--force`` was given. It bypasses nothing."""
    internal_override_ignored: bool
    """``MODEKEEPER_INTERNAL_OVERRIDE`` was set. It bypasses nothing."""
    plan_path: str | None
    plan_digest: str | None
    """Of the plan that is applied, or of the one that is taken back; ``None``: it is no plan."""
    plan_items: int
    verify_ok: bool | None
    """Whether the verification stands for this plan; ``None``: none was found, or none is asked for."""
    verify_report_path: str | None
    verification_digest: str | None
    """As the verification says it of itself."""
    cluster: ClusterIdentity | None
    """The cluster that was asked; ``None``: none was."""
    license: LicensePart | None
    """``None``: it was not looked at."""
    approval: ApprovalPart
    checks: ApplyChecks
    items: tuple[ApplyItem, ...]
    """The same as ``checks.items``."""
    policy_bundle_path: str | None
    rollback_plan_path: str | None
    """The way back of this apply, or what a rollback followed; ``None``: there is none."""
    explain_path: str | None


def receipt_digest(receipt: Receipt) -> str:
    """``sha256:<hex>`` over the canonical JSON of everything but the digest itself."""
    fields = msgspec.to_builtins(receipt)
    del fields["digest"]
    return canonical_digest(fields)
