"""What a change would do, by the kind, state and owners of its object."""

from copy import deepcopy
from typing import Any

import pytest
from tests.cluster_verify.worlds import (
    ANNOTATIONS_VOLUME,
    KEY,
    MOUNT,
    NODES,
    SUSPENDED,
    codes,
    item,
    pod,
    pod_template,
    verified,
    workload,
    world,
)

from modekeeper.artifacts.contracts.k8s_verify import Effect
from modekeeper.cluster.memory import Rule
from modekeeper.cluster.verify.cold import cold_effect
from modekeeper.cluster.verify.workloads import pod_templates, reaches_a_template
from modekeeper.model.cluster import JsonObject
from modekeeper.model.decision import Actuation
from modekeeper.model.workload import WORKLOAD_KINDS, find_workload_kind

HOT, COLD = Actuation.HOT, Actuation.COLD
READ_ONLY = (Rule(verbs=("get", "list", "watch"), groups=("*",)),)


def finished(status: str) -> list[JsonObject]:
    return [{"type": status, "status": "True"}]


COLD_EFFECTS: dict[str, tuple[str, dict[str, Any], Effect, str]] = {
    "a Deployment": ("Deployment", {}, Effect.RESTART, "rolling_update"),
    "a Deployment that recreates": ("Deployment", {"strategy": {"type": "Recreate"}}, Effect.RESTART, "recreate"),
    "a paused Deployment": ("Deployment", {"paused": True}, Effect.INERT, "rollout_paused"),
    "a Deployment without pods": ("Deployment", {"replicas": 0}, Effect.INERT, "scaled_to_zero"),
    "a StatefulSet": ("StatefulSet", {}, Effect.RESTART, "rolling_update"),
    "a StatefulSet on delete": ("StatefulSet", {"updateStrategy": {"type": "OnDelete"}}, Effect.INERT, "on_delete"),
    "a StatefulSet held back": (
        "StatefulSet",
        {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}},
        Effect.INERT,
        "partition",
    ),
    "a StatefulSet held back in part": (
        "StatefulSet",
        {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}},
        Effect.UNKNOWN,
        "partial_rollout",
    ),
    "a StatefulSet without pods": ("StatefulSet", {"replicas": 0}, Effect.INERT, "scaled_to_zero"),
    "a suspended Job": ("Job", {"suspend": True, "status": {}}, Effect.INERT, "suspended"),
    "a suspended JobSet": ("JobSet", SUSPENDED["JobSet"], Effect.INERT, "suspended"),
    "a LeaderWorkerSet": ("LeaderWorkerSet", {}, Effect.RESTART, "group_restart"),
    "a LeaderWorkerSet without groups": ("LeaderWorkerSet", {"replicas": 0}, Effect.INERT, "scaled_to_zero"),
    "a LeaderWorkerSet held back": (
        "LeaderWorkerSet",
        {"rolloutStrategy": {"rollingUpdateConfiguration": {"partition": 1}}},
        Effect.UNKNOWN,
        "partial_rollout",
    ),
    "a LeaderWorkerSet with leaders of their own": (
        "LeaderWorkerSet",
        {"leaderWorkerTemplate": {"size": 2, "leaderTemplate": pod_template(), "workerTemplate": pod_template()}},
        Effect.UNKNOWN,
        "leader_template",
    ),
    "a PyTorchJob": ("PyTorchJob", {}, Effect.INERT, "running_pods_untouched"),
    "a suspended PyTorchJob": ("PyTorchJob", SUSPENDED["PyTorchJob"], Effect.INERT, "suspended"),
    "a suspended TrainJob": ("TrainJob", SUSPENDED["TrainJob"], Effect.INERT, "suspended"),
    "a RayCluster": ("RayCluster", {}, Effect.INERT, "running_pods_untouched"),
    "a RayCluster with a strategy": (
        "RayCluster",
        {"upgradeStrategy": {"type": "Recreate"}},
        Effect.UNKNOWN,
        "upgrade_strategy",
    ),
    "a RayJob": ("RayJob", {}, Effect.INERT, "running_pods_untouched"),
    "a suspended RayJob": ("RayJob", SUSPENDED["RayJob"], Effect.INERT, "suspended"),
}


