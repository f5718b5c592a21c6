"""The admission policy on a real API server: what is left of every right in a namespace."""

import json
import secrets
from typing import Any

import pytest
from tests.cluster.admission.conftest import Actuator
from tests.cluster.control_plane import ControlPlane
from tests.cluster.verify.on_cluster import RESOURCES, create, path_of

KEY = "modekeeper/knob.concurrency"
OURS = {KEY: "8"}
STARTING = {"modekeeper/knob.prefetch": "2", "team/owner": "research"}


def annotations(**keys: Any) -> dict[str, Any]:
    return {"metadata": {"annotations": keys}}


def template(body: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {"template": body}}


def in_container(**fields: Any) -> dict[str, Any]:
    """A JSON merge patch replaces a list: the container with its name, and with these fields."""
    return {"containers": [{"name": "trainer", "image": "registry.invalid/trainer:1"} | fields]}


def pod_manifest(name: str) -> dict[str, Any]:
    container = {"name": "trainer", "image": "registry.invalid/trainer:1"}
    # A service account's token would be mounted, and a list that names only the image would take the mount away.
    spec = {
        "containers": [container],
        "nodeSelector": {"no-node": "has-it"},
        "automountServiceAccountToken": False,
    }
    metadata = {"name": name, "annotations": STARTING, "labels": {"app": name}}
    return {"metadata": metadata, "spec": spec}


def made(plane: ControlPlane, namespace: str, kind: str, **spec: Any) -> str:
    """The path of a new object, with an annotation of ours and one of somebody else's."""
    name = f"trainer-{secrets.token_hex(4)}"
    if kind == "Pod":
        path = f"/api/v1/namespaces/{namespace}/pods"
        assert plane.request("admin", path, "POST", pod_manifest(name)).status == 201
        return f"{path}/{name}"
    create(plane, namespace, kind, name=name, metadata={"annotations": STARTING}, **spec)
    return path_of(RESOURCES[kind], namespace, name)


def intended(plane: ControlPlane, path: str) -> Any:
    """What people wrote of an object: neither its status nor what the server and its controllers number."""
    body = plane.request("admin", path).body
    body.pop("status", None)
    metadata = body["metadata"]
    for key in ("managedFields", "resourceVersion", "generation"):
        metadata.pop(key, None)
    metadata["annotations"].pop("deployment.kubernetes.io/revision", None)
    return body


ACCEPTED = {
    "annotation of a deployment": ("Deployment", {}, annotations(**OURS)),
    "annotation changed": ("Deployment", {}, annotations(**{"modekeeper/knob.prefetch": "4"})),
    "own annotation removed": ("Deployment", {}, annotations(**{"modekeeper/knob.prefetch": None})),
    "template of a deployment": ("Deployment", {}, template(annotations(**OURS))),
    "object and template at once": ("Deployment", {}, annotations(**OURS) | template(annotations(**OURS))),
    "annotation of a stateful set": ("StatefulSet", {}, annotations(**OURS)),
    "template of a stateful set": ("StatefulSet", {}, template(annotations(**OURS))),
    "annotation of a job": ("Job", {}, annotations(**OURS)),
    "template of a job that waits": ("Job", {"suspend": True}, template(annotations(**OURS))),
    "annotation of a pod": ("Pod", {}, annotations(**OURS)),
}

