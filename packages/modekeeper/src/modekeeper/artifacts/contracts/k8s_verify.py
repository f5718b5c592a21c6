"""``k8s_verify_latest.json``: whether the cluster would accept a plan, and what the plan would do to it."""

from enum import StrEnum
from typing import Literal

import msgspec

from modekeeper.artifacts.canonical import canonical_digest
from modekeeper.artifacts.contracts.access import AccessHint
from modekeeper.artifacts.contracts.base import Report
from modekeeper.model.decision import Actuation

__all__ = [
    "AccessCheck",
    "AuditIncident",
    "AuditPart",
    "BlockerKind",
    "ClusterIdentity",
    "DryRunPart",
    "DryRunStatus",
    "Effect",
    "EffectPart",
    "K8sVerifyReport",
    "NamespacePart",
    "PodPart",
    "PodsPart",
    "VerifyBlocker",
    "VerifyChecks",
    "VerifyDiagnostics",
    "VerifyItem",
    "VerifyProblem",
    "verification_digest",
]


class BlockerKind(StrEnum):
    """Why a plan is not verified, in the order of precedence."""

    CLIENT_UNAVAILABLE = "client_unavailable"
    """The cluster did not answer, or does not know us."""
    NAMESPACE_MISSING = "namespace_missing"
    DEPLOYMENT_MISSING = "deployment_missing"
    """The object of an item, of whatever kind, is not there."""
    RBAC_DENIED = "rbac_denied"
    DRY_RUN_FAILED = "dry_run_failed"
    """The API server would not accept the patch as it is, or could not be asked."""
    UNKNOWN = "unknown"
    """It would accept the patch, and it would not do what the plan is for; or what it would do is not known."""


class Effect(StrEnum):
    """What a patch would do to the pods of an object."""

    HOT = "hot"
    """Running processes see the new values; nothing restarts."""
    RESTART = "restart"
    """The pods are replaced by pods with the new values."""
    REJECTED = "rejected"
    INERT = "inert"
    """Nothing that runs would change."""
    REVERTED = "reverted"
    """Whoever owns the object puts it back."""
    UNKNOWN = "unknown"


class DryRunStatus(StrEnum):
    """How the API server answered a dry run."""

    ACCEPTED = "accepted"
    REWRITTEN = "rewritten"
    """Accepted, with one of our values changed on the way."""
    REJECTED = "rejected"
    UNVERIFIABLE = "unverifiable"
    """An admission webhook cannot be asked without doing it for real."""
    DENIED = "denied"
    """By an authoriser."""
    FAILED = "failed"
    """No answer that says yes or no."""
    NOT_ASKED = "not_asked"


class VerifyBlocker(msgspec.Struct, frozen=True, kw_only=True):
    """The first reason, by kind, why the plan is not verified."""

    kind: BlockerKind
    index: int | None
    """Of the item in the plan; ``None`` where it is not about one item."""
    namespace: str | None
    name: str | None
    detail: str


class VerifyProblem(msgspec.Struct, frozen=True, kw_only=True):
    """One reason why an item is not verified."""

    kind: BlockerKind
    code: str
    """What exactly, for scripts: ``value_rewritten``, ``no_spare_gpu`` …"""
    detail: str


class AccessCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One SelfSubjectAccessReview."""

    verb: str
    api_group: str
    resource: str
    namespace: str | None
    name: str | None
    allowed: bool | None
    """``None``: the API server did not say."""
    reason: str


class DryRunPart(msgspec.Struct, frozen=True, kw_only=True):
    """One patch, asked for with ``dryRun=All`` and strict field validation."""

    status: DryRunStatus
    http_status: int | None = None
    """Where the API server said no."""
    detail: str = ""
    warnings: tuple[str, ...] = ()
    also_changes: tuple[str, ...] = ()
    """Paths that admission would change beside ours."""


class EffectPart(msgspec.Struct, frozen=True, kw_only=True):
    """The prediction, and what it rests on."""

    effect: Effect
    reason: str
    """For scripts: ``rolling_update``, ``template_immutable``, ``no_annotations_volume`` …"""
    detail: str


class PodPart(msgspec.Struct, frozen=True, kw_only=True):
    """One live pod a hot item would patch."""

    name: str
    uid: str
    resource_version: str
    live_values: dict[str, str | None]


class PodsPart(msgspec.Struct, frozen=True, kw_only=True):
    """The live pods of an object, sorted by name."""

    total: int
    listed: tuple[PodPart, ...]
    left_out: int
    differ: tuple[str, ...]
    """Annotation keys of which the live pods, those left out included, carry several values now."""
    dry_run: DryRunPart
    """Of the pod patch, on the first of them."""


class VerifyItem(msgspec.Struct, frozen=True, kw_only=True):
    """One item of the plan, against the live object."""

    index: int
    namespace: str
    kind: str
    name: str
    actuation: Actuation
    ok: bool
    blocker: BlockerKind | None
    """The first kind among ``problems``."""
    exists: bool | None
    """``None``: could not be found out."""
    api_version: str | None
    uid: str | None
    resource_version: str | None
    generation: int | None
    live_values: dict[str, str | None]
    """What the keys of the patch are now: hot, in every live pod; cold, in the pod template. ``null``: not there; a
    key is left out where there is not one value: pods that differ, no pods, or nothing that could be read."""
    recorded_values: dict[str, str | None]
    """What the object itself holds where the patch writes to; of hot items the record for pods made later."""
    new_values: dict[str, str]
    no_op: bool
    """Every value is there already."""
    can_get: bool | None
    can_patch: bool | None
    """The object; by a rule for its kind or for its name."""
    can_patch_pods: bool | None
    """Hot items only."""
    access: tuple[AccessCheck, ...]
    dry_run: DryRunPart
    pods: PodsPart | None
    """Hot items only, where the pods could be read."""
    effect: EffectPart
    problems: tuple[VerifyProblem, ...]
    notes: tuple[str, ...]
    repository_patch: str | None
    """Where another tool owns the object: the same change as a patch file for that tool's repository (YAML)."""


