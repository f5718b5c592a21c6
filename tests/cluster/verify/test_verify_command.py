"""``mk verify`` as a process on the real API server: both clients, recordings, exit codes, an audit of what it asks."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.cluster import audit
from tests.cluster.control_plane import ControlPlane, wait_until
from tests.cluster.fake_nodes import FakeNodes
from tests.cluster.rbac import allowed, grant
from tests.cluster.verify.on_cluster import create, wait_for_pods
from tests.cluster_verify.worlds import item, plan_of

from modekeeper.artifacts.canonical import document
from modekeeper.model.decision import Actuation, PlanItem

HOT, COLD = Actuation.HOT, Actuation.COLD
ROLES = Path(__file__).parents[3] / "deploy" / "rbac"
READ = [
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
]


def mk_verify(
    plane: ControlPlane, user: str, folder: Path, *items: PlanItem, words: tuple[str, ...] = ()
) -> tuple[subprocess.CompletedProcess[str], Any]:
    """One run, and its report."""
    folder.mkdir(exist_ok=True)
    (folder / "plan.json").write_bytes(document(plan_of(*items)))
    environment = plane.environment(user) | {
        "PYTHONPATH": ":".join(sys.path),
        "KUBECTL": str(plane.binaries / "kubectl"),
        "MODEKEEPER_PINNED_CLOCK": "2026-01-31T09:00:00Z",
    }
    done = subprocess.run(
        [sys.executable, "-m", "modekeeper", "verify", "--plan", "plan.json", "--out", "out", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done, json.loads((folder / "out/k8s_verify_latest.json").read_text())


@pytest.fixture
def trainer(control_plane: ControlPlane, namespace: str, kwok: FakeNodes) -> str:
    create(control_plane, namespace, "Deployment")
    wait_for_pods(control_plane, namespace, 2)
    return namespace


def test_both_clients_say_the_same(control_plane: ControlPlane, trainer: str, tmp_path: Path) -> None:
    items = (item(namespace=trainer), item(HOT, namespace=trainer))
    said = {}
    for client in ("api", "kubectl"):
        words = ("--cluster-client", client)
        done, report = mk_verify(control_plane, "admin", tmp_path / client, *items, words=words)
        assert done.returncode == 0, done.stdout + done.stderr
        said[client] = report
    assert said["api"] == said["kubectl"]
    assert said["api"]["diagnostics"]["server_version"] == said["api"]["diagnostics"]["kubectl_version"]
    assert said["api"]["cluster"]["uid"]


def test_a_recording_says_it_again_without_a_cluster(control_plane: ControlPlane, trainer: str, tmp_path: Path) -> None:
    grant(control_plane, "guest", trainer, READ)
    items = (item(namespace=trainer), item(HOT, namespace=trainer))
    recording = tmp_path / "denied.jsonl"
    done, report = mk_verify(
        control_plane, "guest", tmp_path / "live", *items, words=("--record-cluster", str(recording))
    )
    assert done.returncode == 2
    assert report["verify_blocker"]["kind"] == "rbac_denied"
    again, replayed = mk_verify(
        control_plane, "stranger", tmp_path / "again", *items, words=("--replay-cluster", str(recording))
    )
    assert again.returncode == 2
    assert again.stderr == done.stderr
    for name in ("items", "verify_blocker", "cluster", "access_hints", "role_yaml", "namespaces"):
        assert replayed[name] == report[name], name


def give_roles(plane: ControlPlane, user: str, namespace: str, *roles: str) -> None:
    """The roles we ship, and nothing else."""
    for role in roles:
        words = ("apply", f"--namespace={namespace}", f"--filename={ROLES / f'{role}.yaml'}")
        for done in (
            plane.kubectl("admin", *words),
            plane.kubectl(
                "admin",
                *("create", "rolebinding", f"{user}-{role}", f"--namespace={namespace}"),
                *(f"--role=modekeeper-{role}", f"--user={user}"),
            ),
        ):
            assert done.returncode == 0, done.stderr
    patching = "verifier" in roles
    question = {"apiGroups": [""], "resources": ["pods"], "verbs": ["patch" if patching else "list"]}
    wait_until(lambda: allowed(plane, user, namespace, question), f"{user} has its rights")


def test_the_observers_role_sends_nothing_that_could_change_anything(
    control_plane: ControlPlane, trainer: str, tmp_path: Path
) -> None:
    give_roles(control_plane, "observer", trainer, "observer")
    items = (item(namespace=trainer), item(HOT, namespace=trainer))
    since = audit.position(control_plane)
    done, report = mk_verify(control_plane, "observer", tmp_path / "run", *items)
    events = audit.events(control_plane, "observer", since)
    assert done.returncode == 2
    assert report["verify_blocker"]["kind"] == "rbac_denied"
    assert events
    assert [event for event in events if event.mutates or event.is_dry_run] == []
    assert [each["effect"]["effect"] for each in report["items"]] == ["restart", "hot"]


def test_the_verifiers_role_is_enough_and_sends_dry_runs_alone(
    control_plane: ControlPlane, trainer: str, tmp_path: Path
) -> None:
    give_roles(control_plane, "verifier", trainer, "observer", "verifier")
    items = (item(namespace=trainer), item(HOT, namespace=trainer))
    since = audit.position(control_plane)
    done, _ = mk_verify(control_plane, "verifier", tmp_path / "run", *items)
    events = audit.events(control_plane, "verifier", since)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [event for event in events if event.mutates] == []
    assert sum(event.is_dry_run for event in events) == 3
