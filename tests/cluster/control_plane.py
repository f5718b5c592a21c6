"""A real Kubernetes control plane in a folder: etcd, API server, controller manager and scheduler on loopback ports.

Everything a plane writes is in the folder it is given. The private keys and tokens there are made for this one plane
and open nothing else. etcd is reached without TLS: it listens on the loopback interface only, and holds nothing but
what a test put there.
"""

import json
import os
import secrets
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.cluster.users import GROUPS, kubeconfig, write_kubeconfig

TOOLS = Path(__file__).parent / "tools"
AUDIT_POLICY = Path(__file__).parent / "audit-policy.yaml"
HOST = "127.0.0.1"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

NO_HEADERS: Mapping[str, str] = MappingProxyType({})

READY_DEADLINE_S = 120.0
END_DEADLINE_S = 20.0
REQUEST_TIMEOUT_S = 30.0
POLL_S = 0.1
ATTEMPTS = 3
"""Between choosing a free port and listening on it somebody else may take it."""


class ControlPlaneError(Exception):
    """The control plane did not start, or did not do what was asked in time."""


class PortTakenError(ControlPlaneError):
    """Somebody else listens on a port that was free when it was chosen."""


@dataclass(frozen=True)
class Answer:
    """What the API server said: the HTTP status and the decoded body."""

    status: int
    body: Any


def find_binaries(environment: Mapping[str, str] = os.environ, of: str = "kubernetes") -> Path:
    """The folder of the binaries of ``kubernetes``, or of ``kwok``.

    Raises:
        ControlPlaneError: there is none; the text is one line that says how to get them.
    """
    done = subprocess.run(
        [TOOLS / "build.sh", "--find", of], capture_output=True, text=True, check=False, env=dict(environment)
    )
    if done.returncode != 0:
        raise ControlPlaneError(done.stderr.strip().removeprefix("ERROR: "))
    return Path(done.stdout.rstrip("\n"))


def wait_until(holds: Callable[[], bool], what: str, deadline_s: float = READY_DEADLINE_S) -> None:
    """Ask until the answer is yes.

    Raises:
        ControlPlaneError: it was not within ``deadline_s`` seconds.
    """
    until = time.monotonic() + deadline_s
    while not holds():
        if time.monotonic() > until:
            raise ControlPlaneError(f"{what}: not within {deadline_s:.0f} s")
        time.sleep(POLL_S)


