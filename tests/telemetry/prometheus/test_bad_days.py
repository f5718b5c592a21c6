"""Each way in which a server can fail: one clear line in bounded time, or patience that is rewarded."""

import gzip
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.telemetry.feeding import Running, rows_of
from tests.telemetry.prometheus.fake_server import (
    Act,
    FakeServer,
    StandingClock,
    answer,
    drip,
    fake_server,
    hang_up,
    never,
    raw,
)
from tests.telemetry.prometheus.memory_server import T0_MS, body_of, choice, pod

from modekeeper.model.errors import BadInputError, FailedError, ModeKeeperError
from modekeeper.telemetry.prometheus.opening import open_prometheus
from modekeeper.telemetry.prometheus.source import PrometheusSource
from modekeeper.telemetry.prometheus.transport import MOST_BYTES

GOOD = body_of([({"__name__": "t_ms", **pod("trainer-0")}, [(T0_MS / 1000, 5)])])
OK = answer(200, GOOD)
NOW_S = T0_MS / 1000
HUGE = b" " * (MOST_BYTES + 1)


def said(kind: str, text: str) -> bytes:
    return b'{"status":"error","errorType":"%s","error":"%s"}' % (kind.encode(), text.encode())


def source_of(server: FakeServer, clock: StandingClock, **more: Any) -> PrometheusSource:
    given = {"window_s": 15, "settle_s": 0, "timeout_s": 5.0} | more
    asked = choice("step_time_ms=t_ms", gpu=False, url=server.url, **given)
    return open_prometheus(asked, clock=clock, environment={})


def failed(*acts: Act, **more: Any) -> tuple[ModeKeeperError, FakeServer, StandingClock]:
    clock = StandingClock(NOW_S)
    with fake_server(*acts) as server:
        source = source_of(server, clock, **more)
        with pytest.raises(ModeKeeperError) as caught:
            list(source.blocks(Running()))
        source.close()
        text = str(caught.value)
        assert text.isascii()
        assert text.isprintable()
        assert len(text) < 500
        assert text.endswith((".", "?"))
        assert source.position()["next_ms"] is None, "nothing was taken"
        assert source.counters().read_total == 0
    return caught.value, server, clock


REFUSED: list[Any] = [
    pytest.param(answer(400, said("bad_data", "parse error")), "(HTTP 400: parse error)", id="400 bad parameter"),
    pytest.param(answer(401, b"go away"), "does not know us (HTTP 401)", id="401"),
    pytest.param(answer(403, said("x", "no\\nright")), "does not let us ask (HTTP 403: no\\x0aright)", id="403"),
    pytest.param(answer(404, b"404 page not found"), "the path in front of /api/v1", id="404"),
    pytest.param(answer(405), "the path in front of /api/v1", id="405"),
    pytest.param(answer(422, said("execution", "bad query")), "cannot evaluate t_ms (HTTP 422: bad query)", id="422"),
    pytest.param(
        answer(302, Location="http://elsewhere.example/login?next=secret"),
        "http://elsewhere.example",
        id="redirect 302",
    ),
    pytest.param(answer(307, Location="http://127.0.0.1:1/api"), "http://127.0.0.1:1,", id="redirect to another port"),
    pytest.param(answer(308, Location="https://elsewhere.example/x"), "https://elsewhere.example", id="redirect 308"),
    pytest.param(
        answer(303, Location="/graph"), "redirects to http://127.0.0.1", id="redirect that drops the question"
    ),
    pytest.param(answer(307, Location="/again"), "and on and on", id="redirects without an end"),
]


@pytest.mark.parametrize(("act", "words"), REFUSED)
def test_what_will_not_change_is_refused_at_once(act: Act, words: str) -> None:
    error, server, clock = failed(act)
    assert isinstance(error, BadInputError)
    assert words in str(error)
    assert "secret" not in str(error)
    assert clock.waits == []
    assert len(server.requests) == (3 if "on and on" in words else 1)


