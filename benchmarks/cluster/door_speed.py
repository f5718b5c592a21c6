"""A verified plan applied through the door, beside a bare client that writes the same patches: the real API server.

    python -m benchmarks.cluster.door_speed [--objects 500] [--turns 5] [--check]

The bare client sends the merge patches one after another over one kept connection of the HTTP client that the door
itself uses, reads each answer to its end, and does nothing else: no preconditions, nothing read, nothing on the disk.
The door is the whole of what ``mk k8s apply`` calls, with a signed licence, a kill-switch file and a ConfigMap to look
at, and its files on the machine's disk; only the start of the process is left out, as it is for the bare client.

Both write the same values to the same objects, which are set back before each run. They take turns, so that a busy
machine slows both; of the runs the medians count. Cold: the pod templates of so many Deployments. Hot: half as many
Deployments and their pods. The controllers are stopped meanwhile: what they do after each write takes more of the same
cores than either client, and would be charged to the one that is there longer. etcd waits for the disk, as it does in
every cluster but that of the tests, and the door waits for the same disk.
"""

import argparse
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from tests.cluster.control_plane import (
    ControlPlane,
    ControlPlaneError,
    find_binaries,
    running_control_plane,
    wait_until,
)
from tests.cluster_verify.worlds import KEY, item, plan_of, pod_template
from tests.trust.signing import b64, dumped, licence, public_bytes

from modekeeper.artifacts.canonical import document
from modekeeper.artifacts.store import FolderStore
from modekeeper.cli.clocks import SystemClock
from modekeeper.cluster.access.credentials import Credentials
from modekeeper.cluster.access.finding import find_access
from modekeeper.cluster.api.connections import Connections
from modekeeper.cluster.api.limits import Limit
from modekeeper.cluster.api.wire import Wired
from modekeeper.cluster.kubectl_version import KubectlVersion
from modekeeper.cluster.opening import ClusterChoice, open_reader
from modekeeper.cluster.verify.gather import gather
from modekeeper.model.decision import Actuation, Plan
from modekeeper.ports.actuator import ApplyOrder, ClusterWay, GivenFile
from modekeeper.reports.folder.verify_run import VerifyRun
from modekeeper_pro.actuator import DoorActuator

__all__ = ["BAR", "main"]

BAR = 0.5
"""Of the rate of the bare client."""
NAMESPACE = "bench"
BEFORE, AFTER = "2", "4"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
IMAGE = "registry.invalid/trainer:1"
Patch = tuple[str, bytes]
"""Path and merge patch."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=500)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--check", action="store_true", help="fail when the bar is missed")
    chosen = parser.parse_args()
    try:
        found = {each: measure(each, chosen.objects, chosen.turns) for each in (Actuation.COLD, Actuation.HOT)}
    except ControlPlaneError as error:
        print(f"NOT measured against a real Kubernetes: {error}")
        return 1 if chosen.check else 0
    print("| items | who | writes | median s | fastest s | runs | CPU ms a write | times the bare rate | bar |")
    print("|---|---|--:|--:|--:|--:|--:|--:|--:|")
    for actuation, each in found.items():
        bare = _row(actuation, "bare client", each.writes, each.bare)
        door = _row(actuation, "the door", each.writes, each.door)
        print(f"{bare} 1.00 | - |\n{door} {each.ratio:.2f} | >= {BAR:g} |")
    return 1 if chosen.check and any(each.ratio < BAR for each in found.values()) else 0


class Taken(NamedTuple):
    """By one run."""

    wall_s: float
    cpu_s: float
    """Of the client, the API server and etcd together."""


def _row(actuation: Actuation, who: str, writes: int, taken: Sequence[Taken]) -> str:
    wall_s, cpu_s = [each.wall_s for each in taken], [each.cpu_s for each in taken]
    return (
        f"| {actuation.value} | {who} | {writes} | {statistics.median(wall_s):.2f} | {min(wall_s):.2f} "
        f"| {len(taken)} | {statistics.median(cpu_s) / writes * 1000:.1f} |"
    )


@dataclass
class Measured:
    """Every run."""

    writes: int = 0
    bare: list[Taken] = field(default_factory=list)
    door: list[Taken] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """The door's rate, in rates of the bare client."""
        return statistics.median(t.wall_s for t in self.bare) / statistics.median(t.wall_s for t in self.door)


