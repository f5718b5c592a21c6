"""``kill -9`` at any moment: what is on disk is whole, and a restart loses nothing and takes nothing twice."""

import json
import os
import random
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import msgspec
import pytest
from tests.watch.sessions import (
    check_folder,
    command,
    environment,
    events_of,
    mk,
    read_json,
)

from modekeeper.model.trace import TickTrigger

SHARE = float(os.environ.get("MODEKEEPER_HEAVY_SHARE", "1.0"))
KILLS = max(2, round(240 * SHARE))
SEED = 20_260_101
KEEP = 12
WATCH = ("watch", "--observe-path", "run.jsonl", "--out", "out", "--interval", "20ms", "--keep", str(KEEP))


class Trainer:
    """A job that writes its telemetry as it goes, half lines included, from a thread of its own."""

    def __init__(self, path: Path, seed: int, lines_at_once: int = 4) -> None:
        self._path = path
        self._lines_at_once = lines_at_once
        self._rng = random.Random(seed)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._write)
        self.lines = 0

    def __enter__(self) -> Self:
        self._path.write_bytes(b"")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _write(self) -> None:
        rng, rest = self._rng, b""
        with self._path.open("ab", buffering=0) as file:
            while not self._done.wait(rng.uniform(0.001, 0.02)):
                text = rest + b"".join(self._line() for _ in range(rng.randrange(self._lines_at_once)))
                cut = rng.randrange(len(text) + 1)
                file.write(text[:cut])
                rest = text[cut:]
            file.write(rest)

    def _line(self) -> bytes:
        number, rng = self.lines, self._rng
        self.lines += 1
        slow = number % 900 > 600
        record = {
            "ts_ms": 1_767_225_600_000 + number * 1000,
            "step": number,
            "step_time_ms": round((260 if slow else 200) + rng.gauss(0, 2), 3),
            "data_wait_ms": round((70 if slow else 10) + rng.gauss(0, 0.5), 3),
            "loss": round(4 / (1 + number / 500), 4),
            "knobs": {"dataloader_prefetch_factor": 2, "concurrency": 4},
        }
        return json.dumps(record).encode() + b"\n"