@pytest.mark.parametrize("what", COLD_EFFECTS)
def test_a_cold_change_does_what_its_kind_does(what: str) -> None:
    kind, spec, effect, reason = COLD_EFFECTS[what]
    found = workload(kind, **{key: value for key, value in spec.items() if key != "status"})
    found |= {"status": spec["status"]} if "status" in spec else {}
    judged = verified(world((kind, found)), item(kind=kind))
    assert (judged.effect.effect, judged.effect.reason) == (effect, reason)
    assert judged.ok is (effect is Effect.RESTART)


@pytest.mark.parametrize("kind", ["Job", "JobSet", "TrainJob", "VolcanoJob"])
def test_the_template_of_a_running_job_is_immutable(kind: str) -> None:
    """A reader that may not patch is told by the documentation alone."""
    cluster = world((kind, workload(kind)), rules=READ_ONLY)
    judged = verified(cluster, item(kind=kind))
    assert (judged.effect.effect, judged.effect.reason) == (Effect.REJECTED, "template_immutable")
    assert not judged.ok


@pytest.mark.parametrize("kind", ["Job", "JobSet", "TrainJob", "VolcanoJob"])
def test_an_answer_against_the_documentation_makes_the_effect_unknown(kind: str) -> None:
    judged = verified(world((kind, workload(kind))), item(kind=kind))
    assert (judged.effect.effect, judged.effect.reason) == (Effect.UNKNOWN, "accepted_against_documentation")


def test_a_job_that_is_over_says_so() -> None:
    found = workload("Job")
    found["status"]["conditions"] = finished("Complete")
    judged = verified(world(("Job", found), rules=READ_ONLY), item(kind="Job"))
    assert "over" in judged.effect.detail


def test_a_patch_beside_the_template_of_a_leader_worker_set_restarts_nothing() -> None:
    patch = {"spec": {"template": {"metadata": {"annotations": {KEY: "4"}}}}}
    effect = cold_effect("LeaderWorkerSet", workload("LeaderWorkerSet"), patch)
    assert (effect.effect, effect.reason) == (Effect.INERT, "patch_misses_template")


@pytest.mark.parametrize("kind", [known.kind for known in WORKLOAD_KINDS])
def test_a_planned_cold_change_always_reaches_a_template(kind: str) -> None:
    """Where planning writes is where verify finds the pod template."""
    found = workload(kind)
    known = find_workload_kind(kind)
    assert known is not None
    paths = [template.path for template in pod_templates(kind, found)]
    assert (paths == [known.template]) is (known.template is not None)
    assert reaches_a_template(kind, found, item(kind=kind).patch) is (known.template is not None)


@pytest.mark.parametrize("kind", [known.kind for known in WORKLOAD_KINDS])
def test_a_refusal_of_the_api_server_is_the_last_word(kind: str) -> None:
    cluster = world((kind, workload(kind)))
    cluster.admit(lambda ref, _new: (_ for _ in ()).throw(cluster.denial(ref, "no", status=422, reason="Invalid")))
    judged = verified(cluster, item(kind=kind))
    reason = (
        "refused_by_api_server" if kind in ("Deployment", "StatefulSet", "LeaderWorkerSet") else "patch_misses_template"
    )
    reason = "template_immutable" if kind in ("Job", "JobSet", "TrainJob", "VolcanoJob") else reason
    assert (judged.effect.effect, judged.effect.reason) == (Effect.REJECTED, reason)
    assert judged.blocker == "dry_run_failed"


# Owners