REFUSED = {
    "image": ("Deployment", template({"spec": in_container(image="registry.invalid/other:2")}), "template", "spec"),
    "command": ("Deployment", template({"spec": in_container(command=["sh"])}), "template", "spec"),
    "environment": (
        "Deployment",
        template({"spec": in_container(env=[{"name": "A", "value": "1"}])}),
        "template",
        "spec",
    ),
    "service account": ("Deployment", template({"spec": {"serviceAccountName": "other"}}), "template", "spec"),
    "host network": ("Deployment", template({"spec": {"hostNetwork": True}}), "template", "spec"),
    "template label": ("Deployment", template({"metadata": {"labels": {"a": "b"}}}), "template", "labels"),
    "replicas": ("Deployment", {"spec": {"replicas": 3}}, "spec", "replicas"),
    "paused": ("Deployment", {"spec": {"paused": True}}, "spec", "paused"),
    "strategy": ("Deployment", {"spec": {"strategy": {"type": "Recreate", "rollingUpdate": None}}}, "spec", "strategy"),
    "label": ("Deployment", {"metadata": {"labels": {"a": "b"}}}, "metadata", "labels"),
    "finalizer": ("Deployment", {"metadata": {"finalizers": ["modekeeper/x"]}}, "metadata", "finalizers"),
    "owner": (
        "Deployment",
        {"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "b"}]}},
        "metadata",
        "ownerReferences",
    ),
    "another annotation": ("Deployment", annotations(**{"team/budget": "1"}), "annotations", "team/budget"),
    "another's annotation changed": ("Deployment", annotations(**{"team/owner": "us"}), "annotations", "team/owner"),
    "another's annotation removed": ("Deployment", annotations(**{"team/owner": None}), "annotations", "team/owner"),
    "all annotations removed": ("Deployment", {"metadata": {"annotations": None}}, "annotations", "team/owner"),
    "ours and another's": ("Deployment", annotations(**OURS, **{"team/owner": "us"}), "annotations", "team/owner"),
    "ours and an image": (
        "Deployment",
        annotations(**OURS) | template({"spec": in_container(image="registry.invalid/other:2")}),
        "template",
        "spec",
    ),
    "ours and replicas": ("Deployment", annotations(**OURS) | {"spec": {"replicas": 0}}, "spec", "replicas"),
    "prefix with a domain": ("Deployment", annotations(**{"modekeeper.io/a": "1"}), "annotations", "modekeeper.io/a"),
    "prefix in capitals": ("Deployment", annotations(**{"ModeKeeper/a": "1"}), "annotations", "ModeKeeper/a"),
    "prefix without a slash": ("Deployment", annotations(modekeeper="1"), "annotations", "modekeeper"),
    "prefix behind another": ("Deployment", annotations(**{"x.modekeeper/a": "1"}), "annotations", "x.modekeeper/a"),
    "another annotation of the template": (
        "Deployment",
        template(annotations(**{"kubectl.kubernetes.io/restartedAt": "now"})),
        "template annotations",
        "kubectl.kubernetes.io/restartedAt",
    ),
    "ours and another's in the template": (
        "Deployment",
        template(annotations(**OURS, **{"team/budget": "1"})),
        "template annotations",
        "team/budget",
    ),
    "image of a stateful set": (
        "StatefulSet",
        template({"spec": in_container(image="registry.invalid/other:2")}),
        "template",
        "spec",
    ),
    "replicas of a stateful set": ("StatefulSet", {"spec": {"replicas": 3}}, "spec", "replicas"),
    "suspension of a job": ("Job", {"spec": {"suspend": True}}, "spec", "suspend"),
    "parallelism of a job": ("Job", {"spec": {"parallelism": 0}}, "spec", "parallelism"),
    "image of a pod": ("Pod", {"spec": in_container(image="registry.invalid/other:2")}, "spec", "containers"),
    "label of a pod": ("Pod", {"metadata": {"labels": {"a": "b"}}}, "metadata", "labels"),
    "another annotation of a pod": ("Pod", annotations(**{"team/budget": "1"}), "annotations", "team/budget"),
    "another's annotation of a pod removed": ("Pod", annotations(**{"team/owner": None}), "annotations", "team/owner"),
    "deadline of a pod": ("Pod", {"spec": {"activeDeadlineSeconds": 1}}, "spec", "activeDeadlineSeconds"),
}


@pytest.mark.parametrize("row", ACCEPTED)
def test_what_is_accepted_is_done(control_plane: ControlPlane, actuator: Actuator, row: str) -> None:
    kind, spec, patch = ACCEPTED[row]
    path = made(control_plane, actuator.namespace, kind, **spec)
    before = intended(control_plane, path)
    dry = actuator.request(f"{path}?dryRun=All", "PATCH", patch)
    assert dry.status == 200, dry.body
    assert intended(control_plane, path) == before
    real = actuator.request(path, "PATCH", patch)
    assert real.status == 200, real.body
    assert intended(control_plane, path) != before


@pytest.mark.parametrize("row", REFUSED)
def test_anything_else_is_refused_by_a_rule_that_is_named(
    control_plane: ControlPlane, actuator: Actuator, row: str
) -> None:
    kind, patch, rule, field = REFUSED[row]
    path = made(control_plane, actuator.namespace, kind)
    before = intended(control_plane, path)
    for question in ("?dryRun=All", ""):
        answer = actuator.request(f"{path}{question}", "PATCH", patch)
        assert answer.status == 422, answer.body
        assert f"rule {rule}: " in answer.body["message"]
        assert field in answer.body["message"].partition("not ")[2]
    assert intended(control_plane, path) == before


@pytest.mark.parametrize("row", REFUSED)
def test_others_are_not_affected(control_plane: ControlPlane, actuator: Actuator, row: str) -> None:
    kind, patch, _, field = REFUSED[row]
    answer = control_plane.request(
        "admin", f"{made(control_plane, actuator.namespace, kind)}?dryRun=All", "PATCH", patch
    )
    # An owner that is not there is no fault of the request: the garbage collector sees to it.
    assert answer.status == 200, (field, answer.body)


def test_a_replacement_is_judged_like_a_patch(control_plane: ControlPlane, actuator: Actuator) -> None:
    path = made(control_plane, actuator.namespace, "Pod")
    body = control_plane.request("admin", path).body
    body["metadata"]["annotations"] |= OURS
    del body["metadata"]["resourceVersion"]  # the scheduler writes to the status meanwhile
    accepted = actuator.request(path, "PUT", body)
    assert accepted.status == 200, accepted.body
    body = accepted.body
    body["metadata"]["labels"]["a"] = "b"
    del body["metadata"]["resourceVersion"]
    assert "rule metadata: " in actuator.request(path, "PUT", body).body["message"]


WITHOUT_CHANGE_OF_THE_OBJECT = {
    "delete": ("DELETE", "", None, "operation"),
    "scale": ("PATCH", "/scale", {"spec": {"replicas": 5}}, "subresource"),
    "status": ("PATCH", "/status", {"status": {"replicas": 5}}, "subresource"),
    "annotation through the status": ("PATCH", "/status", annotations(**OURS), "subresource"),
}


@pytest.mark.parametrize("row", WITHOUT_CHANGE_OF_THE_OBJECT)
def test_no_delete_and_no_subresource(control_plane: ControlPlane, actuator: Actuator, row: str) -> None:
    method, where, body, rule = WITHOUT_CHANGE_OF_THE_OBJECT[row]
    path = made(control_plane, actuator.namespace, "Deployment")
    answer = actuator.request(f"{path}{where}", method, body)
    assert answer.status == 422, answer.body
    assert f"rule {rule}: " in answer.body["message"]
    assert control_plane.request("admin", path).status == 200


POD_REQUESTS: dict[str, tuple[str, str, Any, str]] = {
    "delete": ("DELETE", "", None, "operation"),
    "evict": ("POST", "/eviction", {"apiVersion": "policy/v1", "kind": "Eviction"}, "operation"),
    "bind": ("POST", "/binding", {"target": {"kind": "Node", "name": "one"}}, "operation"),
    "exec": ("POST", "/exec?command=sh&stdout=true", None, "operation"),
    "debug": (
        "PATCH",
        "/ephemeralcontainers",
        {"spec": {"ephemeralContainers": [{"name": "a", "image": "b", "terminationMessagePolicy": "File"}]}},
        "subresource",
    ),
    "status": ("PATCH", "/status", {"status": {"message": "a"}}, "subresource"),
}


@pytest.mark.parametrize("row", POD_REQUESTS)
def test_nothing_but_annotations_of_a_pod(control_plane: ControlPlane, actuator: Actuator, row: str) -> None:
    method, where, body, rule = POD_REQUESTS[row]
    path = made(control_plane, actuator.namespace, "Pod")
    if body is not None and method == "POST":
        body = body | {"metadata": {"name": path.rpartition("/")[2]}}
    before = intended(control_plane, path)
    answer = actuator.request(f"{path}{where}", method, body)
    assert answer.status == 422, answer.body
    assert f"rule {rule}: " in answer.body["message"]
    assert intended(control_plane, path) == before


CREATED = {
    "configmap": ("/api/v1/namespaces/{}/configmaps", {"metadata": {"name": "a"}}),
    "secret": ("/api/v1/namespaces/{}/secrets", {"metadata": {"name": "a"}}),
    "event": ("/api/v1/namespaces/{}/events", {"metadata": {"name": "a"}, "involvedObject": {}}),
    "pod": ("/api/v1/namespaces/{}/pods", pod_manifest("one-more")),
    "token of its own account": (
        "/api/v1/namespaces/{}/serviceaccounts/modekeeper-actuator/token",
        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
    ),
    "role": ("/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles", {"metadata": {"name": "a"}, "rules": []}),
}


@pytest.mark.parametrize("row", CREATED)
def test_nothing_is_created(actuator: Actuator, row: str) -> None:
    path, body = CREATED[row]
    if "involvedObject" in body:
        body = {**body, "involvedObject": {"namespace": actuator.namespace}}
    answer = actuator.request(path.format(actuator.namespace), "POST", body)
    assert answer.status == 422, answer.body
    assert "rule operation: " in answer.body["message"]


def test_nothing_is_created_by_a_patch_that_applies(actuator: Actuator) -> None:
    manifest = '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied", "namespace": "%s"}}'
    plane = actuator.plane
    plane.write_kubeconfig(plane.kubeconfig(actuator.user), actuator.user, namespace=actuator.namespace)
    text = manifest % actuator.namespace
    done = plane.kubectl(actuator.user, "apply", "--server-side", "--validate=false", "-f", "-", stdin=text)
    assert done.returncode != 0
    assert "rule operation: " in done.stderr


def as_applied(actuator: Actuator, path: str, kind: str, manager: str, body: dict[str, Any]) -> None:
    """Server-side apply as the administrator or the actuator."""
    name = path.rpartition("/")[2]
    text = json.dumps(
        {"apiVersion": RESOURCES[kind].api_version, "kind": kind}
        | body
        | {"metadata": {"name": name} | body["metadata"]}
    )
    user = actuator.user if manager == "modekeeper" else "admin"
    actuator.plane.write_kubeconfig(actuator.plane.kubeconfig(user), user)
    words = ("apply", "--server-side", f"--field-manager={manager}", f"--namespace={actuator.namespace}", "-f", "-")
    done = actuator.plane.kubectl(user, *words, "--validate=false", stdin=text)
    assert done.returncode == 0, done.stderr


def managers(plane: ControlPlane, path: str) -> set[str]:
    return {
        entry["manager"]
        for entry in plane.request("admin", path).body["metadata"]["managedFields"]
        if entry["operation"] == "Apply"
    }


def test_our_annotations_may_be_applied_and_given_up(control_plane: ControlPlane, actuator: Actuator) -> None:
    path = made(control_plane, actuator.namespace, "Deployment")
    as_applied(actuator, path, "Deployment", "modekeeper", annotations(**OURS))
    assert managers(control_plane, path) == {"modekeeper"}
    as_applied(actuator, path, "Deployment", "modekeeper", annotations())
    assert KEY not in control_plane.request("admin", path).body["metadata"]["annotations"]


def test_who_applies_a_field_stays_on_the_record(control_plane: ControlPlane, actuator: Actuator) -> None:
    path = made(control_plane, actuator.namespace, "Deployment")
    as_applied(actuator, path, "Deployment", "release-tool", {"metadata": {}, "spec": {"replicas": 2}})
    answer = actuator.request(path, "PATCH", {"metadata": {"managedFields": [{}]}})
    assert answer.status == 422, answer.body
    assert "rule owners: " in answer.body["message"]
    assert managers(control_plane, path) == {"release-tool"}
    assert actuator.request(path, "PATCH", annotations(**OURS)).status == 200


WITHOUT_A_TEMPLATE_IN_REACH = ["JobSet", "PyTorchJob", "TrainJob", "RayCluster", "RayJob", "VolcanoJob"]


@pytest.mark.usefixtures("custom_kinds")
@pytest.mark.parametrize("kind", [*WITHOUT_A_TEMPLATE_IN_REACH, "LeaderWorkerSet"])
def test_custom_kinds_are_annotated_and_no_more(control_plane: ControlPlane, actuator: Actuator, kind: str) -> None:
    path = made(control_plane, actuator.namespace, kind)
    spec = control_plane.request("admin", path).body["spec"]
    accepted = actuator.request(path, "PATCH", annotations(**OURS))
    assert accepted.status == 200, accepted.body
    for field in spec:
        refused = actuator.request(path, "PATCH", {"spec": {field: None}})
        assert "rule spec: " in refused.body["message"], (field, refused.body)
    assert "rule annotations: " in actuator.request(path, "PATCH", annotations(other="1")).body["message"]
    assert control_plane.request("admin", path).body["spec"] == spec


@pytest.mark.usefixtures("custom_kinds")
def test_the_workers_of_a_leader_worker_set(control_plane: ControlPlane, actuator: Actuator) -> None:
    path = made(control_plane, actuator.namespace, "LeaderWorkerSet")

    def workers(**changed: Any) -> dict[str, Any]:
        return {"spec": {"leaderWorkerTemplate": changed}}

    accepted = actuator.request(path, "PATCH", workers(workerTemplate=annotations(**OURS)))
    assert accepted.status == 200, accepted.body
    for rule, patch in (
        ("spec", workers(size=9)),
        ("spec", workers(leaderTemplate={"spec": {}})),
        ("spec", {"spec": {"replicas": 7}}),
        ("template", workers(workerTemplate={"spec": {"containers": []}})),
        ("template annotations", workers(workerTemplate=annotations(other="1"))),
    ):
        assert f"rule {rule}: " in actuator.request(path, "PATCH", patch).body["message"], patch


def test_nothing_is_deleted_by_the_collection(control_plane: ControlPlane, actuator: Actuator) -> None:
    path = made(control_plane, actuator.namespace, "Deployment")
    answer = actuator.request(path.rpartition("/")[0], "DELETE")
    assert "rule operation: " in answer.body["message"]
    assert control_plane.request("admin", path).status == 200


@pytest.mark.parametrize(
    ("plural", "body"),
    [("configmaps", {}), ("secrets", {}), ("services", {"spec": {"ports": [{"port": 80}]}}), ("serviceaccounts", {})],
)
def test_our_annotations_are_for_workloads(
    control_plane: ControlPlane, actuator: Actuator, plural: str, body: dict[str, Any]
) -> None:
    path = f"/api/v1/namespaces/{actuator.namespace}/{plural}"
    made_by_admin = control_plane.request("admin", path, "POST", {"metadata": {"name": "other-kind"}, **body})
    assert made_by_admin.status == 201, made_by_admin.body
    answer = actuator.request(f"{path}/other-kind", "PATCH", annotations(**OURS))
    assert answer.status == 422, answer.body
    assert "rule kind: " in answer.body["message"]


def test_questions_about_oneself_are_answered(actuator: Actuator) -> None:
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "patch", "resource": "pods", "namespace": actuator.namespace}},
    }
    answer = actuator.request("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "POST", review)
    assert answer.status == 201, answer.body
    assert answer.body["status"]["allowed"]