FAILED: list[Any] = [
    pytest.param(answer(429), "(HTTP 429)", 4, id="429 for ever"),
    pytest.param(answer(500, b"<html>"), "(HTTP 500)", 4, id="500 for ever"),
    pytest.param(answer(503, said("timeout", "query timed out")), "(HTTP 503: query timed out)", 4, id="503 for ever"),
    pytest.param(hang_up, "cannot reach Prometheus", 4, id="closes the connection"),
    pytest.param(raw(b"\x00\xff not HTTP\r\n\r\n"), "cannot reach Prometheus", 4, id="not HTTP"),
    pytest.param(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{"), "cannot reach", 4, id="cut off in the body"),
    pytest.param(answer(200, b"junk", Content_Encoding="gzip"), "cannot reach", 4, id="not the gzip it says"),
    pytest.param(answer(200, b"<html>log in</html>"), "is no answer of Prometheus: '<html>log in", 1, id="not JSON"),
    pytest.param(answer(200, GOOD[:-9]), "is no answer of Prometheus", 1, id="truncated JSON"),
    pytest.param(answer(200, b""), "is no answer of Prometheus: ''", 1, id="empty"),
    pytest.param(answer(200, said("internal", "oops")), "could not answer (internal): oops", 1, id="200 with an error"),
    pytest.param(answer(204), "does not answer (HTTP 204)", 1, id="204"),
    pytest.param(answer(200, b'{"status":"success"}'), "is no answer of Prometheus", 1, id="no data"),
    pytest.param(
        answer(200, b'{"status":"success","data":{"resultType":"vector","result":[]}}'),
        "is no answer",
        1,
        id="a vector",
    ),
    pytest.param(answer(200, HUGE), "more than 64 MiB", 1, id="huge"),
    pytest.param(answer(200, gzip.compress(HUGE), Content_Encoding="gzip"), "more than 64 MiB", 1, id="huge, packed"),
    pytest.param(
        answer(422, said("execution", "query processing would load too many samples into memory")),
        "will not load so much for one point",
        1,
        id="too many samples in one point",
    ),
]


@pytest.mark.parametrize(("act", "words", "tries"), FAILED)
def test_what_failed_is_said_in_one_line(act: Act, words: str, tries: int) -> None:
    error, server, clock = failed(act)
    assert isinstance(error, FailedError)
    assert words in str(error)
    assert len(server.requests) == tries
    assert clock.waits == [0.5, 1.0, 2.0][: tries - 1]


@pytest.mark.parametrize(
    ("acts", "waits"),
    [
        pytest.param([answer(429), OK], [0.5], id="429 then ok"),
        pytest.param([answer(429, Retry_After="7"), OK], [7.0], id="429 that says when"),
        pytest.param([answer(429, Retry_After="86400"), OK], [30.0], id="429 that says tomorrow"),
        pytest.param([answer(429, Retry_After="-5"), OK], [0.5], id="429 that says yesterday"),
        pytest.param([answer(503, Retry_After="Fri, 31 Dec 2027 23:59:59 GMT"), OK], [0.5], id="503 that says a date"),
        pytest.param([answer(500), answer(502), answer(503), OK], [0.5, 1.0, 2.0], id="three bad tries"),
        pytest.param([hang_up, OK], [0.5], id="a connection that is lost once"),
        pytest.param([raw(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{"), OK], [0.5], id="cut off once"),
        pytest.param([answer(307, Location="/elsewhere/api"), OK], [], id="moved on the same server"),
        pytest.param([answer(200, gzip.compress(GOOD), Content_Encoding="gzip")], [], id="packed"),
    ],
)
def test_patience_is_rewarded(acts: list[Act], waits: list[float]) -> None:
    clock = StandingClock(NOW_S)
    with fake_server(*acts) as server:
        source = source_of(server, clock)
        rows = rows_of(source.blocks(Running()))
        source.close()
    assert rows == [{"ts_ms": T0_MS, "step_time_ms": 5.0, "workers": [5.0]}]
    assert clock.waits == waits
    assert server.requests[-1].form == server.requests[0].form, "the question is the same each time"


@pytest.mark.parametrize("act", [never, drip], ids=["never answers", "a byte at a time"])
def test_a_server_that_hangs_is_left_after_the_deadline(act: Callable[[threading.Event], Act]) -> None:
    with fake_server() as server:
        server.acts = [act(server.over)]
        source = source_of(server, StandingClock(NOW_S), timeout_s=0.4)
        began = time.monotonic()
        with pytest.raises(FailedError, match=r"did not answer within 0\.4 s"):
            list(source.blocks(Running()))
        assert time.monotonic() - began < 20
        assert len(server.requests) == 1, "not asked again: it has enough to do"
        server.acts = [OK]
        assert len(rows_of(source.blocks(Running()))) == 1, "and asked anew the next time"
        source.close()


def test_nobody_there_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    asked = choice("step_time_ms=t_ms", gpu=False, url=f"http://127.0.0.1:{port}", window_s=15, settle_s=0)
    source = open_prometheus(asked, clock=StandingClock(NOW_S), environment={})
    with pytest.raises(FailedError, match="cannot reach Prometheus at http://127"):
        list(source.blocks(Running()))


def test_who_wants_to_stop_does_not_wait_for_the_server() -> None:
    stop = Running()
    with fake_server() as server:
        hanging = never(server.over)

        def stops(connection: socket.socket) -> None:
            stop.stopped = True
            hanging(connection)

        server.acts = [stops]
        source = source_of(server, StandingClock(NOW_S), timeout_s=60.0)
        began = time.monotonic()
        assert list(source.blocks(stop)) == []
        assert time.monotonic() - began < 20
        assert source.position()["next_ms"] is None
        source.close()


def test_too_long_an_answer_is_asked_for_in_halves() -> None:
    def by_size(server: FakeServer) -> Act:
        def act(connection: socket.socket) -> None:
            form = server.requests[-1].form
            start, end = float(form["start"]), float(form["end"])
            if end - start >= 30:
                text = said("execution", "query processing would load too many samples into memory in query execution")
                answer(422, text)(connection)
                return
            points = [(start + 15 * n, start + 15 * n) for n in range(round((end - start) / 15) + 1)]
            answer(200, body_of([({"__name__": "t_ms", **pod("trainer-0")}, points)]))(connection)

        return act

    with fake_server() as server:
        server.acts = [by_size(server)]
        source = source_of(server, StandingClock(NOW_S))
        source.close()
        asked = choice("step_time_ms=t_ms", gpu=False, url=server.url, window_s=150, settle_s=0)
        source = open_prometheus(asked, clock=StandingClock(NOW_S), environment={})
        rows = rows_of(source.blocks(Running()))
        source.close()
    assert [row["ts_ms"] for row in rows] == [T0_MS - 15_000 * n for n in reversed(range(10))]
    assert [row["step_time_ms"] * 1000 for row in rows] == [row["ts_ms"] for row in rows]
    assert source.counters().accepted_total == 10


def test_an_error_in_the_middle_loses_and_doubles_nothing() -> None:
    """Three questions a window: where the third fails, the first two are asked again."""
    with fake_server(OK, OK, answer(404), OK) as server:
        metrics = ("step_time_ms=t_ms", "loss=l", "seq_len=s")
        asked = choice(*metrics, gpu=False, url=server.url, window_s=15, settle_s=0)
        source = open_prometheus(asked, clock=StandingClock(NOW_S), environment={})
        with pytest.raises(BadInputError):
            list(source.blocks(Running()))
        assert source.counters().read_total == 0
        assert len(rows_of(source.blocks(Running()))) == 1
        assert source.counters().read_total == 3
        source.close()


@pytest.mark.parametrize(
    ("date", "ahead"),
    [
        ("Thu, 01 Jan 2026 00:00:00 GMT", False),
        ("Wed, 31 Dec 2025 23:59:46 GMT", False),
        ("Wed, 31 Dec 2025 23:59:44 GMT", True),
        ("Thu, 01 Jan 2026 09:00:00 GMT", False),
        ("Wed, 31 Dec 2025 23:00:00 +9999", False),
        ("yesterday", False),
        ("", False),
    ],
)
def test_a_clock_that_is_ahead_of_the_server_s_is_said(date: str, ahead: bool) -> None:
    with fake_server(answer(200, GOOD, Date=date)) as server:
        source = source_of(server, StandingClock(NOW_S), settle_s=30)
        list(source.blocks(Running()))
        source.close()
    assert any("16 s ahead of the server's" in note for note in source.notes) == ahead
    assert sum("ahead" in note for note in source.notes) == ahead


def test_the_question_is_the_one_documented() -> None:
    with fake_server(OK) as server:
        source = source_of(server, StandingClock(NOW_S + 7), step_s=2.5, timeout_s=9.5)
        list(source.blocks(Running()))
        source.close()
    (request,) = server.requests
    assert request.target == "/api/v1/query_range"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert "authorization" not in request.headers
    matchers = 'namespace="ml",{0}pod=~"trainer(-[a-z0-9]+){{1,2}}"'
    exported = "exported_" + matchers.format("exported_")
    honoured = 'exported_pod="",' + matchers.format("")
    assert request.form == {
        "query": f"last_over_time(t_ms{{{exported}}}[2499ms]) or last_over_time(t_ms{{{honoured}}}[2499ms])",
        "start": f"{NOW_S - 7.5:.3f}",
        "end": f"{NOW_S + 5:.3f}",
        "step": "2.500",
        "timeout": "9500ms",
    }
