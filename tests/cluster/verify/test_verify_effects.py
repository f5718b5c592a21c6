"""On the real API server and controllers: what was predicted is what happens when the patch is made for real."""

from typing import Any

import pytest
from tests.cluster.control_plane import ControlPlane, wait_until
from tests.cluster.fake_nodes import FakeNodes
from tests.cluster.verify.on_cluster import (
    RESOURCES,
    apply_for_real,
    create,
    create_pod,
    path_of,
    pods,
    running_template,
    verified,
    wait_for_pods,
)
from tests.cluster_verify.test_effects import POD_LABELS
from tests.cluster_verify.worlds import KEY, codes, item

from modekeeper.artifacts.contracts.k8s_verify import Effect
from modekeeper.model.cluster import JsonObject
from modekeeper.model.decision import Actuation

HOT, COLD = Actuation.HOT, Actuation.COLD
CUSTOM = ("JobSet", "LeaderWorkerSet", "PyTorchJob", "TrainJob", "RayCluster", "RayJob", "VolcanoJob")


def values(plane: ControlPlane, namespace: str) -> list[str | None]:
    return [(pod["metadata"].get("annotations") or {}).get(KEY) for pod in pods(plane, namespace)]


def uids(plane: ControlPlane, namespace: str) -> set[str]:
    return {pod["metadata"]["uid"] for pod in pods(plane, namespace)}


RESTARTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "a Deployment": ("Deployment", {}, "rolling_update"),
    "a Deployment that recreates": ("Deployment", {"strategy": {"type": "Recreate"}}, "recreate"),
    "a StatefulSet": ("StatefulSet", {"serviceName": "trainer"}, "rolling_update"),
}


@pytest.mark.parametrize("what", RESTARTS)
def test_a_restart_is_a_restart(what: str, control_plane: ControlPlane, namespace: str, kwok: FakeNodes) -> None:
    kind, spec, reason = RESTARTS[what]
    create(control_plane, namespace, kind, **spec)
    wait_for_pods(control_plane, namespace, 2)
    before = uids(control_plane, namespace)
    change = item(namespace=namespace, kind=kind)
    judged = verified(control_plane, "admin", change)
    assert judged.ok, judged.problems
    assert (judged.effect.effect, judged.effect.reason) == (Effect.RESTART, reason)
    assert judged.dry_run.also_changes == ()
    assert uids(control_plane, namespace) == before
    assert apply_for_real(control_plane, change) == 200
    wait_until(lambda: values(control_plane, namespace) == ["4", "4"], "both pods have the new value", 60)
    assert not uids(control_plane, namespace) & before
    again = verified(control_plane, "admin", change)
    assert again.no_op
    assert again.effect.reason == "already_set"


INERT: dict[str, tuple[str, dict[str, Any], str]] = {
    "a paused Deployment": ("Deployment", {"paused": True}, "rollout_paused"),
    "a StatefulSet on delete": (
        "StatefulSet",
        {"serviceName": "trainer", "updateStrategy": {"type": "OnDelete"}},
        "on_delete",
    ),
    "a StatefulSet held back": (
        "StatefulSet",
        {
            "serviceName": "trainer",
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}},
        },
        "partition",
    ),
}


@pytest.mark.parametrize("what", INERT)
def test_what_is_inert_changes_nothing_that_runs(
    what: str, control_plane: ControlPlane, namespace: str, kwok: FakeNodes
) -> None:
    kind, spec, reason = INERT[what]
    create(control_plane, namespace, kind, **{key: value for key, value in spec.items() if key != "paused"})
    wait_for_pods(control_plane, namespace, 2)
    if "paused" in spec:  # one that is paused from the beginning has no pods
        path = path_of(RESOURCES[kind], namespace, "trainer")
        assert control_plane.request("admin", path, "PATCH", {"spec": {"paused": True}}).status == 200
    before = uids(control_plane, namespace)
    change = item(namespace=namespace, kind=kind)
    judged = verified(control_plane, "admin", change)
    assert (judged.effect.effect, judged.effect.reason) == (Effect.INERT, reason)
    assert judged.dry_run.status == "accepted"
    assert not judged.ok
    assert apply_for_real(control_plane, change) == 200
    path = path_of(RESOURCES[kind], namespace, "trainer")

    def seen() -> bool:
        found = control_plane.request("admin", path).body
        return bool(found["status"].get("observedGeneration") == found["metadata"]["generation"])

    wait_until(seen, "the controller saw the change")
    assert uids(control_plane, namespace) == before
    assert values(control_plane, namespace) == [None, None]


