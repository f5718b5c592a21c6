"""Many lines at once to a batch of records; a line that is not plain is read on its own."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from modekeeper.model.ingest import DropReason
from modekeeper.telemetry.batch import Integers, RecordBatch
from modekeeper.telemetry.counting import EXCERPT_BYTES
from modekeeper.telemetry.decode import Decoded, LineDecoder
from modekeeper.telemetry.gather import Gathered
from modekeeper.telemetry.limits import IngestLimits
from modekeeper.telemetry.merge import merged
from modekeeper.telemetry.record_columns import Columns, no_columns, record_columns, without_doubt
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

    def _gathered(self, lines: _Lines, plain: NDArray[np.bool_]) -> tuple[Gathered | None, Integers]:
        """What the decoder of the shape takes, and which lines it is from."""
        if self._shape is None:
            self._shape = self._first_shape(lines, np.flatnonzero(plain)[:_FIRST_LOOKED_AT].tolist())
        if self._shape is None:
            return None, np.empty(0, np.int64)
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

    def _table(self, lines: _Lines, lead: int) -> tuple[Columns, Integers]:
        """The plain rows of a table as columns; none where the header changes on the way, or is not simple."""
        table = self._decoder.table
        if not is_simple(table):
            return no_columns(), np.empty(0, np.int64)
        plain = plain_rows(lines.text, lines.begins, lines.ends, table)
        plain[:lead] = False
        if len(lines.text) > self._limits.max_line_bytes:
            plain &= lines.ends - lines.begins <= self._limits.max_line_bytes
        headers = may_be_headers(lines.text, lines.begins, plain, table)
        places = np.flatnonzero(plain)
        if not len(places) or any(at >= lead and self._decoder.is_header(lines.line(at)) for at in headers):
            return no_columns(), np.empty(0, np.int64)
        rows = list(map(lines.text.split(b"\n").__getitem__, places.tolist()))
        columns, kept = without_doubt(*table_columns(rows, table, self._decoder.known_name))
        return columns, places[kept]

    def _json(self, lines: _Lines, plain: NDArray[np.bool_]) -> tuple[Columns, Integers]:
        """The plain lines as columns."""
        gathered, places = self._gathered(lines, plain)
        if gathered is None or not len(places):
            return no_columns(), np.empty(0, np.int64)
        columns, kept = without_doubt(*record_columns(gathered, self._decoder, self._limits.max_workers))
        return columns, places[kept]

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
