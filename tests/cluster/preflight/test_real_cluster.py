"""``mk k8s preflight`` as a process against a real API server: each user sees what its rights let it see."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cluster import audit
from tests.cluster.control_plane import ControlPlane, wait_until
from tests.cluster.preflight.processes import Done, as_user
from tests.cluster.roles.shipped import bind, bind_in_the_cluster, unbind_in_the_cluster

CLIENTS = ["api", "kubectl"]
LABELS = {"app": "trainer"}
TRAINER: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "trainer"},
    "spec": {
        "replicas": 1,
        "selector": {"matchLabels": LABELS},
        "template": {
            "metadata": {"labels": LABELS, "annotations": {"modekeeper/telemetry": "stdout-jsonl"}},
            "spec": {
                "containers": [
                    {
                        "name": "main",
                        "image": "registry.invalid/trainer:1",
                        "resources": {"limits": {"nvidia.com/gpu": "2"}},
                        "volumeMounts": [{"name": "podinfo", "mountPath": "/etc/podinfo"}],
                    }
                ],
                "volumes": [
                    {
                        "name": "podinfo",
                        "downwardAPI": {
                            "items": [{"path": "annotations", "fieldRef": {"fieldPath": "metadata.annotations"}}]
                        },
                    }
                ],
            },
        },
    },
}
HPA: dict[str, Any] = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "scaler"},
    "spec": {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "trainer"}},
}
NODE: dict[str, Any] = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "gpu-node-of-preflight"}}
CAPACITY = {"capacity": {"nvidia.com/gpu": "8"}, "allocatable": {"nvidia.com/gpu": "8"}}


def create(plane: ControlPlane, path: str, body: dict[str, Any]) -> None:
    answer = plane.request("admin", path, "POST", body)
    assert answer.status == 201, answer


@pytest.fixture
def trainer(control_plane: ControlPlane, namespace: str) -> str:
    """The namespace of a trainer that has all that a preflight looks for; no pod of it runs, as there is no node."""
    create(control_plane, f"/apis/apps/v1/namespaces/{namespace}/deployments", TRAINER)
    return namespace


@pytest.fixture
def gpu_node(control_plane: ControlPlane) -> Iterator[None]:
    """A node with eight GPUs, as far as the API server is concerned."""
    create(control_plane, "/api/v1/nodes", NODE)
    wait_until(lambda: has_gpus(control_plane), "the node has its GPUs")
    yield
    assert control_plane.request("admin", f"/api/v1/nodes/{NODE['metadata']['name']}", "DELETE").status == 200


def has_gpus(plane: ControlPlane) -> bool:
    """Write the capacity into the node's status; a controller that wrote in between makes it a conflict."""
    path = f"/api/v1/nodes/{NODE['metadata']['name']}/status"
    node = plane.request("admin", path).body
    node["status"] = {**node["status"], **CAPACITY}
    return plane.request("admin", path, "PUT", node).status == 200


def facts(done: Done) -> tuple[Any, ...]:
    names = (
        "gpu_capacity_present",
        "gpu_allocatable",
        "nvidia_device_plugin_present",
        "deploy_gpu_request",
        "container",
    )
    return tuple(done.report[name] for name in names)


@pytest.mark.usefixtures("gpu_node")
@pytest.mark.parametrize("client", CLIENTS)
def test_an_administrator_sees_everything(
    control_plane: ControlPlane, trainer: str, tmp_path: Path, client: str
) -> None:
    done = as_user(control_plane, "admin", tmp_path, "--k8s-namespace", trainer, "--cluster-client", client)
    assert (done.code, done.errors) == (0, [])
    assert (done.report["ok"], done.report["top_blocker"]) == (True, None)
    assert facts(done) == (True, 8, True, 2, "main")
    assert done.report["server_version"] == control_plane.request("admin", "/version").body["gitVersion"]
    assert done.report["context"]["server"] == control_plane.server
    # No pod runs, since the node is none: that is worth a note, and stops nothing.
    assert {name for name, status in done.statuses.items() if status != "pass"} == {"workload"}
    last = done.stdout.splitlines()[-1]
    assert last.startswith(
        f"ok=true top_blocker=none context=test ns={trainer} deploy=trainer gpu_capacity_present=true"
    )
    assert last.endswith("preflight=out/preflight_latest.json summary=out/preflight_summary.md")
    assert {path.name for path in (tmp_path / "out").iterdir()} > {"explain.jsonl", "preflight_summary.md"}


def test_both_clients_find_the_same(control_plane: ControlPlane, trainer: str, tmp_path: Path) -> None:
    create(control_plane, f"/apis/autoscaling/v2/namespaces/{trainer}/horizontalpodautoscalers", HPA)
    found = []
    for client in CLIENTS:
        for user in ("admin", "stranger"):
            (tmp_path / client / user).mkdir(parents=True)
            words = ("--k8s-namespace", trainer, "--cluster-client", client)
            done = as_user(control_plane, user, tmp_path / client / user, *words)
            found.append([(c["name"], c["status"], c["blocker"], c["role_yaml"]) for c in done.report["checks"]])
    assert found[:2] == found[2:]
    assert ("horizontal_autoscaler", "note", None, None) in found[0]


