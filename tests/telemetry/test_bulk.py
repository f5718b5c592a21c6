"""Reading many lines together gives what reading them one by one gives."""

import gzip
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.telemetry.feeding import T0_MS, Running, ScriptedClock, drain, record, rows_of, source_of
from tests.telemetry.hostile import FILES, LINES, SIZES

from modekeeper.model.errors import FailedError
from modekeeper.telemetry import bulk, ordering, outbox
from modekeeper.telemetry.compressed import compression_of
from modekeeper.telemetry.file import FileSource, open_files
from modekeeper.telemetry.limits import IngestLimits
from modekeeper.telemetry.moments import UNDECIDED, iso_column, iso_column_of, number_column, whole_column
from modekeeper.telemetry.values import Bad, parse_ts_ms

ONE_BY_ONE: dict[str, Any] = {"bulk_lines": 1 << 60}
TOGETHER: dict[str, Any] = {"bulk_lines": 1}


@pytest.fixture(autouse=True)
def _short_runs_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inputs of a few lines go the same way as long ones."""
    monkeypatch.setattr(ordering, "_WORTH_A_RUN", 1)
    monkeypatch.setattr(bulk, "_TOGETHER", 3)
    monkeypatch.setattr(bulk, "_GATHERED_TOGETHER", 5)
    # A block that is a view is cut at another place; states are compared at the same places.
    monkeypatch.setattr(outbox, "_VIEWED_PART", 2)


def story(source: FileSource) -> Any:
    """Everything a source tells."""
    try:
        rows = drain(source)
    except FailedError as error:
        return str(error)
    return repr(rows), source.counters(), source.notes


def states(source: FileSource) -> Iterator[Any]:
    """What a source has given and remembers, after each block and at the end."""
    blocks = []
    for block in source.blocks(Running()):
        blocks.append(block)
        yield source.counters(), source.position()
    blocks += source.flush()
    yield repr(rows_of(blocks)), source.counters(), source.position()


def both(data: bytes, sizes: list[int], **limits: Any) -> tuple[FileSource, FileSource]:
    return (
        source_of(data, sizes, limits=IngestLimits(**ONE_BY_ONE | limits)),
        source_of(data, sizes, limits=IngestLimits(**TOGETHER | limits)),
    )


def text_of(lines: list[bytes]) -> bytes:
    data = b"\n".join(lines) + b"\n"
    return data if compression_of(data) == "plain" else b" " + data


@given(data=FILES, sizes=SIZES)
@settings(max_examples=200, deadline=None)
def test_any_bytes_tell_the_same_story(data: bytes, sizes: list[int]) -> None:
    one_by_one, together = both(data, sizes, max_line_bytes=250)
    assert story(together) == story(one_by_one)


@given(lines=st.lists(LINES, max_size=60), sizes=SIZES)
@settings(max_examples=200, deadline=None)
def test_any_lines_leave_the_same_state_at_every_block(lines: list[bytes], sizes: list[int]) -> None:
    small = {"reorder_records": 5, "duplicate_records": 9, "block_records": 7, "read_bytes": 2048}
    one_by_one, together = both(text_of(lines), sizes, **small)
    assert list(states(together)) == list(states(one_by_one))


JOBS = st.fixed_dictionaries(
    {
        "time": st.sampled_from(["iso", "iso_us", "iso_mixed", "zone", "ms", "s", "ms_text", "us"]),
        "names": st.sampled_from(["canonical", "other"]),
        "extra": st.booleans(),
        "steps": st.booleans(),
        "workers": st.sampled_from([0, 1, 3]),
        "texts": st.sampled_from([None, "node-a", "two", "dirty \u202e", 7]),
        "null_every": st.sampled_from([0, 2, 5]),
        "knobs": st.sampled_from([None, "dict", "flat"]),
    }
)
ACCIDENTS = st.lists(
    st.tuples(
        st.integers(0, 119),
        st.sampled_from(
            [
                *("late", "twice", "twice later", "hour ahead", "day ahead", "back", "junk", "half", "blank", "nan"),
                *("text", "anonymous", "elsewhere", "two in one", "negative", "huge", "nothing measured"),
            ]
        ),
    ),
    max_size=6,
)
SPOILT: dict[str, dict[str, object]] = {
    "negative": {"step_time_ms": -5.0, "latency_s": -0.5, "throughput": -1, "tokens_per_sec": -1, "loss": -1.0},
    "huge": {"latency_s": 1e308, "step_time_ms": 1e308},
    "nothing measured": dict.fromkeys(
        (*("step_time_ms", "latency_s", "loss", "train_loss", "throughput", "tokens_per_sec"), "worker_latencies_ms")
    ),
}
OTHER_NAMES = {
    "ts": "timestamp",
    "step": "global_step",
    "step_time_ms": "latency_s",
    "loss": "train_loss",
    "throughput": "tokens_per_sec",
    "node": "hostname",
}


def moment(index: int, form: str) -> object:
    ms = T0_MS + 1000 * index + 7
    seconds, rest = divmod(ms, 1000)
    stamp = np.datetime64(seconds, "s").astype(str)
    return {
        "iso": f"{stamp}.{rest:03}Z",
        "iso_us": f"{stamp}.{rest:03}999",
        "iso_mixed": stamp if index % 3 == 0 else f"{stamp}.{rest:03}",
        "zone": f"{stamp}+05:30",
        "ms": ms,
        "s": ms / 1000,
        "ms_text": str(ms),
        "us": ms * 1000,
    }[form]


def job(index: int, plan: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = {"ts": moment(index, plan["time"])}
    if plan["steps"]:
        entry["step"] = index
    entry |= {"step_time_ms": 900.0 + index % 7, "loss": -0.5 * (index % 3), "throughput": 10**20 + index}
    if plan["null_every"] and index % plan["null_every"] == 0:
        entry |= {"loss": None, "step": None}
    if plan["workers"]:
        entry["worker_latencies_ms"] = [1.5 + index] * (plan["workers"] + index % 2)
        entry["worker_groups"] = ["a"] * plan["workers"]
    texts = plan["texts"]
    if texts is not None:
        entry |= {"node": f"node-{index // 9}" if texts == "two" else texts, "rank": index % 2, "phase": "train"}
    if plan["knobs"] == "dict":
        entry["knobs"] = {"concurrency": index // 10, "x": 1}
    elif plan["knobs"] == "flat":
        entry["knob.concurrency"] = 3
    if plan["extra"]:
        entry |= {"lr": 1e-4, "meta": {"a": [1, {}]}}
    if plan["names"] == "other":
        entry = {OTHER_NAMES.get(name, name): value for name, value in entry.items()}
    return entry


def struck(lines: list[bytes], accidents: list[tuple[int, str]], plan: dict[str, Any]) -> list[bytes]:
    for at, kind in sorted(accidents, reverse=True):
        where = min(at, len(lines) - 1)
        if kind == "late":
            lines[where - 1 : where + 1] = reversed(lines[where - 1 : where + 1])
        elif kind == "twice":
            lines.insert(where, lines[where])
        elif kind == "twice later":
            lines.insert(min(len(lines), where + 40), lines[where])
        elif kind in {"hour ahead", "day ahead", "back"}:
            shift = {"hour ahead": 5000, "day ahead": 90_000, "back": -9000}[kind]
            moved = job(at, plan) | {
                k: moment(at + shift, plan["time"]) for k in ("ts", "timestamp") if k in job(at, plan)
            }
            lines[where] = json.dumps(moved).encode()
        elif kind in {"junk", "half", "blank"}:
            lines.insert(where, {"junk": b"INFO done", "half": lines[where][:-9], "blank": b" "}[kind])
        elif kind == "two in one":
            lines[where] = lines[where] * 2
        elif kind in SPOILT:
            entry = job(at, plan)
            lines[where] = json.dumps(
                entry | {name: value for name, value in SPOILT[kind].items() if name in entry}
            ).encode()
        elif kind in {"anonymous", "elsewhere"}:
            entry = {name: value for name, value in job(at, plan).items() if name not in {"node", "hostname", "rank"}}
            lines[where] = json.dumps(entry | ({"node": "elsewhere"} if kind == "elsewhere" else {})).encode()
        else:
            broken = job(at, plan) | ({"loss": float("nan")} if kind == "nan" else {"step_time_ms": "12.5", "new": 1})
            lines[where] = json.dumps(broken).encode()
    return lines


@given(plan=JOBS, accidents=ACCIDENTS, skewed_from=st.sampled_from([None, None, 50]), sizes=SIZES)
@settings(max_examples=300, deadline=None)
def test_jobs_with_accidents_leave_the_same_state_at_every_block(
    plan: dict[str, Any], accidents: list[tuple[int, str]], skewed_from: int | None, sizes: list[int]
) -> None:
    entries = [job(index, plan) for index in range(120)]
    if skewed_from is not None:
        for index in range(skewed_from, 120):
            name = "ts" if "ts" in entries[index] else "timestamp"
            entries[index][name] = moment(index - 20_000, plan["time"])
    lines = struck([json.dumps(entry).encode() for entry in entries], accidents, plan)
    sizes = [size * 20 for size in sizes]
    small = {"block_records": 31, "read_bytes": 1 << 14, "reorder_records": 8, "duplicate_records": 50}
    one_by_one, together = both(text_of(lines), sizes, **small)
    assert list(states(together)) == list(states(one_by_one))


CELLS = st.sampled_from(
    ["", "1", "-1", "+2", "3.5", " 4", "1e3", "nan", "None", "1.2.3", ".", "5.", ".5", "-0", "x", "é", "9" * 25, "1_0"]
)
HEADERS = st.lists(
    st.sampled_from(
        ["ts", "timestamp", "step", "step_time_ms", "latency_s", "loss", "node", "rank", "other", "knob.x", "phase"]
    ),
    min_size=2,
    max_size=6,
    unique=True,
)


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """A table, mostly of plain rows, with now and then a row or a header that is not."""
    delimiter = draw(st.sampled_from(",;\t|"))
    header = draw(HEADERS)
    lines = [delimiter.join(header)]
    kind = draw(st.sampled_from(["iso", "ms", "s", "ms_text"]))
    for index in range(draw(st.integers(0, 40))):
        dirty = draw(st.integers(0, 9))
        cells = [
            str(moment(index, kind)) if name in {"ts", "timestamp"} else str(index) if name == "step" else f"{index}.5"
            for name in header
        ]
        if dirty == 0:
            cells[draw(st.integers(0, len(cells) - 1))] = draw(CELLS)
        elif dirty == 1:
            cells = draw(st.lists(CELLS, max_size=7))
        elif dirty == 2:
            cells[0] = f'"{cells[0]}"'
        elif dirty == 3:
            cells = draw(st.one_of(st.just(header), HEADERS, st.just([json.dumps(record(index))])))
        lines.append(delimiter.join(cells))
    ending = draw(st.sampled_from(["\n", "\n", "\r\n"]))
    return (ending.join(lines) + ending).encode()


@given(data=tables(), named=st.booleans(), size=st.integers(40, 2000))
@settings(max_examples=400, deadline=None)
def test_tables_leave_the_same_state(data: bytes, named: bool, size: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("run.csv" if named else "run")
        path.write_bytes(data)
        limits = {"read_bytes": size, "max_line_bytes": 300}
        one_by_one = open_files([str(path)], clock=ScriptedClock(), limits=IngestLimits(**ONE_BY_ONE | limits))
        together = open_files([str(path)], clock=ScriptedClock(), limits=IngestLimits(**TOGETHER | limits))
        assert list(states(together)) == list(states(one_by_one))


MOMENTS = st.one_of(
    st.text(max_size=30),
    st.datetimes().map(str),
    st.datetimes(timezones=st.timezones()).map(lambda moment: moment.isoformat()),
    st.builds(
        "{}-{:02}-{:02}{}{:02}:{:02}:{:02}{}{}".format,
        st.integers(1965, 2100),
        st.integers(0, 13),
        st.integers(0, 32),
        st.sampled_from("T t-"),
        st.integers(0, 25),
        st.integers(0, 61),
        st.integers(0, 61),
        st.sampled_from(["", ".5", ".123", ",123", ".123456", ".123456789", ".", ".x23"]),
        st.sampled_from(["", "Z", "+00:00", "-23:59", "+24:00", "+0530", "Z "]),
    ),
)


def one_by_one(texts: list[str], unit_ms: float | None) -> list[int]:
    times = [parse_ts_ms(text, unit_ms) for text in texts]
    return [UNDECIDED if isinstance(time, Bad) else time for time in times]


@given(texts=st.lists(MOMENTS, min_size=1, max_size=8), unit_ms=st.sampled_from([None, 1.0]))
@settings(max_examples=500, deadline=None)
def test_times_as_text_read_together(texts: list[str], unit_ms: float | None) -> None:
    texts = [text.replace("\n", "?") for text in texts]
    expected = one_by_one(texts, unit_ms)
    assert iso_column("".join(f"{text}\n" for text in texts), unit_ms).tolist() == expected
    width = len(texts[0])
    alike = [text for text in texts if len(text) == width]
    if width:
        assert iso_column_of("".join(alike), width, unit_ms).tolist() == one_by_one(alike, unit_ms)


@given(
    values=st.lists(st.one_of(st.integers(-5, 10**19 // 2), st.integers(0, 10**12)), min_size=1),
    unit_ms=st.sampled_from([None, 1.0]),
)
@settings(max_examples=300, deadline=None)
def test_times_as_numbers_read_together(values: list[int], unit_ms: float | None) -> None:
    together = whole_column(np.array(values, np.int64), unit_ms).tolist()
    alone = [parse_ts_ms(value, unit_ms) for value in values]
    assert together == [UNDECIDED if isinstance(time, Bad) else time for time in alone]
    floats = [value / 3 for value in values]
    for got, value in zip(number_column(np.array(floats), unit_ms).tolist(), floats, strict=True):
        assert got in (UNDECIDED, parse_ts_ms(value, unit_ms))
        assert got != UNDECIDED or value < 0 or value > 10**14


def test_a_value_never_goes_on_in_the_next_line_that_looks_like_an_object() -> None:
    """What reading lines together rests on: a line feed in a text is no JSON, and msgspec says so."""

    class Anything(msgspec.Struct):
        a: object = None

    decoder = msgspec.json.Decoder(Anything)
    for text in (b'{"a":"}\n{"}', b'{"b":"}\n{"}', b'{"b":{"}\n{":1}}', b'{"a":1}\n{"a\n":1}'):
        with pytest.raises(msgspec.DecodeError):
            decoder.decode_lines(text)
    assert len(decoder.decode_lines(b'{"a":1}{"a":2}\n{"a":3}')) == 3


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_long_healthy_file_with_a_little_dirt(
    tmp_path: Path, pack: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in life: nearly all lines go the short way, and the account is the same."""
    monkeypatch.undo()
    entries = [json.dumps(record(i, loss=2.0, node="a")).encode() for i in range(9000)]
    for at in range(50, 9000, 200):
        entries[at] = [b"junk", b"", entries[at - 1], b'{"ts":"soon"}', entries[at + 5]][at // 200 % 5]
    path = tmp_path / "run.jsonl"
    path.write_bytes(pack(b"\n".join(entries)))
    sources = [
        open_files([str(path)], clock=ScriptedClock(), limits=IngestLimits(**limits, read_bytes=1 << 16))
        for limits in (ONE_BY_ONE, {})
    ]
    assert story(sources[0]) == story(sources[1])
    # Each of the 45 spoilt lines drops one record; where a later one came before its time, four are put behind it.
    assert (sources[1].counters().dropped_total, sources[1].counters().repaired_total) == (45, 36)


ODD_ROWS = [
    *("{d}5{d}1.0{d}a", "1{d}5{d}1.0{d}", " 1{d}5{d}1.0{d}a ", "1{d}5{d}1.0{d}a\r", "1{d}5{d}\r1.0{d}a"),
    *('1{d}5{d}"1.0"{d}a', "1{d}5{d}-1.0{d}a", "1{d}5{d}1e3{d}a", "1{d}5{d}{d}a", "1{d}5{d}1.0", "1{d}5{d}1.0{d}a{d}"),
    *("ts{d}step{d}loss{d}node", "node{d}5{d}1.0{d}a", "1.5{d}5.0{d}1.{d}\x1ba", "1{d}5{d}" + "9" * 400 + "{d}a"),
    *("\ufeff1{d}5{d}1.0{d}a", "{{}}", "9" * 20 + "{d}5{d}1.0{d}a", "1{d}" + "9" * 20 + "{d}1.0{d}a"),
    "1{d}5{d}nan{d}é",
]


@pytest.mark.parametrize("delimiter", [",", "\t"])
@pytest.mark.parametrize("row", ODD_ROWS)
def test_a_row_unlike_the_others(row: str, delimiter: str, tmp_path: Path) -> None:
    path = tmp_path / "run.csv"
    plain = [f"{second}{delimiter}{second}{delimiter}{second}.5{delimiter}a" for second in range(1, 30)]
    rows = [delimiter.join(["ts", "step", "step_time_ms", "node"]), *plain, row.format(d=delimiter), *plain[::-1]]
    path.write_bytes("\n".join(rows).encode() + b"\n")
    sources = [
        open_files([str(path)], clock=ScriptedClock(), limits=IngestLimits(**limits))
        for limits in (ONE_BY_ONE, TOGETHER)
    ]
    assert story(sources[0]) == story(sources[1])