@dataclass
class ControlPlane:
    """A running control plane.

    ``folder`` is the plane's own, ``binaries`` holds the programs, ``ready_s`` says how many seconds after the start of
    the plane each part was seen to be ready.
    """

    folder: Path
    binaries: Path
    ports: Mapping[str, int]
    tokens: Mapping[str, str]
    durable: bool = False
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ready_s: dict[str, float] = field(default_factory=dict)
    began_s: float = field(default_factory=time.monotonic)

    @property
    def port(self) -> int:
        return self.ports["kube-apiserver"]

    @property
    def server(self) -> str:
        return f"https://{HOST}:{self.port}"

    @property
    def audit_log(self) -> Path:
        """What the API server was asked; ``audit.events`` reads it."""
        return self.folder / "audit.log"

    def kubeconfig(self, user: str) -> Path:
        """The path of the kubeconfig file of one user of ``users.GROUPS``."""
        return self.folder / "kubeconfig" / f"{user.replace(':', '-')}.json"

    def write_kubeconfig(self, path: Path, user: str, *, namespace: str | None = None, context: str = "test") -> Path:
        """Write one more kubeconfig of a user, with a current namespace and a context of that name."""
        document = kubeconfig(
            server=self.server,
            authority=self.folder / "ca.crt",
            user=user,
            token=self.tokens[user],
            namespace=namespace,
            context=context,
        )
        return write_kubeconfig(path, document)

    def environment(self, user: str) -> dict[str, str]:
        """The environment in which a Kubernetes client is that user, and finds nobody else's settings."""
        return {"PATH": os.defpath, "HOME": str(self.folder), "KUBECONFIG": str(self.kubeconfig(user))}

    def kubectl(self, user: str, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run kubectl as a user; the return code is the caller's to look at."""
        return subprocess.run(
            [self.binaries / "kubectl", f"--request-timeout={REQUEST_TIMEOUT_S:.0f}s", *words],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            env=self.environment(user),
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * REQUEST_TIMEOUT_S,
        )

    def request(self, user: str, path: str, method: str = "GET", body: Any = None) -> Answer:
        """One request as a user, past every client library; a patch is a JSON merge patch."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        headers = {"Authorization": f"Bearer {self.tokens[user]}", "Content-Type": kind}
        return _request(
            self.folder, self.port, path, method, body=None if body is None else json.dumps(body), headers=headers
        )


def _request(
    folder: Path,
    port: int,
    path: str,
    method: str = "GET",
    *,
    body: str | None = None,
    headers: Mapping[str, str] = NO_HEADERS,
) -> Answer:
    trust = ssl.create_default_context(cafile=folder / "ca.crt")
    connection = HTTPSConnection(HOST, port, timeout=REQUEST_TIMEOUT_S, context=trust)
    try:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        text = response.read().decode()
    finally:
        connection.close()
    is_json = response.headers.get_content_type() == "application/json"
    return Answer(response.status, json.loads(text) if is_json else text)


@contextmanager
def running_control_plane(folder: Path, binaries: Path, *, durable: bool = False) -> Iterator[ControlPlane]:
    """A control plane that is ready, and that has ended when the block is left, however it is left.

    ``durable``: its etcd waits for the disk before it confirms a write, as that of every other cluster does.

    Raises:
        ControlPlaneError: a part ended early or was not ready in time; the text names its log.
    """
    with ExitStack() as stack:
        for attempt in range(ATTEMPTS):
            own = folder / f"attempt-{attempt}"
            own.mkdir(mode=0o700)
            try:
                plane = stack.enter_context(_attempt(own, binaries, durable=durable))
            except PortTakenError:
                if attempt == ATTEMPTS - 1:
                    raise
            else:
                break
        yield plane


@contextmanager
def _attempt(folder: Path, binaries: Path, *, durable: bool) -> Iterator[ControlPlane]:
    names = ("etcd", "etcd-peer", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
    plane = ControlPlane(
        folder,
        binaries,
        ports=dict(zip(names, free_ports(len(names)), strict=True)),
        tokens={user: secrets.token_urlsafe(32) for user in GROUPS},
        durable=durable,
    )
    _write_certificates(folder)
    _write_users(plane)
    try:
        _start(plane)
        yield plane
    finally:
        end_processes(plane.processes)
        shutil.rmtree(folder / "etcd", ignore_errors=True)  # its log is preallocated: 64 MB of nothing


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        taken = [stack.enter_context(socket.create_server((HOST, 0))) for _ in range(count)]
        return [server.getsockname()[1] for server in taken]


def _openssl(folder: Path, *words: str) -> None:
    done = subprocess.run(["openssl", *words], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ControlPlaneError(f"openssl {words[0]} failed: {done.stderr.strip().splitlines()[-1:]}")


def _write_certificates(folder: Path) -> None:
    """A certificate authority, a serving certificate, and the key that signs service account tokens."""
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    _openssl(
        folder, "req", "-x509", *new_key, "-subj", "/CN=control-plane-of-a-test", "-keyout", "ca.key", "-out", "ca.crt"
    )
    serving = (
        "-CA",
        "ca.crt",
        "-CAkey",
        "ca.key",
        "-subj",
        "/CN=localhost",
        "-keyout",
        "serving.key",
        "-out",
        "serving.crt",
    )
    names = ("subjectAltName=DNS:localhost,IP:127.0.0.1", "basicConstraints=critical,CA:FALSE")
    extensions = [word for name in names for word in ("-addext", name)]
    _openssl(folder, "req", "-x509", *new_key, *serving, *extensions)
    _openssl(folder, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "sa.key")
    _openssl(folder, "pkey", "-in", "sa.key", "-pubout", "-out", "sa.pub")


def _write_users(plane: ControlPlane) -> None:
    (plane.folder / "kubeconfig").mkdir()
    lines = [f'{plane.tokens[user]},{user},{user},"{",".join(groups)}"' for user, groups in GROUPS.items()]
    (plane.folder / "tokens.csv").write_text("".join(f"{line}\n" for line in lines))
    for user in GROUPS:
        plane.write_kubeconfig(plane.kubeconfig(user), user)


def _start(plane: ControlPlane) -> None:
    _start_part(plane, "etcd", _etcd_flags(plane))
    _start_part(plane, "kube-apiserver", _api_server_flags(plane))
    _wait_for_part(plane, "kube-apiserver", lambda: plane.request("admin", "/readyz").status == 200)
    for name in ("kube-controller-manager", "kube-scheduler"):
        _start_part(plane, name, _controller_flags(plane, name))
    _wait_for_part(
        plane, "kube-scheduler", lambda: _request(plane.folder, plane.ports["kube-scheduler"], "/readyz").status == 200
    )
    # Pods are refused in a namespace until its service account is there, which is the controller manager's work.
    account = "/api/v1/namespaces/default/serviceaccounts/default"
    _wait_for_part(plane, "kube-controller-manager", lambda: plane.request("admin", account).status == 200)


def _etcd_flags(plane: ControlPlane) -> list[str]:
    client, peer = (f"http://{HOST}:{plane.ports[name]}" for name in ("etcd", "etcd-peer"))
    return [
        f"--data-dir={plane.folder / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        f"--unsafe-no-fsync={str(not plane.durable).lower()}",  # a test that dies takes its data with it
    ]


def _api_server_flags(plane: ControlPlane) -> list[str]:
    folder = plane.folder
    return [
        f"--etcd-servers=http://{HOST}:{plane.ports['etcd']}",
        f"--bind-address={HOST}",
        f"--advertise-address={HOST}",
        "--endpoint-reconciler-type=none",
        f"--secure-port={plane.port}",
        f"--cert-dir={folder}",
        f"--tls-cert-file={folder / 'serving.crt'}",
        f"--tls-private-key-file={folder / 'serving.key'}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--anonymous-auth=false",
        "--authorization-mode=Node,RBAC",
        f"--kubelet-client-certificate={folder / 'serving.crt'}",
        f"--kubelet-client-key={folder / 'serving.key'}",
        f"--kubelet-certificate-authority={folder / 'ca.crt'}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--audit-policy-file={AUDIT_POLICY}",
        f"--audit-log-path={plane.audit_log}",
        "--audit-log-mode=blocking",
        "--audit-log-maxsize=10000",  # megabytes: one file for the whole session
        "--service-cluster-ip-range=10.99.0.0/24",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={folder / 'sa.pub'}",
        f"--service-account-signing-key-file={folder / 'sa.key'}",
    ]


def _controller_flags(plane: ControlPlane, name: str) -> list[str]:
    folder = plane.folder
    flags = [
        f"--kubeconfig={plane.kubeconfig(f'system:{name}')}",
        "--leader-elect=false",
        f"--bind-address={HOST}",
        f"--secure-port={plane.ports[name]}",
        f"--tls-cert-file={folder / 'serving.crt'}",
        f"--tls-private-key-file={folder / 'serving.key'}",
        # A thousand pods in seconds: as many requests as they like.
        "--kube-api-qps=1000",
        "--kube-api-burst=2000",
    ]
    if name == "kube-controller-manager":
        flags += ["--use-service-account-credentials=true", f"--root-ca-file={folder / 'ca.crt'}"]
    return flags


def _start_part(plane: ControlPlane, name: str, flags: Sequence[str]) -> None:
    plane.processes[name] = started([plane.binaries / name, *flags], plane.folder, name)


def started(command: Sequence[str | Path], folder: Path, name: str) -> subprocess.Popen[bytes]:
    """Start a program in a folder, where ``NAME.log`` is what it says; it ends with the tests that started it."""
    # Where the tests are killed there is nobody to end it: the kernel does, on Linux.
    tied = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            [*tied, *command],
            cwd=folder,
            env={"PATH": SYSTEM_PATH, "HOME": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C reaches only the tests, which then end it in order
        )


def _wait_for_part(plane: ControlPlane, name: str, ready: Callable[[], bool]) -> None:
    def is_ready() -> bool:
        _check_alive(plane)
        with suppress(OSError, HTTPException):
            return ready()
        return False

    log = plane.folder / f"{name}.log"
    wait_until(is_ready, f"{name} is ready (its log is {log})")
    plane.ready_s[name] = time.monotonic() - plane.began_s


def _check_alive(plane: ControlPlane) -> None:
    for name, process in plane.processes.items():
        if process.poll() is not None:
            log = plane.folder / f"{name}.log"
            said = log.read_text(errors="replace").strip()
            kind = PortTakenError if "address already in use" in said else ControlPlaneError
            last = said.rpartition("\n")[2]
            raise kind(f"{name} ended with {process.returncode}; the last line of {log}: {last!r}")


def end_processes(processes: Mapping[str, subprocess.Popen[bytes]]) -> None:
    """End what was started, the last one first: politely, and after a deadline not."""
    try:
        for process in reversed(list(processes.values())):
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(END_DEADLINE_S)
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
