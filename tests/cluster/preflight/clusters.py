"""Clusters in memory to run preflights on: one where everything is as it should be, to take things away from."""

from copy import deepcopy
from typing import Any

from modekeeper.cluster.memory import NAMESPACES, MemoryCluster, Rule
from modekeeper.cluster.preflight.checklist import CHECKS
from modekeeper.cluster.preflight.facts import Facts, Subject
from modekeeper.cluster.preflight.gather import gather
from modekeeper.model.cluster import Resource
from modekeeper.model.workload import find_workload_kind

NAMESPACE = "research"
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
DAEMON_SETS = Resource("apps", "v1", "daemonsets", "DaemonSet")
NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
HPAS = Resource("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
VPAS = Resource("autoscaling.k8s.io", "v1", "verticalpodautoscalers", "VerticalPodAutoscaler")

OBSERVE = (
    Rule(verbs=("get", "list", "watch"), groups=("apps",), resources=("deployments",), namespaces=(NAMESPACE,)),
    Rule(verbs=("get", "list", "watch"), resources=("pods",), namespaces=(NAMESPACE,)),
    Rule(verbs=("get",), resources=("pods/log",), namespaces=(NAMESPACE,)),
)
VERIFY = (
    Rule(verbs=("patch",), groups=("apps",), resources=("deployments",), namespaces=(NAMESPACE,)),
    Rule(verbs=("patch",), resources=("pods",), namespaces=(NAMESPACE,)),
)
SURROUNDINGS = (
    Rule(verbs=("get",), resources=("namespaces",)),
    Rule(verbs=("list",), resources=("nodes",)),
    Rule(verbs=("list",), groups=("apps",), resources=("daemonsets",)),
    Rule(verbs=("list",), groups=("autoscaling", "autoscaling.k8s.io"), resources=("*",)),
)
EVERYTHING_ASKED = (*OBSERVE, *VERIFY, *SURROUNDINGS)

TEMPLATE: dict[str, Any] = {
    "metadata": {"annotations": {"modekeeper/telemetry": "stdout-jsonl"}},
    "spec": {
        "containers": [
            {
                "name": "main",
                "resources": {"limits": {"nvidia.com/gpu": "2"}},
                "volumeMounts": [{"name": "podinfo", "mountPath": "/etc/podinfo"}],
            }
        ],
        "volumes": [
            {
                "name": "podinfo",
                "downwardAPI": {"items": [{"path": "annotations", "fieldRef": {"fieldPath": "metadata.annotations"}}]},
            }
        ],
    },
}
TRAINER: dict[str, Any] = {
    "metadata": {"name": "trainer", "namespace": NAMESPACE},
    "spec": {"replicas": 2, "template": TEMPLATE},
    "status": {"replicas": 2, "readyReplicas": 2},
}
GPU_NODE: dict[str, Any] = {
    "metadata": {"name": "gpu-1"},
    "status": {"allocatable": {"nvidia.com/gpu": "8", "cpu": "96"}},
}
PLUGIN: dict[str, Any] = {
    "metadata": {"name": "nvidia-device-plugin-daemonset", "namespace": "kube-system"},
    "spec": {
        "template": {"spec": {"containers": [{"name": "plugin", "image": "nvcr.io/nvidia/k8s-device-plugin:v1"}]}}
    },
}


def trainer(**changes: Any) -> dict[str, Any]:
    """The workload with parts changed, each named by its path: ``spec__replicas=3``; ``None`` takes one away."""
    made = deepcopy(TRAINER)
    for path, value in changes.items():
        *way, last = path.split("__")
        part = made
        for key in way:
            part = part.setdefault(key, {})
        if value is None:
            part.pop(last, None)
        else:
            part[last] = value
    return made


def ready(*, without: tuple[Resource, ...] = (), rules: tuple[Rule, ...] | None = EVERYTHING_ASKED) -> MemoryCluster:
    """A cluster in which every check passes."""
    cluster = MemoryCluster(user="observer", rules=rules)
    cluster.put(NAMESPACES, {"metadata": {"name": NAMESPACE}})
    things = ((DEPLOYMENTS, TRAINER), (NODES, GPU_NODE), (DAEMON_SETS, PLUGIN))
    for resource, thing in things:
        if resource not in without:
            cluster.put(resource, thing)
    return cluster


def subject(kind: str = "Deployment", name: str = "trainer", container: str | None = None) -> Subject:
    known = find_workload_kind(kind)
    assert known is not None
    return Subject(kind=known, namespace=NAMESPACE, name=name, container=container)


def facts_of(cluster: MemoryCluster, about: Subject | None = None) -> Facts:
    return gather(cluster, about or subject())


def statuses(facts: Facts) -> dict[str, str]:
    return {check.name: check.status for check in (check(facts) for check in CHECKS)}
