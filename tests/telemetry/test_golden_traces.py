"""The golden traces: that they are current, and what reading them gives, record by record."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest
from tests.data.observe.generate import FOLDER, TRACES, stale
from tests.telemetry.feeding import drain, file_source

Account = tuple[int, int, Mapping[str, int], Mapping[str, int]]

EXPECTED: dict[str, Account] = {
    "stable.jsonl": (300, 300, {}, {}),
    "drift.jsonl": (360, 360, {}, {}),
    "burst.jsonl": (360, 360, {}, {}),
    "straggler.jsonl": (300, 300, {}, {}),
    "sparse.jsonl": (80, 80, {}, {}),
    "out_of_order.jsonl": (200, 197, {"out_of_order": 3}, {"reordered": 11}),
    "corrupted.jsonl": (
        220,
        200,
        {"blank": 2, "invalid_json": 7, "wrong_shape": 5, "missing_field": 2, "not_a_number": 4},
        {"non_finite": 2, "field_ignored": 2, "byte_order_mark": 1, "invalid_utf8": 1},
    ),
    "duplicates.jsonl": (162, 150, {"duplicate": 12}, {}),
    "clock_skew.jsonl": (240, 240, {}, {"clock_skew": 83}),
    "realistic_dirty.jsonl": (
        338,
        320,
        {"blank": 2, "invalid_json": 4, "wrong_shape": 4, "missing_field": 1, "not_a_number": 3, "duplicate": 4},
        {"reordered": 8, "clock_skew": 2, "non_finite": 1, "field_ignored": 1},
    ),
    "mixed_env.jsonl": (240, 240, {}, {}),
}


def test_every_trace_is_what_its_generator_makes() -> None:
    assert list(stale()) == []
    assert {path.name for path in FOLDER.glob("*.jsonl")} == set(TRACES) == set(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_trace_is_small(name: str) -> None:
    assert len((FOLDER / name).read_bytes().splitlines()) <= 400


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_every_record_of_a_trace_is_accounted_for(name: str) -> None:
    read, accepted, dropped, repaired = EXPECTED[name]
    source = file_source(FOLDER / name)
    rows = drain(source)
    counters = source.counters()
    assert (counters.read_total, counters.accepted_total) == (read, accepted)
    assert (counters.dropped_by_reason, counters.repaired_by_reason) == (dropped, repaired)
    steps = [row["step"] for row in rows if "step" in row]
    assert steps == sorted(steps)


def test_skewed_clocks_are_put_right() -> None:
    rows = drain(file_source(FOLDER / "clock_skew.jsonl"))
    gaps_s = [(b["ts_ms"] - a["ts_ms"]) / 1000 for a, b in pairwise(rows)]
    assert [row["step"] for row in rows] == list(range(240))
    assert {at: gap for at, gap in enumerate(gaps_s) if gap != 1.0} == {79: 7201.0}


def test_other_names_of_fields_are_understood() -> None:
    rows = drain(file_source(FOLDER / "mixed_env.jsonl"))
    assert {row["node"] for row in rows} == {"node-a", "node-b"}
    assert {row["gpu_model"] for row in rows} == {"NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-80GB"}
    assert all(row["workers"] == [row["step_time_ms"]] for row in rows)


def test_the_same_traces_as_a_table_give_the_same_samples(tmp_path: Path) -> None:
    rows = drain(file_source(FOLDER / "straggler.jsonl"))
    names = ["ts_ms", "step", "step_time_ms", "loss", "node", "worker_latencies_ms"]
    text = [";".join(names)]
    for row in rows:
        cells = {"worker_latencies_ms": row["workers"]} | row
        text.append(";".join(str(cells[name]) for name in names))
    path = tmp_path / "straggler.csv"
    path.write_text("\n".join(text) + "\n")
    again = drain(file_source(path))
    assert [{name: row[name] for name in (*names[:-1], "workers")} for row in rows] == [
        {name: row[name] for name in (*names[:-1], "workers")} for row in again
    ]
