"""Several processes read a file together, and nobody can tell from what they give."""

import gzip
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.telemetry.feeding import Running, drain, file_source, lines_of, record, rows_of, stream_of
from tests.telemetry.hostile import LINES
from tests.telemetry.test_bulk import JOBS, job, text_of

from modekeeper.model.errors import FailedError
from modekeeper.telemetry import range_readers
from modekeeper.telemetry.bulk import BulkDecoder
from modekeeper.telemetry.decode import LineDecoder
from modekeeper.telemetry.file import FileSource
from modekeeper.telemetry.limits import IngestLimits
from modekeeper.telemetry.recorder import RawRecorder
from modekeeper.telemetry.scan import places_of
from modekeeper.telemetry.transport import ALIGNED_BYTES, laid_out, put_together, size_of


@pytest.fixture(autouse=True)
def _helpers_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a short file is read before they have started."""
    monkeypatch.setattr(range_readers, "_START_WAIT_S", 30.0)


SMALL = IngestLimits(range_bytes=4096, read_bytes=1 << 14, max_line_bytes=3000, block_records=100)
DIRTY = b"".join(
    [
        stream_of(300),
        b"junk\n\n\xff\n",
        lines_of(record(i, node=f"node-{i % 3}", rank=i % 2, phase="train") for i in range(300, 700) if i % 9),
        lines_of([record(690), record(650, step_time_ms=float("inf")), record(701, step_time_ms="12.5")]),
        b"x" * 2900 + b"\n" + b"y" * 3100 + b"\n",
        lines_of(record(i, worker_latencies_ms=[1, None, 3], worker_groups=["a", "b", "a"]) for i in range(702, 900)),
        lines_of(record(i, knobs={"concurrency": i // 20}) for i in range(900, 1200)),
        lines_of(record(i, **{"knob.x": 1}) for i in range(1200, 1300)),
        b"z" * 20_000 + b"\n",
        stream_of(1500)[len(stream_of(1300)) :],
        json.dumps(record(1500)).encode(),
    ]
)
TABLE = b"ts,step,step_time_ms\n" + b"".join(b"%d,%d,%d\n" % (1_700_000_000 + i, i, i % 7) for i in range(2000))
TWO_TABLES = TABLE + b"step,ts,loss\n" + b"".join(b"%d,%d,1\n" % (i, 1_700_000_000 + i) for i in range(2000, 4000))


def told(source: FileSource) -> Any:
    rows = repr(drain(source))
    source.close()
    return rows, source.counters(), source.notes


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Files of every kind, one behind the other."""
    folder = tmp_path_factory.mktemp("inputs")
    contents = {
        "a.jsonl": DIRTY,
        "b.csv": TABLE,
        "c.csv": TWO_TABLES,
        "d.jsonl.gz": gzip.compress(stream_of(500)),
        "e.jsonl": b"",
        "f.jsonl": stream_of(2000),
        "g.jsonl": b"\n" * 20_000 + stream_of(3),
    }
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in contents]


@pytest.mark.parametrize("jobs", [2, 4])
def test_any_number_of_processes_tells_the_same_story(inputs: list[Path], jobs: int, tmp_path: Path) -> None:
    recordings = []
    stories = []
    for number in (1, jobs):
        with RawRecorder(tmp_path / str(number)) as recorder:
            stories.append(told(file_source(*inputs, limits=SMALL, jobs=number, recorder=recorder)))
        recordings.append((tmp_path / str(number)).read_bytes())
    assert stories[0] == stories[1]
    assert recordings[0] == recordings[1]
    assert stories[0][1].dropped_by_reason["too_long"] == 2


def test_what_is_read_ahead_is_not_counted_as_read(inputs: list[Path]) -> None:
    source = file_source(inputs[0], limits=SMALL, jobs=2)
    reading = source.blocks(Running())
    blocks = [next(reading), next(reading)]
    position = json.loads(json.dumps(source.position()))
    source.close()
    assert position["files"][0]["text_bytes"] < len(DIRTY) / 2
    again = file_source(inputs[0], limits=SMALL, jobs=2)
    again.resume(position)
    blocks += [*again.blocks(Running()), *again.flush()]
    again.close()
    alone = file_source(inputs[0], limits=SMALL)
    assert repr(rows_of(blocks)) == repr(drain(alone))
    assert again.counters() == alone.counters()


def test_a_stop_is_heeded_and_reading_goes_on_where_it_was(inputs: list[Path]) -> None:
    source = file_source(inputs[5], limits=SMALL, jobs=2)
    stop = Running()
    blocks = []
    for block in source.blocks(stop):
        blocks.append(block)
        stop.stopped = True
    assert 0 < sum(map(len, blocks)) < 2000
    blocks += [*source.blocks(Running()), *source.flush()]
    source.close()
    assert [row["step"] for row in rows_of(blocks)] == list(range(2000))


