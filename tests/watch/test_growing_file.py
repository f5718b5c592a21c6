"""A file watched while it grows gives the decisions of the finished file."""

import json
import tempfile
from functools import cache
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.loop.stories import slow_input
from tests.watch.sessions import (
    DATA,
    SETTINGS,
    ActingClock,
    Going,
    check_folder,
    events_of,
    read_json,
    run_session,
)

from modekeeper.artifacts.canonical import json_line
from modekeeper.artifacts.contracts.parts import SourcePart
from modekeeper.loop.engine import Engine
from modekeeper.loop.reading import Reading
from modekeeper.loop.recorder import RunRecorder
from modekeeper.loop.run import run
from modekeeper.model.ingest import IngestCounters
from modekeeper.model.trace import TickTrigger, TraceEvent
from modekeeper.telemetry.file import open_files

OFTEN = msgspec.structs.replace(SETTINGS, heartbeat_samples=50)


@cache
def incident() -> bytes:
    lines = [
        {
            "ts_ms": s.ts_ms,
            "step": s.step,
            "step_time_ms": s.step_time_ms,
            "data_wait_ms": s.data_wait_ms,
            "node": s.node,
            "gpu_model": s.gpu_model,
            "knobs": dict(s.knobs or {}),
        }
        for s in slow_input(1100, onset=200, end=900)
    ]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


@cache
def dirty() -> bytes:
    return (DATA / "realistic_dirty.jsonl").read_bytes()


STORIES = {"an incident": incident, "a dirty file": dirty}


@cache
def decided_at_once(name: str) -> tuple[list[TraceEvent], IngestCounters]:
    """The trace and the counters of one run over the finished file."""
    events: list[TraceEvent] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.jsonl"
        path.write_bytes(STORIES[name]())
        source = open_files([path.as_posix()], clock=ActingClock())
        reading = Reading(
            name=name,
            source=source,
            stop=Going(),
            duration_s=None,
            describe_source=lambda: SourcePart(kind="file", describe=name),
            describe_recording=lambda: None,
        )
        run(reading, Engine(OFTEN), RunRecorder(), events.append)
        source.close()
        return events, source.counters()


def comparable(events: list[TraceEvent]) -> list[bytes]:
    """The events that depend on samples alone, numbered anew: quiet intervals have a tick of their own in between."""
    kept = [event for event in events if event.trigger is not TickTrigger.NO_DATA]
    return [json_line(msgspec.structs.replace(event, tick=number)) for number, event in enumerate(kept, 1)]


def watched(folder: Path, data: bytes, sizes: list[int]) -> Path:
    """The session folder of a file that has these sizes at each look at it, and all of ``data`` at the last."""
    path, out = folder / "run.jsonl", folder / "out"
    sizes = sorted(min(size, len(data)) for size in sizes)
    path.write_bytes(data[: sizes[0]])

    def grow(number: int) -> None:
        end = sizes[number] if number < len(sizes) else len(data)
        with path.open("ab") as file:
            file.write(data[path.stat().st_size : end])

    run_session(out, path, clock=ActingClock(grow), iterations=len(sizes) + 1, settings=OFTEN)
    return out


SIZES = st.lists(st.integers(0, 120_000), min_size=1, max_size=12)


@pytest.mark.parametrize("story", STORIES)
@settings(max_examples=6, deadline=None)
@given(sizes=SIZES)
@example(sizes=[0])
@example(sizes=[0, 0, 50_000, 50_000, 50_001, 50_002])
@example(sizes=[1, 99_999, 99_999])
def test_watching_a_growing_file_decides_as_one_run_over_the_finished_one(story: str, sizes: list[int]) -> None:
    data = STORIES[story]()
    with tempfile.TemporaryDirectory() as name:
        out = watched(Path(name), data, sizes)
        events = events_of(out / "decision_trace_latest.jsonl")
        report = read_json(out / "watch_latest.json")
    expected, counters = decided_at_once(story)
    assert comparable(events) == comparable(expected)
    assert [event.tick for event in events] == list(range(1, len(events) + 1))
    assert report["observe_ingest"] == msgspec.to_builtins(counters) | {
        "examples": [e | {"source": report["source"]["describe"]} for e in msgspec.to_builtins(counters.examples)]
    }
    assert report["no_data_iterations"] == sum(event.trigger is TickTrigger.NO_DATA for event in events)
    assert report["ticks_total"] == len(events)


