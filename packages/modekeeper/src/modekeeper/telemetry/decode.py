"""One line of telemetry to one sample, or to the reason why not.

Most lines are clean JSON with the canonical names: a typed decoder takes them whole. Every other line takes the
tolerant path, which looks at each field on its own. Both give the same answer where both can give one.
"""

import json
import re
from typing import Annotated, Any

import msgspec

from modekeeper.model.ingest import DropReason, RepairReason
from modekeeper.model.sample import Sample
from modekeeper.telemetry.fields import FIELDS, FieldKind
from modekeeper.telemetry.limits import IngestLimits
from modekeeper.telemetry.records import Decoded, RecordReader, is_knob_name
from modekeeper.telemetry.table import NOT_A_TABLE, TableReader
from modekeeper.telemetry.values import MAX_STEP, Bad, clean_text, parse_text, parse_ts_ms

__all__ = ["WIRE_TYPES", "Decoded", "LineDecoder", "NotNegative"]

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*+"')
_SALVAGEABLE = re.compile(r"NaN|Infinity|[eE][+-]?[0-9]|[0-9]{19}|\\u[dD]")
"""What the standard library takes and msgspec does not: no numbers, large ones, halves of characters."""
_REMEMBERED_NAMES = 4096
_INT_DIGITS = 19

NotNegative = Annotated[float, msgspec.Meta(ge=0)]
WIRE_TYPES: dict[FieldKind, Any] = {
    FieldKind.TIME: str | int | float | None,
    FieldKind.COUNTER: Annotated[int, msgspec.Meta(ge=0, le=MAX_STEP)] | None,
    FieldKind.NUMBERS: tuple[NotNegative, ...] | None,
    FieldKind.TEXTS: tuple[str, ...] | None,
    FieldKind.TEXT: str | int | None,
    FieldKind.KNOBS: dict[str, float] | None,
}


def _wire_type() -> type[msgspec.Struct]:
    """A struct with every name a record may use: typed for the first name of a field, anything for the others."""
    fields: list[tuple[str, Any, Any]] = []
    others: list[tuple[str, Any, Any]] = []
    rename: dict[str, str] = {}
    for field in FIELDS:
        typed = WIRE_TYPES.get(field.kind, float | None if field.negative else NotNegative | None)
        fields.append((field.name, typed, None))
        rename[field.name] = field.aliases[0].name
        for number, alias in enumerate(field.aliases[1:]):
            attribute = f"{field.name}__{number}"
            others.append((attribute, Any, None))
            rename[attribute] = alias.name
    return msgspec.defstruct("WireRecord", fields + others, kw_only=True, rename=rename, gc=False)


_WIRE = _wire_type()
_FIRST_OTHER = len(FIELDS)
_NO_OTHERS = (None,) * (len(_WIRE.__struct_fields__) - _FIRST_OTHER)


