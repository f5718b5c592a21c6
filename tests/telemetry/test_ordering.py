"""Late, repeated and skewed records."""

import pytest
from tests.telemetry.feeding import T0_MS, Row, drain, lines_of, record, source_of

from modekeeper.telemetry.limits import IngestLimits


def run(records: list[dict[str, object]], **limits: float) -> tuple[list[Row], dict[str, int], dict[str, int]]:
    source = source_of(lines_of(records), limits=IngestLimits(**limits))  # type: ignore[arg-type]
    rows = drain(source)
    counters = source.counters()
    return rows, counters.dropped_by_reason, counters.repaired_by_reason


def steps(rows: list[Row]) -> list[int | None]:
    return [row["step"] for row in rows]


def seconds(rows: list[Row]) -> list[float]:
    return [(row["ts_ms"] - T0_MS) / 1000 for row in rows]


def healthy(*indices: int) -> list[dict[str, object]]:
    return [record(index) for index in indices]


def test_records_in_order_are_left_alone() -> None:
    rows, dropped, repaired = run(healthy(*range(50)))
    assert (steps(rows), dropped, repaired) == (list(range(50)), {}, {})


def test_a_late_record_takes_its_place() -> None:
    rows, dropped, repaired = run(healthy(0, 1, 2, 4, 5, 3, 6, 7, 8, 9))
    assert (steps(rows), dropped, repaired) == (list(range(10)), {}, {"reordered": 1})


def test_a_record_later_than_the_window_is_dropped() -> None:
    rows, dropped, repaired = run(healthy(0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 4, 12))
    assert steps(rows) == [*range(4), *range(5, 13)]
    assert (dropped, repaired) == ({"out_of_order": 1}, {})


def test_the_window_is_bounded_by_count_where_time_stands_still() -> None:
    fast = [record(index, ts_ms=T0_MS + index) for index in (*range(1, 40), 0)]
    _, dropped, _ = run(fast)
    assert dropped == {"out_of_order": 1}
    _, dropped, repaired = run([record(index, ts_ms=T0_MS + index) for index in (*range(1, 30), 0)])
    assert (dropped, repaired) == ({}, {"reordered": 1})


def test_slow_telemetry_needs_no_window() -> None:
    hourly = [record(index, ts_ms=T0_MS + index * 7_200_000) for index in range(30)]
    rows, dropped, repaired = run(hourly)
    assert (steps(rows), dropped, repaired) == (list(range(30)), {}, {})


def test_records_of_one_time_are_ordered_by_step_and_stay_put_without() -> None:
    same = [record(step, ts_ms=T0_MS) for step in (2, 1, 3)]
    assert steps(run(same)[0]) == [1, 2, 3]
    unnamed = [record(0, ts_ms=T0_MS, step=..., step_time_ms=float(n)) for n in (3, 1, 2)]
    rows, _, repaired = run(unnamed)
    assert [row["step_time_ms"] for row in rows] == [3.0, 1.0, 2.0]
    assert repaired == {}


def test_a_repeated_record_is_dropped() -> None:
    rows, dropped, _ = run(healthy(0, 1, 1, 2, 1, 3))
    assert (steps(rows), dropped) == ([0, 1, 2, 3], {"duplicate": 2})


def test_a_step_repeated_with_the_same_values_at_another_time_is_dropped() -> None:
    rows, dropped, _ = run([*healthy(0, 1, 2), record(1, ts_ms=T0_MS + 2500), *healthy(3)])
    assert (steps(rows), dropped) == ([0, 1, 2, 3], {"duplicate": 1})


@pytest.mark.parametrize("lookups", range(1, 12))
def test_a_repetition_is_known_after_a_restart_from_an_earlier_step(lookups: int) -> None:
    before = healthy(*range(100, 120))
    restarted = [record(i % 50, ts_ms=T0_MS + 1000 * i) for i in range(120, 120 + lookups)]
    last = restarted[-1]
    _, dropped, _ = run([*before, *restarted, last, last, last], duplicate_records=4)
    assert dropped == {"duplicate": 3}


