"""Reading many lines together gives what reading them one by one gives."""

import gzip
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.telemetry.feeding import T0_MS, ScriptedClock, drain, lines_of, record, rows_of, source_of, stream_of
from tests.telemetry.hostile import FILES, LINES, SIZES

from modekeeper.model.errors import FailedError
from modekeeper.telemetry import bulk, ordering, outbox
from modekeeper.telemetry.compressed import compression_of
from modekeeper.telemetry.file import FileSource, open_files
from modekeeper.telemetry.limits import IngestLimits
from modekeeper.telemetry.moments import UNDECIDED, iso_column, number_column, whole_column
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
    for block in source.blocks(ScriptedStop()):
        blocks.append(block)
        yield source.counters(), source.position()
    blocks += source.flush()
    yield repr(rows_of(blocks)), source.counters(), source.position()


class ScriptedStop:
    def is_set(self) -> bool:
        return False

    def wait(self, timeout: float | None = None) -> bool:
        return False


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
            ["late", "twice", "twice later", "hour ahead", "day ahead", "back", "junk", "half", "blank", "nan", "text"]
        ),
    ),
    max_size=6,
)
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