def measure(actuation: Actuation, objects: int, turns: int) -> Measured:
    """Both, in turns, after one of each that is not counted.

    Raises:
        ControlPlaneError: the programs of Kubernetes are not there, or did not start.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        running_control_plane(Path(folder), find_binaries(), durable=True) as plane,
    ):
        count = objects if actuation is Actuation.COLD else objects // 2
        bench = Bench(plane, Path(folder), actuation, [f"trainer-{n:04}" for n in range(count)])
        bench.create()
        found = Measured(writes=len(bench.patches(AFTER)))
        with stopped(plane, "kube-controller-manager"), stopped(plane, "kube-scheduler"):
            for turn in range(turns + 1):
                bare = bench.bare(AFTER)
                bench.bare(BEFORE)
                door = bench.door(turn)
                bench.bare(BEFORE)
                if turn:
                    found.bare.append(bare)
                    found.door.append(door)
        return found


@contextmanager
def stopped(plane: ControlPlane, part: str) -> Iterator[None]:
    """A part of the control plane stands still."""
    process = plane.processes[part]
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


@dataclass
class Bench:
    """The objects of one plan on one control plane."""

    plane: ControlPlane
    folder: Path
    actuation: Actuation
    names: list[str]
    pods: dict[str, str] = field(default_factory=dict)
    """Of each Deployment."""

    @property
    def plan(self) -> Plan:
        return plan_of(*(item(self.actuation, namespace=NAMESPACE, name=name, value=AFTER) for name in self.names))

    def create(self) -> None:
        """The Deployments, each with one pod that waits for a node; seen by their controllers."""
        assert (
            self.plane.request("admin", "/api/v1/namespaces", "POST", {"metadata": {"name": NAMESPACE}}).status == 201
        )
        account = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default"
        wait_until(lambda: self.plane.request("admin", account).status == 200, "the namespace is usable")
        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(self._created, self.names))
        self.rest()
        for pod in self.plane.request("admin", PODS).body["items"]:
            self.pods[pod["metadata"]["labels"]["app"]] = pod["metadata"]["name"]

    def _created(self, name: str) -> bool:
        template = pod_template(annotations={KEY: BEFORE})
        template["metadata"]["labels"] = {"app": name}
        template["spec"]["containers"][0]["image"] = IMAGE
        template["spec"] |= {"terminationGracePeriodSeconds": 0, "automountServiceAccountToken": False}
        selector, strategy = {"matchLabels": {"app": name}}, {"type": "Recreate"}
        spec = {"replicas": 1, "selector": selector, "strategy": strategy, "template": template}
        body = {"metadata": {"name": name, "annotations": {KEY: BEFORE}}, "spec": spec}
        return self.plane.request("admin", DEPLOYMENTS, "POST", body).status == 201

    def rest(self) -> None:
        """Wait until the controllers have nothing left to do."""

        def settled() -> bool:
            found = self.plane.request("admin", DEPLOYMENTS).body["items"]
            pods = self.plane.request("admin", PODS).body["items"]
            return len(pods) == len(found) == len(self.names) and all(
                each["status"].get("observedGeneration") == each["metadata"]["generation"]
                and each["status"].get("updatedReplicas") == 1
                for each in found
            )

        wait_until(settled, "every Deployment is at rest", 600)

    def patches(self, value: str) -> list[Patch]:
        """In the order in which the door writes them."""
        found: list[Patch] = []
        for each in self.plan.items:
            patch = _valued(each.patch, value)
            found.append((f"{DEPLOYMENTS}/{each.name}", patch))
            if each.pod_patch is not None:
                found.append((f"{PODS}/{self.pods[each.name]}", _valued(each.pod_patch, value)))
        return found

    def cpu_s(self) -> float:
        """What this process, the API server and etcd have used of the processors until now."""
        used_s = time.process_time()
        for part in ("kube-apiserver", "etcd"):
            process = self.plane.processes[part].pid
            # proc(5): after the name, which may hold anything but ends with the last bracket, the 12th and 13th.
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            used_s += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return used_s

    def bare(self, value: str) -> Taken:
        """What the bare client took."""
        environment = self.plane.environment("admin")
        access = find_access(environment, self.plane.kubeconfig("admin"), None)
        credentials, connections = Credentials(access, SystemClock(), environment), Connections(access)
        patches = self.patches(value)
        headers = (("Content-Type", "application/merge-patch+json"),)
        began_cpu_s, began = self.cpu_s(), time.perf_counter()
        for path, patch in patches:
            limit = Limit(time.monotonic() + 30, threading.Event())
            identity = credentials.current()
            connection = connections.take(identity, limit)
            sent = Wired("PATCH", f"{path}?fieldValidation=Strict&fieldManager=bare", headers, patch)
            response = connection.exchange(sent, identity.headers, limit)
            data = response.read()
            assert response.status == 200, data
            connections.give_back(connection)
        taken = Taken(time.perf_counter() - began, self.cpu_s() - began_cpu_s)
        connections.close()
        return taken

    def door(self, turn: int) -> Taken:
        """What an apply of the plan took, which was verified before."""
        folder = self.folder / f"turn-{turn}"
        folder.mkdir()
        order = self._order(folder)
        began_cpu_s, began = self.cpu_s(), time.perf_counter()
        report = DoorActuator().apply(order)
        taken = Taken(time.perf_counter() - began, self.cpu_s() - began_cpu_s)
        assert report.apply_ok, (report.block_reasons, report.detail)
        receipts = len(list((folder / "out").glob("door/*/receipts/*.json")))
        assert receipts == len(self.patches(AFTER)), receipts
        return taken

    def _order(self, folder: Path) -> ApplyOrder:
        environment = self.plane.environment("admin") | _licensed(self.plane, folder)
        kubeconfig = self.plane.kubeconfig("admin")
        reader = open_reader(ClusterChoice(kubeconfig=kubeconfig), clock=SystemClock(), environment=environment)
        run = VerifyRun(FolderStore(folder / "verify"), "k8s_plan.json", 900, SystemClock())
        plan = self.plan
        verified = document(run.judged(gather(reader, plan), KubectlVersion(error="not asked")))
        reader.close()
        return ApplyOrder(
            plan=GivenFile(path="k8s_plan.json", data=document(plan)),
            verification=GivenFile(path="k8s_verify_latest.json", data=verified),
            license_path=str(folder / "licence.json"),
            kill_switch_file=str(folder / "kill-switch"),
            cluster=ClusterWay(kubeconfig=str(kubeconfig), request_timeout_s=30),
            approve_advanced=True,
            store=FolderStore(folder / "out"),
            clock=SystemClock(),
            environment=environment,
        )


def _valued(patch: Mapping[str, Any], value: str) -> bytes:
    return msgspec.json.encode(patch).replace(f'"{AFTER}"'.encode(), f'"{value}"'.encode())


def _licensed(plane: ControlPlane, folder: Path) -> dict[str, str]:
    """A signed licence for this cluster in ``folder``, and the environment that names its key."""
    uid = plane.request("admin", "/api/v1/namespaces/kube-system").body["metadata"]["uid"]
    now = SystemClock().now()
    times = {
        "issued_at": f"{now - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}",
        "expires_at": f"{now + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}",
    }
    files = {
        "licence.json": licence(bindings={"cluster": uid}, **times),
        "keys.json": dumped({"vendor-2026": b64(public_bytes("vendor-2026"))}),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
        (folder / name).chmod(0o644)
    return {"MK_LICENSE_GATE_PUBLIC_KEYS_PATH": str(folder / "keys.json"), "XDG_STATE_HOME": str(folder)}


if __name__ == "__main__":
    sys.exit(main())
