"""What was found out about a plan and a cluster, before anybody judges it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from modekeeper.cluster.verify.asking import Told
from modekeeper.model.cluster import (
    AccessAnswer,
    AccessQuestion,
    ClusterContext,
    DryRunAnswer,
    JsonObject,
    ObjectList,
    ObjectRef,
    Resource,
    ServerVersion,
)
from modekeeper.model.decision import Plan, PlanItem
from modekeeper.model.workload import WorkloadKind

__all__ = ["NAMESPACES", "NODES", "PODS", "DryRun", "Facts", "GpuFacts", "ItemFacts", "Rights"]

NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
PODS = Resource("", "v1", "pods", "Pod")

Rights = Mapping[AccessQuestion, Told[AccessAnswer]]
"""What was asked about our own rights, and the answers."""


@dataclass(frozen=True, kw_only=True)
class DryRun:
    """A dry run, and the object it was made of."""

    before: JsonObject
    after: DryRunAnswer
    moved: bool = False
    """The object kept changing meanwhile: what else differs may not be admission's work."""


@dataclass(frozen=True, kw_only=True)
class GpuFacts:
    """What the nodes have, and who uses it."""

    nodes: Told[ObjectList]
    pods: Told[ObjectList]


@dataclass(frozen=True, kw_only=True)
class ItemFacts:
    """About one item. ``None`` is what was not asked, because an earlier answer left no reason to."""

    index: int
    item: PlanItem
    kind: WorkloadKind | None = None
    versions: Told[tuple[str, ...]] | None = None
    """Of the kind's API group, as served."""
    ref: ObjectRef | None = None
    namespace: Told[JsonObject] | None = None
    live: Told[JsonObject] | None = None
    was_got: bool = False
    """The object was read by its name, not in a list."""
    pods: Told[tuple[JsonObject, ...]] | None = None
    """The live pods, sorted by name."""
    dry_run: Told[DryRun] | None = None
    pod_dry_run: Told[DryRun] | None = None


@dataclass(frozen=True, kw_only=True)
class Facts:
    """About a whole plan."""

    plan: Plan
    context: ClusterContext
    version: Told[ServerVersion]
    identity: Told[JsonObject] | None = None
    """The namespace ``kube-system``."""
    namespaces: Mapping[str, Told[JsonObject]] = field(default_factory=dict)
    rights: Rights = field(default_factory=dict)
    gpus: GpuFacts | None = None
    """Where a rollout needs one to spare."""
    items: tuple[ItemFacts, ...] = ()
