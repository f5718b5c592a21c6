"""``preflight_latest.json``: whether a cluster is ready for ModeKeeper, subject by subject."""

from typing import Literal

import msgspec

from modekeeper.artifacts.contracts.access import AccessHint
from modekeeper.artifacts.contracts.base import Report
from modekeeper.model.decision import Target

__all__ = [
    "BLOCKERS",
    "PreflightAccess",
    "PreflightBlocker",
    "PreflightCheck",
    "PreflightContext",
    "PreflightReport",
    "PreflightStatus",
]

PreflightStatus = Literal["pass", "note", "fail", "unknown"]
"""``note``: worth knowing, stops nothing. ``unknown``: it could not be read; that stops only what cannot do without."""

PreflightBlocker = Literal[
    "client_unavailable", "namespace_missing", "deployment_missing", "container_missing", "rbac_denied", "unknown"
]
"""What stops ``mk observe --source k8s``. The words that ``mk k8s verify`` has too mean the same there."""

BLOCKERS: tuple[PreflightBlocker, ...] = (
    "client_unavailable",
    "namespace_missing",
    "deployment_missing",
    "container_missing",
    "rbac_denied",
    "unknown",
)
"""The order of precedence: what comes first explains what comes after it."""


class PreflightContext(msgspec.Struct, frozen=True, kw_only=True):
    """Which cluster was asked, and as whom. Nothing in it is a secret."""

    name: str | None
    """Of the kubeconfig; ``None`` inside a cluster."""
    server: str
    namespace: str
    user: str | None


class PreflightCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What one check found."""

    name: str
    status: PreflightStatus
    detail: str
    hint: str | None = None
    """What to do about it."""
    blocker: PreflightBlocker | None = None
    """Set where it stops the report from being ``ok``."""
    role_yaml: str | None = None
    """The role that is missing and its binding, ready for ``kubectl apply``."""


class PreflightAccess(msgspec.Struct, frozen=True, kw_only=True):
    """One right that a command needs, and whether our identity has it."""

    command: Literal["observe", "verify"]
    verb: str
    api_group: str
    resource: str
    """The plural; with a subresource as rules spell it: ``pods/log``."""
    namespace: str | None
    name: str | None
    allowed: bool | None
    """``None``: the cluster did not say."""
    hint: AccessHint | None = None
    """What to ask for, where it is denied."""


class PreflightReport(Report, frozen=True, kw_only=True):
    """``preflight_latest.json``."""

    schema_version: Literal["preflight.v0"] = "preflight.v0"
    ok: bool
    top_blocker: PreflightBlocker | None
    """The first of the checks' blockers in their order of precedence; ``None`` exactly where ``ok``."""
    context: PreflightContext | None
    """``None``: the way to the cluster cannot be told."""
    target: Target
    server_version: str | None
    checks: tuple[PreflightCheck, ...]
    access: tuple[PreflightAccess, ...]
    gpu_capacity_present: bool | None
    """Whether a node has GPUs to give; ``None``: the nodes could not be read."""
    gpu_allocatable: int | None
    """GPUs the nodes that were read can give."""
    nvidia_device_plugin_present: bool | None
    """Whether a device plugin is there to give them, as far as can be seen."""
    deploy_gpu_request: int | None
    """``nvidia.com/gpu`` asked for by the containers of the pod template, replicas not counted; of kinds with several
    templates the sum over them. ``None``: the workload could not be read."""
    container: str | None
    """Whose log ``mk observe`` would read; ``None`` where somebody has to say."""
    notes: tuple[str, ...]
    """What is worth knowing and stops nothing: warnings only."""
    preflight_path: str
    preflight_summary_path: str
    explain_path: str