def test_a_quiet_interval_has_a_tick_and_changes_no_decision(tmp_path: Path) -> None:
    data = incident()
    drift = data.index(b'"step": 600')
    out = watched(tmp_path, data, [drift, drift, drift, drift])
    events = events_of(out / "decision_trace_latest.jsonl")
    quiet = [n for n, event in enumerate(events) if event.trigger is TickTrigger.NO_DATA]
    assert len(quiet) == 3
    for number in quiet:
        before, event = events[number - 1], events[number]
        assert event.mode == before.mode
        assert event.plan_digest == before.plan_digest
        assert event.at_index == quiet_index(events, number)
    assert check_folder(out) > 0


def quiet_index(events: list[TraceEvent], number: int) -> int:
    """A quiet tick stands at the last sample, which is not before the tick in front of it."""
    assert events[number].at_index >= events[number - 1].at_index
    return events[number].at_index


def test_half_lines_wait_for_their_other_half(tmp_path: Path) -> None:
    """The file grows by half a line an interval: nothing is dropped, nothing is taken twice."""
    lines = incident().splitlines(keepends=True)[:12]
    ends, at = [], 0
    for line in lines:
        ends += [at + len(line) // 2, at + len(line)]
        at += len(line)
    out = watched(tmp_path, b"".join(lines), ends[:-1])
    report = read_json(out / "watch_latest.json")
    ingest = report["observe_ingest"]
    assert (ingest["accepted_total"], ingest["dropped_total"]) == (12, 0)
    assert report["telemetry"]["sample_count"] == 12


def test_the_parts_add_up_to_the_whole(tmp_path: Path) -> None:
    data = dirty()
    out = watched(tmp_path, data, [n * len(data) // 6 for n in range(1, 6)])
    whole = read_json(out / "watch_latest.json")
    parts = [read_json(path) for path in sorted(out.glob("iter_*/closed_loop_latest.json"))]
    assert len(parts) == 6
    for name in ("read_total", "accepted_total", "dropped_total", "repaired_total"):
        assert sum(part["observe_ingest"][name] for part in parts) == whole["observe_ingest"][name] > 0
    for name in ("dropped_by_reason", "repaired_by_reason"):
        for reason, count in whole["observe_ingest"][name].items():
            assert sum(part["observe_ingest"][name].get(reason, 0) for part in parts) == count
    assert sum(part["telemetry"]["sample_count"] for part in parts) == whole["telemetry"]["sample_count"]
    assert sum(part["audit_trace"]["events"] for part in parts) == whole["ticks_total"]
    joined = b"".join(p.read_bytes() for p in sorted(out.glob("iter_*/decision_trace_latest.jsonl")))
    assert (out / "decision_trace_latest.jsonl").read_bytes() == joined


def test_a_short_iteration_of_a_long_session_has_a_verdict(tmp_path: Path) -> None:
    data = incident()
    cut = data.index(b'{"ts_ms": ' + str(1_700_000_000_000 + 600_000).encode())
    out = watched(tmp_path, data[: cut + 3000], [cut])
    part = read_json(out / "iter_0002" / "closed_loop_latest.json")
    assert part["telemetry"]["sample_count"] < 50
    assert part["answer"]["verdict"].startswith("DRIFT since")


def test_silence_is_never_all_is_well(tmp_path: Path) -> None:
    data = incident()[:40_000]
    out = watched(tmp_path, data, [len(data)] * 3)
    verdict = read_json(out / "watch_latest.json")["answer"]["verdict"]
    assert verdict.startswith("NO DATA in the last")
    assert "before that: " in verdict


def test_a_session_that_has_no_verdict_yet_says_so_and_goes_on(tmp_path: Path) -> None:
    """Samples beyond the warm-up without a tick so far once broke the answer."""
    data = b"".join(incident().splitlines(keepends=True)[:150])
    out = watched(tmp_path, data, [len(data) * 9 // 10])
    first = read_json(out / "iter_0001" / "closed_loop_latest.json")
    assert first["telemetry"]["sample_count"] > 80
    assert first["answer"]["verdict"].startswith("NORMAL")
