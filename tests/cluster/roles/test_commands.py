"""Each command works on a real job with exactly the roles we ship for it, and asks for nothing that changes it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster import audit, workloads
from tests.cluster.control_plane import ControlPlane, wait_until
from tests.cluster.node import Node
from tests.cluster.roles.shipped import bind, bind_in_the_cluster, unbind_in_the_cluster

TRACE = Path(__file__).parents[2] / "data" / "observe" / "drift.jsonl"
OUTSIDE = {"nodes", "daemonsets", "namespaces"}
"""What the observer's Role cannot hold, and its optional ClusterRole does."""

READING = {
    "observe": ("observe", "--source", "k8s"),
    "eval k8s": ("eval", "k8s"),
    "plan": ("plan", "--observe-source", "k8s"),
    "watch": ("watch", "--observe-source", "k8s", "--interval", "1s", "--max-iterations", "2"),
    "closed-loop run": ("closed-loop", "run", "--observe-source", "k8s"),
    "k8s preflight": ("k8s", "preflight"),
}
CLIENTS = ["api", "kubectl"]


@pytest.fixture
def training(node: Node, control_plane: ControlPlane, namespace: str) -> str:
    """The namespace of a trainer of two pods that have printed a hundred steps."""
    job = workloads.trainer(step_time_ms=10, replicas=2, annotations={"modekeeper/telemetry": "stdout-jsonl"})
    workloads.created(control_plane, namespace, job)
    for pod in workloads.ready_pods(control_plane, namespace, 2):
        enough = lambda of=pod: len(workloads.log_of(control_plane, of).splitlines()) > 100  # noqa: E731
        wait_until(enough, "a hundred steps are printed")
    return namespace


@pytest.fixture
def cluster_role(control_plane: ControlPlane) -> Iterator[None]:
    """The observer's optional ClusterRole, bound."""
    binding = bind_in_the_cluster(control_plane, "observer")
    yield
    unbind_in_the_cluster(control_plane, "observer", binding)


def mk(plane: ControlPlane, user: str, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    environment = plane.environment(user) | {"KUBECTL": str(plane.binaries / "kubectl")} | kept
    return subprocess.run(
        [sys.executable, "-m", "modekeeper", *words],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("client", CLIENTS)
def test_reading_commands_work_with_the_observers_role_alone_and_change_nothing(
    control_plane: ControlPlane, training: str, tmp_path: Path, client: str
) -> None:
    bind(control_plane, "observer", training, "observer")
    for name, words in READING.items():
        since = audit.position(control_plane)
        where = ("--k8s-namespace", training, "--cluster-client", client, "--out", f"out/{name}")
        done = mk(control_plane, "observer", tmp_path, *words, *where)
        assert done.returncode == 0, (name, done.stdout, done.stderr)
        asked = audit.events(control_plane, "observer", since)
        assert asked, name
        assert [event for event in asked if event.mutates] == [], name
        refused = {event.resource for event in asked if event.status == 403}
        assert refused <= OUTSIDE, name
    report = json.loads((tmp_path / "out" / "observe" / "observe_latest.json").read_bytes())
    assert report["observe_ingest"]["accepted_total"] > 100


@pytest.mark.usefixtures("cluster_role")
def test_with_the_cluster_role_nothing_that_is_asked_is_refused(
    control_plane: ControlPlane, training: str, tmp_path: Path
) -> None:
    bind(control_plane, "observer", training, "observer")
    since = audit.position(control_plane)
    for name, words in READING.items():
        done = mk(control_plane, "observer", tmp_path, *words, "--k8s-namespace", training, "--out", f"out/{name}")
        assert done.returncode == 0, (name, done.stdout, done.stderr)
    asked = audit.events(control_plane, "observer", since)
    assert {event.verb for event in asked} >= {"get", "list", "create"}
    assert [event for event in asked if event.status == 403 or event.mutates] == []


@pytest.mark.parametrize("client", CLIENTS)
def test_a_plan_is_verified_with_the_verifiers_roles_and_stays_a_plan(
    control_plane: ControlPlane, training: str, tmp_path: Path, client: str
) -> None:
    bind(control_plane, "verifier", training, "observer", "verifier")
    where = ("--k8s-namespace", training)
    made = mk(control_plane, "verifier", tmp_path, "plan", "--observe-path", str(TRACE), *where, "--out", "plan")
    assert made.returncode == 0, made.stderr
    before = control_plane.request("admin", f"/apis/apps/v1/namespaces/{training}/deployments/trainer").body
    since = audit.position(control_plane)
    words = ("k8s", "verify", "--plan", "plan/k8s_plan.json", "--cluster-client", client, "--out", "verify")
    done = mk(control_plane, "verifier", tmp_path, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    asked = audit.events(control_plane, "verifier", since)
    assert [event for event in asked if event.mutates] == []
    tried = [event for event in asked if event.is_dry_run]
    assert {(event.verb, event.resource) for event in tried} == {("patch", "deployments"), ("patch", "pods")}
    after = control_plane.request("admin", f"/apis/apps/v1/namespaces/{training}/deployments/trainer").body
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert after["metadata"].get("annotations", {}).keys() == before["metadata"].get("annotations", {}).keys()