def test_a_statefulset_that_is_held_back_in_part_ends_with_mixed_pods(
    control_plane: ControlPlane, namespace: str, kwok: FakeNodes
) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
    create(control_plane, namespace, "StatefulSet", serviceName="trainer", updateStrategy=strategy)
    wait_for_pods(control_plane, namespace, 2)
    change = item(namespace=namespace, kind="StatefulSet")
    assert verified(control_plane, "admin", change).effect.reason == "partial_rollout"
    assert apply_for_real(control_plane, change) == 200
    wait_until(lambda: sorted(values(control_plane, namespace), key=str) == ["4", None], "the pods differ", 60)


def test_the_template_of_a_running_job_is_refused(control_plane: ControlPlane, namespace: str, kwok: FakeNodes) -> None:
    create(control_plane, namespace, "Job")
    wait_for_pods(control_plane, namespace, 1)
    change = item(namespace=namespace, kind="Job")
    judged = verified(control_plane, "admin", change)
    assert (judged.effect.effect, judged.effect.reason) == (Effect.REJECTED, "template_immutable")
    assert codes(judged) == ["dry_run_rejected"]
    assert judged.dry_run.http_status == 422
    assert judged.dry_run.detail.endswith("spec.template: Invalid value: field is immutable")
    assert apply_for_real(control_plane, change) == 422


def test_a_suspended_job_takes_the_value_along_when_it_starts(
    control_plane: ControlPlane, namespace: str, kwok: FakeNodes
) -> None:
    labels = {"labels": {"kueue.x-k8s.io/queue-name": "gpu"}}
    create(control_plane, namespace, "Job", suspend=True, metadata=labels)
    change = item(namespace=namespace, kind="Job")
    judged = verified(control_plane, "admin", change)
    assert (judged.effect.effect, judged.effect.reason) == (Effect.INERT, "suspended")
    assert "Kueue queue 'gpu'" in judged.effect.detail
    assert judged.dry_run.status == "accepted", judged.dry_run
    assert apply_for_real(control_plane, change) == 200
    path = path_of(RESOURCES["Job"], namespace, "trainer")
    assert control_plane.request("admin", path, "PATCH", {"spec": {"suspend": False}}).status == 200
    wait_for_pods(control_plane, namespace, 1)
    assert values(control_plane, namespace) == ["4"]


def test_a_cold_change_of_a_leader_worker_set_reaches_its_template(custom_kinds: ControlPlane, namespace: str) -> None:
    """Its operator does not run here: that the groups restart is what its documentation says."""
    made = create(custom_kinds, namespace, "LeaderWorkerSet")
    change = item(namespace=namespace, kind="LeaderWorkerSet")
    judged = verified(custom_kinds, "admin", change)
    assert judged.ok, judged.problems
    assert (judged.effect.effect, judged.effect.reason) == (Effect.RESTART, "group_restart")
    assert (judged.dry_run.status, judged.dry_run.also_changes) == ("accepted", ())
    assert (judged.live_values, judged.new_values) == ({KEY: None}, {KEY: "4"})
    assert apply_for_real(custom_kinds, change) == 200
    found = custom_kinds.request("admin", path_of(RESOURCES["LeaderWorkerSet"], namespace, "trainer")).body
    place = found["spec"]["leaderWorkerTemplate"]
    assert place["workerTemplate"]["metadata"]["annotations"] == {KEY: "4"}
    del place["workerTemplate"]["metadata"]["annotations"]
    assert found["spec"] == made["spec"]
    again = verified(custom_kinds, "admin", change)
    assert (again.live_values, again.effect.reason) == ({KEY: "4"}, "already_set")


@pytest.mark.parametrize("kind", [kind for kind in CUSTOM if kind != "LeaderWorkerSet"])
def test_a_cold_change_written_by_hand_misses_the_template_of_a_custom_kind_and_is_refused(
    kind: str, custom_kinds: ControlPlane, namespace: str
) -> None:
    create(custom_kinds, namespace, kind)
    change = item(namespace=namespace, kind=kind)
    judged = verified(custom_kinds, "admin", change)
    immutable = kind in ("JobSet", "TrainJob", "VolcanoJob")
    reason = "template_immutable" if immutable else "patch_misses_template"
    assert (judged.effect.effect, judged.effect.reason) == (Effect.REJECTED, reason)
    assert judged.dry_run.http_status == 422
    path = path_of(RESOURCES[kind], namespace, "trainer")
    answer = custom_kinds.request("admin", f"{path}?fieldValidation=Strict", "PATCH", change.patch)
    assert answer.status == 422
    assert 'unknown field "spec.template"' in answer.body["message"]


