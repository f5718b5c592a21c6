"""Records of neighbouring lines as columns, before they are put in order."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from modekeeper.model.ingest import RepairReason
from modekeeper.model.sample import METRIC_COLUMNS, Sample
from modekeeper.telemetry.arrivals import Arrival
from modekeeper.telemetry.counting import EXCERPT_BYTES

__all__ = ["Integers", "LineText", "RaggedRows", "RecordBatch", "Row", "Stretch"]

Integers = NDArray[np.int64]
_STEP_TIME = METRIC_COLUMNS.index("step_time_ms")


class LineText(Protocol):
    """Where the lines of a batch are: bytes, or a part of a file."""

    def __getitem__(self, part: slice, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class RaggedRows:
    """Rows of numbers of different lengths: row ``i`` is ``values[offsets[i]:offsets[i + 1]]``; none is length 0."""

    values: NDArray[np.float64]
    offsets: Integers

    def row(self, index: int) -> tuple[float, ...]:
        """One of them."""
        return tuple(self.values[self.offsets[index] : self.offsets[index + 1]].tolist())


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """``n`` decoded records of one input in the order of their lines.

    Attributes:
        source: name of the input, safe to print.
        text: what the lines are in.
        begins, ends: ``int64[n]``, where in ``text`` each record's line is, without its line feed.
        lines: ``int64[n]``, number of each record's line in its input, from 1.
        ts_ms: ``int64[n]``.
        step: ``int64[n]``, ``-1`` where missing.
        metrics: ``float64[len(METRIC_COLUMNS), n]``, ``NaN`` where missing.
        workers: the latencies of the workers; ``None`` where in every record the step time stands for the one worker.
        names: ``worker_groups``, ``node``, ``gpu_model``, ``phase``, ``knobs`` and ``rank``, one entry a record;
            what no record has is left out.
        repairs: what was put right, by record, in ascending order.
    """

    source: str
    text: LineText
    begins: Integers
    ends: Integers
    lines: Integers
    ts_ms: Integers
    step: Integers
    metrics: NDArray[np.float64]
    workers: RaggedRows | None = None
    names: dict[str, Sequence[Any]] = field(default_factory=dict)
    repairs: dict[int, tuple[RepairReason, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ts_ms)

    def sample(self, index: int) -> Sample:
        """One record as a sample."""
        step = int(self.step[index])
        metrics = self.metrics[:, index].tolist()
        fields: dict[str, Any] = {
            name: value
            for name, value in zip(METRIC_COLUMNS, metrics, strict=True)
            if value == value  # noqa: PLR0124 - NaN is missing
        }
        fields |= {name: column[index] for name, column in self.names.items() if name != "rank"}
        if self.workers is not None:
            fields["worker_latencies_ms"] = self.workers.row(index) or None
        elif "step_time_ms" in fields:
            fields["worker_latencies_ms"] = (metrics[_STEP_TIME],)
        return Sample(ts_ms=int(self.ts_ms[index]), step=None if step < 0 else step, **fields)

    def arrival(self, index: int) -> Arrival:
        """One record on its way through ordering."""
        ranks = self.names.get("rank")
        begin, end = int(self.begins[index]), int(self.ends[index])
        return Arrival(
            self.sample(index),
            None if ranks is None else ranks[index],
            self.source,
            int(self.lines[index]),
            self.text[begin : min(end, begin + EXCERPT_BYTES)],
            self.repairs.get(index, ()),
        )


class Row(NamedTuple):
    """One record of a batch."""

    batch: RecordBatch
    place: int


class Stretch(NamedTuple):
    """Neighbouring records of a batch, accepted as they are."""

    batch: RecordBatch
    start: int
    stop: int

    def repaired(self) -> Iterator[int]:
        """Those of them in which something was put right."""
        if self.batch.repairs:
            rows = list(self.batch.repairs)
            yield from rows[bisect_left(rows, self.start) : bisect_left(rows, self.stop)]