@pytest.mark.parametrize(
    "other", [{"rank": 1}, {"node": "b"}, {"step_time_ms": 1.0}, {"step": 7}], ids=lambda other: next(iter(other))
)
def test_records_that_differ_are_both_kept(other: dict[str, object]) -> None:
    rows, dropped, _ = run([record(1, rank=0, node="a"), record(1, **({"rank": 0, "node": "a"} | other))])
    assert (len(rows), dropped) == (2, {})


def test_without_a_step_only_a_record_equal_in_everything_is_repeated() -> None:
    unnamed = [record(0, step=..., loss=loss) for loss in (1.0, 2.0, 1.0)]
    rows, dropped, _ = run(unnamed)
    assert ([row["loss"] for row in rows], dropped) == ([1.0, 2.0], {"duplicate": 1})


def test_silent_workers_do_not_hide_a_repetition() -> None:
    _, dropped, _ = run([record(1, worker_latencies_ms=[1, None])] * 2)
    assert dropped == {"duplicate": 1}


@pytest.mark.parametrize("skew_s", [86_400, -86_400, 10**8, -(10**8)])
def test_one_record_with_a_wrong_clock_goes_where_its_step_belongs(skew_s: int) -> None:
    records = healthy(*range(40))
    records[20]["ts_ms"] = T0_MS + (20 + skew_s) * 1000
    rows, dropped, repaired = run(records)
    assert (steps(rows), seconds(rows)) == (list(range(40)), [float(s) for s in range(40)])
    assert (dropped, repaired) == ({}, {"clock_skew": 1})


@pytest.mark.parametrize("skew_s", [86_400, -86_400])
def test_without_a_step_such_a_record_is_dropped(skew_s: int) -> None:
    records = [record(index, step=...) for index in range(40)]
    records[20]["ts_ms"] = T0_MS + (20 + skew_s) * 1000
    rows, dropped, repaired = run(records)
    assert seconds(rows) == [float(s) for s in range(40) if s != 20]
    assert (dropped, repaired) == ({"clock_skew": 1}, {})


def test_several_wrong_clocks_in_a_row_of_different_times_are_each_placed() -> None:
    records = healthy(*range(40))
    for index, skew_s in ((20, 10**6), (21, -(10**6)), (22, 10**7)):
        records[index]["ts_ms"] = T0_MS + (index + skew_s) * 1000
    rows, dropped, repaired = run(records)
    assert (steps(rows), dropped, repaired) == (list(range(40)), {}, {"clock_skew": 3})
    assert seconds(rows)[20:23] == [20.0, 21.0, 22.0]


def test_a_jump_ahead_that_lasts_is_a_gap() -> None:
    records = [record(i, ts_ms=T0_MS + 1000 * i + (7_200_000 if i >= 20 else 0)) for i in range(40)]
    rows, dropped, repaired = run(records)
    assert (len(rows), dropped, repaired) == (40, {}, {})
    assert seconds(rows)[19:21] == [19.0, 7220.0]


def test_a_gap_at_the_very_end_is_left_as_it_is() -> None:
    rows, dropped, repaired = run([*healthy(*range(20)), record(20, ts_ms=T0_MS + 10_000_000)])
    assert (seconds(rows)[-1], dropped, repaired) == (10_000.0, {}, {})


@pytest.mark.parametrize("back_s", [15, 30, 3600, 7200, 10**7])
def test_a_clock_set_back_goes_on_with_a_constant_offset(back_s: int) -> None:
    records = [record(i, ts_ms=T0_MS + 1000 * (i - (back_s if i >= 20 else 0))) for i in range(60)]
    rows, dropped, repaired = run(records)
    assert (steps(rows), dropped, repaired) == (list(range(60)), {}, {"clock_skew": 40})
    assert seconds(rows) == [float(s) for s in range(60)]