OWNERS: dict[str, tuple[JsonObject, str]] = {
    "Argo CD by label": ({"labels": {"argocd.argoproj.io/instance": "train"}}, "Argo CD"),
    "Argo CD by annotation": ({"annotations": {"argocd.argoproj.io/tracking-id": "a:apps/Deployment:t/t"}}, "Argo CD"),
    "Argo CD by its fields": ({"managedFields": [{"manager": "argocd-controller", "operation": "Apply"}]}, "Argo CD"),
    "Flux by label": ({"labels": {"kustomize.toolkit.fluxcd.io/name": "train"}}, "Flux"),
    "Flux and Helm": ({"labels": {"helm.toolkit.fluxcd.io/name": "train"}}, "Flux"),
    "Flux by its fields": ({"managedFields": [{"manager": "kustomize-controller", "operation": "Apply"}]}, "Flux"),
    "Helm by label": ({"labels": {"app.kubernetes.io/managed-by": "Helm"}}, "Helm"),
    "Helm by annotation": ({"annotations": {"meta.helm.sh/release-name": "train"}}, "Helm"),
}


@pytest.mark.parametrize("what", OWNERS)
@pytest.mark.parametrize("actuation", [HOT, COLD])
def test_what_a_repository_owns_is_put_back_and_the_repository_gets_a_patch(what: str, actuation: Actuation) -> None:
    metadata, tool = OWNERS[what]
    judged = verified(world(("Deployment", workload(metadata=metadata)), pods=(pod(),)), item(actuation))
    assert (judged.effect.effect, judged.effect.reason) == (Effect.REVERTED, "owned_by_repository")
    assert tool in judged.effect.detail
    assert not judged.ok
    assert judged.repository_patch is not None
    assert judged.repository_patch.startswith("apiVersion: ")
    assert f'"{KEY}": "4"' in judged.repository_patch


def test_flux_that_is_told_to_leave_it_alone_puts_nothing_back() -> None:
    metadata = {
        "labels": {"kustomize.toolkit.fluxcd.io/name": "train"},
        "annotations": {"kustomize.toolkit.fluxcd.io/reconcile": "disabled"},
    }
    judged = verified(world(("Deployment", workload(metadata=metadata))), item())
    assert judged.effect.effect is Effect.RESTART


def test_an_object_somebody_made_points_to_who_made_it() -> None:
    owners = [{"kind": "TrainingThing", "name": "big", "controller": True}]
    judged = verified(world(("Deployment", workload(metadata={"ownerReferences": owners}))), item())
    assert (judged.effect.effect, judged.effect.reason) == (Effect.REVERTED, "owned_by_controller")
    assert "'TrainingThing' 'big'" in judged.effect.detail


def test_another_manager_of_the_same_key_is_worth_a_note() -> None:
    place: JsonObject = {"f:spec": {"f:template": {"f:metadata": {"f:annotations": {f"f:{KEY}": {}}}}}}
    fields = [{"manager": "ci", "operation": "Apply", "fieldsV1": place}]
    judged = verified(world(("Deployment", workload(metadata={"managedFields": fields}))), item())
    assert judged.ok
    assert any("'ci' applies the same key" in note for note in judged.notes)


def test_an_object_that_is_going_away_is_left_alone() -> None:
    metadata = {"deletionTimestamp": "2026-01-31T09:00:00Z"}
    judged = verified(world(("Deployment", workload(metadata=metadata))), item())
    assert (judged.effect.effect, judged.effect.reason) == (Effect.INERT, "being_deleted")


# Values that are there already


def test_a_cold_change_that_is_there_already_is_said_to_be() -> None:
    found = workload(template=pod_template(annotations={KEY: "4"}))
    judged = verified(world(("Deployment", found)), item())
    assert judged.no_op
    assert (judged.effect.effect, judged.effect.reason) == (Effect.INERT, "already_set")
    assert judged.live_values == {KEY: "4"}
    assert not judged.ok
    assert judged.effect.detail == "nothing to do: the pod template already holds every value; make a new plan"
    assert [problem.detail for problem in judged.problems] == [judged.effect.detail]


