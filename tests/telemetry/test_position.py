"""Going on in another process."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from backports import zstd
from tests.telemetry.feeding import (
    Row,
    Running,
    drain,
    file_source,
    lines_of,
    record,
    rows_of,
    source_of,
    stream_of,
)

from modekeeper.model.block import SampleBlock
from modekeeper.model.errors import BadInputError
from modekeeper.telemetry.limits import IngestLimits

PACKERS: dict[str, Callable[[bytes], bytes]] = {"plain": bytes, "gzip": gzip.compress, "zstd": zstd.compress}
LIMITS = IngestLimits(block_records=50, read_bytes=4096)
DIRTY = b"".join(
    [
        lines_of(record(i) for i in (0, 1, 3, 2, 4)),
        b"junk\n\n",
        lines_of(record(i) for i in range(5, 300) if i % 50),
        lines_of([record(299), record(298, step_time_ms=float("inf")), record(100)]),
        lines_of(record(i, ts_ms=record(i - 500)["ts_ms"]) for i in range(300, 500)),
        b"[" * 5000 + b"\n",
        lines_of(record(i, worker_latencies_ms=[1, None, 3]) for i in range(500, 700)),
    ]
)


def saved(source: Any) -> dict[str, Any]:
    """A position as it comes back from a file."""
    position = source.position()
    text = json.dumps(position, allow_nan=False)
    plain: dict[str, Any] = json.loads(text)
    return plain


def uninterrupted(path: Path) -> tuple[list[Row], Any]:
    source = file_source(path, limits=LIMITS)
    return drain(source), source.counters()


@pytest.mark.parametrize("kind", ["plain", "gzip", "zstd"])
def test_any_number_of_restarts_gives_the_same_samples(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(PACKERS[kind](DIRTY))
    expected, counters = uninterrupted(path)
    blocks: list[SampleBlock] = []
    position = None
    while True:
        source = file_source(path, limits=LIMITS)
        if position is not None:
            source.resume(position)
        block = next(source.blocks(Running()), None)
        if block is None:
            blocks += source.flush()
            break
        blocks.append(block)
        position = saved(source)
        source.close()
    assert rows_of(blocks) == expected
    assert source.counters() == counters
    assert len(blocks) > 10


def test_a_file_that_grew_meanwhile_is_read_on(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    data = stream_of(100)
    path.write_bytes(data[:3333])
    source = file_source(path)
    blocks = list(source.blocks(Running()))
    position = saved(source)
    path.write_bytes(data)
    again = file_source(path)
    again.resume(position)
    blocks += [*again.blocks(Running()), *again.flush()]
    assert len(rows_of(blocks)) == 100
    assert again.notes == ()


@pytest.mark.parametrize("new", [40, 3])
def test_a_file_that_was_replaced_is_read_from_its_beginning_with_a_note(tmp_path: Path, new: int) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(stream_of(20))
    source = file_source(path)
    blocks = list(source.blocks(Running()))
    position = saved(source)
    path.unlink()
    path.write_bytes(lines_of(record(i) for i in range(20, 20 + new)))
    again = file_source(path)
    again.resume(position)
    blocks += [*again.blocks(Running()), *again.flush()]
    assert [row["step"] for row in rows_of(blocks)] == list(range(20 + new))
    assert again.notes == (f"'{path}' is another file than before: read from its beginning",)


def test_a_table_goes_on_with_its_header(tmp_path: Path) -> None:
    path = tmp_path / "run.csv"
    path.write_text("ts,step,step_time_ms\n1,1,5\n")
    source = file_source(path)
    blocks = list(source.blocks(Running()))
    position = saved(source)
    with path.open("a") as file:
        file.write("2,2,6\n")
    again = file_source(path)
    again.resume(position)
    blocks += [*again.blocks(Running()), *again.flush()]
    assert [row["step_time_ms"] for row in rows_of(blocks)] == [5.0, 6.0]


def test_standard_input_given_again_is_skipped_to_the_place() -> None:
    source = source_of(DIRTY, [5000], limits=LIMITS)
    reading = source.blocks(Running())
    blocks = [next(reading), next(reading)]
    position = saved(source)
    again = source_of(DIRTY, [777], limits=LIMITS)
    again.resume(position)
    blocks += [*again.blocks(Running()), *again.flush()]
    whole = source_of(DIRTY, limits=LIMITS)
    assert rows_of(blocks) == drain(whole)
    assert again.counters() == whole.counters()


def test_a_place_inside_a_line_that_is_too_long(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    limits = IngestLimits(max_line_bytes=500)
    path.write_bytes(stream_of(3) + b"x" * 2000)
    source = file_source(path, limits=limits)
    blocks = list(source.blocks(Running()))
    position = saved(source)
    with path.open("ab") as file:
        file.write(b"x" * 100 + b"\n" + lines_of([record(3)]))
    again = file_source(path, limits=limits)
    again.resume(position)
    blocks += [*again.blocks(Running()), *again.flush()]
    assert len(rows_of(blocks)) == 4
    assert again.counters().dropped_by_reason == {"too_long": 1}


def broken(position: dict[str, Any], path: list[str | int], value: object) -> dict[str, Any]:
    copy: Any = json.loads(json.dumps(position))
    place = copy
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    plain: dict[str, Any] = copy
    return plain


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["source"], "k8s"),
        (["version"], 2),
        (["state"], "!!"),
        (["state"], "AAAA"),
        (["given"], "many"),
        (["files"], None),
        (["files", 0, "path"], "other.jsonl"),
        (["files", 0, "skipped_head"], "?"),
        (["files", 0, "text_bytes"], -1),
        (["files", 0, "head_bytes"], 10**12),
    ],
    ids=str,
)
def test_a_position_that_is_not_ours_is_bad_input(tmp_path: Path, path: list[str | int], value: object) -> None:
    file = tmp_path / "run.jsonl"
    file.write_bytes(stream_of(10))
    source = file_source(file)
    list(source.blocks(Running()))
    position = broken(saved(source), path, value)
    with pytest.raises(BadInputError, match="cannot go on from the saved position"):
        file_source(file).resume(position)


def test_nothing_like_a_position_is_bad_input(tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    file.write_bytes(stream_of(10))
    with pytest.raises(BadInputError, match="cannot go on from the saved position"):
        file_source(file).resume({})