def test_a_clock_set_back_and_forth_ends_without_an_offset() -> None:
    shift = dict.fromkeys(range(20, 40), -600)
    records = [record(i, ts_ms=T0_MS + 1000 * (i + shift.get(i, 0))) for i in range(60)]
    rows, dropped, repaired = run(records)
    assert (seconds(rows), dropped, repaired) == ([float(s) for s in range(60)], {}, {"clock_skew": 20})


def test_a_clock_set_back_without_steps_takes_a_window_to_believe() -> None:
    records = [record(i, step=..., ts_ms=T0_MS + 1000 * (i - (60 if i >= 20 else 0))) for i in range(100)]
    rows, dropped, repaired = run(records)
    assert (len(rows), dropped, repaired) == (100, {}, {"clock_skew": 80})
    assert seconds(rows) == [float(s) for s in range(100)]


def test_a_few_late_records_without_steps_are_no_clock() -> None:
    late = [record(i, step=..., loss=1.0) for i in range(5, 15)]
    rows, dropped, repaired = run([*(record(i, step=...) for i in range(60)), *late, record(60, step=...)])
    assert (seconds(rows), dropped, repaired) == ([float(s) for s in range(61)], {"out_of_order": 10}, {})


def test_old_data_after_new_is_not_a_clock() -> None:
    rows, dropped, repaired = run([*healthy(*range(1000, 1040)), *healthy(*range(40))])
    assert (steps(rows), dropped, repaired) == (list(range(1000, 1040)), {"out_of_order": 40}, {})


def test_the_same_input_twice_counts_once() -> None:
    rows, dropped, _ = run(healthy(*range(400)) * 2)
    assert steps(rows) == list(range(400))
    assert sum(dropped.values()) == 400
    assert set(dropped) <= {"duplicate", "out_of_order"}


@pytest.mark.parametrize("first_s", [-1_767_225_600, 10**8])
@pytest.mark.parametrize("wrong", [1, 2])
def test_a_beginning_with_a_wrong_clock_is_outvoted(first_s: int, wrong: int) -> None:
    records = [record(i, ts_ms=T0_MS + 1000 * (i + (first_s if i < wrong else 0))) for i in range(20)]
    rows, dropped, repaired = run(records)
    assert (seconds(rows), dropped) == ([float(s) for s in range(20)], {})
    assert repaired == {"clock_skew": wrong}


def test_two_machines_with_slightly_different_clocks_are_merged() -> None:
    records = [
        record(i, node=node, ts_ms=T0_MS + 1000 * i - lag) for i in range(30) for node, lag in (("a", 0), ("b", 700))
    ]
    rows, dropped, repaired = run(records)
    assert (len(rows), dropped, repaired) == (60, {}, {"reordered": 30})


def test_a_restart_from_an_earlier_step_is_no_disorder() -> None:
    records = [
        record(step, ts_ms=T0_MS + 1000 * i, loss=float(i)) for i, step in enumerate([*range(20), *range(10, 30)])
    ]
    rows, dropped, repaired = run(records)
    assert (len(rows), dropped, repaired) == (40, {}, {})


def test_a_window_of_one_record_still_keeps_order() -> None:
    rows, dropped, _ = run(healthy(0, 2, 1, 3), reorder_records=1, reorder_lateness_s=0.0)
    assert (steps(rows), dropped) == ([0, 2, 3], {"out_of_order": 1})


def test_examples_are_the_first_three_of_each_reason_escaped_and_cut() -> None:
    source = source_of(b"\x1b[2J\\\xff" + b"x" * 200 + b"\n" + b"{}\n" * 2 + b"junk\n" * 5)
    drain(source)
    examples = source.counters().examples
    assert [(e.line, e.reason) for e in examples] == [
        (1, "invalid_json"),
        (4, "invalid_json"),
        (5, "invalid_json"),
        (2, "missing_field"),
        (3, "missing_field"),
    ]
    assert examples[0].text == (r"\x1b[2J\x5c\xff" + "x" * 200)[:120]
    assert {e.source for e in examples} == {"standard input"}
