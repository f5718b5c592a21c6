"""No cluster, a wrong one, a silent one, a kubeconfig that is none: one line, the right code, and the artifact."""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.control_plane import ControlPlane
from tests.cluster.preflight.processes import as_user, preflight

CLIENTS = ["api", "kubectl"]


def kubeconfig(folder: Path, server: str, **user: Any) -> dict[str, str]:
    """The environment with a kubeconfig for a server."""
    path = folder / "kubeconfig"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "c", "cluster": {"server": server, "insecure-skip-tls-verify": server.startswith("https")}}
        ],
        "users": [{"name": "u", "user": user or {"token": "t"}}],
        "contexts": [{"name": "away", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "away",
    }
    path.write_text(json.dumps(document))
    return {"KUBECONFIG": str(path), "HOME": str(folder)}


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A server that takes connections and says nothing."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        taken: list[socket.socket] = []

        def accept() -> None:
            with suppress(OSError):
                while True:
                    taken.append(server.accept()[0])

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in taken:
            connection.close()


def test_a_cluster_that_is_away_is_one_line_exit_code_1_and_a_report(tmp_path: Path, closed_port: int) -> None:
    environment = kubeconfig(tmp_path, f"https://127.0.0.1:{closed_port}")
    done = preflight(tmp_path, environment, "--request-timeout", "2s")
    assert done.code == 1
    assert len(done.errors) == 1
    assert "client_unavailable" in done.errors[0]
    assert (done.report["ok"], done.report["top_blocker"]) == (False, "client_unavailable")
    assert done.report["context"]["name"] == "away"
    assert done.checks["reachable"]["status"] == "fail"
    assert (tmp_path / "out" / "preflight_summary.md").read_text().startswith("# Preflight\n\n**Not ready**")


def test_a_server_that_never_answers_costs_a_deadline_or_so_not_one_a_question(
    tmp_path: Path, silent_port: int
) -> None:
    environment = kubeconfig(tmp_path, f"https://127.0.0.1:{silent_port}")
    began = time.monotonic()
    done = preflight(tmp_path, environment, "--request-timeout", "2s")
    assert time.monotonic() - began < 12
    assert (done.code, done.report["top_blocker"]) == (1, "client_unavailable")
    assert len(done.errors) == 1


@pytest.mark.parametrize("client", CLIENTS)
def test_credentials_that_are_unknown_there(control_plane: ControlPlane, tmp_path: Path, client: str) -> None:
    known = json.loads(control_plane.kubeconfig("admin").read_text())
    known["users"][0]["user"] = {"token": "not-this-one"}
    other = tmp_path / "other"
    other.write_text(json.dumps(known))
    words = ("--kubeconfig", str(other), "--cluster-client", client)
    done = as_user(control_plane, "admin", tmp_path, *words)
    assert (done.code, done.report["top_blocker"]) == (1, "client_unavailable")
    assert done.checks["login"]["status"] == "fail"
    assert len(done.errors) == 1
    assert "not-this-one" not in done.stdout + done.stderr + json.dumps(done.report)


KUBECONFIGS = {
    "none": None,
    "empty": "",
    "no yaml": "clusters: [",
    "a list": "[1, 2]",
    "binary": "\x00\x01\x02",
    "no such context": '{"apiVersion": "v1", "kind": "Config", "current-context": "gone"}',
    "no cluster of the context": json.dumps(
        {"contexts": [{"name": "a", "context": {"cluster": "b", "user": "c"}}], "current-context": "a"}
    ),
}


@pytest.mark.parametrize("what", KUBECONFIGS)
def test_a_kubeconfig_that_leads_nowhere_is_bad_input_and_a_report(tmp_path: Path, what: str) -> None:
    path = tmp_path / "kubeconfig"
    text = KUBECONFIGS[what]
    if text is not None:
        path.write_text(text)
    done = preflight(tmp_path, {"HOME": str(tmp_path), "KUBECONFIG": str(path)})
    assert done.code == 2, done.stderr
    assert len(done.errors) == 1
    assert (done.report["ok"], done.report["top_blocker"], done.report["context"]) == (
        False,
        "client_unavailable",
        None,
    )
    assert done.checks["context"]["status"] == "fail"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_kubeconfig_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text("{}")
    path.chmod(0)
    assert preflight(tmp_path, {"HOME": str(tmp_path), "KUBECONFIG": str(path)}).code == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--k8s-kind", "Deploymnet"), "k8s-kind"),
        (("--k8s-namespace", "a b;c"), "namespace"),
        (("--k8s-deployment", "$(reboot)"), "no object name"),
        (("--k8s-deployment", "x" * 254), "no object name"),
        (("--request-timeout", "soon"), "5m"),
        (("--record-cluster", "a", "--replay-cluster", "b"), "--replay-cluster"),
    ],
)
def test_a_command_line_that_cannot_be_used_is_one_line(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    done = preflight(tmp_path, {"HOME": str(tmp_path)}, *words)
    assert (done.code, len(done.errors)) == (2, 1)
    assert says in done.errors[0]
    assert done.report == {}
