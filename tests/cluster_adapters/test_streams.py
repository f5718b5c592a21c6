"""Watches and logs over connections that are slow, silent, broken or closed."""

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.cluster_adapters.clients import kubeconfig, reading
from tests.cluster_adapters.hostile_server import (
    Act,
    answer,
    drip,
    hang_up,
    hostile_server,
    raw,
    silence,
    status,
)

from modekeeper.cluster.memory import PODS
from modekeeper.model.cluster import ClusterAnswerError, ClusterUnreachableError, LogQuestion
from modekeeper.model.errors import ModeKeeperError

NEVER = threading.Event()
SOON_S = 5.0
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
FOLLOWED = LogQuestion(namespace="research", pod="p", container="main", follow=True)
ONCE = LogQuestion(namespace="research", pod="p", container="main")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(kind: str, name: str) -> bytes:
    return json.dumps({"type": kind, "object": {"metadata": {"name": name}}}).encode() + b"\n"


def log(tmp_path: Path, question: LogQuestion, *acts: Act, timeout_s: float = 20.0) -> bytes:
    with (
        hostile_server(*acts) as server,
        reading(kubeconfig(tmp_path / "config", server.url), timeout_s=timeout_s) as reader,
    ):
        return b"".join(reader.logs(question, NEVER))


def test_a_log_comes_as_it_was_written_raw(tmp_path: Path) -> None:
    written = b"one\n\xff\xfe\x00two\r\nthree"
    assert log(tmp_path, ONCE, raw(CHUNKED + chunk(written[:5]) + chunk(written[5:]) + b"0\r\n\r\n")) == written
    assert log(tmp_path, ONCE, answer(200, b"", kind="text/plain")) == b""


def test_chunks_come_while_the_server_still_writes(tmp_path: Path) -> None:
    act = raw(CHUNKED + chunk(b"one\n"), *[b""] * 200, pause_s=0.05)
    with hostile_server(act) as server, reading(kubeconfig(tmp_path / "config", server.url)) as reader:
        began_s = time.monotonic()
        chunks = reader.logs(FOLLOWED, NEVER)
        assert next(chunks) == b"one\n"
        assert time.monotonic() - began_s < SOON_S


def test_what_is_asked_for_is_in_the_query(tmp_path: Path) -> None:
    question = LogQuestion(
        namespace="research",
        pod="p",
        container="main",
        since_time="2026-01-31T09:00:00Z",
        tail_lines=0,
        previous=True,
        timestamps=True,
        limit_bytes=7,
    )
    with hostile_server(answer(200, b"")) as server, reading(kubeconfig(tmp_path / "config", server.url)) as reader:
        assert list(reader.logs(question, NEVER)) == []
    assert server.requests[0].target == (
        "/api/v1/namespaces/research/pods/p/log?container=main&sinceTime=2026-01-31T09%3A00%3A00Z&tailLines=0"
        "&limitBytes=7&previous=true&timestamps=true"
    )