@pytest.mark.parametrize("pod_has_it", [True, False])
def test_a_hot_change_is_there_only_when_every_pod_has_it(pod_has_it: bool) -> None:
    one = pod()
    one["metadata"]["annotations"] = {KEY: "4"} if pod_has_it else {KEY: "2"}
    judged = verified(world(("Deployment", workload(metadata={"annotations": {KEY: "4"}})), pods=(one,)), item(HOT))
    assert judged.no_op is pod_has_it
    assert judged.ok is not pod_has_it
    told = "nothing to do: the pods already carry every value; make a new plan"
    assert [problem.detail for problem in judged.problems] == ([told] if pod_has_it else [])


# The values now


def carrying(name: str, value: str | None) -> JsonObject:
    one = pod(name)
    one["metadata"]["annotations"] = {} if value is None else {KEY: value}
    return one


@pytest.mark.parametrize("recorded", [None, "3", "4"])
@pytest.mark.parametrize("carried", [None, "2"])
def test_a_hot_change_starts_from_what_the_live_pods_carry(carried: str | None, recorded: str | None) -> None:
    """Not from the object's own annotation: that is only the record."""
    over = carrying("over", "9")
    over["status"]["phase"] = "Succeeded"
    found = workload(metadata={"annotations": {} if recorded is None else {KEY: recorded}})
    pods = (carrying("trainer-0", carried), carrying("trainer-1", carried), over)
    judged = verified(world(("Deployment", found), pods=pods), item(HOT))
    assert judged.ok, judged.problems
    assert judged.live_values == {KEY: carried}
    assert judged.recorded_values == {KEY: recorded}
    assert judged.pods is not None
    assert judged.pods.differ == ()
    assert not any("differ" in note for note in judged.notes)


@pytest.mark.parametrize("recorded", [None, "2"])
def test_pods_that_carry_the_new_value_already_leave_only_the_record_to_write(recorded: str | None) -> None:
    found = workload(metadata={"annotations": {} if recorded is None else {KEY: recorded}})
    judged = verified(world(("Deployment", found), pods=(carrying("trainer-0", "4"),)), item(HOT))
    assert (judged.ok, judged.no_op, judged.live_values) == (True, False, {KEY: "4"})
    assert judged.notes == ("the live pods already carry every value: only the record on the object would change",)


def test_pods_that_differ_are_said_to_with_how_many_carry_what() -> None:
    carried = ["2", "2", "\x1b[2J", None, *map(str, range(10, 75))]
    pods = tuple(carrying(f"trainer-{n:02}", value) for n, value in enumerate(carried))
    judged = verified(world(("Deployment", workload()), pods=pods), item(HOT))
    assert judged.ok
    assert judged.live_values == {}
    assert judged.pods is not None
    assert judged.pods.left_out > 0
    assert judged.pods.differ == (KEY,)
    (note,) = [note for note in judged.notes if "differ" in note]
    assert note.startswith("the live pods differ now: dataloader_prefetch_factor is '2' in 2 pods, ")
    assert note.endswith(", 63 more values")
    assert note.isprintable()


def test_the_one_pod_that_differs_may_be_one_that_is_not_listed() -> None:
    pods = tuple(carrying(f"trainer-{n:02}", "2") for n in range(60))
    judged = verified(world(("Deployment", workload()), pods=(*pods, carrying("trainer-99", None))), item(HOT))
    assert judged.live_values == {}
    assert any("'2' in 60 pods, not set in 1 pod" in note for note in judged.notes)


def test_values_nobody_could_read_are_left_out() -> None:
    rules = [Rule(verbs=("get", "list", "patch"), groups=("apps",)), Rule(verbs=("get",), resources=("namespaces",))]
    judged = verified(world(("Deployment", workload()), pods=(pod(),), rules=rules), item(HOT))
    assert (judged.live_values, judged.recorded_values, judged.pods) == ({}, {KEY: None}, None)
    for actuation in (HOT, COLD):
        judged = verified(world(), item(actuation))
        assert (judged.live_values, judged.recorded_values) == ({}, {})