@pytest.mark.parametrize("kind", [*CUSTOM, "Deployment", "StatefulSet", "Job"])
def test_a_hot_change_is_accepted_for_the_pods_of_every_kind(
    kind: str, custom_kinds: ControlPlane, namespace: str, kwok: FakeNodes
) -> None:
    create(custom_kinds, namespace, kind, **({"serviceName": "trainer"} if kind == "StatefulSet" else {}))
    if kind in CUSTOM:
        create_pod(custom_kinds, namespace, "trainer-0", POD_LABELS[kind])
    if kind == "RayJob":
        path = path_of(RESOURCES[kind], namespace, "trainer")
        status = {"status": {"rayClusterName": "trainer-abcde"}}
        assert custom_kinds.request("admin", f"{path}/status", "PATCH", status).status == 200
    wait_until(lambda: len(pods(custom_kinds, namespace)) >= 1, "it has a pod")
    change = item(HOT, namespace=namespace, kind=kind)
    judged = verified(custom_kinds, "admin", change)
    assert judged.ok, judged.problems
    assert (judged.effect.effect, judged.effect.reason) == (Effect.HOT, "annotations_volume")
    before = uids(custom_kinds, namespace)
    assert apply_for_real(custom_kinds, change) == 200
    for pod in pods(custom_kinds, namespace):
        place = f"/api/v1/namespaces/{namespace}/pods/{pod['metadata']['name']}"
        assert custom_kinds.request("admin", place, "PATCH", change.pod_patch).status == 200
    assert set(values(custom_kinds, namespace)) == {"4"}
    assert uids(custom_kinds, namespace) <= before or kind in ("StatefulSet", "Deployment")


def test_the_live_value_of_a_hot_change_is_that_of_the_pods(
    control_plane: ControlPlane, namespace: str, kwok: FakeNodes
) -> None:
    create(control_plane, namespace, "Deployment")
    first, second = (pod["metadata"]["name"] for pod in wait_for_pods(control_plane, namespace, 2))

    def carry(name: str, value: str) -> None:
        patch = {"metadata": {"annotations": {KEY: value}}}
        place = f"/api/v1/namespaces/{namespace}/pods/{name}"
        assert control_plane.request("admin", place, "PATCH", patch).status == 200

    change = item(HOT, namespace=namespace)
    carry(first, "2")
    judged = verified(control_plane, "admin", change)
    assert judged.ok, judged.problems
    assert (judged.live_values, judged.recorded_values) == ({}, {KEY: None})
    assert judged.notes == ("the live pods differ now: dataloader_prefetch_factor is '2' in 1 pod, not set in 1 pod",)
    carry(second, "2")
    judged = verified(control_plane, "admin", change)
    assert (judged.live_values, judged.recorded_values) == ({KEY: "2"}, {KEY: None})
    assert judged.notes == ()


def gpu_template() -> JsonObject:
    template = running_template()
    template["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": "4"}}
    return template


def gpus_of_the_node(plane: ControlPlane, name: str, count: int) -> None:
    status = {"status": {key: {"nvidia.com/gpu": str(count)} for key in ("capacity", "allocatable")}}
    assert plane.request("admin", f"/api/v1/nodes/{name}/status", "PATCH", status).status == 200


def test_one_replica_with_every_gpu_waits_for_ever_unless_told_not_to_surge(
    control_plane: ControlPlane, namespace: str, kwok: FakeNodes
) -> None:
    (node,) = kwok.add()
    gpus_of_the_node(control_plane, node, 4)
    create(control_plane, namespace, "Deployment", replicas=1, template=gpu_template())
    wait_for_pods(control_plane, namespace, 1)
    change = item(namespace=namespace)
    judged = verified(control_plane, "admin", change)
    assert codes(judged) == ["no_spare_gpu"], judged
    assert "maxSurge: 0" in judged.problems[0].detail
    path = path_of(RESOURCES["Deployment"], namespace, "trainer")
    asked_for = {"spec": {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}}}
    assert control_plane.request("admin", path, "PATCH", asked_for).status == 200
    assert verified(control_plane, "admin", change).ok
    back = {"spec": {"strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}}}
    assert control_plane.request("admin", path, "PATCH", back).status == 200
    gpus_of_the_node(control_plane, node, 8)
    assert verified(control_plane, "admin", change).ok
    gpus_of_the_node(control_plane, node, 4)
    assert apply_for_real(control_plane, change) == 200

    def waits() -> bool:
        found = control_plane.request("admin", f"/api/v1/namespaces/{namespace}/pods").body["items"]
        reasons = [(c["type"], c.get("reason")) for pod in found for c in pod["status"].get("conditions", [])]
        return len(found) == 2 and ("PodScheduled", "Unschedulable") in reasons

    wait_until(waits, "the new pod waits beside the old one", 60)
    control_plane.request("admin", f"/api/v1/nodes/{node}", "DELETE")