class VerifyChecks(msgspec.Struct, frozen=True, kw_only=True):
    """What was checked."""

    items: tuple[VerifyItem, ...] = ()


class NamespacePart(msgspec.Struct, frozen=True, kw_only=True):
    """One namespace of the plan."""

    name: str
    exists: bool | None
    """``None``: we may not look."""
    items: tuple[int, ...]
    """Indices in the plan."""
    items_ok: int
    ok: bool


class ClusterIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Which cluster answered."""

    server: str
    context: str | None
    user: str | None
    uid: str | None
    """Of the namespace ``kube-system``; ``None`` where it may not be read."""


class AuditIncident(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was changed under our field manager, and that no receipt accounts for."""

    kind: str
    """As plans name it; of a live pod ``Pod``."""
    namespace: str
    name: str
    uid: str
    values: dict[str, str | None]
    """By annotation key, what is there now; empty where it is about other fields."""
    changed_at: str | None
    """When our field manager changed the object last, as the API server wrote it down."""
    detail: str


class AuditPart(msgspec.Struct, frozen=True, kw_only=True):
    """Whether everything under our field manager has a receipt."""

    checked: bool = False
    """False: no receipts were named, or not everything could be looked at. Nothing is known then."""
    receipts_path: str | None = None
    """The folder of the applies; ``None``: none was named."""
    receipts: int = 0
    objects: int = 0
    """Workloads of the plan and their live pods that were looked at."""
    untold: int = 0
    """Of these, those of which the API server has nobody written down."""
    incidents_total: int = 0
    incidents: tuple[AuditIncident, ...] = ()
    """The first 200."""
    unread: tuple[str, ...] = ()
    """What could not be looked at, one line each."""


class VerifyDiagnostics(msgspec.Struct, frozen=True, kw_only=True):
    """Best effort; ``null`` is what could not be told, and ``explain.jsonl`` says why."""

    kubectl_version: str | None = None
    server_version: str | None = None
    auth_can_i_get_deployments: bool | None = None
    """In the one namespace of the plan; ``null`` where it names none or several."""
    auth_can_i_patch_deployments: bool | None = None
    auth_can_i_get_deployments_by_namespace: dict[str, bool | None] = {}
    """For each namespace in which the plan changes a Deployment."""
    auth_can_i_patch_deployments_by_namespace: dict[str, bool | None] = {}


class K8sVerifyReport(Report, frozen=True, kw_only=True):
    """``k8s_verify_latest.json``. Evidence for one plan and one cluster, for a short time; never a permission."""

    schema_version: Literal["v0"] = "v0"
    ok: bool
    verify_blocker: VerifyBlocker | None
    plan_path: str
    plan_digest: str | None
    """``None``: it is no plan."""
    plan_items: int
    cluster: ClusterIdentity | None
    """``None``: there was no way to one."""
    verified_at: str
    """When the first question was asked."""
    verification_expires_at: str
    checks: VerifyChecks
    items: tuple[VerifyItem, ...]
    """The same as ``checks.items``."""
    namespaces: tuple[NamespacePart, ...]
    audit: AuditPart
    diagnostics: VerifyDiagnostics
    access_hints: tuple[AccessHint, ...]
    """One for each rule that is missing."""
    role_yaml: str
    """All of them as one text for ``kubectl apply``; empty where none is missing."""
    summary_path: str
    explain_path: str
    verification_digest: str
    """``sha256:<hex>`` over the canonical JSON of everything but itself."""


def verification_digest(report: K8sVerifyReport) -> str:
    """``sha256:<hex>`` over the canonical JSON of everything but the digest itself."""
    fields = msgspec.to_builtins(report)
    del fields["verification_digest"]
    return canonical_digest(fields)