def test_without_live_pods_there_is_no_live_value() -> None:
    judged = verified(world(("Deployment", workload(metadata={"annotations": {KEY: "2"}}))), item(HOT))
    assert (judged.live_values, judged.recorded_values) == ({}, {KEY: "2"})


# Hot


def changed(**changes: Any) -> JsonObject:
    one = pod()
    for path, value in changes.items():
        if path == "volumes":
            one["spec"]["volumes"] = value
        else:
            one["spec"]["containers"][0][path] = value
    return one


def each_key(key: str) -> JsonObject:
    path = f"metadata.annotations['{key}']"
    return {"name": "podinfo", "downwardAPI": {"items": [{"path": "knob", "fieldRef": {"fieldPath": path}}]}}


PROJECTED = {"name": "podinfo", "projected": {"sources": [{"downwardAPI": ANNOTATIONS_VOLUME["downwardAPI"]}]}}
LABELS_ONLY = {
    "name": "podinfo",
    "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]},
}
VARIABLE = {"name": "K", "valueFrom": {"fieldRef": {"fieldPath": f"metadata.annotations['{KEY}']"}}}

CARRIERS: dict[str, tuple[JsonObject, Effect, str]] = {
    "a volume of all annotations": (pod(), Effect.HOT, "annotations_volume"),
    "a projected volume": (changed(volumes=[PROJECTED]), Effect.HOT, "annotations_volume"),
    "a volume of this very key": (changed(volumes=[each_key(KEY)]), Effect.HOT, "annotations_volume"),
    "a volume of another key": (changed(volumes=[each_key("x")]), Effect.INERT, "no_annotations_volume"),
    "a volume of labels": (changed(volumes=[LABELS_ONLY]), Effect.INERT, "no_annotations_volume"),
    "no volume": (changed(volumes=[], volumeMounts=[]), Effect.INERT, "no_annotations_volume"),
    "a volume nobody mounts": (changed(volumeMounts=[]), Effect.INERT, "volume_not_mounted"),
    "a subPath": (changed(volumeMounts=[MOUNT | {"subPath": "annotations"}]), Effect.INERT, "sub_path_mount"),
    "a subPathExpr": (changed(volumeMounts=[MOUNT | {"subPathExpr": "$(X)"}]), Effect.INERT, "sub_path_mount"),
    "a variable": (changed(volumes=[], volumeMounts=[], env=[VARIABLE]), Effect.INERT, "environment_variable"),
    "a subPath and a whole mount": (
        changed(volumeMounts=[MOUNT | {"subPath": "annotations"}, MOUNT]),
        Effect.HOT,
        "annotations_volume",
    ),
}


@pytest.mark.parametrize("what", CARRIERS)
def test_only_a_mounted_volume_carries_a_hot_change(what: str) -> None:
    one, effect, reason = CARRIERS[what]
    judged = verified(world(("Deployment", workload()), pods=(one,)), item(HOT))
    assert (judged.effect.effect, judged.effect.reason) == (effect, reason)
    assert judged.ok is (effect is Effect.HOT)


def test_ranks_that_would_differ_are_no_hot_change() -> None:
    without = changed(volumes=[], volumeMounts=[])
    without["metadata"]["name"] = "trainer-1"
    judged = verified(world(("Deployment", workload()), pods=(pod(), without)), item(HOT))
    assert (judged.effect.effect, judged.effect.reason) == (Effect.UNKNOWN, "some_pods_without_volume")
    assert "1 of 2" in judged.effect.detail


def test_pods_that_end_or_have_ended_are_no_live_pods() -> None:
    over, going = pod("over"), pod("going")
    over["status"]["phase"] = "Succeeded"
    going["metadata"]["deletionTimestamp"] = "2026-01-31T09:00:00Z"
    judged = verified(world(("Deployment", workload()), pods=(over, going)), item(HOT))
    assert (judged.effect.effect, judged.effect.reason) == (Effect.INERT, "no_live_pods")


