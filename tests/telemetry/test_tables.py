"""Comma-separated telemetry."""

from pathlib import Path

import pytest
from tests.telemetry.feeding import T0_MS, drain, file_source, source_of

HEADER = "timestamp,step,latency_ms,loss,node_name,worker_latencies_ms\n"


def test_a_table_is_recognised_by_its_header() -> None:
    rows = drain(source_of((HEADER + f'{T0_MS},1,12.5,2.0,a,"[10.0, 12.5]"\n{T0_MS + 1000},2,13,,b,\n').encode()))
    assert rows == [
        {"ts_ms": T0_MS, "step": 1, "step_time_ms": 12.5, "loss": 2.0, "node": "a", "workers": [10.0, 12.5]},
        {"ts_ms": T0_MS + 1000, "step": 2, "step_time_ms": 13.0, "node": "b", "workers": [13.0]},
    ]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_other_delimiters_are_recognised(delimiter: str) -> None:
    text = "ts,step,Step Time ms\n1,2,3\n".replace(",", delimiter)
    assert drain(source_of(text.encode())) == [{"ts_ms": 1000, "step": 2, "step_time_ms": 3.0, "workers": [3.0]}]


def test_the_header_is_no_record() -> None:
    source = source_of(b"ts,step_time_ms\n1,2\n")
    drain(source)
    assert source.counters().read_total == 1


def test_tables_behind_one_another_bring_their_own_headers() -> None:
    rows = drain(source_of(b"ts,step_time_ms\n1,5\nts,step_time_ms\n2,6\nloss,time\n3.5,3\n"))
    assert [(r["ts_ms"], r.get("step_time_ms"), r.get("loss")) for r in rows] == [
        (1000, 5.0, None),
        (2000, 6.0, None),
        (3000, None, 3.5),
    ]


def test_json_lines_may_stand_in_a_table() -> None:
    rows = drain(source_of(b'ts,step_time_ms\n1,5\n{"ts":2,"step_time_ms":6}\n3,7\n'))
    assert [r["step_time_ms"] for r in rows] == [5.0, 6.0, 7.0]


@pytest.mark.parametrize(
    "row",
    ["1,2", "1,2,3,4", '1,"2,3', '1,"2"x,3', '"'],
    ids=["short", "long", "open quote", "junk behind quote", "quote"],
)
def test_a_row_of_another_shape_is_dropped(row: str) -> None:
    source = source_of(f"ts,step,step_time_ms\n{row}\n9,9,9\n".encode())
    assert len(drain(source)) == 1
    assert source.counters().dropped_by_reason == {"wrong_shape": 1}


def test_a_trailing_delimiter_does_no_harm() -> None:
    assert len(drain(source_of(b"ts,step_time_ms\n1,2,\n"))) == 1


@pytest.mark.parametrize(
    ("cell", "reasons"), [("nan", {"non_finite": 1}), ("", {}), ("N/A", {}), ("x", {"field_ignored": 1})]
)
def test_cells_without_a_number(cell: str, reasons: dict[str, int]) -> None:
    source = source_of(f"ts,loss,step_time_ms\n1,2.5,{cell}\n".encode())
    assert drain(source) == [{"ts_ms": 1000, "loss": 2.5}]
    assert source.counters().repaired_by_reason == reasons


def test_flat_knobs_are_columns() -> None:
    rows = drain(source_of(b"ts,step_time_ms,knob.concurrency,modekeeper/knob.timeout_ms\n1,2,4,30000\n"))
    assert rows[0]["knobs"] == {"concurrency": 4.0, "timeout_ms": 30000.0}


def test_the_ending_says_table_where_the_header_does_not(tmp_path: Path) -> None:
    path = tmp_path / "odd.csv"
    path.write_text("colour,size\nred,3\nts,step_time_ms\n1,2\n")
    source = file_source(path)
    assert len(drain(source)) == 1
    assert source.counters().dropped_by_reason == {"missing_field": 1}


def test_a_byte_order_mark_before_the_header_does_no_harm() -> None:
    assert len(drain(source_of(b"\xef\xbb\xbfts,step_time_ms\r\n1,2\r\n"))) == 1


def test_text_that_is_no_table_is_no_json_either() -> None:
    source = source_of(b"INFO starting\nloss, step\n")
    assert drain(source) == []
    assert source.counters().dropped_by_reason == {"invalid_json": 2}
