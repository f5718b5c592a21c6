"""Many lines at once to a batch of records; a line that is not plain is read on its own."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from modekeeper.model.ingest import DropReason
from modekeeper.model.sample import METRIC_COLUMNS
from modekeeper.telemetry.batch import Integers, RaggedRows, RecordBatch
from modekeeper.telemetry.counting import EXCERPT_BYTES
from modekeeper.telemetry.decode import Decoded, LineDecoder
from modekeeper.telemetry.fields import FIELDS
from modekeeper.telemetry.limits import IngestLimits
from modekeeper.telemetry.merge import merged
from modekeeper.telemetry.moments import UNDECIDED, iso_column, number_column, whole_column
from modekeeper.telemetry.shape import RecordShape, Wire, wire_of

__all__ = ["BulkDecoder", "DroppedLine", "LinesRead"]

_TOGETHER = 64
"""Lines decoded in one call: if one of them is refused, so many are decoded again."""
_KNOB = re.compile(rb"knob\.")
_FIRST_LOOKED_AT = 8
_LEARNED_FROM = 4
_REFUSED_PART = 8
"""If more than one line in so many is refused, the shape is no longer that of the input."""
_STEP_TIME = METRIC_COLUMNS.index("step_time_ms")
_MEASURED = [METRIC_COLUMNS.index(field.name) for field in FIELDS if field.measured and field.name in METRIC_COLUMNS]
_TEXTS = ("node", "gpu_model", "phase", "rank")


class DroppedLine(NamedTuple):
    """A line that holds no record."""

    line: int
    reason: DropReason
    excerpt: bytes


class LinesRead(NamedTuple):
    """What was in a piece of text."""

    batch: RecordBatch
    dropped: list[DroppedLine]


@dataclass(slots=True)
class _Lines:
    """Where the lines of a text are."""

    text: bytes
    begins: Integers
    ends: Integers

    def line(self, index: int) -> bytes:
        return self.text[self.begins[index] : self.ends[index]]


class BulkDecoder:
    """Reads pieces of one input. Gives what ``decoder`` gives line by line.

    Args:
        limits: what is too long, too deep and too many.
        decoder: reads the lines that are not plain.
    """

    def __init__(self, limits: IngestLimits, decoder: LineDecoder) -> None:
        self._limits = limits
        self._decoder = decoder
        self._shape: RecordShape | None = None

    def read(self, text: bytes, ends: Integers, source: str, first_line: int) -> LinesRead:
        """The records of whole lines.

        Args:
            text: the lines, each with its line feed.
            ends: where the line feeds are.
            source: name of the input, safe to print.
            first_line: number of the first line.
        """
        begins = np.empty_like(ends)
        begins[0] = 0
        np.add(ends[:-1], 1, out=begins[1:])
        lines = _Lines(text, begins, ends)
        plain = self._plain(lines)
        records, places = self._records(lines, plain)
        columns, places = self._columns(records, places)
        on_their_own = np.ones(len(ends), np.bool_)
        on_their_own[places] = False
        others, dropped = self._one_by_one(lines, np.flatnonzero(on_their_own), first_line)
        batch = RecordBatch(
            source=source, text=text, begins=begins[places], ends=ends[places], lines=places + first_line, **columns
        )
        if others:
            self._learn(lines, plain, others)
            batch = merged(batch, others, lines.begins, lines.ends, first_line)
        return LinesRead(batch, dropped)

    # Which lines

    def _plain(self, lines: _Lines) -> NDArray[np.bool_]:
        """Lines that look like one JSON object each, and have nothing in them that needs a second look."""
        text, begins, ends = lines.text, lines.begins, lines.ends
        view = np.frombuffer(text, np.uint8)
        lasts = view[ends - 1]
        if b"\r" in text:
            lasts = np.where(lasts == ord("\r"), view[ends - 2], lasts)
        plain: NDArray[np.bool_] = (view[begins] == ord("{")) & (lasts == ord("}"))
        if len(text) > self._limits.max_line_bytes:
            plain &= ends - begins <= self._limits.max_line_bytes
        if b"k" in text and _KNOB.search(text) is not None:
            plain[np.searchsorted(ends, [match.start() for match in _KNOB.finditer(text)])] = False
        if not text.isascii() and not _is_utf8(text):
            plain &= np.fromiter((_is_utf8(lines.line(at)) for at in range(len(ends))), np.bool_, len(ends))
        return self._shallow(text, plain, begins)

    def _shallow(self, text: bytes, plain: NDArray[np.bool_], begins: Integers) -> NDArray[np.bool_]:
        view = np.frombuffer(text, np.uint8)
        opening = view == ord("{")
        if b"[" in text:
            opening |= view == ord("[")
        # Every plain line has one at least, so no line has more than what is left of all of them.
        if np.count_nonzero(opening) - np.count_nonzero(plain) < self._limits.max_depth:
            return plain
        counts = np.add.reduceat(opening, begins, dtype=np.int64)
        return plain & (counts <= self._limits.max_depth)

    # Decoding

    def _records(self, lines: _Lines, plain: NDArray[np.bool_]) -> tuple[list[Any], Integers]:
        """The records that the decoder of the shape takes, and which lines they are from."""
        if self._shape is None:
            self._shape = self._first_shape(lines, np.flatnonzero(plain)[:_FIRST_LOOKED_AT].tolist())
        if self._shape is None:
            return [], np.empty(0, np.int64)
        wire = wire_of(self._shape)
        view = memoryview(lines.text)
        records: list[Any] = []
        refused: list[int] = []
        begins, ends = lines.begins.tolist(), lines.ends.tolist()
        for start, stop in _runs(plain):
            count = stop - start
            try:
                found = wire.decode_lines(view[begins[start] : ends[stop - 1]])
            except (msgspec.MsgspecError, ValueError, RecursionError):
                found = []
            # In plain lines no value goes on in the next line: as many values as lines is one value a line.
            if len(found) == count:
                records += found
                continue
            for at in range(start, stop):
                try:
                    records.append(wire.decode(view[begins[at] : ends[at]]))
                except (msgspec.MsgspecError, ValueError, RecursionError):
                    refused.append(at)
        taken = plain.copy()
        taken[refused] = False
        return records, np.flatnonzero(taken)

    def _first_shape(self, lines: _Lines, places: Sequence[int]) -> RecordShape | None:
        for at in places:
            shape = _shape_of(lines.line(at))
            if shape is not None:
                return shape
        return None

    # Columns

    def _columns(self, records: list[Any], places: Integers) -> tuple[dict[str, Any], Integers]:
        """The records as columns, those left out that need a second look; and which lines they are from."""
        if self._shape is None or not records:
            return _no_columns(), np.empty(0, np.int64)
        wire = wire_of(self._shape)
        ts_ms = _times(wire, records)
        doubtful = set(np.flatnonzero(ts_ms == UNDECIDED).tolist())
        step, metrics = wire.numbers(records)
        workers = self._workers(wire, records, metrics, doubtful)
        counts = ~np.isnan(metrics[_STEP_TIME]) if workers is None else np.diff(workers.offsets)
        names = self._names(wire, records, counts.tolist(), doubtful)
        measured = ~np.isnan(metrics[_MEASURED]).all(axis=0) | (counts > 0)
        if not measured.all():
            doubtful.update(np.flatnonzero(~measured).tolist())
        if wire.scaled:
            doubtful.update(np.flatnonzero(np.isinf(metrics).any(axis=0)).tolist())
        columns = {"ts_ms": ts_ms, "step": step, "metrics": metrics, "workers": workers, "names": names}
        if not doubtful:
            return columns, places
        kept = np.ones(len(records), np.bool_)
        kept[list(doubtful)] = False
        return _only(columns, kept), places[kept]

    def _names(
        self, wire: Wire, records: list[Any], worker_counts: list[int], doubtful: set[int]
    ) -> dict[str, Sequence[Any]]:
        names: dict[str, Sequence[Any]] = {}
        for field in _TEXTS:
            if field in wire.columns:
                values = list(map(attrgetter(field), records))
                known = {value: None if value is None else self._decoder.known_name(value) for value in set(values)}
                if len(known) == 1:
                    values = list(known.values()) * len(values)
                elif any(known[value] is not value for value in known):
                    values = [known[value] for value in values]
                if len(known) > 1 or values[0] is not None:
                    names[field] = values
        if "worker_groups" in wire.columns:
            names["worker_groups"] = self._groups(records, worker_counts, doubtful)
        if "knobs" in wire.columns:
            names["knobs"] = self._knobs(records, doubtful)
        return names

    def _groups(self, records: list[Any], worker_counts: list[int], doubtful: set[int]) -> list[Any]:
        """The peer groups; as many as there are workers, or the record is read on its own."""
        column: list[Any] = []
        for at, (record, count) in enumerate(zip(records, worker_counts, strict=True)):
            groups = record.worker_groups
            if groups is not None:
                groups = self._decoder.known_groups(groups)
                if len(groups) != count:
                    doubtful.add(at)
            column.append(groups)
        return column

    def _knobs(self, records: list[Any], doubtful: set[int]) -> list[Any]:
        """The knobs; neighbours with the same values share one copy."""
        column: list[Any] = []
        last: dict[str, float] | None = None
        for at, record in enumerate(records):
            knobs = record.knobs or None
            if knobs is not None:
                if last is None or knobs != last or list(knobs) != list(last):
                    if not self._decoder.knobs_usable(knobs):
                        doubtful.add(at)
                    last = knobs
                knobs = last
            column.append(knobs)
        return column

    def _workers(
        self, wire: Wire, records: list[Any], metrics: NDArray[np.float64], doubtful: set[int]
    ) -> RaggedRows | None:
        if "worker_latencies_ms" not in wire.columns:
            return None
        rows: list[tuple[float, ...]] = []
        for at, (record, step_time_ms) in enumerate(zip(records, metrics[_STEP_TIME].tolist(), strict=True)):
            row = record.worker_latencies_ms
            if not row:
                row = (step_time_ms,) if step_time_ms == step_time_ms else ()  # noqa: PLR0124 - NaN is missing
            elif len(row) > self._limits.max_workers:
                doubtful.add(at)
            rows.append(row)
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, rows), np.int64, len(rows)), out=offsets[1:])
        return RaggedRows(np.fromiter(chain.from_iterable(rows), np.float64, int(offsets[-1])), offsets)

    # The others

    def _one_by_one(
        self, lines: _Lines, places: Integers, first_line: int
    ) -> tuple[dict[int, Decoded], list[DroppedLine]]:
        decoded: dict[int, Decoded] = {}
        dropped: list[DroppedLine] = []
        for at in places.tolist():
            line = lines.line(at)
            found = DropReason.TOO_LONG if len(line) > self._limits.max_line_bytes else self._decoder.decode(line)
            if isinstance(found, DropReason):
                dropped.append(DroppedLine(first_line + at, found, line[:EXCERPT_BYTES]))
            elif found is not None:
                decoded[at] = found
        return decoded, dropped

    def _learn(self, lines: _Lines, plain: NDArray[np.bool_], others: dict[int, Decoded]) -> None:
        """Look at records that were refused: others like them may follow."""
        refused = [at for at in others if plain[at]]
        if not refused:
            return
        shapes = [shape for at in refused[-_LEARNED_FROM:] if (shape := _shape_of(lines.line(at))) is not None]
        before = self._shape
        for shape in shapes:
            self._shape = shape if self._shape is None else self._shape.widened(shape)
        if self._shape == before and shapes and before and len(refused) * _REFUSED_PART > len(lines.ends):
            self._shape = shapes[-1].widened(before)


def _times(wire: Wire, records: list[Any]) -> Integers:
    values = [record.ts_ms for record in records]
    if wire.time is str:
        return iso_column(values, wire.time_unit_ms)
    if wire.time is int:
        return whole_column(np.array(values, np.int64), wire.time_unit_ms)
    return number_column(np.array(values, np.float64), wire.time_unit_ms)


def _runs(plain: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Neighbouring plain lines, at most ``_TOGETHER`` of them each time."""
    bounds = np.flatnonzero(np.diff(plain, prepend=False, append=False)).tolist()
    for start, stop in zip(bounds[::2], bounds[1::2], strict=True):
        yield from pairwise([*range(start, stop, _TOGETHER), stop])


def _shape_of(line: bytes) -> RecordShape | None:
    try:
        record = msgspec.json.decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return RecordShape.of(record) if isinstance(record, dict) else None


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _no_columns() -> dict[str, Any]:
    nothing = np.empty(0, np.int64)
    return {"ts_ms": nothing, "step": nothing, "metrics": np.empty((len(METRIC_COLUMNS), 0))}


def _only(columns: dict[str, Any], kept: NDArray[np.bool_]) -> dict[str, Any]:
    workers = columns["workers"]
    if workers is not None:
        counts = np.diff(workers.offsets)
        offsets = np.zeros(np.count_nonzero(kept) + 1, np.int64)
        np.cumsum(counts[kept], out=offsets[1:])
        workers = RaggedRows(workers.values[np.repeat(kept, counts)], offsets)
    chosen = kept.tolist()
    return {
        "ts_ms": columns["ts_ms"][kept],
        "step": columns["step"][kept],
        "metrics": columns["metrics"][:, kept],
        "workers": workers,
        "names": {
            name: [value for value, wanted in zip(column, chosen, strict=True) if wanted]
            for name, column in columns["names"].items()
        },
    }
