"""The node of the tests runs pods as a node does: logs, restarts, and annotations that reach a live container."""

import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.cluster import workloads
from tests.cluster.control_plane import ControlPlane, ControlPlaneError, wait_until
from tests.cluster.node import Node, cgroups, is_first_shell, remove_stale_cgroups, running_node

COUNTING = ["sh", "-c", "i=0; while :; do echo line $i; i=$((i+1)); sleep 0.1; done"]
KNOB = "modekeeper/knob.concurrency"
ANNOTATION_TRIES = 5


def numbers(log: str) -> list[int]:
    return [int(line.removeprefix("line ")) for line in log.splitlines()]


@pytest.fixture
def counting(node: Node, control_plane: ControlPlane, namespace: str) -> dict[str, Any]:
    """A pod that counts on its standard output, ten times a second."""
    workloads.created(control_plane, namespace, workloads.deployment("counter", COUNTING))
    (pod,) = workloads.ready_pods(control_plane, namespace)
    wait_until(lambda: len(workloads.log_of(control_plane, pod).splitlines()) > 5, "it has counted to five")
    return pod


def test_a_python_trainer_runs_and_its_log_is_served(node: Node, control_plane: ControlPlane, namespace: str) -> None:
    workloads.created(control_plane, namespace, workloads.trainer(annotations={KNOB: "4"}, environment={"RANK": "3"}))
    (pod,) = workloads.ready_pods(control_plane, namespace)
    assert pod["spec"]["nodeName"] == node.name
    wait_until(lambda: "\n" in workloads.log_of(control_plane, pod), "the trainer has trained")
    first = json.loads(workloads.log_of(control_plane, pod).splitlines()[0])
    assert first.pop("ts_ms") > 0
    assert first == {"step": 0, "step_time_ms": 100.0, "rank": 3, "knobs": {"concurrency": 4.0}}


def test_a_log_is_served_from_a_line_a_time_and_whole(control_plane: ControlPlane, counting: dict[str, Any]) -> None:
    whole = numbers(workloads.log_of(control_plane, counting))
    assert whole == list(range(len(whole)))
    assert len(numbers(workloads.log_of(control_plane, counting, tailLines=3))) == 3
    stamped = workloads.log_of(control_plane, counting, timestamps=True).splitlines()
    moment = stamped[4].split()[0]
    since = numbers(workloads.log_of(control_plane, counting, sinceTime=moment))
    # A time in a query counts in whole seconds: what came before in the same second comes again.
    assert since[0] <= 4
    time.sleep(2.5)
    recent = numbers(workloads.log_of(control_plane, counting, sinceSeconds=1))
    assert 0 < len(recent) < len(numbers(workloads.log_of(control_plane, counting)))


def test_a_followed_log_goes_on(control_plane: ControlPlane, counting: dict[str, Any]) -> None:
    meta = counting["metadata"]
    with subprocess.Popen(
        [control_plane.binaries / "kubectl", "logs", "--follow", f"--namespace={meta['namespace']}", meta["name"]],
        env=control_plane.environment("admin"),
        stdout=subprocess.PIPE,
        text=True,
    ) as following:
        assert following.stdout is not None
        lines = list(itertools.islice(following.stdout, 25))
        following.terminate()
    assert numbers("".join(lines)) == list(range(25))


def test_a_container_that_was_killed_starts_again_and_the_log_before_is_kept(
    node: Node, control_plane: ControlPlane, counting: dict[str, Any]
) -> None:
    with pytest.raises(ControlPlaneError, match="previous terminated container"):
        workloads.log_of(control_plane, counting, previous=True)
    before = numbers(workloads.log_of(control_plane, counting))
    (container,) = (each for each in node.processes(counting["metadata"]["uid"]) if is_first_shell(each))
    os.kill(container, signal.SIGKILL)

    def restarts() -> int:
        count: int = pod()["status"]["containerStatuses"][0]["restartCount"]
        return count

    def pod() -> dict[str, Any]:
        (found,) = workloads.pods(control_plane, counting["metadata"]["namespace"])
        return found

    wait_until(lambda: restarts() == 1 and workloads.is_ready(pod()), "the container runs again")
    assert pod()["metadata"]["uid"] == counting["metadata"]["uid"]
    previous = numbers(workloads.log_of(control_plane, counting, previous=True))
    assert previous[: len(before)] == before
    assert previous == list(range(len(previous)))
    wait_until(lambda: numbers(workloads.log_of(control_plane, counting))[:1] == [0], "it counts from zero again")


