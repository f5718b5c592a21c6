"""The raw recording of what was read."""

import gzip
import resource
from pathlib import Path

import pytest
from tests.telemetry.feeding import Running, drain, file_source, lines_of, record, rows_of, stream_of

from modekeeper.model.errors import BadInputError, FailedError
from modekeeper.telemetry.recorder import RawRecorder

DIRTY = b"\xef\xbb\xbf" + stream_of(5) + b"junk \xff\x00\r\n\n" + stream_of(8)


def test_a_recording_is_what_was_read_byte_for_byte(tmp_path: Path) -> None:
    source_path, path = tmp_path / "in.gz", tmp_path / "raw" / "out.jsonl"
    source_path.write_bytes(gzip.compress(DIRTY))
    with RawRecorder(path) as recorder:
        source = file_source(source_path, recorder=recorder)
        rows = drain(source)
        assert not path.exists()
    assert path.read_bytes() == DIRTY
    assert (recorder.path, recorder.lines, recorder.size_bytes, recorder.truncated) == (
        path,
        15,
        len(DIRTY),
        False,
    )
    replay = file_source(path)
    assert drain(replay) == rows
    expected, got = source.counters(), replay.counters()
    assert (got.dropped_by_reason, got.repaired_by_reason) == (
        expected.dropped_by_reason,
        expected.repaired_by_reason,
    )


def test_a_run_that_broke_leaves_no_recording(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"

    def break_off() -> None:
        with RawRecorder(path) as recorder:
            recorder.write(b"line\n")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        break_off()
    assert list(tmp_path.iterdir()) == []


def test_a_last_line_without_an_end_is_recorded_so(tmp_path: Path) -> None:
    source_path, path = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source_path.write_bytes(stream_of(3).rstrip())
    with RawRecorder(path) as recorder:
        drain(file_source(source_path, recorder=recorder))
    assert path.read_bytes() == stream_of(3).rstrip()
    assert recorder.lines == 3


def test_files_behind_one_another_do_not_run_into_each_other(tmp_path: Path) -> None:
    first, second, path = tmp_path / "a.csv", tmp_path / "b.jsonl", tmp_path / "out.jsonl"
    first.write_text("ts,step,step_time_ms\n1,1,5")
    second.write_bytes(lines_of([{"ts": 2, "step": 2, "step_time_ms": 6}]))
    with RawRecorder(path) as recorder:
        rows = drain(file_source(first, second, recorder=recorder))
    assert drain(file_source(path)) == rows
    assert len(rows) == 2


def test_a_recording_stops_at_a_whole_line_before_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    data = stream_of(100)
    with RawRecorder(path, max_bytes=1000) as recorder:
        recorder.write(data[: data.index(b"\n") + 1])
        recorder.write(data[data.index(b"\n") + 1 :])
        recorder.write(b"more\n")
    kept = path.read_bytes()
    assert data.startswith(kept)
    assert kept.endswith(b"\n")
    assert 900 < len(kept) <= 1000
    assert (recorder.truncated, recorder.size_bytes, recorder.lines) == (True, len(kept), kept.count(b"\n"))


def test_appending_keeps_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    for start in (0, 10):
        with RawRecorder(path, append=True) as recorder:
            recorder.write(lines_of(record(i) for i in range(start, start + 10)))
            assert path.stat().st_size > 0
        assert recorder.lines == 10
    assert path.read_bytes() == stream_of(20)


def test_a_recording_that_goes_on_elsewhere_has_nothing_twice(tmp_path: Path) -> None:
    source_path, path = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source_path.write_bytes(stream_of(20)[: len(stream_of(10)) + 7])
    recorder = RawRecorder(path, append=True)
    source = file_source(source_path, recorder=recorder)
    blocks = list(source.blocks(Running()))
    position = source.position()
    recorder.write(b"read again after the restart\n")
    recorder.abort()
    source_path.write_bytes(stream_of(20))
    with RawRecorder(path, append=True) as again:
        resumed = file_source(source_path, recorder=again)
        resumed.resume(position)
        blocks += [*resumed.blocks(Running()), *resumed.flush()]
    assert len(rows_of(blocks)) == 20
    assert path.read_bytes() == stream_of(20)
    assert (again.lines, again.size_bytes) == (20, len(stream_of(20)))


@pytest.mark.parametrize("name", [".", "file/below", "nul\0"])
def test_a_place_that_cannot_be_written_is_bad_input(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInputError, match="cannot record telemetry to"):
        RawRecorder(Path(f"{tmp_path}/{name}"))


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    recorder = RawRecorder(tmp_path / "out.jsonl")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(FailedError, match="file too large"):
            recorder.write(b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        recorder.abort()
    assert list(tmp_path.iterdir()) == []
