"""From a transition to a change a person can review: actions, proposals, verdicts, plans."""

from enum import StrEnum
from typing import Any

import msgspec

from modekeeper.model.mode import Mode

__all__ = [
    "LICENCE_REASONS",
    "Action",
    "Actuation",
    "BlockReason",
    "CurrentValueSource",
    "PassportRef",
    "Plan",
    "PlanItem",
    "Promise",
    "Proposal",
    "RiskTier",
    "Target",
    "Verdict",
]


class Actuation(StrEnum):
    """How a new value reaches the job."""

    HOT = "hot"
    """Annotations of live pods: no restart."""
    COLD = "cold"
    """Annotations of the pod template: the pods restart."""


class RiskTier(StrEnum):
    """How much may go wrong. ``advanced`` always needs approval."""

    SAFE = "safe"
    ADVANCED = "advanced"


class CurrentValueSource(StrEnum):
    """Who says what a knob is set to now."""

    TELEMETRY = "telemetry"
    OPERATOR = "operator"
    CLUSTER = "cluster"


class BlockReason(StrEnum):
    """Why a change is stopped, in the order of precedence."""

    KILL_SWITCH_ACTIVE = "kill_switch_active"
    LICENSE_MISSING = "license_missing"
    LICENSE_INVALID = "license_invalid"
    LICENSE_EXPIRED = "license_expired"
    BINDING_MISMATCH = "binding_mismatch"
    ENTITLEMENT_MISSING = "entitlement_missing"
    PRO_NOT_INSTALLED = "pro_not_installed"
    VERIFY_MISSING = "verify_missing"
    VERIFY_FAILED = "verify_failed"
    VERIFY_PLAN_MISMATCH = "verify_plan_mismatch"
    VERIFY_CLUSTER_MISMATCH = "verify_cluster_mismatch"
    VERIFY_EXPIRED = "verify_expired"
    CHORD_UNKNOWN = "chord_unknown"
    PASSPORT_DENIED = "passport_denied"
    INVARIANT_VIOLATED = "invariant_violated"
    LIMIT_EXCEEDED = "limit_exceeded"
    APPROVAL_REQUIRED = "approval_required"
    COOLDOWN_ACTIVE = "cooldown_active"
    BUDGET_EXHAUSTED = "budget_exhausted"
    TARGET_CHANGED = "target_changed"
    EFFECT_UNKNOWN = "effect_unknown"
    RBAC_DENIED = "rbac_denied"


LICENCE_REASONS = frozenset(
    {
        BlockReason.LICENSE_MISSING,
        BlockReason.LICENSE_INVALID,
        BlockReason.LICENSE_EXPIRED,
        BlockReason.BINDING_MISMATCH,
        BlockReason.ENTITLEMENT_MISSING,
    }
)
"""What a licence may be the reason of."""


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """One knob change a chord asks for, in the knob's own unit."""

    knob: str
    unit: str
    current: float
    current_source: CurrentValueSource
    target: float
    lower_bound: float
    upper_bound: float
    step: float
    """Smallest change of this knob; ``target`` is a whole number of steps from ``lower_bound``."""
    actuation: Actuation
    ranks_must_agree: bool
    reason: str


class Promise(msgspec.Struct, frozen=True, kw_only=True):
    """The effect a chord stakes its name on; the outcome is recorded beside it."""

    metric: str
    direction: str
    """``lower`` or ``higher``."""
    at_least_rel: float
    """Smallest relative improvement that counts as kept."""
    within_samples: int


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy asks for at one tick. No action is an answer too."""

    policy: str
    """``chord`` or ``scalar``."""
    chord_id: str
    mode: Mode
    risk_tier: RiskTier
    actions: tuple[Action, ...] = ()
    invariants: tuple[str, ...] = ()
    promise: Promise | None = None
    reason: str = ""
    """One sentence for a person: why this, or why nothing."""
    notes: tuple[str, ...] = ()
    """What would make a better proposal possible (``knob_value_unknown:…``, ``cause_unknown`` …)."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one gate says of one proposal."""

    gate: str
    passed: bool
    reason: BlockReason | None = None
    """Set exactly when ``passed`` is false."""
    detail: str = ""


class Target(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """The workload a plan is for."""

    namespace: str
    kind: str
    name: str


class PlanItem(msgspec.Struct, frozen=True, kw_only=True):
    """One patch of one object. ``patch`` and ``pod_patch`` are JSON merge patches (RFC 7396)."""

    kind: str
    namespace: str
    name: str
    actuation: Actuation
    chord_id: str
    knobs: dict[str, str]
    """Knob name to the exact text of its new value."""
    patch: dict[str, Any]
    """For the object itself."""
    pod_patch: dict[str, Any] | None = None
    """For each live pod of the object; hot items only."""


class PassportRef(msgspec.Struct, frozen=True, kw_only=True):
    """Which passport: its content counts, not the file it came from."""

    name: str
    digest: str
    """``sha256:<hex>`` over its canonical JSON."""


class Plan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All patches of one decision; ``digest`` covers everything but itself."""

    schema_version: str
    digest: str
    items: tuple[PlanItem, ...]
    passport: PassportRef | None = None
    """The passport it was made under; ``None``, and not written: the built-in ``safe``."""