@pytest.mark.parametrize(
    "act",
    [raw(CHUNKED + chunk(b"one\n") + b"5\r\ntw"), raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\none\n")],
    ids=["amid a chunk", "before its length"],
)
def test_a_log_that_breaks_off_says_so_after_what_came(act: Act, tmp_path: Path) -> None:
    with hostile_server(act) as server, reading(kubeconfig(tmp_path / "config", server.url)) as reader:
        chunks = reader.logs(FOLLOWED, NEVER)
        assert next(chunks).startswith(b"one\n")
        with pytest.raises(ClusterUnreachableError, match="broke off"):
            list(chunks)
        assert len(server.requests) == 1


def test_a_stop_ends_a_log_that_is_silent_before_its_first_byte_or_after(tmp_path: Path) -> None:
    for act in (silence, raw(CHUNKED + chunk(b"one\n"), *[b""] * 400, pause_s=0.05)):
        stop = threading.Event()
        threading.Timer(0.4, stop.set).start()
        began_s = time.monotonic()
        with (
            hostile_server(act) as server,
            reading(kubeconfig(tmp_path / "config", server.url), timeout_s=0.1) as reader,
        ):
            assert b"".join(reader.logs(FOLLOWED, stop)) in {b"", b"one\n"}
        assert 0.3 < time.monotonic() - began_s < SOON_S


def test_a_log_of_the_past_has_to_begin_and_to_end(tmp_path: Path) -> None:
    with pytest.raises(ClusterUnreachableError, match=r"within 0\.3 s"):
        log(tmp_path, ONCE, silence, timeout_s=0.3)
    with pytest.raises(ClusterUnreachableError, match="within"):
        log(tmp_path, ONCE, drip(b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n"), timeout_s=0.05)


def test_a_log_is_opened_again_while_that_may_help(tmp_path: Path) -> None:
    busy = status(429, "TooManyRequests", "slow down")
    assert log(tmp_path, ONCE, busy, hang_up, answer(200, b"one\n")) == b"one\n"
    with pytest.raises(ClusterAnswerError, match="400 BadRequest: no such container"):
        log(tmp_path, ONCE, status(400, "BadRequest", "no such container"))


def watch(tmp_path: Path, *acts: Act, timeout_s: float = 20.0) -> list[Any]:
    with (
        hostile_server(*acts) as server,
        reading(kubeconfig(tmp_path / "config", server.url), timeout_s=timeout_s) as reader,
    ):
        events = reader.watch(PODS, "research", resource_version="5", stop=NEVER)
        return [(each.type.value, each.object["kind"], each.object["metadata"]["name"]) for each in events]


def test_events_are_put_together_however_they_were_cut(tmp_path: Path) -> None:
    lines = event("ADDED", "a") + event("MODIFIED", "ä") + event("BOOKMARK", "c")
    cut = [chunk(lines[index : index + 7]) for index in range(0, len(lines), 7)]
    whole = raw(CHUNKED + b"".join(cut) + b"0\r\n\r\n")
    assert watch(tmp_path, whole) == [("ADDED", "Pod", "a"), ("MODIFIED", "Pod", "ä"), ("BOOKMARK", "Pod", "c")]


def test_an_error_in_a_watch_is_raised_as_an_answer(tmp_path: Path) -> None:
    gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}
    with pytest.raises(ClusterAnswerError, match="410 Expired: too old") as caught:
        watch(tmp_path, raw(CHUNKED + chunk(event("ADDED", "a") + json.dumps(gone).encode() + b"\n")))
    assert caught.value.status == 410


NO_EVENTS: dict[str, bytes] = {
    "no JSON": b"hello\n",
    "no event": b'{"type": "EXPLODED", "object": {}}\n',
    "no object": b'{"type": "ADDED", "object": 5}\n',
    "a number": b"5\n",
    "an error that is none": b'{"type": "ERROR", "object": {"a": 1}}\n',
    "nested without end": b"[" * 100_000 + b"\n",
}


@pytest.mark.parametrize("line", NO_EVENTS.values(), ids=NO_EVENTS)
def test_what_is_no_event_is_one_line(line: bytes, tmp_path: Path) -> None:
    with pytest.raises(ModeKeeperError) as caught:
        watch(tmp_path, raw(CHUNKED + chunk(line)))
    assert str(caught.value).isprintable()


def test_a_line_without_end_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modekeeper.cluster.rest_reader._MAX_EVENT_BYTES", 100_000)
    with pytest.raises(ClusterUnreachableError, match="a line of more than"):
        watch(tmp_path, raw(CHUNKED + chunk(b" x" * 40_000) * 3))


def test_a_watch_that_is_cut_off_says_so_and_one_that_never_begins_too(tmp_path: Path) -> None:
    with pytest.raises(ClusterUnreachableError, match="broke off"):
        watch(tmp_path, raw(CHUNKED + chunk(event("ADDED", "a"))))
    with pytest.raises(ClusterUnreachableError, match=r"within 0\.3 s"):
        watch(tmp_path, silence, timeout_s=0.3)


def test_a_watch_in_which_nothing_happens_ends_quietly_after_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modekeeper.cluster.api.transport._WATCH_SLACK_S", 0.5 - 290)
    quiet = raw(CHUNKED + chunk(event("ADDED", "a")), *[b""] * 400, pause_s=0.05)
    assert watch(tmp_path, quiet) == [("ADDED", "Pod", "a")]
