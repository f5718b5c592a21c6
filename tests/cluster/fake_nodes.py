"""Nodes that only say what a node says, for thousands of pods that run nothing: kwok.

A pod that ``workloads.deployment`` places on ``fake`` is ready soon after it was made. Its log is a file that a test
writes, served through the API server as a kubelet's would be. Nothing is mounted, and no container exists.
"""

import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.control_plane import (
    HOST,
    ControlPlane,
    ControlPlaneError,
    end_processes,
    find_binaries,
    free_ports,
    started,
    wait_until,
)
from tests.cluster.workloads import NODE_KIND, is_ready

SETTINGS = Path(__file__).parent / "kwok"
API = "/apis/kwok.x-k8s.io/v1alpha1"
PODS_PER_NODE = 500


@dataclass(frozen=True)
class FakeNodes:
    """kwok at work for a control plane. ``port`` is where every one of its nodes says that its kubelet listens."""

    plane: ControlPlane
    folder: Path
    port: int

    def add(self, count: int = 1) -> list[str]:
        """Make nodes with room for ``PODS_PER_NODE`` pods each, and return their names."""
        names = [f"fake-{secrets.token_hex(4)}" for _ in range(count)]
        for name in names:
            _created(self.plane, "/api/v1/nodes", _node(name, self.port))
        return names

    def serve_log(self, pod: Mapping[str, Any], lines: Iterable[str], previous: Iterable[str] | None = None) -> Path:
        """Serve lines ``RFC 3339 time`` ``space`` ``text`` as the log of a pod, and of the container before it.

        Returns:
            The file; ``append`` adds to it.
        """
        meta = pod["metadata"]
        current = self.folder / f"{meta['uid']}.log"
        log = {"logsFile": str(current)}
        append(current, lines)
        if previous is not None:
            before = self.folder / f"{meta['uid']}.previous.log"
            append(before, previous)
            log["previousLogsFile"] = str(before)
        names = {"name": meta["name"], "namespace": meta["namespace"]}
        body = {"apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": "Logs", "metadata": names, "spec": {"logs": [log]}}
        _created(self.plane, f"{API}/namespaces/{meta['namespace']}/logs", body)
        return current


def append(log: Path, lines: Iterable[str]) -> None:
    """Add lines ``RFC 3339 time`` ``space`` ``text`` to a log in the format that a container runtime writes.

    https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md
    """
    with log.open("a") as file:
        for line in lines:
            moment, _, text = line.partition(" ")
            file.write(f"{moment} stdout F {text}\n")


def lacks() -> str | None:
    """What is missing for fake nodes, in one line; nothing where nothing is."""
    try:
        find_binaries(of="kwok")
    except ControlPlaneError as error:
        return str(error)
    return None


@contextmanager
def running_fake_nodes(plane: ControlPlane, folder: Path) -> Iterator[FakeNodes]:
    """kwok, ready to be given nodes; they go when the block is left.

    Raises:
        ControlPlaneError: it ended or was not ready in time; the text names its log.
    """
    done = plane.kubectl("admin", "apply", "--filename", str(SETTINGS / "logs-crd.yaml"))
    if done.returncode != 0:
        raise ControlPlaneError(f"kwok's kind of log was refused: {done.stderr.strip()}")
    wait_until(lambda: plane.request("admin", f"{API}/logs").status == 200, "logs can be made")
    (port,) = free_ports(1)
    command: list[str | Path] = [
        find_binaries(of="kwok") / "kwok",
        f"--kubeconfig={plane.kubeconfig('system:kwok')}",
        f"--config={SETTINGS / 'stages.yaml'}",
        "--enable-crds=Logs",
        f"--manage-nodes-with-label-selector={NODE_KIND}=fake",
        f"--node-ip={HOST}",
        f"--node-port={port}",
        f"--server-address={HOST}:{port}",
        "--node-lease-duration-seconds=40",
        "--v=WARN",
        f"--tls-cert-file={plane.folder / 'serving.crt'}",
        f"--tls-private-key-file={plane.folder / 'serving.key'}",
    ]
    process = started(command, folder, "kwok")
    nodes = FakeNodes(plane, folder, port)

    def is_at_work() -> bool:
        if process.poll() is not None:
            raise ControlPlaneError(f"kwok ended with {process.returncode}: its log is {folder / 'kwok.log'}")
        return is_ready(plane.request("admin", f"/api/v1/nodes/{first}").body)

    try:
        (first,) = nodes.add()
        wait_until(is_at_work, f"kwok is ready (its log is {folder / 'kwok.log'})")
        yield nodes
    finally:
        end_processes({"kwok": process})
        with suppress(OSError):
            plane.request("admin", f"/api/v1/nodes?labelSelector={NODE_KIND}%3Dfake", "DELETE")
        for log in folder.glob("*-*.log"):
            log.unlink()


def _node(name: str, port: int) -> dict[str, Any]:
    room = {"cpu": "1000", "memory": "1Ti", "pods": str(PODS_PER_NODE)}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {NODE_KIND: "fake", "kubernetes.io/hostname": name}},
        "spec": {"taints": [{"key": NODE_KIND, "value": "fake", "effect": "NoSchedule"}]},
        "status": {
            "addresses": [{"type": "InternalIP", "address": HOST}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            "allocatable": room,
            "capacity": room,
        },
    }


def _created(plane: ControlPlane, path: str, body: Mapping[str, Any]) -> None:
    answer = plane.request("admin", path, "POST", body)
    if answer.status != 201:
        raise ControlPlaneError(f"{body['kind']} was refused: {answer.body}")
