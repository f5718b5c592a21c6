"""A real node for the control plane of the tests: containerd, runc and a kubelet, in namespaces of their own.

Its processes, pods included, live in one PID namespace: ending the first of them ends all, also where the tests were
killed. What containerd and the kubelet write at fixed places is in a mount namespace. Of the machine the node uses the
loopback interface, on which the kubelet listens, and one cgroup in each hierarchy, which go with it. Pods have a
loopback interface of their own, an address for show, and reach nobody. Images are those of ``images``; a pull policy
other than ``Never`` or ``IfNotPresent`` fails.
"""

import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.control_plane import (
    HOST,
    SYSTEM_PATH,
    TOOLS,
    ControlPlane,
    ControlPlaneError,
    free_ports,
    started,
    wait_until,
)
from tests.cluster.images import BUSYBOX, PAUSE, find_busybox, write_image
from tests.cluster.users import NODE_NAME
from tests.cluster.workloads import NODE_KIND, is_ready

CGROUPS = Path("/sys/fs/cgroup")
PROGRAMS = ("containerd", "ctr", "runc", "unshare", "setpriv", "nsenter", "ip", "mount")
READY_DEADLINE_S = 90.0
ENDED_DEADLINE_S = 30.0


@dataclass
class Node:
    """A running node, whose kubelet listens on ``port``.

    ``ready_s`` is the time from the start of its first process to its condition ``Ready``.
    """

    plane: ControlPlane
    folder: Path
    cgroup: str
    port: int
    process: subprocess.Popen[bytes]
    ready_s: float = 0.0
    name: str = NODE_NAME

    @property
    def log(self) -> Path:
        """What the kubelet said."""
        return self.folder / "kubelet.log"

    def processes(self, pod_uid: str) -> list[int]:
        """The ids, outside the node, of the processes of a pod's containers, its sandbox among them."""
        own = _counting_hierarchy() / self.cgroup
        return [each for pod in own.rglob(f"pod{pod_uid}") for file in pod.rglob("cgroup.procs") for each in _ids(file)]


def is_first_shell(process: int) -> bool:
    """The first process of its container: a child that was forked a moment ago is called the same."""
    place = Path("/proc") / str(process)
    try:
        status = place.joinpath("status").read_text()
        called = place.joinpath("cmdline").read_bytes()
    except FileNotFoundError:
        return False
    inside = next(line.split()[-1] for line in status.splitlines() if line.startswith("NSpid:"))
    return inside == "1" and called.startswith(b"sh\0")


def lacks() -> str | None:
    """What this machine lacks to run a node, in one line; nothing where it lacks nothing."""
    if os.geteuid() != 0:
        return "a node is started as root"
    missing = [program for program in PROGRAMS if shutil.which(program, path=SYSTEM_PATH) is None]
    if missing:
        return f"a node needs {', '.join(missing)}: install containerd, runc, util-linux, mount and iproute2"
    if not _counting_hierarchy().is_dir():
        return f"a node needs the cgroups of the machine under {CGROUPS}"
    try:
        find_busybox()
    except ControlPlaneError as error:
        return str(error)
    return None


@contextmanager
def running_node(plane: ControlPlane, folder: Path) -> Iterator[Node]:
    """A node that is ready, and of which nothing is left when the block is left, however it is left.

    Raises:
        ControlPlaneError: it was not ready in time, or it ended; the text names its logs.
    """
    (port,) = free_ports(1)
    cgroup = _own_cgroup()
    try:
        _write_files(plane, folder, cgroup, port)
        node = Node(plane, folder, cgroup, port, _started(plane, folder))
        try:
            _wait_until_ready(node)
            yield node
        finally:
            _end(node)
    finally:
        wait_until(lambda: _remove_cgroup(cgroup), "the last process of the node ends", ENDED_DEADLINE_S)
        for large in ("containerd", "images"):
            shutil.rmtree(folder / large, ignore_errors=True)


def _started(plane: ControlPlane, folder: Path) -> subprocess.Popen[bytes]:
    namespaces = ("--mount", "--propagation=private", "--pid", "--mount-proc", "--kill-child=SIGKILL")
    script = (TOOLS / "node.sh", folder, plane.binaries / "kubelet", NODE_NAME)
    return started(["unshare", *namespaces, *map(str, script)], folder, "node")


