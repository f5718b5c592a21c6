"""Small worlds: a plan, the objects it is for, and their pods."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import msgspec

from modekeeper.artifacts.contracts.k8s_verify import VerifyItem
from modekeeper.cluster.memory import PODS, MemoryCluster
from modekeeper.cluster.verify.gather import gather
from modekeeper.cluster.verify.judge import Judgement, judge
from modekeeper.model.cluster import JsonObject, Resource
from modekeeper.model.decision import Actuation, Plan, PlanItem
from modekeeper.model.workload import find_workload_kind
from modekeeper.planning.plan import PLAN_SCHEMA, knob_annotations, patches, plan_digest

PREFETCH = "dataloader_prefetch_factor"
KEY = f"modekeeper/knob.{PREFETCH}"
NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
LABELS = {"app": "trainer"}

ANNOTATIONS_VOLUME = {
    "name": "podinfo",
    "downwardAPI": {"items": [{"path": "annotations", "fieldRef": {"fieldPath": "metadata.annotations"}}]},
}
MOUNT = {"name": "podinfo", "mountPath": "/etc/podinfo"}


def resource_of(kind: str) -> Resource:
    found = find_workload_kind(kind)
    assert found is not None
    return found.resource()


def item(
    actuation: Actuation = Actuation.COLD,
    *,
    kind: str = "Deployment",
    name: str = "trainer",
    namespace: str = "train",
    value: str = "4",
) -> PlanItem:
    """As planned; of a kind that no plan changes cold, as somebody would write it by hand."""
    knobs = {PREFETCH: value}
    known = find_workload_kind(kind)
    like = kind if known is not None and known.template is not None else "Deployment"
    patch, pod_patch = patches(like, actuation, knob_annotations(knobs))
    return PlanItem(
        kind=kind,
        namespace=namespace,
        name=name,
        actuation=actuation,
        chord_id="DRIFT-RETUNE",
        knobs=knobs,
        patch=patch,
        pod_patch=pod_patch,
    )


def plan_of(*items: PlanItem) -> Plan:
    plan = Plan(schema_version=PLAN_SCHEMA, digest="", items=items)
    return msgspec.structs.replace(plan, digest=plan_digest(plan))


def pod_template(**metadata: Any) -> JsonObject:
    containers = [{"name": "main", "image": "trainer", "volumeMounts": [deepcopy(MOUNT)]}]
    spec = {"containers": containers, "volumes": [deepcopy(ANNOTATIONS_VOLUME)]}
    return {"metadata": {"labels": dict(LABELS), **metadata}, "spec": spec}


SUSPENDED: Mapping[str, JsonObject] = {
    "Job": {"suspend": True},
    "JobSet": {"suspend": True},
    "PyTorchJob": {"runPolicy": {"suspend": True}},
    "TrainJob": {"suspend": True},
    "RayJob": {"suspend": True},
}


def workload(kind: str = "Deployment", *, metadata: JsonObject | None = None, **spec: Any) -> JsonObject:
    """A running object of a kind, as its operator would have it."""
    template = pod_template()
    specs: dict[str, JsonObject] = {
        "Deployment": {"replicas": 2, "selector": {"matchLabels": dict(LABELS)}, "template": template},
        "StatefulSet": {"replicas": 2, "selector": {"matchLabels": dict(LABELS)}, "template": template},
        "Job": {"selector": {"matchLabels": dict(LABELS)}, "template": template},
        "JobSet": {"replicatedJobs": [{"name": "w", "template": {"spec": {"template": template}}}]},
        "LeaderWorkerSet": {"replicas": 2, "leaderWorkerTemplate": {"size": 2, "workerTemplate": template}},
        "PyTorchJob": {"pytorchReplicaSpecs": {"Master": {"template": template}, "Worker": {"template": template}}},
        "TrainJob": {"runtimeRef": {"name": "torch"}},
        "RayCluster": {"headGroupSpec": {"template": template}, "workerGroupSpecs": [{"template": template}]},
        "RayJob": {"rayClusterSpec": {"headGroupSpec": {"template": template}}},
        "VolcanoJob": {"tasks": [{"name": "w", "replicas": 2, "template": template}]},
    }
    found: JsonObject = {"metadata": {"name": "trainer", "namespace": "train", **(metadata or {})}}
    found["spec"] = specs[kind] | spec
    if kind == "Job":
        found["status"] = {"active": 2, "startTime": "2026-01-31T08:00:00Z"}
    if kind == "RayJob":
        found["status"] = {"rayClusterName": "trainer-abcde"}
    return found


def pod(name: str = "trainer-0", *, labels: Mapping[str, str] = LABELS, namespace: str = "train") -> JsonObject:
    template = pod_template()
    metadata = {"name": name, "namespace": namespace, "labels": dict(labels)}
    return {"metadata": metadata, "spec": template["spec"], "status": {"phase": "Running"}}


def world(*objects: tuple[str, JsonObject], pods: tuple[JsonObject, ...] = (), **settings: Any) -> MemoryCluster:
    cluster = MemoryCluster(**settings)
    for kind, found in objects:
        cluster.put(resource_of(kind), deepcopy(found))
    for each in pods:
        cluster.put(PODS, deepcopy(each))
    return cluster


def verify(cluster: MemoryCluster, *items: PlanItem) -> Judgement:
    return judge(gather(cluster, plan_of(*items)))


def verified(cluster: MemoryCluster, one: PlanItem) -> VerifyItem:
    return verify(cluster, one).items[0]


def codes(found: VerifyItem) -> list[str]:
    return [problem.code for problem in found.problems]


def namespace_object(name: str, phase: str = "Active") -> JsonObject:
    return {"metadata": {"name": name}, "status": {"phase": phase}}
