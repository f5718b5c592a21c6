"""The kinds of workload ModeKeeper knows, and where the API keeps them."""

from typing import NamedTuple

from modekeeper.model.cluster import Resource

__all__ = ["WORKLOAD_KINDS", "WorkloadKind", "find_workload_kind"]


class WorkloadKind(NamedTuple):
    """One kind a plan may name."""

    kind: str
    """As plans and options name it."""
    api_kind: str
    """As the API names it; another one where two groups have a kind of the same name."""
    group: str
    versions: tuple[str, ...]
    """The versions whose fields are known here, the newest first."""
    plural: str
    source: str
    """Where its fields are described."""
    template: tuple[str, ...] | None = None
    """Where it keeps the pod template, if a JSON merge patch (RFC 7396) that knows the kind alone can reach it.

    It cannot where templates stand in a list, which such a patch replaces as a whole (JobSet, Ray, Volcano), under
    names of the user's choice (PyTorchJob), or in another object (TrainJob).
    """

    def resource(self, version: str | None = None) -> Resource:
        """The resource of one version, by default the newest known one."""
        return Resource(self.group, version or self.versions[0], self.plural, self.api_kind)


_TEMPLATE = ("spec", "template")

WORKLOAD_KINDS: tuple[WorkloadKind, ...] = (
    WorkloadKind(
        "Deployment", "Deployment", "apps", ("v1",), "deployments", "Kubernetes API reference, apps/v1", _TEMPLATE
    ),
    WorkloadKind(
        "StatefulSet", "StatefulSet", "apps", ("v1",), "statefulsets", "Kubernetes API reference, apps/v1", _TEMPLATE
    ),
    WorkloadKind("Job", "Job", "batch", ("v1",), "jobs", "Kubernetes API reference, batch/v1", _TEMPLATE),
    WorkloadKind("JobSet", "JobSet", "jobset.x-k8s.io", ("v1alpha2",), "jobsets", "JobSet API reference"),
    WorkloadKind(
        "LeaderWorkerSet",
        "LeaderWorkerSet",
        "leaderworkerset.x-k8s.io",
        ("v1",),
        "leaderworkersets",
        "LeaderWorkerSet API reference",
        ("spec", "leaderWorkerTemplate", "workerTemplate"),
    ),
    WorkloadKind("PyTorchJob", "PyTorchJob", "kubeflow.org", ("v1",), "pytorchjobs", "Kubeflow training operator v1"),
    WorkloadKind(
        "TrainJob", "TrainJob", "trainer.kubeflow.org", ("v1alpha1",), "trainjobs", "Kubeflow trainer v2 API reference"
    ),
    WorkloadKind("RayCluster", "RayCluster", "ray.io", ("v1",), "rayclusters", "KubeRay API reference"),
    WorkloadKind("RayJob", "RayJob", "ray.io", ("v1",), "rayjobs", "KubeRay API reference"),
    WorkloadKind("VolcanoJob", "Job", "batch.volcano.sh", ("v1alpha1",), "jobs", "Volcano API reference"),
)


def find_workload_kind(kind: str) -> WorkloadKind | None:
    """The kind of that name, upper and lower case alike; ``None`` where there is none."""
    return next((known for known in WORKLOAD_KINDS if known.kind.lower() == kind.lower()), None)
