"""What can change a cluster. The public package has none: it looks for one by its entry point."""

from collections.abc import Mapping
from typing import Literal, Protocol, TypeVar

import msgspec

from modekeeper.ports.clock import Clock
from modekeeper.ports.store import ArtifactStore

__all__ = ["ACTUATOR_GROUP", "Actuator", "ApplyOrder", "ClusterWay", "GivenFile"]

ACTUATOR_GROUP = "modekeeper.actuator"
"""Entry-point group under which an installed package offers an :class:`Actuator`."""

ReportT_co = TypeVar("ReportT_co", covariant=True)


class GivenFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file the user named, read once: what is judged and what is acted upon are the same bytes."""

    path: str
    """As the user named it."""
    data: bytes
    """Hostile until parsed."""


class ClusterWay(msgspec.Struct, frozen=True, kw_only=True):
    """Which cluster, and how to talk to it; every actuator opens its own connection."""

    client: Literal["api", "kubectl"] = "api"
    kubeconfig: str | None = None
    """``None``: as kubectl finds it: ``KUBECONFIG``, ``~/.kube/config``, or the pod this runs in."""
    context: str | None = None
    """``None``: the current one."""
    request_timeout_s: float = 10.0
    """Deadline of one question."""


class ApplyOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for, and everything the user gave for it. Nothing in it is a permission."""

    plan: GivenFile | None
    """``k8s_plan.json``; a rollback may come without."""
    rollback_plan: GivenFile | None = None
    """``rollback_plan_latest.json``: for a rollback, which plan is taken back; for an apply, what the job ran with when
    the plan was made."""
    passport: GivenFile | None = None
    """What is allowed for the workload; ``None``: none was named, and the built-in ``safe`` counts."""
    verification: GivenFile | None = None
    """``k8s_verify_latest.json``; ``None``: none was given and none was found."""
    license_path: str | None = None
    """As given by the flag alone: the order of looking is the actuator's matter."""
    cluster: ClusterWay = ClusterWay()
    approve_advanced: bool = False
    approval: GivenFile | None = None
    """A second person's signed approval of the plan (``approval.v1``)."""
    approvers_path: str | None = None
    """The keyring of those who may approve, as given by the flag alone."""
    kill_switch_file: str | None = None
    force_requested: bool = False
    """Recorded; it bypasses nothing."""
    store: ArtifactStore
    """The folder of the artifacts."""
    clock: Clock
    environment: Mapping[str, str]


class Actuator(Protocol[ReportT_co]):
    """Applies plans and takes them back. ``ReportT_co`` is ``K8sApplyReport``, which lives in a room above this one.

    The entry point of the group ``modekeeper.actuator`` loads to such an object, or to a class or function that makes
    one from no arguments. Both calls run every gate themselves; what was checked before them counts for nothing. The
    report is returned for every attempt, refused ones too; the caller publishes it as ``k8s_apply_latest.json``, and
    the actuator writes what has to be on disk before a change (intent, undo, receipts) into ``order.store`` itself.

    Both raise a ``ModeKeeperError`` only where no report can be made, for a full disk for instance. A ``BadInputError``
    or ``RefusedError`` says that nothing was begun.
    """

    def apply(self, order: ApplyOrder) -> ReportT_co:
        """Apply the plan."""
        ...

    def rollback(self, order: ApplyOrder) -> ReportT_co:
        """Take a plan back: our own keys, where they still hold what we wrote."""
        ...
