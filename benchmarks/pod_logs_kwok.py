"""Workloads of kwok pods behind a real API server, whose logs ``benchmarks/pod_logs.py`` has read."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cluster import workloads
from tests.cluster.control_plane import ControlPlane, find_binaries, running_control_plane, wait_until
from tests.cluster.fake_nodes import FakeNodes, append, running_fake_nodes

__all__ = ["NAMESPACE", "LogWriter", "running_workloads"]

NAMESPACE = "default"
_DEADLINE_S = 300.0
Lines = Callable[[int, int, int], list[str]]
"""Of a pod by its place, from one step up to another."""


class LogWriter:
    """Writes what the pods of one workload print."""

    def __init__(self, files: Sequence[Path], lines: Lines) -> None:
        self._files, self._lines = files, lines

    def begin(self, steps: int) -> None:
        """Throw away what was printed, and print the first steps."""
        for file in self._files:
            file.write_bytes(b"")
        self.go_on(0, steps)

    def go_on(self, first: int, stop: int) -> None:
        """Print further steps, all pods a little at a time."""
        for start in range(first, stop, 50):
            for pod, file in enumerate(self._files):
                append(file, self._lines(pod, start, min(start + 50, stop)))


@contextmanager
def running_workloads(
    sizes: Sequence[int], lines: Lines
) -> Iterator[tuple[Path, Mapping[str, str], dict[int, LogWriter]]]:
    """Deployments ``pods-N`` of N pods each that print nothing yet; and how to reach them.

    Returns:
        The kubeconfig, the environment to read it in, and who writes the logs of each size.

    Raises:
        ControlPlaneError: the programs are not there, or did not start.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "kwok").mkdir()
        find_binaries(of="kwok")
        with (
            running_control_plane(folder, find_binaries()) as plane,
            running_fake_nodes(plane, folder / "kwok") as kwok,
        ):
            account = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default"
            wait_until(lambda: plane.request("admin", account).status == 200, "pods can be made")
            writers = {size: LogWriter(_served(plane, kwok, size), lines) for size in sizes}
            yield plane.kubeconfig("admin"), plane.environment("admin"), writers


def _served(plane: ControlPlane, kwok: FakeNodes, size: int) -> list[Path]:
    """The logs of a new workload, each seen through the API server with one line in it, in the order of the pods."""
    said = {"modekeeper/telemetry": "stdout-jsonl"}
    manifest = workloads.deployment(f"pods-{size}", ["true"], replicas=size, place="fake", annotations=said)
    workloads.created(plane, NAMESPACE, manifest)
    pods = workloads.ready_pods(plane, NAMESPACE, size, f"app=pods-{size}")
    files = [kwok.serve_log(pod, ["2026-01-31T00:00:00.000000000Z begun"]) for pod in pods]
    for pod in pods:
        wait_until(lambda pod=pod: _is_served(plane, pod), "the logs are served", _DEADLINE_S)  # type: ignore[misc]
    return files


def _is_served(plane: ControlPlane, pod: Mapping[str, Any]) -> bool:
    return plane.request("admin", f"{workloads.path_of(pod)}/log").status == 200
