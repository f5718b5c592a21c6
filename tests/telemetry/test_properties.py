"""What holds for any input at all."""

import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.telemetry.feeding import T0_MS, Row, Running, drain, file_source, rows_of, source_of
from tests.telemetry.hostile import FILES, LINES, SIZES

from modekeeper.model.block import SampleBlock
from modekeeper.model.errors import FailedError
from modekeeper.model.ingest import IngestCounters
from modekeeper.model.sample import Sample
from modekeeper.telemetry.arrivals import Arrival
from modekeeper.telemetry.compressed import compression_of
from modekeeper.telemetry.file import FileSource
from modekeeper.telemetry.limits import IngestLimits
from modekeeper.telemetry.ordering import Orderer

PIECES = IngestLimits(max_line_bytes=250, block_records=7, read_bytes=128)
SMALL = IngestLimits(max_line_bytes=250, block_records=7, read_bytes=128, reorder_records=5, duplicate_records=9)


def outcome(source: FileSource) -> tuple[list[Row], IngestCounters] | None:
    """Rows and account, or nothing where reading failed as it may."""
    try:
        rows = drain(source)
    except FailedError:
        return None
    return rows, renamed(source.counters())


def plain(lines: list[bytes]) -> bytes:
    """The lines as one input that is not mistaken for a compressed one."""
    data = b"\n".join(lines)
    return data if compression_of(data) == "plain" else b" " + data


def renamed(counters: IngestCounters) -> IngestCounters:
    """The account without the names of the sources."""
    text = {"read_total": counters.read_total, "accepted_total": counters.accepted_total}
    return IngestCounters(
        **text,
        dropped_total=counters.dropped_total,
        repaired_total=counters.repaired_total,
        dropped_by_reason=counters.dropped_by_reason,
        repaired_by_reason=counters.repaired_by_reason,
        examples=tuple(type(e)(source="", line=e.line, reason=e.reason, text=e.text) for e in counters.examples),
    )


@given(data=FILES)
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_read_without_an_error_and_add_up(data: bytes) -> None:
    outcome(source_of(data))


@given(lines=st.lists(LINES, max_size=40), sizes=SIZES)
@settings(max_examples=150, deadline=None)
def test_read_sizes_compression_and_kind_of_source_do_not_matter(lines: list[bytes], sizes: list[int]) -> None:
    data = plain(lines)
    expected = outcome(source_of(data, limits=IngestLimits(max_line_bytes=250)))
    assert expected is not None
    assert outcome(source_of(data, sizes, limits=PIECES)) == expected
    assert outcome(source_of(gzip.compress(data), sizes, limits=PIECES)) == expected
    assert outcome(source_of(zstd.compress(data), limits=PIECES)) == expected
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.jsonl"
        path.write_bytes(data)
        assert outcome(file_source(path, limits=PIECES)) == expected
        growing = file_source(path, limits=PIECES)
        assert grown(growing, path, data, sizes) == expected


def grown(source: FileSource, path: Path, data: bytes, sizes: list[int]) -> tuple[list[Row], IngestCounters]:
    """What a source gives that looks again each time the file has grown."""
    blocks: list[SampleBlock] = []
    path.write_bytes(b"")
    size = 0
    turn = 0
    while size < len(data):
        step = sizes[turn % len(sizes)]
        with path.open("ab") as file:
            file.write(data[size : size + step])
        size += step
        turn += 1
        blocks += source.blocks(Running())
    blocks += source.flush()
    return rows_of(blocks), renamed(source.counters())


@given(
    moves=st.lists(
        st.tuples(st.integers(-4, 6), st.sampled_from([0, 0, 0, 0, -20, 30, -7200, 10**6]), st.booleans()), max_size=80
    ),
    remembered=st.integers(1, 9),
)
@settings(max_examples=300, deadline=None)
def test_not_looking_up_steps_beyond_the_known_ones_changes_nothing(
    moves: list[tuple[int, int, bool]], remembered: int
) -> None:
    limits = IngestLimits(reorder_records=4, duplicate_records=remembered)
    quick, thorough = Orderer(limits), Orderer(limits)
    step = 0
    for line, (forward, shift_s, named) in enumerate(moves):
        step = max(0, step + forward)
        sample = Sample(ts_ms=T0_MS + 1000 * (step + shift_s), step=step if named else None, step_time_ms=1.0)
        arrival = Arrival(sample, None, "", line, b"")
        expected = quick.push(arrival)
        thorough._recent.top_step = thorough._recent.top_ts_ms = 2**63
        assert thorough.push(arrival) == expected
    assert quick.flush() == thorough.flush()


@given(lines=st.lists(LINES, max_size=60), breaks=st.sets(st.integers(0, 30), max_size=6), packed=st.booleans())
@settings(max_examples=150, deadline=None)
def test_going_on_from_any_position_equals_going_through(lines: list[bytes], breaks: set[int], packed: bool) -> None:
    data = plain(lines)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.jsonl"
        path.write_bytes(gzip.compress(data) if packed else data)
        expected = outcome(file_source(path, limits=SMALL))
        source = file_source(path, limits=SMALL)
        blocks: list[SampleBlock] = []
        reading = source.blocks(Running())
        for number in range(10_000):
            block = next(reading, None)
            if block is None:
                break
            blocks.append(block)
            if number in breaks:
                position: dict[str, Any] = json.loads(json.dumps(source.position(), allow_nan=False))
                source.close()
                source = file_source(path, limits=SMALL)
                source.resume(position)
                reading = source.blocks(Running())
        blocks += source.flush()
        assert (rows_of(blocks), renamed(source.counters())) == expected


@given(lines=st.lists(LINES, max_size=40))
@settings(max_examples=100, deadline=None)
def test_a_position_before_the_end_gives_the_records_that_wait(lines: list[bytes]) -> None:
    data = plain(lines)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.jsonl"
        path.write_bytes(data)
        expected = outcome(file_source(path, limits=SMALL))
        source = file_source(path, limits=SMALL)
        blocks = list(source.blocks(Running()))
        position = json.loads(json.dumps(source.position(), allow_nan=False))
        again = file_source(path, limits=SMALL)
        again.resume(position)
        blocks += [*again.blocks(Running()), *again.flush()]
        assert (rows_of(blocks), renamed(again.counters())) == expected