class LineDecoder:
    """Decodes the lines of one file. The only state that matters is the CSV header met last.

    Args:
        limits: what is too deep and too many.
        table: expect CSV, so that the first line is the header whatever its names are.
    """

    def __init__(self, limits: IngestLimits, *, table: bool = False) -> None:
        self._limits = limits
        self._table = TableReader(expected=table)
        self._records = RecordReader(limits)
        self._typed = msgspec.json.Decoder(_WIRE)
        self._names: dict[str | int, str | None] = {}
        self._groups: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._knob_names: set[str] = set()

    @property
    def table(self) -> TableReader:
        """What reads the rows of CSV."""
        return self._table

    @property
    def header(self) -> str | None:
        """The CSV header met last, as it was written."""
        return self._table.header

    @header.setter
    def header(self, text: str | None) -> None:
        self._table.header = text

    def decode(self, line: bytes) -> Decoded | DropReason | None:
        """What one line, without its line feed, holds; ``None`` for a CSV header, which is not a record."""
        if line[:1].isspace() or line[:1] == b"{":
            return self.decode_json(line)
        return self._tolerant(line)

    def is_header(self, line: bytes) -> bool:
        """Whether a line would be taken for a CSV header where there is one already."""
        line, text = _as_text(line, set())
        return not line.startswith(b"{") and self._table.is_header(text)

    def decode_json(
        self, line: bytes, node: str | None = None, gpu_model: str | None = None
    ) -> Decoded | DropReason | None:
        """The same of a line that begins with a brace, or with white space.

        A clean record that names no ``node``, or no ``gpu_model``, gets that given here. One that is not clean does
        not: whoever gives one has to look.
        """
        if line.count(b"[") + line.count(b"{") <= self._limits.max_depth and b"knob." not in line:
            try:
                if not line.isascii():
                    line.decode()
                wire = self._typed.decode(line)
            except (msgspec.MsgspecError, ValueError, RecursionError):
                return self._tolerant(line)
            values = msgspec.structs.astuple(wire)
            if values[_FIRST_OTHER:] == _NO_OTHERS:
                return self._clean(values, node, gpu_model) or self._tolerant(line)
        return self._tolerant(line)

    def _clean(self, values: tuple[Any, ...], node_given: str | None, gpu_model_given: str | None) -> Decoded | None:
        """The record where nothing needs a second look, else ``None``."""
        # In the order of ``FIELDS``.
        (
            ts, step, step_time_ms, loss, throughput, data_wait_ms, gpu_util_pct, gpu_mem_used_mb,
            gpu_mem_total_mb, gpu_power_w, gpu_temp_c, batch_size, seq_len, workers, groups, node, gpu_model,
            phase, knobs, rank,
        ) = values[:_FIRST_OTHER]  # fmt: skip
        ts_ms = parse_ts_ms(ts, None)
        if isinstance(ts_ms, Bad) or step_time_ms is None:
            return None
        if not workers:
            workers = (step_time_ms,)
        elif len(workers) > self._limits.max_workers:
            return None
        if groups is not None:
            groups = self.known_groups(groups)
            if len(groups) != len(workers):
                return None
        if knobs is not None and not self.knobs_usable(knobs):
            return None
        sample = Sample(
            ts_ms=ts_ms,
            step=step,
            step_time_ms=step_time_ms,
            loss=loss,
            throughput=throughput,
            data_wait_ms=data_wait_ms,
            gpu_util_pct=gpu_util_pct,
            gpu_mem_used_mb=gpu_mem_used_mb,
            gpu_mem_total_mb=gpu_mem_total_mb,
            gpu_power_w=gpu_power_w,
            gpu_temp_c=gpu_temp_c,
            batch_size=batch_size,
            seq_len=seq_len,
            worker_latencies_ms=workers,
            worker_groups=groups,
            node=node_given if node is None else self.known_name(node),
            gpu_model=gpu_model_given if gpu_model is None else self.known_name(gpu_model),
            phase=None if phase is None else self.known_name(phase),
            knobs=knobs or None,
        )
        return Decoded(sample, None if rank is None else self.known_name(rank), ())

    def known_name(self, text: str | int) -> str | None:
        """Names repeat from record to record: clean each once, and keep one copy."""
        if text in self._names:
            return self._names[text]
        if len(self._names) >= _REMEMBERED_NAMES:
            self._names.clear()
        parsed = parse_text(text, self._limits.max_text_chars)
        name = self._names[text] = None if isinstance(parsed, Bad) else parsed
        return name

    def known_groups(self, groups: tuple[str, ...]) -> tuple[str, ...]:
        """Names of peer groups, cleaned; none at all where one of them is no name."""
        known = self._groups.get(groups)
        if known is None:
            if len(self._groups) >= _REMEMBERED_NAMES // 64:
                self._groups.clear()
            cleaned = tuple(clean_text(group, self._limits.max_text_chars) for group in groups)
            # A group without a name is no group: the tolerant path says so, as for any mismatch.
            known = self._groups[groups] = cleaned if all(cleaned) else ()
        return known

    def knobs_usable(self, knobs: dict[str, float]) -> bool:
        """Whether all of them are knobs by name, and there are not too many."""
        for name in knobs:
            if name not in self._knob_names:
                if not is_knob_name(name) or len(self._knob_names) >= _REMEMBERED_NAMES:
                    return False
                self._knob_names.add(name)
        return len(knobs) <= self._limits.max_knobs

    def _tolerant(self, line: bytes) -> Decoded | DropReason | None:
        repaired: set[RepairReason] = set()
        line, text = _as_text(line, repaired)
        if not line:
            return DropReason.BLANK
        if not line.startswith(b"{"):
            row = self._table.read(text)
            if isinstance(row, dict):
                return self._records.read(row, repaired)
            if row != NOT_A_TABLE:
                return row if isinstance(row, DropReason) else None
        if _is_deeper(line, self._limits.max_depth):
            return DropReason.WRONG_SHAPE
        raw = _parsed_json(text, repaired)
        if isinstance(raw, DropReason):
            return raw
        return self._records.read(raw, repaired)


def _as_text(line: bytes, repaired: set[RepairReason]) -> tuple[bytes, str]:
    """A line without what does not belong to it, and the same as text."""
    if line.startswith(_BYTE_ORDER_MARK):
        line = line[len(_BYTE_ORDER_MARK) :]
        repaired.add(RepairReason.BYTE_ORDER_MARK)
    line = line.strip()
    try:
        return line, line.decode()
    except UnicodeDecodeError:
        repaired.add(RepairReason.INVALID_UTF8)
        return line, line.decode(errors="replace")


def _parsed_json(text: str, repaired: set[RepairReason]) -> dict[str, object] | DropReason:
    try:
        raw = msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        if _SALVAGEABLE.search(text) is None:
            return DropReason.INVALID_JSON

        def non_finite(_: str) -> float:
            repaired.add(RepairReason.NON_FINITE)
            return float("nan")

        try:
            raw = json.loads(text, parse_constant=non_finite, parse_int=_int_or_float)
        except (ValueError, RecursionError):
            return DropReason.INVALID_JSON
    return raw if isinstance(raw, dict) else DropReason.WRONG_SHAPE


def _int_or_float(text: str) -> int | float:
    return int(text) if len(text) <= _INT_DIGITS else float(text)


def _is_deeper(line: bytes, max_depth: int) -> bool:
    """Whether the line nests deeper than ``max_depth``; brackets inside strings do not count."""
    if line.count(b"[") + line.count(b"{") <= max_depth:
        return False
    depth = 0
    for byte in _STRINGS.sub(b"", line):
        if byte in b"[{":
            depth += 1
            if depth > max_depth:
                return True
        elif byte in b"]}":
            depth -= 1
    return False