def test_an_annotation_reaches_a_live_container_without_a_restart(
    node: Node, control_plane: ControlPlane, counting: dict[str, Any]
) -> None:
    processes = node.processes(counting["metadata"]["uid"])
    shell = next(each for each in processes if is_first_shell(each))
    file = Path(f"/proc/{shell}/root{workloads.ANNOTATIONS}")

    def carries(line: str) -> bool:
        # The kubelet swaps the folder behind a link and removes the old one: a reader on its way there finds nothing.
        with suppress(FileNotFoundError):
            return line in file.read_text().splitlines()
        return False

    for wanted in range(ANNOTATION_TRIES):
        line = f'{KNOB}="{wanted}"'
        assert not carries(line)
        assert workloads.annotated(control_plane, counting, {KNOB: str(wanted)}).status == 200
        wait_until(lambda line=line: carries(line), "the annotation is in the file")  # type: ignore[misc]
    (pod,) = workloads.pods(control_plane, counting["metadata"]["namespace"])
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
    assert is_first_shell(shell)


def test_a_deleted_pod_is_replaced_and_its_processes_end(
    node: Node, control_plane: ControlPlane, counting: dict[str, Any]
) -> None:
    gone = counting["metadata"]
    processes = node.processes(gone["uid"])
    assert processes
    assert control_plane.request("admin", workloads.path_of(counting), "DELETE").status == 200
    (new,) = workloads.ready_pods(control_plane, gone["namespace"])
    assert new["metadata"]["uid"] != gone["uid"]
    wait_until(lambda: node.processes(gone["uid"]) == [], "its processes end")
    wait_until(lambda: control_plane.request("admin", workloads.path_of(counting)).status == 404, "it is forgotten")


def test_a_pod_reaches_nobody(node: Node, control_plane: ControlPlane, namespace: str) -> None:
    looking = ["sh", "-c", "cat /proc/net/dev; cat /proc/net/route; while :; do sleep 1; done"]
    workloads.created(control_plane, namespace, workloads.deployment("looking", looking))
    (pod,) = workloads.ready_pods(control_plane, namespace)
    wait_until(lambda: "Iface" in workloads.log_of(control_plane, pod), "it has looked")
    log = workloads.log_of(control_plane, pod)
    devices, _, routes = log.partition("Iface")
    assert "lo:" in devices
    assert "eth0" not in devices
    assert len(routes.splitlines()) == 1


def test_a_part_that_ends_is_told_with_its_log(node: Node, control_plane: ControlPlane, tmp_path: Path) -> None:
    (tmp_path / "kubelet").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "kubelet").chmod(0o755)
    broken = dataclasses.replace(control_plane, binaries=tmp_path)
    folder = tmp_path / "node"
    folder.mkdir()
    with pytest.raises(ControlPlaneError, match=rf"their logs are in {folder}"), running_node(broken, folder):
        pytest.fail("it must not start")
    assert control_plane.request("admin", f"/api/v1/nodes/{node.name}").status == 200


OWNER = """
import sys
from pathlib import Path
from tests.cluster import workloads
from tests.cluster.control_plane import find_binaries, running_control_plane
from tests.cluster.node import running_node
folder = Path(sys.argv[1])
(folder / "plane").mkdir()
(folder / "node").mkdir()
with running_control_plane(folder / "plane", find_binaries()) as plane, running_node(plane, folder / "node") as node:
    workloads.created(plane, "default", workloads.deployment("sleeper", ["sleep", "600"]))
    (pod,) = workloads.ready_pods(plane, "default")
    print(node.cgroup, node.process.pid, *node.processes(pod["metadata"]["uid"]), flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("how", ["left", "killed"])
def test_nothing_of_a_node_is_left(node: Node, tmp_path: Path, how: str) -> None:
    mounts = Path("/proc/self/mounts").read_text()
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, tmp_path],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert owner.stdin is not None
        assert owner.stdout is not None
        cgroup, *ids = owner.stdout.readline().split()
        assert len(ids) == 3
        assert Path("/proc/self/mounts").read_text() == mounts
        if how == "killed":
            owner.send_signal(signal.SIGKILL)
        owner.stdin.close()
        owner.wait(60)
    wait_until(
        lambda: not any(Path("/proc", each).exists() for each in ids), "the node's and the pod's processes end", 30
    )
    if how == "killed":
        remove_stale_cgroups()
    assert cgroups(cgroup) == []
    assert node.process.poll() is None
