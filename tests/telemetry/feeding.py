"""What the tests of telemetry share: a clock that runs a script, bytes in, rows out."""

import io
import json
import math
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, BinaryIO, cast

from modekeeper.model.block import SampleBlock
from modekeeper.model.sample import METRIC_COLUMNS
from modekeeper.ports.clock import StopSignal
from modekeeper.ports.telemetry import TelemetrySource
from modekeeper.telemetry.file import FileSource, open_files
from modekeeper.telemetry.limits import IngestLimits

Row = dict[str, Any]

T0_MS = 1_767_225_600_000


class Running:
    """A stop signal that is set when the test says so."""

    def __init__(self) -> None:
        self.stopped = False

    def is_set(self) -> bool:
        return self.stopped

    def wait(self, timeout: float | None = None) -> bool:
        del timeout
        return self.stopped


class ScriptedClock:
    """Each wait runs the next act of a script; after the last one it says stop."""

    def __init__(self, *acts: Callable[[], object]) -> None:
        self._acts = list(acts)
        self.waits: list[float] = []

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    def monotonic_s(self) -> float:
        return float(len(self.waits))

    def sleep(self, duration_s: float, stop: StopSignal) -> bool:
        self.waits.append(duration_s)
        if not self._acts:
            return True
        self._acts.pop(0)()
        return stop.is_set()


class Trickle(io.RawIOBase):
    """A stream without a descriptor that gives its bytes in pieces of given sizes."""

    def __init__(self, data: bytes, sizes: Sequence[int]) -> None:
        super().__init__()
        self._data = data
        self._sizes = list(sizes) or [1]
        self._turn = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        size = min(size if size >= 0 else len(self._data), self._sizes[self._turn % len(self._sizes)])
        self._turn += 1
        piece, self._data = self._data[:size], self._data[size:]
        return piece


def rows_of(blocks: Iterable[SampleBlock]) -> list[Row]:
    """Samples as plain dicts, without what is missing; checks that blocks are numbered and in order."""
    rows: list[Row] = []
    for block in blocks:
        assert block.first_index == len(rows)
        for i in range(len(block)):
            row: Row = {"ts_ms": int(block.ts_ms[i]), "step": block.step_at(i)}
            row |= {name: float(block.metrics[name][i]) for name in METRIC_COLUMNS}
            row["workers"] = [float(value) for value in block.workers[i]] if block.workers.size else []
            while row["workers"] and math.isnan(row["workers"][-1]):
                row["workers"].pop()
            row["workers"] = [None if math.isnan(value) else value for value in row["workers"]]
            for name in ("worker_groups", "node", "gpu_model", "phase", "knobs"):
                row[name] = getattr(block, name)[i]
            rows.append({k: v for k, v in row.items() if v is not None and v != [] and v == v})  # noqa: PLR0124
    times = [row["ts_ms"] for row in rows]
    assert times == sorted(times)
    return rows


def drain(source: TelemetrySource) -> list[Row]:
    """Everything a source gives, to its end; checks that the account adds up."""
    blocks = list(source.blocks(Running()))
    rows = rows_of([*blocks, *source.flush()])
    counters = source.counters()
    assert counters.read_total == counters.accepted_total + counters.dropped_total
    assert counters.accepted_total == len(rows)
    assert counters.dropped_total == sum(counters.dropped_by_reason.values())
    assert counters.repaired_total <= counters.accepted_total
    for example in counters.examples:
        assert len(example.text) <= 120
        assert example.text.isascii()
        assert example.text.isprintable()
    return rows


def source_of(data: bytes, sizes: Sequence[int] = (1 << 20,), limits: IngestLimits | None = None) -> FileSource:
    """A source that reads ``data`` from a pipe-like stream, in pieces of the given sizes."""
    stream = cast(BinaryIO, Trickle(data, sizes))
    return open_files(["-"], stdin=stream, clock=ScriptedClock(), limits=limits)


def file_source(*paths: object, **options: Any) -> FileSource:
    """A source over files."""
    return open_files([str(path) for path in paths], clock=ScriptedClock(), **options)


def record(index: int, **fields: object) -> dict[str, object]:
    """A healthy record: one a second."""
    base: dict[str, object] = {"ts_ms": T0_MS + 1000 * index, "step": index, "step_time_ms": 900.0 + index % 7}
    return {k: v for k, v in (base | fields).items() if v is not ...}


def lines_of(records: Iterable[object]) -> bytes:
    """JSON lines."""
    return b"".join(json.dumps(entry).encode() + b"\n" for entry in records)


def stream_of(count: int) -> bytes:
    """A healthy job."""
    return lines_of(record(index) for index in range(count))