@pytest.fixture
def nobody_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The share of this process is all there is: quick enough for many examples."""
    monkeypatch.setattr(sys, "executable", "")


@pytest.mark.usefixtures("nobody_helps")
@pytest.mark.parametrize("name", range(7))
def test_one_process_reads_ranges_as_it_reads_the_whole(inputs: list[Path], name: int) -> None:
    assert told(file_source(inputs[name], limits=SMALL, jobs=2)) == told(file_source(inputs[name], limits=SMALL))


@given(lines=st.lists(LINES, min_size=5, max_size=80), size=st.integers(50, 900))
@settings(max_examples=100, deadline=None)
def test_wherever_a_file_is_cut_into_ranges(lines: list[bytes], size: int) -> None:
    limits = IngestLimits(range_bytes=size, max_line_bytes=250, block_records=9)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", "")
        path = Path(folder) / "run.jsonl"
        path.write_bytes(text_of(lines))
        assert told(file_source(path, limits=limits, jobs=2)) == told(file_source(path, limits=limits))


@given(plan=JOBS, lines=st.lists(LINES, max_size=20))
@settings(max_examples=100, deadline=None)
def test_nothing_is_lost_on_the_way_between_processes(plan: dict[str, Any], lines: list[bytes]) -> None:
    data = text_of([json.dumps(job(index, plan)).encode() for index in range(40)] + lines)
    limits = IngestLimits()
    read = BulkDecoder(limits, LineDecoder(limits)).read(data, places_of("\n", data), "source", 8)
    sent = BulkDecoder(limits, LineDecoder(limits)).read(data, places_of("\n", data), "", 1)
    head, columns = laid_out(sent, data.count(b"\n"))
    room = bytearray(size_of(columns))
    at = 0
    for column in columns:
        room[at : at + column.nbytes] = column.tobytes()
        at += -(-column.nbytes // ALIGNED_BYTES) * ALIGNED_BYTES
    got = put_together(head, memoryview(room), "source", data, 8)
    room[:] = b"\xff" * len(room)
    assert got.dropped == read.dropped
    assert [got.batch.arrival(i) for i in range(len(got.batch))].__repr__() == [
        read.batch.arrival(i) for i in range(len(read.batch))
    ].__repr__()


def children(parent: int) -> list[int]:
    """Processes started by the main thread of another one."""
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def test_a_helper_that_is_killed_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(stream_of(3000))
    before = set(children(os.getpid()))
    source = file_source(path, limits=SMALL, jobs=2)
    reading = source.blocks(Running())
    next(reading)
    for child in set(children(os.getpid())) - before:
        os.kill(child, signal.SIGKILL)
    with pytest.raises(
        FailedError, match=r"a process that helps .* ended by signal 9\. Run again, or with --jobs 1"
    ) as e:
        list(reading)
    assert "\n" not in str(e.value)
    source.close()
    assert set(children(os.getpid())) <= before


def test_a_helper_that_cannot_do_its_work_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(range_readers, "_START", "raise SystemExit(7)")
    path = tmp_path / "run.jsonl"
    path.write_bytes(stream_of(3000))
    source = file_source(path, limits=SMALL, jobs=2)
    with pytest.raises(FailedError, match="it ended with code 7"):
        list(source.blocks(Running()))
    source.close()


def test_an_error_in_a_helper_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = range_readers._START.replace("main(**given)", "given['limits']['max_depth'] = None; main(**given)")
    monkeypatch.setattr(range_readers, "_START", broken)
    path = tmp_path / "run.jsonl"
    path.write_bytes(stream_of(3000))
    source = file_source(path, limits=SMALL, jobs=2)
    with pytest.raises(FailedError, match="failed: TypeError"):
        list(source.blocks(Running()))
    source.close()


@pytest.mark.parametrize("how", ["cut", "written anew"])
def test_a_file_that_changes_while_it_is_read_apart(tmp_path: Path, how: str) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(stream_of(5000))
    source = file_source(path, limits=SMALL, jobs=2)
    reading = source.blocks(Running())
    blocks = [next(reading)]
    if how == "cut":
        os.truncate(path, 0)
        path.write_bytes(lines_of(record(i) for i in range(5000, 5100)))
    else:
        path.write_bytes(b"x" * path.stat().st_size)
    blocks += [*reading, *source.flush()]
    source.close()
    rows = rows_of(blocks)
    if how == "cut":
        assert rows[-1]["step"] == 5099
        assert "was truncated" in source.notes[0]
    assert len(rows) < 5000


def test_an_answer_too_large_for_its_slot_comes_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(range_readers, "_SLOT_BYTES", 4096)
    path = tmp_path / "run.jsonl"
    path.write_bytes(stream_of(3000))
    assert told(file_source(path, limits=SMALL, jobs=2)) == told(file_source(path, limits=SMALL))


READER = """
import sys, threading
from modekeeper.telemetry import range_readers
range_readers._START_WAIT_S = 30.0
from modekeeper.telemetry.limits import IngestLimits
from tests.telemetry.feeding import file_source
source = file_source(sys.argv[1], limits=IngestLimits(range_bytes=4096), jobs=3)
reading = source.blocks(threading.Event())
next(reading)
print("reading", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nobody_is_left_behind(tmp_path: Path, number: signal.Signals) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(stream_of(40_000))
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert reader.stdout is not None
    assert reader.stdout.readline() == b"reading\n"
    helpers = children(reader.pid)
    assert len(helpers) == 2
    reader.send_signal(number)
    reader.communicate()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{helper}").exists() for helper in helpers) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(Path(f"/proc/{helper}").exists() for helper in helpers)


def test_columns_are_aligned() -> None:
    assert size_of([np.zeros(3, np.int32), np.zeros(1)]) == 24


def test_a_short_file_is_read_before_helpers_have_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(range_readers, "_START_WAIT_S", 0.0)
    path = tmp_path / "run.jsonl"
    path.write_bytes(stream_of(300))
    before = set(children(os.getpid()))
    source = file_source(path, limits=SMALL, jobs=3)
    assert len(drain(source)) == 300
    source.close()
    assert set(children(os.getpid())) == before