@contextmanager
def killed(folder: Path, words: Sequence[str] = WATCH) -> Iterator[subprocess.Popen[bytes]]:
    """``mk watch`` in the background; killed at the end of the block, wherever it is then."""
    process = subprocess.Popen(
        command(*words),
        cwd=folder,
        env=environment(MODEKEEPER_PINNED_CLOCK=""),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        _, errors = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL, errors


def bytes_of(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def wait_for_checkpoint(process: subprocess.Popen[bytes], state: Path, before: bytes) -> None:
    """Until the process has done an iteration of its own: each one makes progress, however it is killed."""
    end = time.monotonic() + 30
    while bytes_of(state) == before:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end, "no iteration within 30 s"
        time.sleep(0.002)


def checked_state(out: Path) -> int:
    """What must hold between the checkpoint and everything it speaks of; the iteration it stands for."""
    if not (out / "watch_state.json").exists():
        return 0
    state = read_json(out / "watch_state.json")
    for name in state["kept"]:
        report = read_json(out / name / "closed_loop_latest.json")
        trace = events_of(out / name / "decision_trace_latest.jsonl")
        assert report["audit_trace"]["events"] == len(trace)
    latest = read_json(out / "watch_latest.json")
    assert latest["iterations"] - state["iteration"] in {0, 1}, "the roll-up is written just before the checkpoint"
    pointer = latest["artifact_paths"]["last_iteration_report_path"]
    assert pointer is not None
    assert (out.parent / pointer).is_file()
    events_of(out / "decision_trace_latest.jsonl")
    number: int = state["iteration"]
    return number


def unfinished(out: Path) -> list[Path]:
    # Not rglob, which fails when a folder goes away meanwhile.
    return [
        Path(folder, name) for folder, _, names in os.walk(out) for name in names if name.startswith(".unfinished-")
    ]


@pytest.mark.heavy
def test_kills_at_random_moments_cost_nothing(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    path, out = tmp_path / "run.jsonl", tmp_path / "out"
    state = out / "watch_state.json"
    seen = left_behind = 0
    with Trainer(path, SEED):
        for _ in range(KILLS):
            before = bytes_of(state)
            with killed(tmp_path) as process:
                if rng.random() < 0.8:
                    wait_for_checkpoint(process, state, before)
                    earlier = [path for path in unfinished(out) if f"-{process.pid}-" not in path.name]
                    assert earlier == [], "a start removes what earlier processes left"
                    time.sleep(rng.uniform(0, 0.12))
                else:
                    # While it starts, or takes back what the one before it had begun.
                    time.sleep(rng.uniform(0.15, 0.6))
            left_behind += bool(unfinished(out))
            if (out / "watch_latest.json").exists():
                check_folder(out, unfinished_allowed=True, since=seen)
            done = checked_state(out)
            assert done >= seen
            seen = done
    final = mk(*WATCH[:-4], "--interval", "1s", "--keep", str(KEEP), "--max-iterations", "2", cwd=tmp_path)
    assert final.returncode == 0, final.stderr
    check_end(tmp_path, path, left_behind)


def check_end(folder: Path, path: Path, left_behind: int) -> None:
    out = folder / "out"
    lines = path.read_bytes().count(b"\n")
    report = read_json(out / "watch_latest.json")
    ingest = report["observe_ingest"]
    print(
        f"{KILLS} kills, {report['iterations']} iterations, {lines} records, {report['ticks_total']} ticks, "
        f"{report['transitions_total']} transitions, {left_behind} unfinished files found after a kill"
    )
    assert (ingest["read_total"], ingest["accepted_total"], ingest["dropped_total"]) == (lines, lines, 0)
    assert report["telemetry"]["sample_count"] == lines
    points = report["telemetry"]["points"]
    assert sum(point["samples"] for point in points) == lines
    ends = [point["index"] + point["samples"] for point in points]
    assert [point["index"] for point in points] == [0, *ends[:-1]]
    assert (report["telemetry"]["first_step"], report["telemetry"]["last_step"]) == (0, lines - 1)

    folders = sorted(place.name for place in out.iterdir() if re.fullmatch(r"iter_\d{4,}", place.name))
    assert folders == list(report["kept_iterations"])
    assert len(folders) <= KEEP
    assert unfinished(out) == []
    check_folder(out)
    check_kept_parts(out, folders, report["ticks_total"])


def check_kept_parts(out: Path, folders: list[str], ticks_total: int) -> None:
    """The iterations kept follow each other without a gap and without an overlap."""
    behind = None
    for name in folders:
        part = read_json(out / name / "closed_loop_latest.json")["telemetry"]
        if part["points"]:
            assert behind is None or part["points"][0]["index"] == behind
            behind = part["points"][-1]["index"] + part["points"][-1]["samples"]
    events = events_of(out / "decision_trace_latest.jsonl")
    ticks = [event.tick for event in events]
    assert ticks == list(range(ticks_total - len(ticks) + 1, ticks_total + 1))
    at = [event.at_index for event in events]
    assert at == sorted(at)
    by_sample = [event.at_index for event in events if event.trigger is not TickTrigger.NO_DATA]
    assert len(by_sample[:-1]) == len(set(by_sample[:-1]))


@pytest.mark.heavy
def test_the_decisions_of_a_killed_session_are_those_of_an_undisturbed_one(tmp_path: Path) -> None:
    """All iterations are kept, so the whole trace can be compared with one run over the finished file."""
    rng = random.Random(SEED + 1)
    path, out = tmp_path / "run.jsonl", tmp_path / "out"
    words = [*WATCH[:-1], "100000"]
    state = out / "watch_state.json"
    with Trainer(path, SEED + 1, lines_at_once=40):
        for _ in range(max(2, round(40 * SHARE))):
            before = bytes_of(state)
            with killed(tmp_path, words) as process:
                wait_for_checkpoint(process, state, before)
                time.sleep(rng.uniform(0, 0.15))
    assert mk(*words, "--max-iterations", "1", cwd=tmp_path).returncode == 0
    once = mk("closed-loop", "run", "--dry-run", "--observe-path", "run.jsonl", "--out", "once", cwd=tmp_path)
    assert once.returncode == 0, once.stderr
    assert decisions(out) == decisions(tmp_path / "once")
    assert len(decisions(out)) > 2


def decisions(folder: Path) -> list[bytes]:
    events = events_of(folder / "decision_trace_latest.jsonl")
    kept = [event for event in events if event.trigger is not TickTrigger.NO_DATA]
    return [msgspec.json.encode(msgspec.structs.replace(event, tick=number)) for number, event in enumerate(kept, 1)]
