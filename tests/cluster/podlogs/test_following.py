"""Pods of a real node that number their steps are followed: every number is taken exactly once.

Meanwhile the connections to the API server are cut, containers are killed, pods are deleted and logs are rotated.
"""

import json
import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from tests.cluster import workloads
from tests.cluster.control_plane import ControlPlane, wait_until
from tests.cluster.node import Node, is_first_shell
from tests.cluster.podlogs.proxy import Proxy, running_proxy
from tests.cluster.rbac import grant
from tests.cluster.users import kubeconfig, write_kubeconfig

from modekeeper.cli.clocks import SystemClock
from modekeeper.cluster.opening import ClusterChoice, open_reader
from modekeeper.model.block import SampleBlock
from modekeeper.telemetry.pods.followers import FollowLimits
from modekeeper.telemetry.pods.opening import PodLogsChoice, open_pod_logs
from modekeeper.telemetry.pods.recording import LineEntry, decoded
from modekeeper.telemetry.pods.replay import open_recording
from modekeeper.telemetry.pods.source import PodLogSource
from modekeeper.telemetry.recorder import RawRecorder

STEPPING = 'i=0; while :; do echo "{\\"step\\":$i,\\"step_time_ms\\":100}"; i=$((i+1)); usleep 20000; done'
FLOODING = (
    'i=0; pad=$(printf "%04000d" 0); '
    'while :; do echo "{\\"step\\":$i,\\"step_time_ms\\":1,\\"pad\\":\\"$pad\\"}"; i=$((i+1)); usleep 1500; done'
)
Client = Literal["api", "kubectl"]
CLIENTS: tuple[Client, ...] = ("api", "kubectl")
"""Who reads: both have to make the same of it."""
QUICK = FollowLimits(first_retry_s=0.1, longest_retry_s=0.5, idle_s=0.3)


@pytest.fixture
def proxy(control_plane: ControlPlane) -> Iterator[Proxy]:
    with running_proxy(control_plane.port) as running:
        yield running


class Following:
    """A live source behind a proxy, looked at by a thread, which records what it takes."""

    def __init__(self, source: PodLogSource, recorder: RawRecorder) -> None:
        self.source = source
        self.blocks: list[SampleBlock] = []
        self.fault: Exception | None = None
        self._recorder = recorder
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        try:
            while not self._stop.is_set():
                self.blocks += self.source.blocks(self._stop)
                time.sleep(0.1)
        except Exception as error:  # noqa: BLE001 - shown by the test
            self.fault = error

    def finish(self) -> None:
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()
        self.blocks += self.source.flush()
        self.source.close()
        self._recorder.close()
        assert self.fault is None


@contextmanager
def following(
    plane: ControlPlane,
    proxy: Proxy,
    namespace: str,
    tmp_path: Path,
    *,
    user: str = "admin",
    client: Client = "api",
) -> Iterator[Following]:
    direct = json.loads(plane.kubeconfig(user).read_text())
    document = kubeconfig(
        server=f"https://127.0.0.1:{proxy.port}",
        authority=Path(direct["clusters"][0]["cluster"]["certificate-authority"]),
        user=user,
        token=direct["users"][0]["user"]["token"],
    )
    path = write_kubeconfig(tmp_path / "kubeconfig.json", document)
    environment = {**plane.environment(user), "KUBECONFIG": str(path), "KUBECTL": str(plane.binaries / "kubectl")}
    choice = ClusterChoice(client=client, request_timeout_s=10.0 if client == "kubectl" else 5.0)
    reader = open_reader(choice, clock=SystemClock(), environment=environment)
    recorder = RawRecorder(tmp_path / "raw.jsonl", append=True)
    source = open_pod_logs(
        reader, PodLogsChoice(namespace=namespace, workload="stepper"), live=True, recorder=recorder, following=QUICK
    )
    running = Following(source, recorder)
    try:
        yield running
    finally:
        running.source.close()
        reader.close()


