"""What one record may look like, and what becomes of it."""

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.telemetry.feeding import T0_MS, Row, drain, lines_of, record, source_of

from modekeeper.telemetry.decode import _SALVAGEABLE
from modekeeper.telemetry.fields import FIELDS, FieldKind


def only(fields: dict[str, Any] | bytes) -> Row:
    """The one sample of one line."""
    rows = drain(source_of(fields if isinstance(fields, bytes) else lines_of([fields])))
    assert len(rows) == 1
    return rows[0]


@pytest.mark.parametrize(
    ("name", "value", "ts_ms"),
    [
        ("ts", "2026-01-01T00:00:00Z", T0_MS),
        ("ts", "2026-01-01T00:00:00", T0_MS),
        ("ts", "2026-01-01 00:00:00.123", T0_MS + 123),
        ("ts", "2026-01-01 00:00:00,123", T0_MS + 123),
        ("ts", "2026-01-01T03:00:00.5+03:00", T0_MS + 500),
        ("ts", "2026-01-01T00:00:00.123456789Z", T0_MS + 123),
        ("ts", "2026-01-01", T0_MS),
        ("ts", T0_MS // 1000, T0_MS),
        ("ts", T0_MS / 1000 + 0.25, T0_MS + 250),
        ("ts", T0_MS, T0_MS),
        ("ts", T0_MS + 0.6, T0_MS + 1),
        ("ts", T0_MS * 1000 + 999, T0_MS),
        ("ts", T0_MS * 1_000_000 + 999_999, T0_MS),
        ("ts", str(T0_MS), T0_MS),
        ("ts", f" {T0_MS // 1000}.5 ", T0_MS + 500),
        ("ts", "1.7672256e9", T0_MS),
        ("ts", 0, 0),
        ("ts_ms", 5, 5),
        ("ts_ms", "5", 5),
        ("ts_ms", 5.4, 5),
        ("timestamp_ms", T0_MS, T0_MS),
        ("timestamp", "2026-01-01T00:00:00Z", T0_MS),
        ("time", T0_MS // 1000, T0_MS),
        ("@timestamp", "2026-01-01T00:00:00Z", T0_MS),
    ],
)
def test_a_time_is_understood_in_every_usual_form(name: str, value: object, ts_ms: int) -> None:
    assert only({name: value, "loss": 1.0})["ts_ms"] == ts_ms


@pytest.mark.parametrize(
    "value",
    [
        True,
        [],
        {},
        "soon",
        "",
        -1,
        -0.5,
        1e300,
        10**40,
        "9" * 30,
        "2026-13-01T00:00:00Z",
        "0001-01-01T00:00:00+10:00",
    ],
)
def test_a_time_that_cannot_be_used_drops_the_record(value: object) -> None:
    source = source_of(lines_of([{"ts": value, "step_time_ms": 1.0}]))
    assert drain(source) == []
    assert source.counters().dropped_by_reason == {"missing_field" if value == "" else "not_a_number": 1}


def test_the_first_usable_time_wins() -> None:
    assert only({"time": 7, "ts_ms": "never", "ts": T0_MS, "loss": 1.0})["ts_ms"] == T0_MS
    assert only({"ts": "never", "time": 7, "loss": 1.0})["ts_ms"] == 7000


@pytest.mark.parametrize("field", [f for f in FIELDS if f.kind is FieldKind.NUMBER], ids=lambda f: f.name)
def test_every_name_of_a_number_leads_to_its_field(field: Any) -> None:
    for alias in field.aliases:
        row = only({"ts": T0_MS, "worker_latencies_ms": [1.0], alias.name: 2.5})
        assert row[field.name] == 2.5 * (alias.scale or 1.0)
        assert only({"ts": T0_MS, "worker_latencies_ms": [1.0], alias.name: "2.5"})[field.name] == row[field.name]


def test_both_names_of_one_field_do_not_depend_on_their_order() -> None:
    assert only({"ts": 1, "latency_ms": 5.0, "step_time_ms": 6.0})["step_time_ms"] == 6.0
    assert only({"ts": 1, "step_time_ms": 6.0, "latency_ms": 5.0})["step_time_ms"] == 6.0


@pytest.mark.parametrize(
    ("value", "step"),
    [(3, 3), (3.0, 3), ("3", 3), ("3.0", 3), (2**62, 2**62), (3.5, None), (-1, None), (2**63, None), (True, None)],
)
def test_a_step_is_a_whole_number_or_ignored(value: object, step: int | None) -> None:
    source = source_of(lines_of([{"ts": 1, "step": value, "loss": 1.0}]))
    rows = drain(source)
    assert rows[0].get("step") == step
    assert source.counters().repaired_by_reason == ({} if step is not None else {"field_ignored": 1})


@pytest.mark.parametrize(
    "value", [True, "fast", [1.0], {"ms": 1}, -0.1, "-3", "0x10", "1_000", "\uff11\uff12"], ids=repr
)
def test_a_number_that_cannot_be_used_is_left_out_and_counted(value: object) -> None:
    source = source_of(lines_of([{"ts": 1, "loss": 1.0, "step_time_ms": value}]))
    rows = drain(source)
    assert "step_time_ms" not in rows[0]
    assert source.counters().repaired_by_reason == {"field_ignored": 1}


def test_a_record_with_nothing_usable_measured_is_dropped() -> None:
    source = source_of(lines_of([{"ts": 1, "step_time_ms": -1}, {"ts": 1}, {"ts": 1, "batch_size": 8}, {"loss": 1.0}]))
    assert drain(source) == []
    assert source.counters().dropped_by_reason == {"missing_field": 3, "not_a_number": 1}


def test_null_is_the_same_as_absent() -> None:
    source = source_of(b'{"ts":1,"ts_ms":null,"loss":1.5,"step_time_ms":null,"node":null,"knobs":null}\n')
    assert drain(source) == [{"ts_ms": 1000, "loss": 1.5}]
    assert source.counters().repaired_total == 0


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e400", "-1e999"])
def test_a_loss_that_is_not_finite_is_kept_as_infinite(text: str) -> None:
    source = source_of(f'{{"ts":1,"step_time_ms":2.0,"loss":{text}}}\n'.encode())
    rows = drain(source)
    assert math.isinf(rows[0]["loss"])
    assert rows[0]["loss"] > 0
    assert source.counters().repaired_by_reason == {"non_finite": 1}


def test_other_numbers_that_are_not_finite_are_missing() -> None:
    source = source_of(
        b'{"ts":1,"step_time_ms":NaN,"throughput":Infinity,"gpu_util_pct":50}\n{"ts":2,"step_time_ms":NaN}\n'
    )
    assert drain(source) == [{"ts_ms": 1000, "gpu_util_pct": 50.0}]
    assert source.counters().repaired_by_reason == {"non_finite": 1}
    assert source.counters().dropped_by_reason == {"not_a_number": 1}


@pytest.mark.parametrize("value", [[10.0, 20.5], "[10.0, 20.5]", '["10.0", 20.5]', ["10", "20.5"]], ids=repr)
def test_worker_latencies_are_read_from_an_array_or_its_text(value: object) -> None:
    assert only({"ts": 1, "step_time_ms": 30.0, "worker_latencies_ms": value})["workers"] == [10.0, 20.5]


@pytest.mark.parametrize(
    "value", ["nonsense", [], "[]", [1.0, "x"], [1.0, True], [-1.0], {}, 5, [[1.0]], "[[1]]"], ids=repr
)
def test_unusable_worker_latencies_fall_back_to_the_step_time(value: object) -> None:
    source = source_of(lines_of([{"ts": 1, "latency_ms": 30.0, "worker_latencies_ms": value}]))
    assert drain(source)[0]["workers"] == [30.0]
    expected = {} if value in ([], "[]") else {"field_ignored": 1}
    assert source.counters().repaired_by_reason == expected


def test_a_silent_worker_keeps_its_place() -> None:
    source = source_of(b'{"ts":1,"worker_latencies_ms":[10,null,30]}\n{"ts":2,"worker_latencies_ms":[10,NaN,30]}\n')
    assert [row["workers"] for row in drain(source)] == [[10.0, None, 30.0]] * 2
    assert source.counters().repaired_by_reason == {"non_finite": 1}


def test_worker_groups_need_one_name_for_each_worker() -> None:
    source = source_of(
        lines_of(
            [
                {"ts": 1, "worker_latencies_ms": [1, 2], "worker_groups": ["a", "b"]},
                {"ts": 2, "worker_latencies_ms": [1, 2], "worker_groups": '["a", 7]'},
                {"ts": 3, "worker_latencies_ms": [1, 2], "worker_groups": ["a"]},
                {"ts": 4, "step_time_ms": 5, "worker_groups": ["a", "b"]},
                {"ts": 5, "step_time_ms": 5, "worker_latencies_ms": [1, 2], "worker_groups": ["a", ""]},
            ]
        )
    )
    assert [row.get("worker_groups") for row in drain(source)] == [("a", "b"), ("a", "7"), None, None, None]
    assert source.counters().repaired_by_reason == {"field_ignored": 3}


def test_knobs_are_read_as_an_object_as_text_and_flat() -> None:
    expected = {"concurrency": 4.0, "timeout_ms": 30000.0}
    assert only({"ts": 1, "loss": 1.0, "knobs": {"concurrency": 4, "timeout_ms": "30000"}})["knobs"] == expected
    assert only({"ts": 1, "loss": 1.0, "knobs": json.dumps(expected)})["knobs"] == expected
    flat = {"ts": 1, "loss": 1.0, "knob.concurrency": 4, "modekeeper/knob.timeout_ms": "30000"}
    assert only(flat)["knobs"] == expected


@pytest.mark.parametrize("name", ["", "a b", "x" * 64, "a/b", "caf\u00e9", "$(reboot)"])
def test_a_knob_with_an_impossible_name_is_ignored(name: str) -> None:
    source = source_of(lines_of([{"ts": 1, "step_time_ms": 1.0, "knobs": {name: 1.0, "ok": 2.0}}]))
    assert drain(source)[0]["knobs"] == {"ok": 2.0}
    assert source.counters().repaired_by_reason == {"field_ignored": 1}


def test_names_are_cut_and_cleaned() -> None:
    row = only(
        {
            "ts": 1,
            "step_time_ms": 1.0,
            "node_name": "a\x1b[31m\u202ebad\n" + "n" * 400,
            "gpu_name": " H100 ",
            "phase": 7,
        }
    )
    assert row["node"].startswith("a[31mbadn")
    assert len(row["node"]) == 253
    assert (row["gpu_model"], row["phase"]) == ("H100", "7")


def test_numbers_keep_all_their_digits() -> None:
    row = only(b'{"ts":1,"step":9007199254740993,"step_time_ms":0.1,"loss":2.220446049250313e-16}\n')
    assert (row["step"], row["step_time_ms"], row["loss"]) == (9007199254740993, 0.1, 2.220446049250313e-16)


def test_the_last_of_two_equal_names_counts_on_both_ways() -> None:
    assert only(b'{"ts":1,"step_time_ms":1.0,"step_time_ms":2.0}\n')["step_time_ms"] == 2.0
    assert only(b'{"ts":1,"latency_ms":1.0,"latency_ms":2.0,"x":NaN}\n')["step_time_ms"] == 2.0


def test_clean_and_tolerant_decoding_agree() -> None:
    entry = record(
        3,
        loss=2.5,
        node="n",
        gpu_model="H100",
        worker_latencies_ms=[1.5, 2],
        worker_groups=["a", "b"],
        knobs={"k": 1},
    )
    plain = json.dumps(entry)
    tolerant = plain[:-1] + ', "ignored": NaN}'
    assert only(plain.encode() + b"\n") == only(tolerant.encode() + b"\n")


PIECES = [*'{}[]",:\\u-+.eE019 dD', "NaN", "Infinity", "\\ud800", "9" * 400]


@given(text=st.one_of(st.text(), st.lists(st.sampled_from(PIECES)).map("".join)))
@settings(max_examples=500, deadline=None)
def test_what_only_the_standard_library_reads_is_left_to_it(text: str) -> None:
    try:
        json.loads(text)
        msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError):
        assert _SALVAGEABLE.search(text) is not None
    except (ValueError, RecursionError):
        pass