POD_LABELS = {
    "Deployment": {"app": "trainer"},
    "StatefulSet": {"app": "trainer"},
    "Job": {"app": "trainer"},
    "JobSet": {"jobset.sigs.k8s.io/jobset-name": "trainer"},
    "TrainJob": {"jobset.sigs.k8s.io/jobset-name": "trainer"},
    "LeaderWorkerSet": {"leaderworkerset.sigs.k8s.io/name": "trainer"},
    "PyTorchJob": {"training.kubeflow.org/job-name": "trainer"},
    "RayCluster": {"ray.io/cluster": "trainer"},
    "RayJob": {"ray.io/cluster": "trainer-abcde"},
    "VolcanoJob": {"volcano.sh/job-name": "trainer"},
}


@pytest.mark.parametrize("kind", POD_LABELS)
def test_a_hot_change_works_for_the_pods_of_every_kind(kind: str) -> None:
    mine, other = pod(labels=POD_LABELS[kind]), pod("other", labels={"app": "other"})
    judged = verified(world((kind, workload(kind)), pods=(mine, other)), item(HOT, kind=kind))
    assert judged.ok, judged.problems
    assert judged.pods is not None
    assert [each.name for each in judged.pods.listed] == ["trainer-0"]
    assert judged.pods.dry_run.status == "accepted"


def test_a_ray_job_without_its_cluster_has_no_pods_to_tell() -> None:
    found = workload("RayJob")
    found["status"] = {}
    judged = verified(world(("RayJob", found)), item(HOT, kind="RayJob"))
    assert "pods_not_told" in codes(judged)


@pytest.mark.parametrize(
    ("expression", "matches"),
    [
        ({"key": "app", "operator": "In", "values": ["trainer", "x"]}, True),
        ({"key": "app", "operator": "NotIn", "values": ["trainer"]}, False),
        ({"key": "app", "operator": "Exists"}, True),
        ({"key": "app", "operator": "DoesNotExist"}, False),
    ],
)
def test_a_selector_of_expressions_finds_its_pods(expression: JsonObject, matches: bool) -> None:
    found = workload(selector={"matchExpressions": [expression]})
    judged = verified(world(("Deployment", found), pods=(pod(),)), item(HOT))
    assert judged.pods is not None
    assert judged.pods.total == int(matches)


@pytest.mark.parametrize(
    "selector",
    [
        {"matchLabels": {"app": "trainer,b=c"}},
        {"matchLabels": {"app,x": "trainer"}},
        {"matchLabels": {"app": 1}},
        {"matchExpressions": [{"key": "app", "operator": "In", "values": ["trainer),(x"]}]},
        {"matchExpressions": [{"key": "app", "operator": "In", "values": "trainer"}]},
        {"matchExpressions": [{"key": "app", "operator": "Like", "values": ["trainer"]}]},
        {"matchExpressions": [{"operator": "Exists"}]},
        "app=trainer",
    ],
)
def test_a_selector_that_says_something_else_finds_nothing(selector: Any) -> None:
    judged = verified(world(("Deployment", workload(selector=selector)), pods=(pod(),)), item(HOT))
    assert codes(judged) == ["pods_not_told"]
    assert not judged.ok


def test_the_status_of_a_ray_job_cannot_name_other_pods() -> None:
    found = workload("RayJob")
    found["status"] = {"rayClusterName": "a,app=trainer"}
    assert "pods_not_told" in codes(verified(world(("RayJob", found), pods=(pod(),)), item(HOT, kind="RayJob")))


def test_an_empty_selector_never_means_every_pod() -> None:
    judged = verified(world(("Deployment", workload(selector={})), pods=(pod(),)), item(HOT))
    assert judged.pods is None
    assert "pods_not_told" in codes(judged)


