"""The control plane of the tests is a real one: it decides, refuses and acts as a cluster does."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.cluster import control_plane as control_plane_module
from tests.cluster.control_plane import (
    ControlPlane,
    ControlPlaneError,
    find_binaries,
    running_control_plane,
    wait_until,
)

IMAGE = "registry.invalid/trainer:1"


def command_lines() -> dict[int, bytes]:
    """The command line of every process that has not ended, by its id."""
    lines = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            line = (process / "cmdline").read_bytes()
            if line:  # one that has ended and was not waited for has none
                lines[int(process.name)] = line
    return lines


def created_deployment(plane: ControlPlane, namespace: str, replicas: int = 1) -> str:
    words = (
        "create",
        "deployment",
        "trainer",
        f"--image={IMAGE}",
        f"--replicas={replicas}",
        f"--namespace={namespace}",
    )
    done = plane.kubectl("admin", *words)
    assert done.returncode == 0, done.stderr
    return f"/apis/apps/v1/namespaces/{namespace}/deployments/trainer"


def pods(plane: ControlPlane, namespace: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = plane.request("admin", f"/api/v1/namespaces/{namespace}/pods").body["items"]
    return items


def test_it_answers_with_the_version_of_its_program(control_plane: ControlPlane) -> None:
    program = subprocess.run(
        [control_plane.binaries / "kube-apiserver", "--version"], capture_output=True, text=True, check=True
    )
    answer = control_plane.request("admin", "/version")
    assert answer.status == 200
    assert program.stdout.strip() == f"Kubernetes {answer.body['gitVersion']}"


def test_an_admin_may_create_a_namespace_and_a_deployment(control_plane: ControlPlane) -> None:
    namespace = f"made-by-kubectl-{os.getpid()}"
    done = control_plane.kubectl("admin", "create", "namespace", namespace)
    assert done.returncode == 0, done.stderr
    path = created_deployment(control_plane, namespace, replicas=2)
    assert control_plane.request("admin", path).body["spec"]["replicas"] == 2


def test_controllers_make_the_pods_and_the_scheduler_says_why_they_wait(
    control_plane: ControlPlane, namespace: str
) -> None:
    created_deployment(control_plane, namespace, replicas=2)

    def conditions() -> list[tuple[str, str]]:
        found = [pod["status"].get("conditions", []) for pod in pods(control_plane, namespace)]
        return [(each["type"], each.get("reason", "")) for of_pod in found for each in of_pod]

    wait_until(lambda: conditions().count(("PodScheduled", "Unschedulable")) == 2, "two pods wait for a node")


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_a_user_without_rights_is_refused(control_plane: ControlPlane, namespace: str, method: str) -> None:
    path = created_deployment(control_plane, namespace)
    answer = control_plane.request("stranger", path, method, {} if method == "PATCH" else None)
    assert (answer.status, answer.body["reason"]) == (403, "Forbidden")
    assert '"stranger"' in answer.body["message"]
    assert control_plane.request("admin", path).status == 200


def test_kubectl_says_that_a_user_without_rights_is_refused(control_plane: ControlPlane, namespace: str) -> None:
    done = control_plane.kubectl("stranger", "get", "pods", f"--namespace={namespace}")
    assert done.returncode != 0
    assert "Forbidden" in done.stderr


def test_nobody_is_let_in_without_a_token(control_plane: ControlPlane) -> None:
    config = json.loads(control_plane.kubeconfig("admin").read_text())
    config["users"][0]["user"]["token"] = control_plane.tokens["admin"][::-1]
    other = control_plane.folder / "wrong-token.json"
    other.write_text(json.dumps(config))
    done = control_plane.kubectl("admin", f"--kubeconfig={other}", "get", "namespaces")
    assert done.returncode != 0
    assert "Unauthorized" in done.stderr


def test_a_role_gives_a_guest_what_it_names_and_no_more(control_plane: ControlPlane, namespace: str) -> None:
    path = created_deployment(control_plane, namespace)
    for words in (
        ("create", "role", "reader", "--verb=get", "--resource=deployments"),
        ("create", "rolebinding", "reader", "--role=reader", "--user=guest"),
    ):
        done = control_plane.kubectl("admin", f"--namespace={namespace}", *words)
        assert done.returncode == 0, done.stderr
    wait_until(lambda: control_plane.request("guest", path).status == 200, "the guest may read")
    assert control_plane.request("guest", path, "DELETE").status == 403
    assert control_plane.request("guest", path.replace(namespace, "default")).status == 403


def test_a_server_side_dry_run_of_a_change_changes_nothing(control_plane: ControlPlane, namespace: str) -> None:
    path = created_deployment(control_plane, namespace, replicas=1)
    before = control_plane.request("admin", path).body
    scale = json.dumps({"spec": {"replicas": 7}})
    patch = (
        "patch",
        "deployment",
        "trainer",
        f"--namespace={namespace}",
        "--type=merge",
        f"--patch={scale}",
        "--output=json",
    )

    tried = control_plane.kubectl("admin", *patch, "--dry-run=server")
    assert json.loads(tried.stdout)["spec"]["replicas"] == 7
    after = control_plane.request("admin", path).body
    assert after["spec"] == before["spec"]
    assert after["metadata"]["generation"] == before["metadata"]["generation"]

    done = control_plane.kubectl("admin", *patch)
    assert done.returncode == 0, done.stderr
    assert control_plane.request("admin", path).body["spec"]["replicas"] == 7


def test_a_server_side_dry_run_of_a_new_object_makes_none(control_plane: ControlPlane, namespace: str) -> None:
    words = ("create", "deployment", "trainer", f"--image={IMAGE}", f"--namespace={namespace}", "--dry-run=server")
    tried = control_plane.kubectl("admin", *words, "--output=json")
    assert json.loads(tried.stdout)["metadata"]["uid"]
    assert control_plane.request("admin", f"/apis/apps/v1/namespaces/{namespace}/deployments").body["items"] == []


def test_it_listens_on_the_loopback_interface_only(control_plane: ControlPlane) -> None:
    listening = Path("/proc/net/tcp6").read_text() + Path("/proc/net/tcp").read_text()
    local = [line.split()[1] for line in listening.splitlines() if line.split()[3:4] == ["0A"]]
    ours = {f"{port:04X}" for port in control_plane.ports.values()}
    found = [address for address in local if address.rpartition(":")[2] in ours]
    assert len(found) == len(ours)
    assert {address.rpartition(":")[0] for address in found} == {"0100007F"}


def ended(ids: list[int]) -> bool:
    return not any(
        Path(f"/proc/{each}/cmdline").exists() and Path(f"/proc/{each}/cmdline").read_bytes() for each in ids
    )


def test_a_part_that_cannot_start_is_named_and_nothing_is_left(control_plane: ControlPlane, tmp_path: Path) -> None:
    binaries = tmp_path / "binaries"
    binaries.mkdir()
    for program in find_binaries().iterdir():
        (binaries / program.name).symlink_to(program)
    (binaries / "kube-apiserver").unlink()
    (binaries / "kube-apiserver").write_text("#!/bin/sh\necho no room >&2\nexit 3\n")
    (binaries / "kube-apiserver").chmod(0o755)
    with (
        pytest.raises(ControlPlaneError, match=r"kube-apiserver ended with 3; .*'no room'"),
        running_control_plane(tmp_path, binaries),
    ):
        pytest.fail("it must not start")
    assert not any(str(binaries / "etcd").encode() in line for line in command_lines().values())


OWNER = """
import sys
from pathlib import Path
from tests.cluster.control_plane import find_binaries, running_control_plane
with running_control_plane(Path(sys.argv[1]), find_binaries()) as plane:
    print(*(process.pid for process in plane.processes.values()), flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("how", ["left", "killed"])
def test_everything_ends_with_its_owner(control_plane: ControlPlane, tmp_path: Path, how: str) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, tmp_path],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdin is not None
    assert owner.stdout is not None
    with owner.stdin, owner.stdout:
        ids = [int(word) for word in owner.stdout.readline().split()]
        assert len(ids) == 4
        assert set(ids) <= command_lines().keys()
        if how == "killed":
            owner.send_signal(signal.SIGKILL)
    owner.wait(60)
    wait_until(lambda: command_lines().keys().isdisjoint(ids), "the four processes ended", 30)


def test_a_port_that_was_taken_meanwhile_is_no_trouble(
    control_plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = [control_plane.ports["etcd"], *control_plane_module.free_ports(4)]
    offers = [taken, control_plane_module.free_ports(5)]
    monkeypatch.setattr(control_plane_module, "free_ports", lambda count: offers.pop(0)[:count])
    with running_control_plane(tmp_path, find_binaries()) as other:
        assert other.request("admin", "/version").status == 200
    assert offers == []
    assert "address already in use" in (tmp_path / "attempt-0" / "etcd.log").read_text()