@pytest.mark.parametrize("client", CLIENTS)
def test_the_observers_role_is_enough_and_nothing_is_changed(
    control_plane: ControlPlane, trainer: str, tmp_path: Path, client: str
) -> None:
    bind(control_plane, "observer", trainer, "observer")
    since = audit.position(control_plane)
    done = as_user(control_plane, "observer", tmp_path, "--k8s-namespace", trainer, "--cluster-client", client)
    assert (done.code, done.errors) == (0, [])
    assert {name for name, status in done.statuses.items() if status == "unknown"} == {"gpu_capacity", "device_plugin"}
    assert done.statuses["observe_access"] == "pass"
    assert done.statuses["verify_access"] == "note"
    assert facts(done) == (None, None, None, 2, "main")
    assert len(audit.events(control_plane, "observer", since)) > 10
    assert audit.mutations(control_plane, "observer", since) == []


def test_with_the_cluster_role_nothing_is_unknown(control_plane: ControlPlane, trainer: str, tmp_path: Path) -> None:
    bind(control_plane, "observer", trainer, "observer")
    binding = bind_in_the_cluster(control_plane, "observer")
    done = as_user(control_plane, "observer", tmp_path, "--k8s-namespace", trainer)
    unbind_in_the_cluster(control_plane, "observer", binding)
    assert done.code == 0
    assert "unknown" not in done.statuses.values()
    assert facts(done)[2:] == (False, 2, "main")


def test_the_verifiers_roles_have_what_verifying_takes(
    control_plane: ControlPlane, trainer: str, tmp_path: Path
) -> None:
    bind(control_plane, "verifier", trainer, "observer", "verifier")
    since = audit.position(control_plane)
    done = as_user(control_plane, "verifier", tmp_path, "--k8s-namespace", trainer)
    assert (done.code, done.statuses["verify_access"]) == (0, "pass")
    assert {access["allowed"] for access in done.report["access"]} == {True}
    assert audit.mutations(control_plane, "verifier", since) == []


@pytest.mark.parametrize("client", CLIENTS)
def test_the_role_that_is_said_to_be_missing_is_the_one_that_helps(
    control_plane: ControlPlane, trainer: str, tmp_path: Path, client: str
) -> None:
    words = ("--k8s-namespace", trainer, "--cluster-client", client)
    before = as_user(control_plane, "guest", tmp_path, *words)
    assert (before.code, before.report["top_blocker"]) == (2, "rbac_denied")
    assert len(before.errors) == 1
    for name in ("observe_access", "verify_access"):
        role = before.checks[name]["role_yaml"]
        assert "name: guest" in role
        done = control_plane.kubectl("admin", "apply", "--filename=-", stdin=role)
        assert done.returncode == 0, done.stderr
    pods = f"/api/v1/namespaces/{trainer}/pods"
    wait_until(lambda: control_plane.request("guest", pods).status == 200, "the guest may list pods")
    after = as_user(control_plane, "guest", tmp_path, *words)
    assert (after.code, after.report["ok"]) == (0, True)
    assert (after.statuses["observe_access"], after.statuses["verify_access"]) == ("pass", "pass")
    assert {access["allowed"] for access in after.report["access"]} == {True}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("words", "blocker", "says"),
    [
        (("--k8s-namespace", "no-such-namespace"), "namespace_missing", "no-such-namespace"),
        (("--k8s-deployment", "trianer"), "deployment_missing", "did you mean 'trainer'?"),
        (("--k8s-kind", "StatefulSet"), "deployment_missing", "there is no StatefulSet at all"),
        (("--k8s-kind", "JobSet"), "deployment_missing", "jobset.x-k8s.io"),
        (("--container", "sidecar"), "container_missing", "main"),
    ],
)
def test_what_is_not_there_is_named(
    control_plane: ControlPlane,
    trainer: str,
    tmp_path: Path,
    *,
    client: str,
    words: tuple[str, ...],
    blocker: str,
    says: str,
) -> None:
    here = () if words[0] == "--k8s-namespace" else ("--k8s-namespace", trainer)
    done = as_user(control_plane, "admin", tmp_path, *here, *words, "--cluster-client", client)
    assert (done.code, done.report["top_blocker"]) == (2, blocker)
    assert len(done.errors) == 1
    assert done.errors[0].startswith(f"ERROR: {blocker}: ")
    assert says in done.errors[0]


def test_json_is_the_report_and_nothing_else(control_plane: ControlPlane, trainer: str, tmp_path: Path) -> None:
    done = as_user(control_plane, "admin", tmp_path, "--k8s-namespace", trainer, "--json")
    assert done.code == 0
    assert done.stdout == (tmp_path / "out" / "preflight_latest.json").read_text()
