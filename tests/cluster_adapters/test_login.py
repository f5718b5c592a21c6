"""Who we say we are: tokens, rotated files, passwords, and programs that print credentials."""

import json
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.cluster_adapters.clients import POD, POD_BODY, TOKEN, StandingClock, kubeconfig, reading
from tests.cluster_adapters.hostile_server import Request, answer, hostile_server, status

from modekeeper.model.cluster import ClusterAnswerError, ClusterConfigError

OK = answer(200, POD_BODY)
REFUSED = status(401, "Unauthorized", "Unauthorized")
V1 = "client.authentication.k8s.io/v1"


def sent(request: Request) -> str | None:
    return request.header("Authorization")


def test_a_token_and_a_password_go_into_the_header(tmp_path: Path) -> None:
    rows: list[tuple[dict[str, Any], str | None]] = [
        ({"token": TOKEN}, f"Bearer {TOKEN}"),
        ({"username": "u", "password": "p:w"}, "Basic dTpwOnc="),
        ({}, None),
    ]
    for user, header in rows:
        with (
            hostile_server(OK) as server,
            reading(kubeconfig(tmp_path / "config", server.url, user=user)) as reader,
        ):
            reader.get(POD)
            assert sent(server.requests[0]) == header


def test_somebody_else_may_be_impersonated(tmp_path: Path) -> None:
    user = {"token": TOKEN, "as": "someone", "as-groups": ["a", "b"], "as-uid": "7", "as-user-extra": {"team": ["x"]}}
    with hostile_server(OK) as server, reading(kubeconfig(tmp_path / "config", server.url, user=user)) as reader:
        reader.get(POD)
        headers = [each for each in server.requests[0].headers if each[0].startswith("Impersonate")]
    assert headers == [
        ("Impersonate-User", "someone"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Group", "a"),
        ("Impersonate-Group", "b"),
        ("Impersonate-Extra-team", "x"),
    ]


def test_a_token_file_is_read_as_it_rotates(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("first\n")
    path = tmp_path / "config"
    with hostile_server(OK) as server, reading(kubeconfig(path, server.url, user={"tokenFile": "token"})) as reader:
        reader.get(POD)
        (tmp_path / "token").write_text("second\n")
        reader.get(POD)
        (tmp_path / "token").write_text("\n")
        with pytest.raises(ClusterConfigError, match=r"holds no token\. Correct tokenFile"):
            reader.get(POD)
        (tmp_path / "token").unlink()
        with pytest.raises(ClusterConfigError, match="no such file"):
            reader.get(POD)
    assert [sent(request) for request in server.requests] == ["Bearer first", "Bearer second"]


def plugin(tmp_path: Path, body: str, **entry: Any) -> dict[str, Any]:
    """A user who logs in by a program; it counts its runs in the file ``runs``."""
    program = tmp_path / "login"
    counting = (
        f"import pathlib; p = pathlib.Path({str(tmp_path / 'runs')!r}); n = len(p.read_text()) if p.exists() else 0"
    )
    program.write_text(
        f"#!{sys.executable}\n{counting}; p.write_text('x' * (n + 1))\nimport json, os, sys, time\n{body}\n"
    )
    program.chmod(0o700)
    return {"exec": {"apiVersion": V1, "command": "./login", "interactiveMode": "Never", **entry}}


def runs(tmp_path: Path) -> int:
    return len((tmp_path / "runs").read_text())


def prints(status_: str, version: str = V1) -> str:
    return f"print(json.dumps({{'apiVersion': {version!r}, 'kind': 'ExecCredential', 'status': {status_}}}))"


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_a_program_is_run_once_with_what_the_protocol_says(version: str, tmp_path: Path) -> None:
    whole = f"client.authentication.k8s.io/{version}"
    shows = "{'token': os.environ['PREFIX'] + sys.argv[1] + str(n)}"
    told = f"pathlib.Path({str(tmp_path / 'info')!r}).write_text(os.environ['KUBERNETES_EXEC_INFO'])\n"
    user = plugin(
        tmp_path,
        told + prints(shows, whole),
        apiVersion=whole,
        args=["$(id) 'x'"],
        env=[{"name": "PREFIX", "value": "pre-"}],
        provideClusterInfo=True,
    )
    with hostile_server(OK) as server, reading(kubeconfig(tmp_path / "config", server.url, user=user)) as reader:
        threads = [threading.Thread(target=reader.get, args=(POD,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert {sent(request) for request in server.requests} == {"Bearer pre-$(id) 'x'0"}
    assert runs(tmp_path) == 1
    info = json.loads((tmp_path / "info").read_text())
    assert (info["apiVersion"], info["kind"], info["spec"]["interactive"]) == (whole, "ExecCredential", False)
    assert info["spec"]["cluster"]["server"] == server.url


def test_credentials_are_asked_for_again_before_they_end(tmp_path: Path) -> None:
    clock = StandingClock()
    body = prints("{'token': 't' + str(n), 'expirationTimestamp': ['2026-01-31T10:00:00Z', '2026-01-31T11:00:00Z'][n]}")
    path = kubeconfig(tmp_path / "config", "", user=plugin(tmp_path, body))
    with hostile_server(OK) as server:
        path = kubeconfig(path, server.url, user=plugin(tmp_path, body))
        with reading(path, clock=clock) as reader:
            reader.get(POD)
            clock.time += timedelta(minutes=59, seconds=49)
            reader.get(POD)
            clock.time += timedelta(seconds=2)
            reader.get(POD)
    assert [sent(request) for request in server.requests] == ["Bearer t0", "Bearer t0", "Bearer t1"]


def test_credentials_that_are_refused_are_asked_for_again_once(tmp_path: Path) -> None:
    user = plugin(tmp_path, prints("{'token': 't' + str(n)}"))
    with (
        hostile_server(REFUSED, OK, OK) as server,
        reading(kubeconfig(tmp_path / "config", server.url, user=user)) as reader,
    ):
        assert reader.get(POD) == POD_BODY
        assert reader.get(POD) == POD_BODY
    assert [sent(request) for request in server.requests] == ["Bearer t0", "Bearer t1", "Bearer t1"]
    with (
        hostile_server(REFUSED) as server,
        reading(kubeconfig(tmp_path / "config", server.url, user=user)) as reader,
        pytest.raises(ClusterAnswerError, match="401"),
    ):
        reader.get(POD)
    assert len(server.requests) == 2


FAILING: dict[str, tuple[str, str]] = {
    "ends with an error": (
        f"print({TOKEN!r}); sys.exit('first\\nrun \\x1b[31mlab login\\x1b[0m')",
        r"ended with 1: run \\u001b\[31mlab login\\u001b\[0m. Log in with it at a terminal first.",
    ),
    "prints nothing": ("", "printed no ExecCredential"),
    "prints no JSON": (f"print({TOKEN!r})", "printed no ExecCredential"),
    "prints something else": ("print('[1]')", "printed no ExecCredential"),
    "prints no token": (prints("{}"), "neither a token nor a client certificate"),
    "prints a key alone": (prints("{'clientKeyData': 'x'}"), "neither a token nor"),
    "prints another version": (prints(f"{{'token': {TOKEN!r}}}", V1 + "beta1"), "speaks .*v1beta1, not .*v1"),
    "prints a bad time": (prints("{'token': 'x', 'expirationTimestamp': 'soon'}"), "printed no ExecCredential"),
    "prints a token of two lines": (prints("{'token': 'a\\r\\nX: y'}"), "no HTTP header can carry"),
    "prints without end": ("print('x' * 3_000_000)", "printed more than 1 MiB"),
    "does not end": ("time.sleep(60)", "did not end within 1 s"),
}


@pytest.mark.parametrize("what", FAILING)
def test_a_program_that_fails_is_one_line(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modekeeper.cluster.access.exec_plugin._TIMEOUT_S", 1.0 if what == "does not end" else 20.0)
    body, says = FAILING[what]
    began_s = time.monotonic()
    with hostile_server(OK) as server:
        path = kubeconfig(tmp_path / "config", server.url, user=plugin(tmp_path, body))
        with reading(path) as reader, pytest.raises(ClusterConfigError, match=says) as caught:
            reader.get(POD)
    assert time.monotonic() - began_s < 15
    line = str(caught.value)
    assert line.startswith("The login program login of ")
    assert line.isprintable()
    assert TOKEN not in line
    assert server.requests == []


def test_a_program_that_is_not_there_says_how_to_get_it(tmp_path: Path) -> None:
    user = {"exec": {"apiVersion": V1, "command": "no-such-login", "installHint": "Get it from\nthe lab."}}
    path = kubeconfig(tmp_path / "config", "http://127.0.0.1:1", user=user)
    with reading(path) as reader, pytest.raises(ClusterConfigError, match=r"is not there\. Get it from the lab\."):
        reader.get(POD)


def test_what_a_late_program_started_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modekeeper.cluster.access.exec_plugin._TIMEOUT_S", 1.0)
    child = tmp_path / "child"
    body = f"import subprocess; c = subprocess.Popen(['sleep', '60']); p = pathlib.Path({str(child)!r})"
    body += "; p.write_text(str(c.pid)); c.wait()"
    path = kubeconfig(tmp_path / "config", "http://127.0.0.1:1", user=plugin(tmp_path, body))
    with reading(path) as reader, pytest.raises(ClusterConfigError, match="did not end"):
        reader.get(POD)
    line = Path(f"/proc/{child.read_text()}/cmdline")
    until_s = time.monotonic() + 5
    while line.exists() and line.read_bytes() and time.monotonic() < until_s:
        time.sleep(0.05)
    assert not line.exists() or not line.read_bytes()
