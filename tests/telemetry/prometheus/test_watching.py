"""Reading again and again, going on in another process, recording and replaying."""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.telemetry.feeding import Row, Running, rows_of
from tests.telemetry.prometheus.fake_server import Act, FakeServer, StandingClock, answer, fake_server
from tests.telemetry.prometheus.memory_server import Held, MemoryServer, choice, pod, source_over

from modekeeper.model.block import SampleBlock
from modekeeper.model.errors import BadInputError, FailedError
from modekeeper.telemetry.prometheus.choice import PrometheusChoice
from modekeeper.telemetry.prometheus.opening import open_prometheus, open_prometheus_recording
from modekeeper.telemetry.prometheus.source import PrometheusSource
from modekeeper.telemetry.prometheus.windows import MOST_POINTS, SERVER_POINTS
from modekeeper.telemetry.recorder import RawRecorder

NOW_S = 1_767_225_600
STEP_S = 15


def serves(server: FakeServer, clock: StandingClock) -> Act:
    """Worker ``n`` took ``n + 1`` ms more than the number of the step; nothing younger than the clock is there."""

    def act(connection: Any) -> None:
        form = server.requests[-1].form
        start, end = (round(float(form[name])) for name in ("start", "end"))
        times = [t for t in range(start, end + 1, STEP_S) if t <= clock.now_s]
        assert len(range(start, end + 1, STEP_S)) <= SERVER_POINTS
        series: list[Any] = [
            {
                "metric": {"__name__": "t_ms"} | pod(f"trainer-{n}"),
                "values": [[t, f"{t % 100_000 + n}"] for t in times],
            }
            for n in range(2)
        ]
        said = {"status": "success", "warnings": ["ä\u2028b"], "data": {"resultType": "matrix", "result": series}}
        answer(200, json.dumps(said, ensure_ascii=False).encode())(connection)

    return act


def asked(url: str, **more: Any) -> PrometheusChoice:
    return choice("step_time_ms=t_ms", "loss=l", gpu=False, url=url, **{"window_s": 300, "settle_s": 30} | more)


def watched(source: PrometheusSource, clock: StandingClock, waits: Sequence[float]) -> list[SampleBlock]:
    blocks: list[SampleBlock] = []
    for wait_s in waits:
        clock.now_s += wait_s
        blocks += source.blocks(Running())
        blocks += source.flush()
    return blocks


def expected(first_s: int, last_s: int) -> list[Row]:
    found: list[Row] = []
    for t in range(first_s, last_s + 1, STEP_S):
        value = float(t % 100_000)
        row: Row = {"ts_ms": t * 1000, "step_time_ms": value + 1, "workers": [value, value + 1], "loss": value + 0.5}
        found.append(row)
    return found


def test_each_read_gives_what_has_settled_since() -> None:
    clock = StandingClock(NOW_S)
    with fake_server() as server:
        server.acts = [serves(server, clock)]
        source = open_prometheus(asked(server.url), clock=clock, environment={})
        blocks = watched(source, clock, [0, 1, 13, 1, 0, 44, 600, 14.9])
        source.close()
    assert rows_of(blocks) == expected(NOW_S - 30 - 300 + STEP_S, NOW_S + 630)
    asked_for = [request.form for request in server.requests if "t_ms" in request.form["query"]]
    points = [(float(form["start"]), float(form["end"])) for form in asked_for]
    assert all(end + 30 <= clock.now_s for _, end in points)
    assert all(before[1] < after[0] for before, after in pairwise(points)), "nothing twice"
    assert [len(block) for block in blocks] == [20, 1, 2, 40, 1]


def test_a_clock_that_goes_back_reads_nothing_twice() -> None:
    clock = StandingClock(NOW_S)
    with fake_server() as server:
        server.acts = [serves(server, clock)]
        source = open_prometheus(asked(server.url), clock=clock, environment={})
        blocks = watched(source, clock, [0, -3600, 3600 + 15])
        source.close()
    assert rows_of(blocks) == expected(NOW_S - 30 - 300 + STEP_S, NOW_S - 15)


def test_an_end_is_not_passed() -> None:
    clock = StandingClock(NOW_S)
    with fake_server() as server:
        server.acts = [serves(server, clock)]
        source = open_prometheus(asked(server.url, end_ms=(NOW_S - 3600) * 1000), clock=clock, environment={})
        blocks = watched(source, clock, [0, 600])
        source.close()
    assert rows_of(blocks) == expected(NOW_S - 3600 - 300 + STEP_S, NOW_S - 3600)


