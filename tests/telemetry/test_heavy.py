"""Long runs at their full counts: ``make test-heavy``."""

import importlib.util
import json
import os
import random
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.telemetry.feeding import Running, drain, file_source, record, source_of, stream_of
from tests.telemetry.hostile import FILES, LINES, SIZES

from modekeeper.model.errors import FailedError
from modekeeper.telemetry.limits import IngestLimits

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(os.environ.get("MODEKEEPER_TEST_HEAVY") != "1", reason="set MODEKEEPER_TEST_HEAVY=1"),
]

ROOT = Path(__file__).parents[2]
COUNT = 10_000
FUZZ_RUNS = 20_000
LONG = settings(max_examples=COUNT, deadline=None, suppress_health_check=list(HealthCheck))


@LONG
@given(data=FILES, sizes=SIZES)
def test_ten_thousand_hostile_files(data: bytes, sizes: list[int]) -> None:
    limits = IngestLimits(max_line_bytes=250)
    try:
        whole = source_of(data, limits=limits)
        rows = drain(whole)
    except FailedError:
        return
    pieces = source_of(data, sizes, limits=limits)
    assert drain(pieces) == rows
    assert pieces.counters() == whole.counters()


@LONG
@given(lines=st.lists(LINES, min_size=1, max_size=3))
def test_ten_thousand_hostile_lines(lines: list[bytes]) -> None:
    healthy = stream_of(2)
    source = source_of(b" " + b"\n".join(lines) + b"\n" + healthy)
    drain(source)
    assert source.counters().read_total >= 2


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed (make test-heavy)")
def test_coverage_guided_fuzzing_finds_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.telemetry.fuzz_parser", str(FUZZ_RUNS)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"Done {FUZZ_RUNS} runs" in done.stderr


def peak_bytes(path: Path) -> int:
    source = file_source(path)
    tracemalloc.start()
    try:
        for _ in source.blocks(Running()):
            pass
        for _ in source.flush():
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_input(tmp_path: Path) -> None:
    short, long = tmp_path / "short.jsonl", tmp_path / "long.jsonl"
    # Several reads long, as the other one.
    short.write_bytes(stream_of(120_000))
    with long.open("wb") as file:
        for start in range(0, 600_000, 1000):
            file.write(b"".join(json.dumps(record(i)).encode() + b"\n" for i in range(start, start + 1000)))
    assert peak_bytes(long) < peak_bytes(short) + (1 << 20)


def test_a_line_of_a_gigabyte_does_not_claim_memory(tmp_path: Path) -> None:
    path = tmp_path / "line.jsonl"
    path.write_bytes(stream_of(3))
    os.truncate(path, 1 << 30)
    with path.open("ab") as file:
        file.write(b"\n" + json.dumps(record(3)).encode() + b"\n")
    assert peak_bytes(path) < 16 << 20
    source = file_source(path)
    assert len(drain(source)) == 4
    assert source.counters().dropped_by_reason == {"too_long": 1}


READER = """
import json, os, sys, threading, time
from pathlib import Path
from modekeeper.telemetry.limits import IngestLimits
from tests.telemetry.feeding import file_source, rows_of
place, path = Path(sys.argv[2]), sys.argv[1]
saved = json.loads(place.read_text()) if place.exists() else {"steps": [], "position": None}
source = file_source(path, limits=IngestLimits(block_records=100, read_bytes=2000))
if saved["position"]:
    source.resume(saved["position"])
def keep(block):
    saved["steps"] += [block.step_at(i) for i in range(len(block))]
    saved["position"] = source.position()
    part = place.with_suffix(".part")
    part.write_text(json.dumps(saved))
    part.replace(place)
    time.sleep(0.02)
for block in source.blocks(threading.Event()):
    keep(block)
for block in source.flush():
    keep(block)
print(json.dumps([saved["steps"], source.counters().read_total]))
"""


def test_killed_again_and_again_it_gives_every_sample_once(tmp_path: Path) -> None:
    path, place = tmp_path / "run.jsonl", tmp_path / "place.json"
    data = stream_of(20_000).splitlines(keepends=True)
    shuffled = [data[i ^ 1] for i in range(len(data))]
    path.write_bytes(b"".join(shuffled))
    command = [sys.executable, "-c", READER, str(path), str(place)]
    chance = random.Random(7)
    killed = 0
    while True:
        child = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE)
        try:
            out, _ = child.communicate(timeout=0.7 + chance.random() if killed < 15 else 120)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            killed += 1
            continue
        break
    steps, read_total = json.loads(out)
    assert steps == list(range(20_000))
    assert read_total == 20_000
    assert killed >= 3
