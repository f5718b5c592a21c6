"""Many lines at once to a batch of records; a line that is not plain is read on its own."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
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
from modekeeper.telemetry.gather import Gathered, metrics_of
from modekeeper.telemetry.limits import IngestLimits
from modekeeper.telemetry.merge import merged
from modekeeper.telemetry.moments import UNDECIDED, iso_column, iso_column_of, number_column, whole_column
from modekeeper.telemetry.scan import count_of
from modekeeper.telemetry.shape import RecordShape, Wire, wire_of
from modekeeper.telemetry.table_columns import is_simple, may_be_headers, plain_rows, table_columns

__all__ = ["BulkDecoder", "DroppedLine", "LinesRead"]

_TOGETHER = 32
"""Lines decoded in one call: if one of them is refused, so many are decoded again."""
_GATHERED_TOGETHER = 256
"""Decoded records that exist at once: few enough for the cache of a core."""
_KNOB = re.compile(rb"knob\.")
_FIRST_LOOKED_AT = 8
_LEARNED_FROM = 4
_REFUSED_PART = 8
"""If more than one line in so many is refused, the shape is no longer that of the input."""
_STEP_TIME = METRIC_COLUMNS.index("step_time_ms")
_NOT_NEGATIVE = [METRIC_COLUMNS.index(f.name) for f in FIELDS if f.name in METRIC_COLUMNS and not f.negative]
_MEASURED = [METRIC_COLUMNS.index(field.name) for field in FIELDS if field.measured and field.name in METRIC_COLUMNS]


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
        # Where a table begins, its header has to be known before the rows.
        lead = 1 if self._decoder.header is None and not text.startswith(b"{") else 0
        others, dropped = self._one_by_one(lines, range(lead), first_line)
        plain = np.zeros(len(ends), np.bool_)
        if self._decoder.header is not None and text[begins[-1] : begins[-1] + 1] != b"{":
            columns, places = self._table(lines, lead)
        else:
            plain = self._plain(lines)
            columns, places = self._json(lines, plain)
        on_their_own = np.ones(len(ends), np.bool_)
        on_their_own[places] = on_their_own[:lead] = False
        more, more_dropped = self._one_by_one(lines, np.flatnonzero(on_their_own).tolist(), first_line)
        others, dropped = others | more, dropped + more_dropped
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
        if self._shape is not None and not self._shape.open:
            # A decoder that refuses every other name looks at all there is: nothing is nested, no knob is named, and
            # no text is skipped.
            return plain
        if b"k" in text and _KNOB.search(text) is not None:
            plain[np.searchsorted(ends, [match.start() for match in _KNOB.finditer(text)])] = False
        if not text.isascii() and not _is_utf8(text):
            plain &= np.fromiter((_is_utf8(lines.line(at)) for at in range(len(ends))), np.bool_, len(ends))
        return self._shallow(text, plain, begins)

    def _shallow(self, text: bytes, plain: NDArray[np.bool_], begins: Integers) -> NDArray[np.bool_]:
        opening = count_of("{", text) + (count_of("[", text) if b"[" in text else 0)
        # Every plain line has one at least, so no line has more than what is left of all of them.
        if opening - np.count_nonzero(plain) < self._limits.max_depth:
            return plain
        view = np.frombuffer(text, np.uint8)
        brackets = (view == ord("{")) | (view == ord("["))
        counts = np.add.reduceat(brackets, begins, dtype=np.int64)
        return plain & (counts <= self._limits.max_depth)

    # Decoding

    def _gathered(self, lines: _Lines, plain: NDArray[np.bool_]) -> tuple[Gathered, Integers] | None:
        """What the decoder of the shape takes, and which lines it is from."""
        if self._shape is None:
            self._shape = self._first_shape(lines, np.flatnonzero(plain)[:_FIRST_LOOKED_AT].tolist())
        if self._shape is None:
            return None
        wire = wire_of(self._shape)
        view = memoryview(lines.text)
        gathered = Gathered(wire)
        records: list[Any] = []
        refused: list[int] = []
        bounds = _runs(plain)
        begins, ends = lines.begins[bounds[:, 0]].tolist(), lines.ends[bounds[:, 1] - 1].tolist()
        for (start, stop), begin, end in zip(bounds.tolist(), begins, ends, strict=True):
            try:
                found = wire.decode_lines(view[begin:end])
            except (msgspec.MsgspecError, ValueError, RecursionError):
                found = []
            # In plain lines no value goes on in the next line: as many values as lines is one value a line.
            if len(found) == stop - start:
                records += found
            else:
                refused += _decoded_one_by_one(wire, lines.text[begin:end].split(b"\n"), start, records)
            if len(records) >= _GATHERED_TOGETHER:
                gathered.add(records)
                records = []
        gathered.add(records)
        taken = plain.copy()
        taken[refused] = False
        return gathered, np.flatnonzero(taken)

    def _first_shape(self, lines: _Lines, places: Sequence[int]) -> RecordShape | None:
        for at in places:
            shape = _shape_of(lines.line(at))
            if shape is not None:
                return shape
        return None

    # Columns

    def _table(self, lines: _Lines, lead: int) -> tuple[dict[str, Any], Integers]:
        """The plain rows of a table as columns; none where the header changes on the way, or is not simple."""
        table = self._decoder.table
        if not is_simple(table):
            return _no_columns(), np.empty(0, np.int64)
        plain = plain_rows(lines.text, lines.begins, lines.ends, table)
        plain[:lead] = False
        if len(lines.text) > self._limits.max_line_bytes:
            plain &= lines.ends - lines.begins <= self._limits.max_line_bytes
        headers = may_be_headers(lines.text, lines.begins, plain, table)
        places = np.flatnonzero(plain)
        if not len(places) or any(at >= lead and self._decoder.is_header(lines.line(at)) for at in headers):
            return _no_columns(), np.empty(0, np.int64)
        rows = list(map(lines.text.split(b"\n").__getitem__, places.tolist()))
        ts_ms, step, metrics, names, doubtful = table_columns(rows, table, self._decoder.known_name)
        columns = {"ts_ms": ts_ms, "step": step, "metrics": metrics, "workers": None, "names": names}
        measured = ~np.isnan(metrics[_MEASURED]).all(axis=0)
        return self._settled(columns, places, measured, doubtful)

    def _json(self, lines: _Lines, plain: NDArray[np.bool_]) -> tuple[dict[str, Any], Integers]:
        """The plain lines as columns."""
        gathered = self._gathered(lines, plain)
        return self._columns(*gathered) if gathered else (_no_columns(), np.empty(0, np.int64))

    def _columns(self, gathered: Gathered, places: Integers) -> tuple[dict[str, Any], Integers]:
        """The records as columns, those left out that need a second look; and which lines they are from."""
        wire = gathered.wire
        ts_ms = _times(gathered)
        numbers = gathered.numbers()
        known = ts_ms != UNDECIDED
        if not known.all():
            for at in np.flatnonzero(~known)[::-1].tolist():
                for values in gathered.values.values():
                    del values[at]
            ts_ms, places, numbers = ts_ms[known], places[known], numbers[known]
        doubtful: set[int] = set()
        metrics = metrics_of(wire, numbers)
        workers = self._workers(gathered, metrics, doubtful)
        counts = ~np.isnan(metrics[_STEP_TIME]) if workers is None else np.diff(workers.offsets)
        names = self._names(gathered, counts, doubtful)
        measured = (counts > 0) | ~np.isnan(metrics[_MEASURED]).all(axis=0)
        columns = {"ts_ms": ts_ms, "step": numbers[:, 0].copy(), "metrics": metrics, "workers": workers, "names": names}
        return self._settled(columns, places, measured, doubtful)

    def _settled(
        self, columns: dict[str, Any], places: Integers, measured: NDArray[np.bool_], doubtful: set[int]
    ) -> tuple[dict[str, Any], Integers]:
        """Columns without the records that need a second look."""
        metrics = columns["metrics"]
        unusable = (metrics[_NOT_NEGATIVE] < 0).any(axis=0) | np.isinf(metrics).any(axis=0) | ~measured
        doubtful.update(np.flatnonzero(unusable).tolist())
        if not doubtful:
            return columns, places
        kept = np.ones(len(places), np.bool_)
        kept[list(doubtful)] = False
        return _only(columns, kept), places[kept]

    def _names(
        self, gathered: Gathered, worker_counts: NDArray[Any], doubtful: set[int]
    ) -> dict[str, Sequence[Any]]:
        names: dict[str, Sequence[Any]] = {}
        for field, values in gathered.values.items():
            if field == "worker_groups":
                names[field] = self._groups(values, worker_counts.tolist(), doubtful)
            elif field == "knobs":
                names[field] = self._knobs(values, doubtful)
            elif field != "worker_latencies_ms":
                known = {value: None if value is None else self._decoder.known_name(value) for value in set(values)}
                if len(known) == 1:
                    names[field] = list(known.values()) * len(values)
                else:
                    clean = all(known[value] is value for value in known)
                    names[field] = values if clean else [known[value] for value in values]
        return names

    def _groups(self, values: list[Any], worker_counts: list[int], doubtful: set[int]) -> list[Any]:
        """The peer groups; as many as there are workers, or the record is read on its own."""
        column: list[Any] = []
        for at, (groups, count) in enumerate(zip(values, worker_counts, strict=True)):
            known = None if groups is None else self._decoder.known_groups(groups)
            if known is not None and len(known) != count:
                doubtful.add(at)
            column.append(known)
        return column

    def _knobs(self, values: list[Any], doubtful: set[int]) -> list[Any]:
        """The knobs; neighbours with the same values share one copy."""
        column: list[Any] = []
        last: dict[str, float] | None = None
        for at, knobs in enumerate(values):
            if not knobs:
                column.append(None)
                continue
            if last is None or knobs != last or list(knobs) != list(last):
                last = knobs
            if not self._decoder.knobs_usable(last):
                doubtful.add(at)
            column.append(last)
        return column

    def _workers(self, gathered: Gathered, metrics: NDArray[np.float64], doubtful: set[int]) -> RaggedRows | None:
        values = gathered.values.get("worker_latencies_ms")
        if values is None:
            return None
        rows: list[tuple[float, ...]] = []
        for at, (row, step_time_ms) in enumerate(zip(values, metrics[_STEP_TIME].tolist(), strict=True)):
            if row and len(row) > self._limits.max_workers:
                doubtful.add(at)
            alone = (step_time_ms,) if step_time_ms == step_time_ms else ()  # noqa: PLR0124 - NaN is missing
            rows.append(row or alone)
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, rows), np.int64, len(rows)), out=offsets[1:])
        return RaggedRows(np.fromiter(chain.from_iterable(rows), np.float64, int(offsets[-1])), offsets)

    # The others

    def _one_by_one(
        self, lines: _Lines, places: Iterable[int], first_line: int
    ) -> tuple[dict[int, Decoded], list[DroppedLine]]:
        decoded: dict[int, Decoded] = {}
        dropped: list[DroppedLine] = []
        for at in places:
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
            self._shape = shapes[-1].instead_of(before)


def _decoded_one_by_one(wire: Wire, lines: Sequence[bytes], first: int, records: list[Any]) -> list[int]:
    """Decode lines, of which the first has the number ``first``, into ``records``; the numbers of those refused."""
    refused: list[int] = []
    before = len(records)
    waiting = iter(lines)
    while True:
        try:
            # What was decoded before an error stays, and the line with the error is taken off.
            records.extend(map(wire.decode, waiting))
        except (msgspec.MsgspecError, ValueError, RecursionError):
            refused.append(first + len(records) - before + len(refused))
        else:
            return refused


def _times(gathered: Gathered) -> Integers:
    values, wire = gathered.times, gathered.wire
    if wire.time is str:
        joined = "".join(values)
        if wire.time_width:
            return iso_column_of(joined, wire.time_width, wire.time_unit_ms)
        return iso_column(joined, wire.time_unit_ms)
    if wire.time is int:
        return whole_column(np.array(values, np.int64), wire.time_unit_ms)
    return number_column(np.array(values, np.float64), wire.time_unit_ms)


def _runs(plain: NDArray[np.bool_]) -> Integers:
    """``int64[r, 2]``: runs of neighbouring plain lines, at most ``_TOGETHER`` each: first line, and line behind."""
    borders = np.flatnonzero(plain[1:] != plain[:-1]) + 1
    bounds = [*([0] if plain[0] else []), *borders.tolist(), *([len(plain)] if plain[-1] else [])]
    runs = [
        (at, min(at + _TOGETHER, stop))
        for start, stop in zip(bounds[::2], bounds[1::2], strict=True)
        for at in range(start, stop, _TOGETHER)
    ]
    return np.array(runs, np.int64).reshape(-1, 2)


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
