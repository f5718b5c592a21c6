"""Whatever the server does, a call comes back in time, with the answer or with one line that says what to do."""

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.cluster_adapters.clients import POD, POD_BODY, TOKEN, TRAINER, StandingClock, kubeconfig, reading
from tests.cluster_adapters.hostile_server import (
    Act,
    answer,
    drip,
    flood,
    hang_up,
    hostile_server,
    raw,
    silence,
    status,
)

from modekeeper.cluster.memory import PODS
from modekeeper.model.cluster import (
    AccessQuestion,
    ClusterAnswerError,
    ClusterUnreachableError,
    LogQuestion,
)
from modekeeper.model.errors import ModeKeeperError
from modekeeper.ports.cluster import ClusterReader

NEVER = threading.Event()
OK = answer(200, POD_BODY)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
DRY_RUN = "dryRun=All&fieldValidation=Strict&fieldManager=modekeeper"
SOON_S = 5.0
"""Long enough for a busy machine, and much shorter than anything here would take by itself."""


class Row(NamedTuple):
    acts: tuple[Act, ...]
    says: str
    requests: int
    status: int | None = None
    timeout_s: float = 20.0


ROWS: dict[str, Row] = {
    "401": Row((status(401, "Unauthorized", "Unauthorized"),), "401 Unauthorized: Unauthorized. Log in again", 1, 401),
    "403": Row((status(403, "Forbidden", "pods is forbidden"),), "403 Forbidden: pods is forbidden. Ask for", 1, 403),
    "404": Row((status(404, "NotFound", 'pods "x" not found'),), '404 NotFound: pods "x" not found.', 1, 404),
    "409": Row((status(409, "Conflict", "modified"),), "409 Conflict: modified.", 1, 409),
    "410": Row((status(410, "Expired", "too old"),), "410 Expired: too old. List again.", 1, 410),
    "413": Row((answer(413, {"a": 1}),), "413 RequestEntityTooLarge.", 1, 413),
    "422": Row((status(422, "Invalid", "is invalid"),), "422 Invalid: is invalid.", 1, 422),
    "429": Row(
        (status(429, "TooManyRequests", "slow down"),), "429 TooManyRequests: slow down. The API server is", 5, 429
    ),
    "500": Row((status(500, "InternalError", "etcd is away"),), "500 InternalError: etcd is away. Try again", 5, 500),
    "502 with a page": Row((answer(502, b"<html>bad</html>", kind="text/html"),), "502 BadGateway. Try again", 5, 502),
    "503": Row((answer(503, b"shutting\ndown\x1b[2J", kind="text/plain"),), r"shutting down\\u001b\[2J. Try", 5, 503),
    "501": Row((answer(501, b""),), "501 NotImplemented. Try again", 1, 501),
    "a redirect": Row((answer(302, b"", "Location: http://127.0.0.1:1/login"),), "it sent the HTTP status 302.", 1),
    "no JSON": Row((answer(200, b"<html>log in</html>", kind="text/html"),), "sent something else than JSON", 1),
    "half of a JSON": Row((answer(200, b'{"kind": "Po'),), "sent something else than JSON", 1),
    "nested without end": Row((answer(200, b"[" * 1_000_000),), "sent something else than JSON", 1),
    "NaN": Row((answer(200, b'{"a": NaN}'),), "sent something else than JSON", 1),
    "no object": Row((answer(200, [1]),), "is no object of Kubernetes", 1),
    "hangs up": Row((hang_up,), "broke off when asked to get pods", 5),
    "hangs up amid the answer": Row((raw(HEAD + b'Content-Length: 99\r\n\r\n{"kind"'),), "broke off when asked to", 5),
    "hangs up amid a chunk": Row((raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n20\r\n{"),), "broke off when", 5),
    "no HTTP": Row((raw(b"SSH-2.0-OpenSSH_9.2\r\n"),), "broke off when asked to", 5),
    "a bad length": Row((raw(HEAD + b"Content-Length: -5\r\n\r\n{"),), "broke off when", 5),
    "no length": Row((raw(HEAD + b'\r\n{"kind": "Pod", "metadata"'),), "broke off when", 5),
    "half of the headers": Row((raw(HEAD),), "broke off when", 5),
    "a bad chunk": Row((raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}"),), "broke off when", 5),
    "a header without end": Row((raw(b"HTTP/1.1 200 OK\r\nA: " + b"a" * 200_000),), "broke off when asked to", 5),
    "headers without end": Row((raw(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 5000),), "broke off when asked to", 5),
    "never answers": Row((silence,), "did not get pods .* within 0.5 s", 1, timeout_s=0.5),
    "drips its headers": Row((drip(b"HTTP/1.1 200 OK\r\nA:"),), "within 0.5 s", 1, timeout_s=0.5),
    "drips its body": Row((drip(HEAD + b"Content-Length: 3000\r\n\r\n"),), "within 0.5 s", 1, timeout_s=0.5),
    "continues without end": Row(
        (raw(*[b"HTTP/1.1 100 Continue\r\n\r\n"] * 200, pause_s=0.01),), "within 0.5 s", 1, timeout_s=0.5
    ),
    "100 MB said before": Row((raw(HEAD + b"Content-Length: 104857600\r\n\r\n{"),), "larger than 64 MiB", 1),
    "100 MB": Row((flood(100 * 2**20),), "larger than 64 MiB", 1),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_one_line_in_time(row: Row, tmp_path: Path) -> None:
    with (
        hostile_server(*row.acts) as server,
        reading(kubeconfig(tmp_path / "config", server.url), timeout_s=row.timeout_s) as reader,
    ):
        began_s = time.monotonic()
        with pytest.raises(ModeKeeperError, match=row.says) as caught:
            reader.get(POD)
        assert time.monotonic() - began_s < row.timeout_s + SOON_S
        assert len(server.requests) == row.requests
    line = str(caught.value)
    assert line.isprintable()
    assert len(line) < 1000
    assert TOKEN not in line
    if row.status is None:
        assert type(caught.value) is ClusterUnreachableError
    else:
        assert isinstance(caught.value, ClusterAnswerError)
        assert caught.value.status == row.status


PASSING: dict[str, tuple[Act, ...]] = {
    "429": (status(429, "TooManyRequests", "slow down"), OK),
    "500": (status(500, "InternalError", "x"), status(503, "ServiceUnavailable", "x"), answer(504, b""), OK),
    "hung up": (hang_up, raw(HEAD), OK),
    "hung up on a kept connection": (OK, hang_up, OK),
}


@pytest.mark.parametrize("acts", PASSING.values(), ids=PASSING)
def test_what_passes_is_asked_again(acts: tuple[Act, ...], tmp_path: Path) -> None:
    clock = StandingClock()
    with hostile_server(*acts) as server, reading(kubeconfig(tmp_path / "config", server.url), clock=clock) as reader:
        while len(server.requests) < len(acts):
            assert reader.get(POD) == POD_BODY
    assert len(server.requests) == len(acts)


def test_waits_grow_and_a_server_that_names_one_is_heard(tmp_path: Path) -> None:
    clock = StandingClock()
    busy = status(429, "TooManyRequests", "slow down")
    with (
        hostile_server(busy, busy, status(503, "x", "y", "Retry-After: 7"), busy, OK) as server,
        reading(kubeconfig(tmp_path / "config", server.url), clock=clock) as reader,
    ):
        assert reader.get(POD) == POD_BODY
    assert len(clock.waits) == 4
    assert clock.waits[2] == 7
    for wait, most in zip((clock.waits[0], clock.waits[1], clock.waits[3]), (0.2, 0.4, 1.6), strict=True):
        assert most / 2 <= wait <= most


@pytest.mark.parametrize("after", ["3600", "99999999999999999999", "soon", "Wed, 21 Oct 2026 07:28:00 GMT", "-5"])
def test_a_wait_beyond_the_deadline_is_not_waited_for(after: str, tmp_path: Path) -> None:
    clock = StandingClock()
    busy = status(429, "TooManyRequests", "slow down", f"Retry-After: {after}")
    with (
        hostile_server(busy) as server,
        reading(kubeconfig(tmp_path / "config", server.url), clock=clock) as reader,
        pytest.raises(ClusterAnswerError, match="429"),
    ):
        reader.get(POD)
    assert sum(clock.waits) < 20


def test_connections_are_kept(tmp_path: Path) -> None:
    with hostile_server(OK) as server, reading(kubeconfig(tmp_path / "config", server.url)) as reader:
        for _ in range(20):
            reader.get(POD)
        assert len(server.requests) == 20
        assert server.connections == 1


@pytest.mark.parametrize(
    "method", ["get", "list", "watch", "logs", "can_i", "dry_run", "server_version", "served_versions"]
)
@pytest.mark.parametrize("act", [status(403, "Forbidden", "no"), hang_up, OK], ids=["403", "hang up", "200"])
def test_nothing_but_reading_asking_for_access_and_dry_runs_ever_leaves(method: str, act: Act, tmp_path: Path) -> None:
    with hostile_server(act) as server, reading(kubeconfig(tmp_path / "config", server.url)) as reader:
        with suppress(ModeKeeperError):
            ask(reader, method)
        assert server.requests
        for request in server.requests:
            path, _, query = request.target.partition("?")
            if request.method == "POST":
                assert request.target == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
                assert b"SelfSubjectAccessReview" in request.body
            elif request.method == "PATCH":
                assert query == DRY_RUN
                assert request.header("Content-Type") == "application/merge-patch+json"
            else:
                assert (request.method, request.body) == ("GET", b"")
            assert path.startswith("/api") or path == "/version"


def ask(reader: ClusterReader, method: str) -> None:
    calls: dict[str, Any] = {
        "get": lambda: reader.get(TRAINER),
        "list": lambda: reader.list(PODS, None, labels="a=b", limit=3),
        "watch": lambda: list(reader.watch(PODS, "research", resource_version="1", stop=NEVER)),
        "logs": lambda: list(reader.logs(LogQuestion(namespace="research", pod="p", follow=True), NEVER)),
        "can_i": lambda: reader.can_i(AccessQuestion(verb="delete", group="apps", resource="deployments")),
        "dry_run": lambda: reader.dry_run(TRAINER, {"spec": {"replicas": 0}}),
        "server_version": reader.server_version,
        "served_versions": lambda: reader.served_versions("apps"),
    }
    calls[method]()


def test_a_dry_run_is_always_one_whatever_the_patch_says(tmp_path: Path) -> None:
    with hostile_server(OK) as server, reading(kubeconfig(tmp_path / "config", server.url)) as reader:
        reader.dry_run(TRAINER, {"dryRun": [], "metadata": {"name": "x?dryRun=None"}})
        with pytest.raises(ClusterAnswerError):
            reader.dry_run(type(TRAINER)(TRAINER.resource, "research", "x?dryRun=None&a=/b"), {})
        reader.dry_run(type(TRAINER)(TRAINER.resource, "research", "x?dryRun=None&a=#b"), {})
    assert [request.target for request in server.requests] == [
        "/apis/apps/v1/namespaces/research/deployments/trainer?" + DRY_RUN,
        "/apis/apps/v1/namespaces/research/deployments/x%3FdryRun%3DNone%26a%3D%23b?" + DRY_RUN,
    ]


def test_warnings_are_read_from_the_headers(tmp_path: Path) -> None:
    headers = ('Warning: 299 - "unknown \\"x\\""', 'Warning: 299 - "second", 299 - "third"', "Warning: 110 old")
    with (
        hostile_server(answer(200, POD_BODY, *headers)) as server,
        reading(kubeconfig(tmp_path / "config", server.url)) as reader,
    ):
        assert reader.dry_run(POD, {}).warnings == ('unknown "x"', "second", "third")


def test_a_list_that_never_ends_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modekeeper.cluster.rest_reader._MAX_OBJECTS", 50)
    page = answer(200, {"kind": "PodList", "metadata": {"continue": "again"}, "items": [POD_BODY] * 10})
    with (
        hostile_server(page) as server,
        reading(kubeconfig(tmp_path / "config", server.url)) as reader,
        pytest.raises(ClusterUnreachableError, match="more than 50 objects"),
    ):
        reader.list(PODS, None)
    assert len(server.requests) == 6


def test_a_list_whose_pages_are_empty_and_never_end_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modekeeper.cluster.rest_reader._MAX_PAGES", 5)
    page = answer(200, {"kind": "PodList", "metadata": {"continue": "again"}, "items": []})
    with (
        hostile_server(page) as server,
        reading(kubeconfig(tmp_path / "config", server.url)) as reader,
        pytest.raises(ClusterUnreachableError, match="pages"),
    ):
        reader.list(PODS, None)
    assert len(server.requests) == 5


def test_closing_ends_what_another_thread_waits_for(tmp_path: Path) -> None:
    with hostile_server(silence) as server, reading(kubeconfig(tmp_path / "config", server.url)) as reader:
        threading.Timer(0.3, reader.close).start()
        began_s = time.monotonic()
        with pytest.raises(ClusterUnreachableError, match="closed"):
            reader.get(POD)
        assert time.monotonic() - began_s < SOON_S
        with pytest.raises(ClusterUnreachableError, match="closed"):
            reader.get(POD)
        assert len(server.requests) == 1