def taken(tmp_path: Path) -> dict[str, list[int]]:
    """The numbers of each pod, by its name, in the order in which they were taken."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for line in (tmp_path / "raw.jsonl").read_bytes().splitlines():
        entry = decoded(line)
        if isinstance(entry, LineEntry):
            numbers[entry.pod].append(json.loads(entry.data.split(b" ", 1)[1])["step"])
    return numbers


def runs(numbers: list[int]) -> list[list[int]]:
    """The numbers of each instance: every one begins at zero."""
    found: list[list[int]] = []
    for number in numbers:
        if number == 0:
            found.append([])
        found[-1].append(number)
    return found


def assert_whole(numbers: list[int], instances: int = 1) -> None:
    found = runs(numbers)
    assert len(found) == instances
    for run in found:
        assert run == list(range(len(run)))


def created(plane: ControlPlane, namespace: str, script: str, replicas: int) -> list[dict[str, Any]]:
    workload = workloads.deployment("stepper", ["sh", "-c", script], replicas=replicas)
    workload["metadata"]["annotations"] = {"modekeeper/telemetry": "stdout-jsonl"}
    workloads.created(plane, namespace, workload)
    return workloads.ready_pods(plane, namespace, replicas)


def wait_for_lines(tmp_path: Path, names: list[str], count: int) -> Callable[[], bool]:
    return lambda: all(len(taken(tmp_path).get(name, ())) >= count for name in names)


@pytest.mark.parametrize("client", CLIENTS)
def test_cut_connections_lose_and_double_nothing(
    node: Node, control_plane: ControlPlane, namespace: str, proxy: Proxy, tmp_path: Path, *, client: Client
) -> None:
    names = [pod["metadata"]["name"] for pod in created(control_plane, namespace, STEPPING, 3)]
    with following(control_plane, proxy, namespace, tmp_path, client=client) as running:
        wait_until(wait_for_lines(tmp_path, names, 30), "some steps have been read")
        for _ in range(8):
            proxy.cut()
            time.sleep(0.5)
        proxy.refusing = True
        proxy.cut()
        time.sleep(2.0)
        proxy.refusing = False
        before = {name: len(taken(tmp_path)[name]) for name in names}
        wait_until(lambda: all(len(taken(tmp_path)[name]) > count + 50 for name, count in before.items()), "it goes on")
        running.finish()
    assert proxy.cuts > 8
    numbers = taken(tmp_path)
    for name in names:
        assert_whole(numbers[name])
    assert running.source.gaps == 0
    counters = running.source.counters()
    assert counters.read_total == sum(map(len, numbers.values()))
    assert counters.accepted_total == counters.read_total
    steps = [int(step) for block in running.blocks for step in block.step]
    # The pods count for themselves, so the last few steps of the fastest are not those of all.
    assert sorted(steps) == list(range(len(steps)))
    replayed = open_recording(str(tmp_path / "raw.jsonl"))
    again = [*replayed.blocks(threading.Event()), *replayed.flush()]
    assert [int(step) for block in again for step in block.step] == steps
    assert replayed.counters() == counters


def restarts(plane: ControlPlane, namespace: str) -> int:
    (pod,) = workloads.pods(plane, namespace)
    count: int = pod["status"]["containerStatuses"][0]["restartCount"]
    return count


def shell_of(node: Node, pod: dict[str, Any]) -> int:
    return next(each for each in node.processes(pod["metadata"]["uid"]) if is_first_shell(each))


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("connected", [True, False])
def test_a_killed_container_is_read_on(
    node: Node,
    control_plane: ControlPlane,
    namespace: str,
    proxy: Proxy,
    tmp_path: Path,
    *,
    connected: bool,
    client: Client,
) -> None:
    (pod,) = created(control_plane, namespace, STEPPING, 1)
    name = pod["metadata"]["name"]
    with following(control_plane, proxy, namespace, tmp_path, client=client) as running:
        wait_until(wait_for_lines(tmp_path, [name], 30), "some steps have been read")
        if not connected:
            proxy.refusing = True
            proxy.cut()
            time.sleep(1.0)
        os.kill(shell_of(node, pod), signal.SIGKILL)
        wait_until(lambda: restarts(control_plane, namespace) == 1, "it has started again")
        proxy.refusing = False
        wait_until(
            lambda: len(runs(taken(tmp_path)[name])) == 2 and len(runs(taken(tmp_path)[name])[1]) > 60, "it goes on"
        )
        running.finish()
    assert_whole(taken(tmp_path)[name], instances=2)
    before = workloads.log_of(control_plane, pod, previous=True).splitlines()
    # All of the instance before, to its last line.
    assert runs(taken(tmp_path)[name])[0] == [json.loads(line)["step"] for line in before]
    assert running.source.gaps == 0


RULES = (
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
)
"""The Role of the documentation."""


def test_the_observer_follows_a_deleted_pod_to_its_end_and_the_new_one_from_its_beginning(
    node: Node, control_plane: ControlPlane, namespace: str, proxy: Proxy, tmp_path: Path
) -> None:
    (pod,) = created(control_plane, namespace, STEPPING, 1)
    old = pod["metadata"]["name"]
    grant(control_plane, "observer", namespace, RULES)
    with following(control_plane, proxy, namespace, tmp_path, user="observer") as running:
        wait_until(wait_for_lines(tmp_path, [old], 30), "some steps have been read")
        assert control_plane.request("admin", workloads.path_of(pod), "DELETE").status == 200
        (new,) = workloads.ready_pods(control_plane, namespace)
        wait_until(wait_for_lines(tmp_path, [new["metadata"]["name"]], 60), "the new pod is read")
        running.finish()
    numbers = taken(tmp_path)
    assert set(numbers) == {old, new["metadata"]["name"]}
    assert_whole(numbers[old])
    assert_whole(numbers[new["metadata"]["name"]])
    assert running.source.gaps == 0
    assert "nodes may not be read, so the GPU model is that of the records" in running.source.notes
    # The new pod counts from zero: one step back, however long the old one went on beside it.
    assert len([note for note in running.source.notes if "went back" in note]) == 1


@pytest.mark.heavy
def test_a_log_that_the_kubelet_rotates_is_followed_whole(
    node: Node, control_plane: ControlPlane, namespace: str, proxy: Proxy, tmp_path: Path
) -> None:
    (pod,) = created(control_plane, namespace, FLOODING, 1)
    name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
    logs = node.folder / "pod-logs" / f"{namespace}_{name}_{uid}" / "trainer"
    with following(control_plane, proxy, namespace, tmp_path) as running:
        # The kubelet looks every ten seconds, and rotates beyond ten megabytes.
        wait_until(lambda: len(list(logs.glob("0.log.*"))) > 1, "it was rotated twice", 120.0)
        read = running.source.counters().read_total
        wait_until(lambda: running.source.counters().read_total > read + 2000, "it is read on")
        running.finish()
    assert_whole(taken(tmp_path)[name])
    assert running.source.gaps == 0