def test_a_long_time_is_asked_for_in_pieces() -> None:
    clock = StandingClock(NOW_S)
    window_s = 2.5 * MOST_POINTS * STEP_S
    with fake_server() as server:
        server.acts = [serves(server, clock)]
        source = open_prometheus(asked(server.url, window_s=window_s), clock=clock, environment={})
        blocks = watched(source, clock, [0])
        source.close()
    assert [len(block) for block in blocks] == [MOST_POINTS, MOST_POINTS, MOST_POINTS // 2]
    assert rows_of(blocks)[-1] == expected(NOW_S - 30, NOW_S - 30)[0]


def test_what_is_older_than_a_month_is_left_out_and_said() -> None:
    clock = StandingClock(NOW_S)
    with fake_server() as server:
        server.acts = [answer(200, b'{"status":"success","data":{"resultType":"matrix","result":[]}}')]
        source = open_prometheus(asked(server.url, step_s=3600, window_s=3600), clock=clock, environment={})
        watched(source, clock, [0, 40 * 86_400])
        source.close()
    assert any("31 days" in note for note in source.notes)
    assert len(server.requests) == 2 + 2
    assert float(server.requests[2].form["start"]) == NOW_S + 9 * 86_400 - 3600


@pytest.mark.parametrize("stop_after", range(5))
def test_another_process_goes_on_where_one_was_killed(tmp_path: Path, stop_after: int) -> None:
    """The one that is killed has read and recorded beyond its last checkpoint."""
    waits = [0.0, 15, 30, 600, 45]
    clock = StandingClock(NOW_S)
    path = tmp_path / "raw.jsonl"
    with fake_server() as server:
        server.acts = [serves(server, clock)]
        recorder = RawRecorder(path, append=True)
        source = open_prometheus(asked(server.url), clock=clock, environment={}, recorder=recorder)
        blocks = watched(source, clock, waits[:stop_after])
        position = json.loads(json.dumps(source.position(), allow_nan=False))
        watched(source, clock, [waits[stop_after] / 2])
        source.close()
        recorder.close()

        recorder = RawRecorder(path, append=True)
        other = open_prometheus(asked(server.url), clock=clock, environment={}, recorder=recorder)
        other.resume(position)
        blocks += watched(other, clock, [waits[stop_after] / 2, *waits[stop_after + 1 :]])
        other.close()
        recorder.close()
    rows = rows_of(blocks)
    assert rows == expected(NOW_S - 30 - 300 + STEP_S, NOW_S + round(sum(waits)) - 30)
    replay = open_prometheus_recording(path)
    assert rows_of(replay.blocks(Running())) == rows
    assert replay.counters() == other.counters()


@pytest.mark.parametrize("append", [False, True])
def test_a_recording_replays_to_the_byte(tmp_path: Path, append: bool) -> None:
    path = tmp_path / "raw.jsonl"
    clock = StandingClock(NOW_S)
    with fake_server() as server:
        recorder = RawRecorder(path, append=append)
        bad = answer(200, b"<html>\xff")
        server.acts = [answer(503), answer(429), bad, serves(server, clock)]
        source = open_prometheus(asked(server.url, window_s=40_000), clock=clock, environment={}, recorder=recorder)
        with pytest.raises(FailedError):
            list(source.blocks(Running()))
        blocks = watched(source, clock, [0, 45, 3600])
        source.close()
        recorder.close()
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert [line.get("status") for line in lines][:5] == [None, 503, 429, 200, 200]
    assert lines[3]["body_base64"] == "PGh0bWw+/w=="
    assert len(lines) == 1 + len(server.requests)
    for line in lines[4:]:
        assert json.loads(line["body"])["warnings"] == ["ä\u2028b"], "exactly what the server said"

    replay = open_prometheus_recording(path)
    again = list(replay.blocks(Running()))
    assert [block.ts_ms.tobytes() for block in again] == [block.ts_ms.tobytes() for block in blocks]
    for name, column in blocks[0].metrics.items():
        assert column.tobytes() == again[0].metrics[name].tobytes()
    assert rows_of(again) == rows_of(blocks)
    assert replay.counters() == source.counters()
    assert replay.notes == source.notes
    assert replay.describe == f"recording {path}"


def test_an_answer_that_was_none_is_recorded_and_not_replayed(tmp_path: Path) -> None:
    path = tmp_path / "raw.jsonl"
    clock = StandingClock(NOW_S)
    with fake_server() as server:
        good = serves(server, clock)
        server.acts = [good, answer(200, b"<html>log in</html>"), good]
        recorder = RawRecorder(path)
        source = open_prometheus(asked(server.url), clock=clock, environment={}, recorder=recorder)
        with pytest.raises(FailedError):
            list(source.blocks(Running()))
        blocks = watched(source, clock, [15])
        source.close()
        recorder.close()
    replay = open_prometheus_recording(path)
    assert rows_of(replay.blocks(Running())) == rows_of(blocks)
    assert "log in" in path.read_text()
    assert "not whole, and left out: 1" in replay.notes[0]


def test_a_recording_that_a_full_disk_cut_off_replays_up_to_there(tmp_path: Path) -> None:
    path = tmp_path / "raw.jsonl"
    clock = StandingClock(NOW_S)
    with fake_server() as server:
        server.acts = [serves(server, clock)]
        recorder = RawRecorder(path)
        source = open_prometheus(asked(server.url), clock=clock, environment={}, recorder=recorder)
        blocks = watched(source, clock, [0, 45])
        source.close()
        recorder.close()
    data = path.read_bytes()
    path.write_bytes(data[:-20])
    replay = open_prometheus_recording(path)
    assert rows_of(replay.blocks(Running())) == rows_of(blocks[:1])
    assert any("not whole" in note for note in replay.notes)


def test_a_replay_goes_on_in_another_process(tmp_path: Path) -> None:
    path = tmp_path / "raw.jsonl"
    clock = StandingClock(NOW_S)
    with fake_server() as server:
        server.acts = [serves(server, clock)]
        recorder = RawRecorder(path)
        source = open_prometheus(asked(server.url), clock=clock, environment={}, recorder=recorder)
        watched(source, clock, [0, 45, 60])
        source.close()
        recorder.close()
    whole = rows_of(open_prometheus_recording(path).blocks(Running()))
    first = open_prometheus_recording(path)
    block = next(iter(first.blocks(Running())))
    second = open_prometheus_recording(path)
    second.resume(json.loads(json.dumps(first.position())))
    assert rows_of([block, *second.blocks(Running())]) == whole


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, "cannot read the recording"),
        (b"", "does not begin"),
        (b"{}\n", "no line of a recording"),
        (b"junk\n", "no line of a recording"),
        (
            b'{"kind":"prometheus_exchange","query":"","start_ms":0,"end_ms":0,"step_ms":1,"status":200}\n',
            "does not begin",
        ),
        (b"[" * 100_000 + b"\n", "no line of a recording"),
        (
            b'{"kind":"prometheus_recording","version":2,"choice":{"url":"","namespace":"a"}}\n',
            "no line of a recording",
        ),
        (b'{"kind":"prometheus_recording","version":1,"choice":{"url":"","namespace":"a"}}\n', "whose pods"),
        (
            b'{"kind":"prometheus_recording","version":1,"choice":{"url":"","namespace":"A","workload":"a"}}\n',
            "no namespace name",
        ),
        (
            b"".join(
                b'{"kind":"prometheus_recording","version":1,"choice":{"url":"","namespace":"%s","workload":"a"}}\n'
                % name
                for name in (b"a", b"b")
            ),
            "different questions",
        ),
    ],
)
def test_a_recording_that_is_none_is_one_clear_line(tmp_path: Path, data: bytes | None, words: str) -> None:
    path = tmp_path / "raw.jsonl"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(BadInputError) as caught:
        open_prometheus_recording(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_position_of_something_else_is_refused() -> None:
    held = [Held("l", pod("trainer-0"), {0: 1})]
    source = source_over(MemoryServer(held, [(0, 0)]), choice("loss=l"))
    list(source.blocks(Running()))
    position = source.position()
    assert json.loads(json.dumps(position)) == position, "plain JSON values"
    for other in (choice("loss=k"), choice("loss=l", workload="other"), choice("loss=l", step_s=30)):
        with pytest.raises(BadInputError, match="of other pods, metrics or steps"):
            source_over(MemoryServer([], []), other).resume(position)
    for damage in (
        {},
        {"source": "file"},
        position | {"version": 2},
        position | {"next_ms": position["next_ms"] + 1},
        position | {"tally": {}},
        position | {"tally": position["tally"] | {"dropped_by_reason": {"no such": 1}}},
        position | {"workers": {"members": [[1, 2]]}},
    ):
        with pytest.raises(BadInputError, match="cannot go on from the saved position"):
            source.resume(damage)
    assert source.position() == position, "a position that is refused changes nothing"


def test_another_address_of_the_same_server_goes_on() -> None:
    source = source_over(MemoryServer([], [(0, 0)]), choice("loss=l", url="http://a"))
    list(source.blocks(Running()))
    other = source_over(MemoryServer([], []), choice("loss=l", url="https://b"))
    other.resume(source.position())
    assert other.position() == source.position()