def _wait_until_ready(node: Node) -> None:
    began_s = time.monotonic()

    def is_at_work() -> bool:
        if node.process.poll() is not None:
            said = (node.folder / "node.log").read_text(errors="replace").strip().rpartition("\n")[2]
            raise ControlPlaneError(f"the node ended; the last line of {node.folder / 'node.log'}: {said!r}")
        answer = node.plane.request("admin", f"/api/v1/nodes/{node.name}")
        if answer.status != 200:
            return False
        # Another port is that of another kubelet, which the API server knew before.
        port = answer.body["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
        taints = [taint["key"] for taint in answer.body["spec"].get("taints", [])]
        return port == node.port and is_ready(answer.body) and taints == [NODE_KIND]

    wait_until(is_at_work, f"the node is ready (its logs are in {node.folder})", READY_DEADLINE_S)
    node.ready_s = time.monotonic() - began_s


def _end(node: Node) -> None:
    """End the first process of the node, and with it every other; the API server forgets the node."""
    first = _ids(Path(f"/proc/{node.process.pid}/task/{node.process.pid}/children"))
    node.process.kill()
    node.process.wait()
    wait_until(lambda: not any(map(_is_alive, first)), "the node's first process ends", ENDED_DEADLINE_S)
    if node.ready_s:
        with suppress(OSError):
            node.plane.request("admin", f"/api/v1/nodes/{node.name}", "DELETE")


def _ids(file: Path) -> list[int]:
    with suppress(OSError):
        return [int(word) for word in file.read_text().split()]
    return []


def _is_alive(process: int) -> bool:
    with suppress(OSError):
        return bool(Path(f"/proc/{process}/cmdline").read_bytes())  # one that nobody waited for yet has none
    return False


def _is_unified() -> bool:
    return (CGROUPS / "cgroup.controllers").exists()


def _hierarchies() -> list[Path]:
    """The root of each cgroup hierarchy: several of version 1, or the one of version 2."""
    if _is_unified():
        return [CGROUPS]
    return [each for each in CGROUPS.iterdir() if each.is_dir() and not each.is_symlink()]


def _counting_hierarchy() -> Path:
    """The hierarchy in which every process of a pod is in the pod's cgroup."""
    return CGROUPS if _is_unified() else CGROUPS / "pids"


def cgroups(name: str) -> list[Path]:
    """The folders of the cgroup of that name, one in each hierarchy, where they exist."""
    return [root / name for root in _hierarchies() if (root / name).exists()]


def remove_stale_cgroups() -> None:
    """Remove what tests left that were killed: cgroups named after a process that has ended."""
    for old in {each.name for root in _hierarchies() for each in root.glob("modekeeper-*-*")}:
        if not Path("/proc", old.split("-")[1]).exists():
            _remove_cgroup(old)


def _own_cgroup() -> str:
    """Make a cgroup in each hierarchy, named after this process."""
    remove_stale_cgroups()
    name = f"modekeeper-{os.getpid()}-{secrets.token_hex(4)}"
    for root in _hierarchies():
        (root / name).mkdir()
        # Without these two no process may enter.
        for setting in ("cpuset.cpus", "cpuset.mems"):
            with suppress(OSError):
                (root / name / setting).write_text((root / setting).read_text())
    return name


def _remove_cgroup(name: str) -> bool:
    """Remove the cgroups of that name, and say whether they are gone: those with a process in them stay."""
    for own in cgroups(name):
        for folder, _, _ in os.walk(own, topdown=False):
            with suppress(OSError):
                Path(folder).rmdir()
    return not cgroups(name)


def _write_files(plane: ControlPlane, folder: Path, cgroup: str, port: int) -> None:
    for name in ("images", "network"):
        (folder / name).mkdir()
    write_image(folder / "images" / "busybox.tar", BUSYBOX)
    write_image(folder / "images" / "pause.tar", PAUSE, ("/bin/sleep", "infinity"))
    plane.write_kubeconfig(folder / "kubeconfig.json", f"system:node:{NODE_NAME}")
    (folder / "containerd.toml").write_text(_containerd_settings(folder))
    (folder / "kubelet.json").write_text(json.dumps(_kubelet_settings(plane.folder, folder, cgroup, port)))
    for plugin in ("loopback", "pods"):
        (folder / "network" / plugin).symlink_to(TOOLS / "cni.sh")
    network = {"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "pods"}]}
    (folder / "network" / "10-pods.conflist").write_text(json.dumps(network))


def _containerd_settings(folder: Path) -> str:
    def quoted(path: Sequence[str] | str) -> str:
        return json.dumps(str(folder.joinpath(path)) if isinstance(path, str) else list(path))

    return f"""version = 2
root = {quoted("containerd")}
state = "/run/containerd"
[plugins."io.containerd.internal.v1.opt"]
  path = {quoted("containerd/opt")}
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  disable_hugetlb_controller = true
  stream_server_address = "{HOST}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = {quoted("network")}
    conf_dir = {quoted("network")}
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""


def _kubelet_settings(plane_folder: Path, folder: Path, cgroup: str, port: int) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": HOST,
        "port": port,
        "healthzPort": 0,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
            "x509": {"clientCAFile": str(plane_folder / "ca.crt")},
        },
        # Who has a certificate of this authority is the API server.
        "authorization": {"mode": "AlwaysAllow"},
        "tlsCertFile": str(plane_folder / "serving.crt"),
        "tlsPrivateKeyFile": str(plane_folder / "serving.key"),
        "registerWithTaints": [{"key": NODE_KIND, "value": "real", "effect": "NoSchedule"}],
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "podLogsDir": str(folder / "pod-logs"),
        "volumePluginDir": str(folder / "volume-plugins"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup}",
        "enforceNodeAllocatable": ["none"],
        "failCgroupV1": False,
        "failSwapOn": False,
        # What is the machine's own stays as it is.
        "makeIPTablesUtilChains": False,
        "protectKernelDefaults": True,
        "oomScoreAdj": 0,
        "maxOpenFiles": 20000,
        # Pods reach nobody, and no name server either.
        "resolvConf": "",
        "clusterDNS": [HOST],
        # The machine's disk is fuller or emptier than a node's would be, which is no reason to evict.
        "evictionHard": dict.fromkeys(("memory.available", "nodefs.available", "imagefs.available"), "100Mi"),
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "nodeStatusUpdateFrequency": "2s",
        "nodeStatusReportFrequency": "10s",
        "containerLogMaxSize": "10Mi",
        "containerLogMaxFiles": 3,
    }
