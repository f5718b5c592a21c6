"""Logs of a container on a real node, by both real readers: the same lines, however they are asked for."""

import threading
from typing import Any

import pytest
from tests.cluster import workloads
from tests.cluster.conformance.rules import NEVER, refused
from tests.cluster.conformance.world import RealWorld
from tests.cluster.control_plane import ControlPlane, wait_until
from tests.cluster.node import Node

from modekeeper.model.cluster import LogQuestion
from modekeeper.ports.cluster import ClusterReader

FIVE_LINES = ["sh", "-c", "for i in 0 1 2 3 4; do echo line $i; sleep 0.3; done; exec sleep 600"]
ALL = b"".join(b"line %d\n" % number for number in range(5))


def read(reader: ClusterReader, pod: dict[str, Any], **words: Any) -> bytes:
    meta = pod["metadata"]
    return b"".join(reader.logs(LogQuestion(namespace=meta["namespace"], pod=meta["name"], **words), NEVER))


def followed(reader: ClusterReader, pod: dict[str, Any], lines: int) -> bytes:
    meta, stop, came = pod["metadata"], threading.Event(), b""
    late = threading.Timer(30, stop.set)
    late.start()
    for chunk in reader.logs(LogQuestion(namespace=meta["namespace"], pod=meta["name"], follow=True), stop):
        came += chunk
        if came.count(b"\n") >= lines:
            stop.set()
    late.cancel()
    return came


@pytest.fixture
def pod(node: Node, control_plane: ControlPlane, namespace: str) -> dict[str, Any]:
    workloads.created(control_plane, namespace, workloads.deployment("five", FIVE_LINES))
    (found,) = workloads.ready_pods(control_plane, namespace)
    return found


def test_both_read_the_same_lines(control_plane: ControlPlane, namespace: str, pod: dict[str, Any]) -> None:
    world = RealWorld(control_plane, namespace, "api")
    api, kubectl = readers = [world.opened("admin", client) for client in ("api", "kubectl")]
    try:
        assert [followed(reader, pod, 5) for reader in readers] == [ALL, ALL]
        wait_until(lambda: read(api, pod) == ALL, "all lines were written")
        assert read(kubectl, pod) == ALL
        stamped = read(api, pod, timestamps=True)
        assert [line.split(b" ", 1)[1] for line in stamped.splitlines()] == ALL.splitlines()
        second = stamped.split(b".")[0].decode() + "Z"
        for words in (
            {"timestamps": True},
            {"tail_lines": 2},
            {"tail_lines": 0},
            {"limit_bytes": 9},
            {"since_time": second, "timestamps": True},
            {"container": "trainer", "tail_lines": 1},
        ):
            answers = [read(reader, pod, **words) for reader in readers]
            assert answers[0] == answers[1], words
        assert read(api, pod, tail_lines=2) == b"line 3\nline 4\n"
        assert read(api, pod, since_time=second) == ALL
        errors = [refused(lambda reader=reader: read(reader, pod, previous=True)) for reader in readers]  # type: ignore[misc]
        assert [error.status for error in errors] == [400, 400]
        assert errors[0].detail == errors[1].detail
        assert "previous terminated container" in errors[0].detail
    finally:
        world.close()