# GPUs


def with_gpu(**spec: Any) -> JsonObject:
    template = pod_template()
    template["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": "4"}}
    fields: dict[str, Any] = {"replicas": 1, "template": template, **spec}
    return workload(**fields)


def node(name: str, gpus: int, *, ready: bool = True, **spec: Any) -> JsonObject:
    status = {
        "allocatable": {"nvidia.com/gpu": str(gpus)},
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
    }
    return {"metadata": {"name": name}, "spec": spec, "status": status}


def on_node(name: str, gpus: int) -> JsonObject:
    one = pod(f"busy-on-{name}", labels={"app": "other"})
    one["spec"]["nodeName"] = name
    one["spec"]["containers"][0]["resources"] = {"requests": {"nvidia.com/gpu": str(gpus)}}
    return one


GPU_WORLDS: dict[str, tuple[JsonObject, list[JsonObject], list[JsonObject], str | None]] = {
    "a free node": (with_gpu(), [node("a", 8)], [], None),
    "room beside another": (with_gpu(), [node("a", 8)], [on_node("a", 4)], None),
    "no room": (with_gpu(), [node("a", 8)], [on_node("a", 5)], "no_spare_gpu"),
    "no nodes": (with_gpu(), [], [], "no_spare_gpu"),
    "enough in sum, on no node": (with_gpu(), [node("a", 2), node("b", 2)], [], "no_spare_gpu"),
    "a node that is not ready": (with_gpu(), [node("a", 8, ready=False)], [], "no_spare_gpu"),
    "a cordoned node": (with_gpu(), [node("a", 8, unschedulable=True)], [], "no_spare_gpu"),
    "no surge": (
        with_gpu(strategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}),
        [],
        [],
        None,
    ),
    "recreate": (with_gpu(strategy={"type": "Recreate"}), [], [], None),
    "one of four may be missing": (with_gpu(replicas=4), [], [], None),
    "two replicas, a surge of one": (with_gpu(replicas=2), [], [], "no_spare_gpu"),
    "no GPU asked for": (workload(replicas=1), [], [], None),
}


@pytest.mark.parametrize("what", GPU_WORLDS)
def test_a_rollout_that_needs_a_spare_gpu_needs_one_that_is_there(what: str) -> None:
    found, nodes, others, code = GPU_WORLDS[what]
    cluster = world(("Deployment", found), pods=tuple(others))
    for each in nodes:
        cluster.put(NODES, each)
    judged = verified(cluster, item())
    assert judged.effect.effect is Effect.RESTART
    assert codes(judged) == ([code] if code else [])
    assert all("maxSurge: 0" in problem.detail for problem in judged.problems)


def test_nodes_that_may_not_be_read_are_no_proof_of_a_spare_gpu() -> None:
    rules = [Rule(verbs=("*",), groups=("*",), namespaces=("train",))]
    judged = verified(world(("Deployment", with_gpu()), rules=rules), item())
    assert codes(judged) == ["spare_gpu_unknown"]


# Kueue


def test_new_pods_of_a_queued_deployment_wait_in_the_queue_again() -> None:
    metadata = {"labels": {"kueue.x-k8s.io/queue-name": "gpu"}}
    judged = verified(world(("Deployment", workload(metadata=metadata))), item())
    assert judged.ok
    assert any("Kueue queue 'gpu'" in note for note in judged.notes)


@pytest.mark.parametrize("kind", SUSPENDED)
def test_a_job_kueue_holds_back_names_its_queue(kind: str) -> None:
    found = workload(kind, metadata={"labels": {"kueue.x-k8s.io/queue-name": "gpu"}}, **deepcopy(SUSPENDED[kind]))
    found.pop("status", None)
    judged = verified(world((kind, found)), item(kind=kind))
    assert (judged.effect.effect, judged.effect.reason) == (Effect.INERT, "suspended")
    assert "Kueue queue 'gpu'" in judged.effect.detail
