"""Thousands of pods that run nothing, and whose logs are what a test wrote."""

import subprocess
from typing import Any

import pytest
from tests.cluster import workloads
from tests.cluster.control_plane import ControlPlane, ControlPlaneError, wait_until
from tests.cluster.fake_nodes import PODS_PER_NODE, FakeNodes, append

PODS = 1000
READ = 20


def lines(pod: dict[str, Any], first: int = 0, count: int = 30) -> list[str]:
    """One line a second, each with the name of its pod."""
    return [
        f"2026-03-01T09:00:{second:02}.000000000Z {pod['metadata']['name']} step={second}"
        for second in range(first, first + count)
    ]


def texts(said: list[str]) -> str:
    return "".join(f"{line.partition(' ')[2]}\n" for line in said)


@pytest.fixture
def pod(kwok: FakeNodes, control_plane: ControlPlane, namespace: str) -> dict[str, Any]:
    workloads.created(control_plane, namespace, workloads.deployment("one", ["true"], place="fake"))
    (found,) = workloads.ready_pods(control_plane, namespace)
    return found


def test_a_thousand_pods_run_and_their_logs_are_served(
    kwok: FakeNodes, control_plane: ControlPlane, namespace: str
) -> None:
    names = kwok.add(PODS // PODS_PER_NODE)
    manifest = workloads.deployment("many", ["true"], place="fake", replicas=PODS)
    path = workloads.created(control_plane, namespace, manifest)
    found = workloads.ready_pods(control_plane, namespace, PODS)
    assert len({pod["metadata"]["uid"] for pod in found}) == PODS
    assert len({pod["spec"]["nodeName"] for pod in found} & set(names)) == len(names)
    wait_until(
        lambda: control_plane.request("admin", path).body["status"].get("readyReplicas") == PODS,
        "the Deployment is ready",
    )
    some = found[:: PODS // READ]
    assert len(some) == READ
    for each in some:
        kwok.serve_log(each, lines(each))
    for each in some:
        wait_until(lambda each=each: log_or_none(control_plane, each) == texts(lines(each)), "the log is served")  # type: ignore[misc]


def log_or_none(plane: ControlPlane, pod: dict[str, Any]) -> str | None:
    try:
        return workloads.log_of(plane, pod)
    except ControlPlaneError:
        return None


def test_a_part_of_a_log_and_the_one_before_are_served(
    kwok: FakeNodes, control_plane: ControlPlane, pod: dict[str, Any]
) -> None:
    kwok.serve_log(pod, lines(pod, first=20), previous=lines(pod, count=5))
    wait_until(lambda: log_or_none(control_plane, pod) is not None, "the log is served")
    assert workloads.log_of(control_plane, pod, tailLines=3) == texts(lines(pod, first=47, count=3))
    since = workloads.log_of(control_plane, pod, sinceTime="2026-03-01T09:00:30Z", timestamps=True)
    assert since == "".join(f"{line}\n" for line in lines(pod, first=30, count=20))
    assert workloads.log_of(control_plane, pod, previous=True) == texts(lines(pod, count=5))


def test_a_followed_log_goes_on(kwok: FakeNodes, control_plane: ControlPlane, pod: dict[str, Any]) -> None:
    file = kwok.serve_log(pod, lines(pod, count=1))
    wait_until(lambda: log_or_none(control_plane, pod) is not None, "the log is served")
    meta = pod["metadata"]
    with subprocess.Popen(
        [control_plane.binaries / "kubectl", "logs", "--follow", f"--namespace={meta['namespace']}", meta["name"]],
        env=control_plane.environment("admin"),
        stdout=subprocess.PIPE,
        text=True,
    ) as following:
        assert following.stdout is not None
        for second in range(5):
            assert following.stdout.readline() == texts(lines(pod, first=second, count=1))
            append(file, lines(pod, first=second + 1, count=1))
        following.terminate()


def test_a_pod_that_names_no_fake_node_does_not_run_on_one(
    kwok: FakeNodes, control_plane: ControlPlane, namespace: str
) -> None:
    manifest = workloads.deployment("elsewhere", ["true"], place="fake")
    for key in ("nodeSelector", "tolerations"):
        del manifest["spec"]["template"]["spec"][key]
    workloads.created(control_plane, namespace, manifest)

    def reasons() -> list[str]:
        found = workloads.pods(control_plane, namespace)
        return [each.get("reason", "") for pod in found for each in pod["status"].get("conditions", [])]

    wait_until(lambda: "Unschedulable" in reasons(), "the pod waits for a node")
