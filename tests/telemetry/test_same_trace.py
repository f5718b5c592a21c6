"""Wherever the same bytes come from, the same is decided, tick by tick."""

import gzip
import io
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from backports import zstd
from tests.telemetry.feeding import Running, ScriptedClock, file_source, record, source_of

from modekeeper.artifacts.canonical import json_line
from modekeeper.loop.engine import Engine
from modekeeper.loop.settings import LoopSettings
from modekeeper.model.block import SampleBlock
from modekeeper.model.decision import Target
from modekeeper.model.trace import TraceEvent
from modekeeper.policy.catalog import load_default
from modekeeper.telemetry.file import FileSource, open_files
from modekeeper.telemetry.limits import IngestLimits
from modekeeper.telemetry.recorder import RawRecorder

SETTINGS = LoopSettings(target=Target(namespace="default", kind="Deployment", name="trainer"), catalog=load_default())
LIMITS = IngestLimits(range_bytes=8192, read_bytes=1 << 15, block_records=256)


def story() -> bytes:
    """A job that slows down, with late, repeated and broken records on the way."""
    records = [
        record(i, step_time_ms=(900.0 if i < 600 else 1300.0) + i * 7 % 13, data_wait_ms=20.0 + i % 3, node="a")
        for i in range(1500)
    ]
    for at in range(40, 1500, 97):
        records[at], records[at - 1] = records[at - 1], records[at]
        records.insert(at, records[at - 5])
    lines = [json.dumps(entry).encode() for entry in records]
    for at in range(10, 1500, 111):
        lines.insert(at, [b"", b"INFO saved", b'{"ts": 1, "step":', b"\xff\xfe"][at % 4])
    return b"\n".join(lines) + b"\n"


def trace(blocks: Iterable[SampleBlock]) -> bytes:
    engine = Engine(SETTINGS)
    events = [event for block in blocks for event in engine.feed(block)]
    return b"".join(map(json_line, [*events, engine.finish()]))


def read(source: FileSource) -> Iterator[SampleBlock]:
    yield from source.blocks(Running())
    yield from source.flush()
    source.close()


def of_a_file(path: Path) -> FileSource:
    return file_source(path)


def of_two_processes(path: Path) -> FileSource:
    return file_source(path, limits=LIMITS, jobs=2)


def line_by_line(path: Path) -> FileSource:
    return file_source(path, limits=IngestLimits(bulk_lines=1 << 60))


def of_standard_input(path: Path) -> FileSource:
    return open_files(["-"], stdin=io.BytesIO(path.read_bytes()), clock=ScriptedClock())


def of_a_trickle(path: Path) -> FileSource:
    return source_of(path.read_bytes(), [777, 1, 20_000])


def of_gzip(path: Path) -> FileSource:
    path.write_bytes(gzip.compress(path.read_bytes()))
    return file_source(path)


def of_zstd(path: Path) -> FileSource:
    path.write_bytes(zstd.compress(path.read_bytes()))
    return file_source(path, limits=LIMITS)


def of_several_files(path: Path) -> FileSource:
    lines = path.read_bytes().splitlines(keepends=True)
    names = [path.with_suffix(f".{part}") for part in range(3)]
    for part, name in enumerate(names):
        name.write_bytes(b"".join(lines[part * 500 : (part + 1) * 500 if part < 2 else None]))
    return file_source(*names, limits=LIMITS, jobs=2)


def of_a_growing_file(path: Path) -> FileSource:
    data = path.read_bytes()
    cuts = [0, 10_001, 10_002, 90_000, len(data)]
    path.write_bytes(b"")

    def grow(begin: int, end: int) -> Callable[[], object]:
        def add() -> None:
            with path.open("ab") as file:
                file.write(data[begin:end])

        return add

    acts = [grow(*bounds) for bounds in pairwise(cuts)]
    return open_files([str(path)], clock=ScriptedClock(*acts), follow=True)


def of_a_recording(path: Path) -> FileSource:
    recording = path.with_suffix(".raw")
    with RawRecorder(recording) as recorder:
        for _ in read(file_source(path, limits=LIMITS, jobs=2, recorder=recorder)):
            pass
    return file_source(recording)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("expected") / "run.jsonl"
    path.write_bytes(story())
    return trace(read(line_by_line(path)))


@pytest.mark.parametrize(
    "source",
    [
        of_a_file,
        of_two_processes,
        of_standard_input,
        of_a_trickle,
        of_gzip,
        of_zstd,
        of_several_files,
        of_a_growing_file,
        of_a_recording,
    ],
)
def test_the_trace_is_the_same(source: Callable[[Path], FileSource], expected: bytes, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(story())
    got = trace(read(source(path)))
    assert got == expected
    assert b'"DRIFT"' in got


def test_the_trace_goes_on_in_another_process(expected: bytes, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(story())
    engine = Engine(SETTINGS)
    events: list[TraceEvent] = []
    position = None
    while True:
        source = file_source(path, limits=LIMITS)
        if position is not None:
            source.resume(position)
        block = next(source.blocks(Running()), None)
        if block is None:
            break
        events += engine.feed(block)
        position = json.loads(json.dumps(source.position()))
        source.close()
    for block in source.flush():
        events += engine.feed(block)
    assert b"".join(map(json_line, [*events, engine.finish()])) == expected
