"""What the records of one input have in common, and a decoder for just that.

Most inputs are written by one program: record after record with the same names. A decoder that knows them, and no
others, is several times faster than one that is ready for anything. A record with other names, or with values of
other types, is refused; it is read on its own then, by :class:`modekeeper.telemetry.decode.LineDecoder`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from struct import Struct, error
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from modekeeper.model.sample import METRIC_COLUMNS
from modekeeper.telemetry.batch import Integers
from modekeeper.telemetry.decode import WIRE_TYPES, NotNegative
from modekeeper.telemetry.fields import FIELDS, LOOKUP, FieldKind, Target
from modekeeper.telemetry.values import MAX_STEP

__all__ = ["RecordShape", "Wire", "wire_of"]

_MISSING_STEP = -1
_Refused = Annotated[int, msgspec.Meta(ge=1, le=0)]
"""No value there is: a record with a field of this type is refused."""
_TIME_TYPES: dict[type, Any] = {str: str, int: Annotated[int, msgspec.Meta(ge=0, le=MAX_STEP)], float: NotNegative}
_NUMBERS_AT_ONCE = (4, 7, 11)
"""Numbers that are taken out of each record together: the lowest of these that suffices."""


@dataclass(frozen=True, slots=True)
class RecordShape:
    """Names of the fields that are read, one name a field, in the order of the records."""

    names: tuple[str, ...]
    time: type
    """How the time is written: ``str``, ``int`` or ``float``."""
    open: bool
    """Whether there are names that mean nothing, beside these."""

    @classmethod
    def of(cls, record: dict[str, Any]) -> "RecordShape | None":
        """The shape of one record; ``None`` where it has no time that can be read."""
        by_field: dict[str, str] = {}
        for name in record:
            target = LOOKUP.get(name)
            if target is not None:
                known = by_field.get(target.field.name)
                if known is None or target.priority < LOOKUP[known].priority:
                    by_field[target.field.name] = name
        time = type(record[by_field["ts_ms"]]) if "ts_ms" in by_field else None
        if time is None or time not in _TIME_TYPES:
            return None
        return cls(tuple(by_field.values()), time, any(name not in LOOKUP for name in record))

    def widened(self, other: "RecordShape") -> "RecordShape":
        """This shape, and beside it the fields of ``other`` that it lacks."""
        return replace(self, names=self.names + self._lacking(other), open=self.open or other.open)

    def _lacking(self, other: "RecordShape") -> tuple[str, ...]:
        fields = {LOOKUP[name].field.name for name in self.names}
        return tuple(name for name in other.names if LOOKUP[name].field.name not in fields)


class Wire:
    """Decodes records of one shape."""

    def __init__(self, shape: RecordShape) -> None:
        targets = [LOOKUP[name] for name in shape.names]
        present = {target.field.name: name for name, target in zip(shape.names, targets, strict=True)}
        numbers = [target for target in targets if target.field.kind is FieldKind.NUMBER]
        record = _struct_of(shape, present, [target.field.name for target in numbers])
        decoder = msgspec.json.Decoder(record)
        self.decode: Callable[[bytes | memoryview], Any] = decoder.decode
        """One record."""
        self.decode_lines: Callable[[bytes | memoryview], list[Any]] = decoder.decode_lines
        """Several, one a line. Lines are not told apart: what it gives is to be trusted if the count is right."""
        self.time = shape.time
        self.time_unit_ms = LOOKUP[present["ts_ms"]].scale
        self.columns = {name: present[name] for name in present if name not in {"ts_ms", "step"}}
        self._numbers = numbers
        self._rows = METRIC_COLUMNS.index
        self._at_once = _at_once(len(numbers))
        self._pack = Struct(f"=q{self._at_once}d").pack

    def numbers(self, records: Sequence[Any]) -> tuple[Integers, NDArray[np.float64]]:
        """The steps, and the metrics in the order of ``METRIC_COLUMNS``; see :class:`RecordBatch`."""
        count = len(records)
        metrics = np.full((len(METRIC_COLUMNS), count), np.nan)
        try:
            table = np.frombuffer(b"".join(_PACKED[self._at_once](self._pack, records)), np.int64)
        except error:
            # Somewhere a value is null.
            step = np.array([_MISSING_STEP if r.step is None else r.step for r in records], np.int64)
            for place, target in enumerate(self._numbers):
                column = [getattr(r, f"number_{place}") for r in records]
                metrics[self._rows(target.field.name)] = np.array(column, np.float64)
        else:
            table = table.reshape(count, 1 + self._at_once)
            step = table[:, 0].copy()
            values = table.view(np.float64).T
            for place, target in enumerate(self._numbers, 1):
                metrics[self._rows(target.field.name)] = values[place]
        for target in self._numbers:
            if target.priority:
                row = metrics[self._rows(target.field.name)]
                row[:] = row * (target.scale or 1.0) + 0.0
        return step, metrics

    @property
    def scaled(self) -> bool:
        """Whether a number may have grown beyond all bounds by its unit."""
        return any(target.scale is not None for target in self._numbers)


@lru_cache(maxsize=64)
def wire_of(shape: RecordShape) -> Wire:
    """The decoder of a shape."""
    return Wire(shape)


def _at_once(count: int) -> int:
    return next(most for most in _NUMBERS_AT_ONCE if most >= count)


def _struct_of(shape: RecordShape, present: dict[str, str], numbers: list[str]) -> Any:
    """A struct with a field for each name of the shape; what else is known is refused.

    Numbers are called ``number_0``, ``number_1`` … and ``step``, so that all shapes are read by the same code. Those
    that the shape does not have stand for names that are refused.
    """
    fields: list[tuple[str, Any, Any]] = []
    rename: dict[str, str] = {}
    for name in shape.names:
        target = LOOKUP[name]
        attribute = _attribute(target, numbers)
        rename[attribute] = name
        if target.field.kind is FieldKind.TIME:
            fields.append((attribute, _TIME_TYPES[shape.time], msgspec.NODEFAULT))
        else:
            fields.append((attribute, _type_of(target), _default(target)))
    absent = [field.name for field in FIELDS if field.name in METRIC_COLUMNS and field.name not in present]
    for place in range(len(numbers), _at_once(len(numbers))):
        metric = absent.pop()
        fields.append((f"number_{place}", _Refused, math.nan))
        rename[f"number_{place}"] = next(field.aliases[0].name for field in FIELDS if field.name == metric)
    if "step" not in present:
        fields.append(("step", _Refused, _MISSING_STEP))
        rename["step"] = "step"
    if shape.open:
        taken = set(rename.values())
        for place, name in enumerate(name for name in LOOKUP if name not in taken):
            fields.append((f"refused_{place}", _Refused, 0))
            rename[f"refused_{place}"] = name
    return msgspec.defstruct(
        "ShapedRecord", fields, kw_only=True, rename=rename, gc=False, forbid_unknown_fields=not shape.open
    )


def _attribute(target: Target, numbers: list[str]) -> str:
    name = target.field.name
    return f"number_{numbers.index(name)}" if name in numbers else name


def _type_of(target: Target) -> Any:
    number = float | None if target.field.negative else NotNegative | None
    return WIRE_TYPES.get(target.field.kind, number)


def _default(target: Target) -> Any:
    if target.field.kind is FieldKind.NUMBER:
        return math.nan
    return _MISSING_STEP if target.field.kind is FieldKind.COUNTER else None


_PACKED: dict[int, Callable[[Callable[..., bytes], Sequence[Any]], list[bytes]]] = {
    4: lambda pack, records: [pack(r.step, r.number_0, r.number_1, r.number_2, r.number_3) for r in records],
    7: lambda pack, records: [
        pack(r.step, r.number_0, r.number_1, r.number_2, r.number_3, r.number_4, r.number_5, r.number_6)
        for r in records
    ],
    11: lambda pack, records: [
        pack(
            r.step, r.number_0, r.number_1, r.number_2, r.number_3, r.number_4, r.number_5, r.number_6, r.number_7,
            r.number_8, r.number_9, r.number_10,
        )
        for r in records
    ],
}  # fmt: skip
"""For each count of numbers, the records as bytes. Written out, for that is the fastest way to so many attributes."""
