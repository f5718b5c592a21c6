"""Where telemetry is read from: files, patterns, pipes, files that grow and move."""

import io
import os
import sys
import threading
from pathlib import Path

import pytest
from tests.telemetry.feeding import (
    Running,
    ScriptedClock,
    drain,
    file_source,
    lines_of,
    record,
    rows_of,
    stream_of,
)

from modekeeper.model.errors import BadInputError
from modekeeper.telemetry.file import open_files
from modekeeper.telemetry.limits import IngestLimits


def steps(rows: list[dict[str, object]]) -> list[object]:
    return [row["step"] for row in rows]


def test_a_file_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(stream_of(10_000))
    source = file_source(path)
    blocks = [*source.blocks(Running()), *source.flush()]
    assert steps(rows_of(blocks)) == list(range(10_000))
    assert max(map(len, blocks)) <= 4096
    assert source.describe == str(path)
    assert source.notes == ()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("missing.jsonl", "no such file"),
        ("", "it is a directory"),
        ("none-*.jsonl", "no file matches"),
        ("nul\0byte", "the name cannot be used"),
        ("x" * 300, "file name too long"),
    ],
)
def test_what_cannot_be_read_is_one_line_with_advice(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(BadInputError) as caught:
        file_source(f"{tmp_path}/{name}")
    message = str(caught.value)
    assert message.startswith("cannot read telemetry '")
    assert message.endswith(f": {why}. Give the path of a JSON-lines or CSV file, or '-' for standard input.")
    assert message.isprintable()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_says_so(tmp_path: Path) -> None:
    path = tmp_path / "secret.jsonl"
    path.touch(mode=0)
    with pytest.raises(BadInputError, match="permission denied"):
        file_source(path)


def test_nothing_named_is_bad_input() -> None:
    with pytest.raises(BadInputError, match="no telemetry named"):
        file_source()


def test_a_file_that_goes_before_it_is_read_is_bad_input(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(stream_of(3))
    source = file_source(path)
    path.unlink()
    with pytest.raises(BadInputError, match="no such file"):
        drain(source)


def test_patterns_are_read_in_sorted_order_and_each_file_once(tmp_path: Path) -> None:
    for part in (2, 0, 1):
        (tmp_path / f"part-{part}.jsonl").write_bytes(lines_of(record(i) for i in range(part * 10, part * 10 + 10)))
    (tmp_path / "part-dir").mkdir()
    source = file_source(tmp_path / "part-0.jsonl", tmp_path / "part-*")
    assert steps(drain(source)) == list(range(30))
    assert source.describe == f"3 files, {tmp_path}/part-0.jsonl to {tmp_path}/part-2.jsonl"


def test_a_name_that_looks_like_a_pattern_is_a_name_first(tmp_path: Path) -> None:
    path = tmp_path / "run[1].jsonl"
    path.write_bytes(stream_of(3))
    assert len(drain(file_source(path))) == 3


def test_a_last_line_without_an_end_counts_between_files_and_at_the_very_end(tmp_path: Path) -> None:
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    first.write_bytes(stream_of(3).rstrip(b"\n"))
    second.write_bytes(lines_of([record(3), record(4)]).rstrip(b"\n"))
    assert steps(drain(file_source(first, second))) == [0, 1, 2, 3, 4]


def test_an_empty_file_has_nothing_to_say(tmp_path: Path) -> None:
    path = tmp_path / "empty.jsonl"
    path.touch()
    source = file_source(path)
    assert drain(source) == []
    assert source.counters().read_total == 0


def test_a_final_line_feed_is_no_blank_record_but_blank_lines_are() -> None:
    source = open_files(["-"], stdin=io.BytesIO(b"\n \t\r\n" + stream_of(2)), clock=ScriptedClock())
    drain(source)
    assert (source.counters().read_total, source.counters().dropped_by_reason) == (4, {"blank": 2})


def test_reading_goes_on_where_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    data = stream_of(20)
    cut = len(data) // 2
    path.write_bytes(data[:cut])
    source = file_source(path)
    blocks = list(source.blocks(Running()))
    with path.open("ab") as file:
        file.write(data[cut:])
    blocks += source.blocks(Running())
    blocks += source.flush()
    assert steps(rows_of(blocks)) == list(range(20))
    assert source.counters().dropped_total == 0


def test_half_a_line_waits_for_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(b'{"ts": 1, "step_time_ms": 12')
    source = file_source(path)
    assert list(source.blocks(Running())) == []
    with path.open("ab") as file:
        file.write(b"3}\n")
    rows = drain(source)
    assert [row["step_time_ms"] for row in rows] == [123.0]


def test_following_waits_for_more_until_it_is_stopped(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    data = stream_of(30)
    path.write_bytes(data[:100])

    def append(piece: bytes) -> None:
        with path.open("ab") as file:
            file.write(piece)

    clock = ScriptedClock(lambda: append(data[100:777]), lambda: None, lambda: append(data[777:]))
    source = open_files([str(path)], clock=clock, follow=True, poll_s=0.5)
    blocks = [*source.blocks(Running()), *source.flush()]
    assert steps(rows_of(blocks)) == list(range(30))
    assert clock.waits == [0.5] * 4


@pytest.mark.parametrize("how", ["moved", "copied and truncated", "truncated and written anew"])
def test_following_survives_rotation(tmp_path: Path, how: str) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(stream_of(10))
    rest = lines_of(record(i) for i in range(10, 40))

    def rotate() -> None:
        if how == "moved":
            path.rename(tmp_path / "run.jsonl.1")
        else:
            os.truncate(path, 0)
        if how == "truncated and written anew":
            path.write_bytes(rest)

    def write_late_line() -> None:
        if how == "moved":
            with (tmp_path / "run.jsonl.1").open("ab") as file:
                file.write(lines_of([record(9, step_time_ms=1.0)]))

    clock = ScriptedClock(rotate, write_late_line, lambda: path.write_bytes(rest))
    source = open_files([str(path)], clock=clock, follow=True)
    blocks = [*source.blocks(Running()), *source.flush()]
    got = steps(rows_of(blocks))
    assert got == ([*range(10), 9, *range(10, 40)] if how == "moved" else list(range(40)))
    assert len(source.notes) == 1
    assert "read on from its new beginning" in source.notes[0]


def test_a_file_cut_behind_what_is_remembered_of_its_beginning_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    data = stream_of(200)
    path.write_bytes(data)
    kept = data.index(b"\n", 6000) + 1
    new = lines_of(record(i) for i in range(200, 210))

    def cut() -> None:
        os.truncate(path, kept)
        with path.open("ab") as file:
            file.write(new)

    source = open_files([str(path)], clock=ScriptedClock(cut), follow=True)
    rows = rows_of([*source.blocks(Running()), *source.flush()])
    assert steps(rows) == list(range(210))
    assert source.counters().dropped_total == data[:kept].count(b"\n")
    assert "truncated" in source.notes[0]


def test_half_a_line_left_by_rotation_is_a_record_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(stream_of(5) + b'{"ts": 1767')

    def rotate() -> None:
        path.rename(tmp_path / "old")
        path.write_bytes(lines_of(record(i) for i in range(5, 9)))

    source = open_files([str(path)], clock=ScriptedClock(rotate), follow=True)
    rows = rows_of([*source.blocks(Running()), *source.flush()])
    assert steps(rows) == list(range(9))
    assert source.counters().dropped_by_reason == {"invalid_json": 1}


def test_a_stop_is_heeded_between_reads(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(stream_of(5000))
    source = file_source(path, limits=IngestLimits(block_records=64, read_bytes=4096))
    stop = Running()
    blocks = []
    for block in source.blocks(stop):
        blocks.append(block)
        stop.stopped = True
    assert 0 < sum(map(len, blocks)) < 5000
    blocks += source.blocks(Running())
    blocks += source.flush()
    assert steps(rows_of(blocks)) == list(range(5000))


def test_a_stop_in_the_middle_of_a_line_counts_no_half_line(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(stream_of(5000))
    source = file_source(path, limits=IngestLimits(block_records=64, read_bytes=4097))
    stop = Running()
    blocks = []
    for block in source.blocks(stop):
        blocks.append(block)
        stop.stopped = True
    blocks += source.flush()
    counters = source.counters()
    assert counters.dropped_total == 0
    assert counters.read_total == counters.accepted_total == len(rows_of(blocks)) < 5000


def test_standard_input_that_is_closed_is_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(BadInputError, match="cannot read telemetry 'standard input': it is closed"):
        open_files(["-"], clock=ScriptedClock())


def test_a_pipe_is_read_as_it_comes_and_to_its_end() -> None:
    data = stream_of(200)
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stdin:

        def write() -> None:
            with os.fdopen(writing, "wb", buffering=0) as out:
                for start in range(0, len(data), 999):
                    out.write(data[start : start + 999])

        writer = threading.Thread(target=write)
        writer.start()
        source = open_files(["-"], stdin=stdin, clock=ScriptedClock())
        rows = drain(source)
        writer.join()
    assert steps(rows) == list(range(200))
    assert source.describe == "standard input"


def test_a_silent_pipe_can_be_stopped() -> None:
    reading, writing = os.pipe()
    stop = threading.Event()
    with os.fdopen(reading, "rb") as stdin, os.fdopen(writing, "wb"):
        threading.Timer(0.05, stop.set).start()
        source = open_files(["-"], stdin=stdin, clock=ScriptedClock())
        assert list(source.blocks(stop)) == []


def test_a_named_pipe_is_read_like_standard_input(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(stream_of(50),))
    writer.start()
    assert len(drain(file_source(path))) == 50
    writer.join()


def test_a_line_beyond_the_limit_is_skipped_and_counted_wherever_it_is_cut() -> None:
    limits = IngestLimits(max_line_bytes=200)
    data = (
        stream_of(2)
        + b"[" * 5000
        + b"\n"
        + lines_of([record(2)])
        + b"x" * 201
        + b"\n"
        + b"y" * 200
        + b"\n"
        + b"z" * 999
    )
    for size in (1, 7, 64, 199, 200, 201, 4096, 10**6):
        source = open_files(["-"], stdin=io.BytesIO(data), clock=ScriptedClock(), limits=limits)
        source = open_files(
            ["-"],
            stdin=io.BytesIO(data),
            clock=ScriptedClock(),
            limits=IngestLimits(max_line_bytes=200, read_bytes=size),
        )
        assert steps(drain(source)) == [0, 1, 2]
        counters = source.counters()
        assert counters.dropped_by_reason == {"invalid_json": 1, "too_long": 3}
        assert [e.line for e in counters.examples] == [6, 3, 5, 7]


def test_names_are_printed_without_control_characters(tmp_path: Path) -> None:
    with pytest.raises(BadInputError) as caught:
        file_source(tmp_path / "\x1b[31mred\nline.jsonl")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("cut", [5, 30, -2])
def test_half_a_line_of_a_file_that_may_grow_is_read_whole_by_the_next_process(cut: int, tmp_path: Path) -> None:
    whole = stream_of(3)
    last_begins = whole.rstrip(b"\n").rindex(b"\n") + 1
    path = tmp_path / "run.jsonl"
    path.write_bytes(whole[: last_begins + cut] if cut > 0 else whole[:cut])
    first = file_source(path, may_grow=True)
    assert steps(drain(first)) == [0, 1]
    position = first.position()
    path.write_bytes(whole)
    second = file_source(path, may_grow=True)
    second.resume(position)
    blocks = [*second.blocks(Running()), *second.flush()]
    assert [int(step) for block in blocks for step in block.step] == [2]
    assert second.counters().dropped_total == 0


def test_a_last_line_that_only_lacks_its_line_feed_counts_even_in_a_file_that_may_grow(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(stream_of(3).rstrip(b"\n"))
    assert steps(drain(file_source(path, may_grow=True))) == [0, 1, 2]


def test_how_much_of_files_has_been_read_is_known_and_of_a_pipe_it_is_not(tmp_path: Path) -> None:
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    first.write_bytes(stream_of(300))
    second.write_bytes(stream_of(100))
    source = file_source(first, second)
    assert source.share_read == 0.0
    list(source.blocks(Running()))
    assert source.share_read == 1.0
    resumed = file_source(first, second, limits=IngestLimits(read_bytes=1000, block_records=5))
    next(resumed.blocks(Running()))
    assert 0 < (resumed.share_read or 0) < 0.5
    assert open_files(["-"], stdin=io.BytesIO(b""), clock=ScriptedClock()).share_read is None
    assert file_source(first, follow=True).share_read is None
