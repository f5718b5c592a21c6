"""What the records of one input have in common, and a decoder for just that.

Most inputs are written by one program: record after record with the same names. A decoder that knows them, and no
others, is several times faster than one that is ready for anything. A record with other names, or with values of
other types, is refused; it is read on its own then, by :class:`modekeeper.telemetry.decode.LineDecoder`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from struct import Struct
from typing import Annotated, Any, Literal

import msgspec

from modekeeper.model.block import MISSING_STEP
from modekeeper.telemetry.decode import WIRE_TYPES, NotNegative
from modekeeper.telemetry.fields import FIELDS, LOOKUP, FieldKind, Target
from modekeeper.telemetry.values import MAX_STEP

__all__ = ["TEXTS", "RecordShape", "Wire", "wire_of"]

_literal: Any = Literal
_Refused = Annotated[int, msgspec.Meta(ge=1, le=0)]
"""No value there is: a record with a field of this type is refused."""
_TIME_TYPES: dict[type, Any] = {str: str, int: Annotated[int, msgspec.Meta(ge=0, le=MAX_STEP)], float: NotNegative}
TEXTS = frozenset(field.name for field in FIELDS if field.kind is FieldKind.TEXT)
_OTHERS = tuple(
    f.name for f in FIELDS if f.kind in {FieldKind.NUMBERS, FieldKind.TEXTS, FieldKind.TEXT, FieldKind.KNOBS}
)


@dataclass(frozen=True, slots=True)
class RecordShape:
    """Names of the fields that are read, one name a field, in the order of the records."""

    names: tuple[str, ...]
    time: type
    """How the time is written: ``str``, ``int`` or ``float``."""
    time_width: int
    """Characters of the time where it is text; 0 where it is none, or they vary."""
    open: bool
    """Whether there are names that mean nothing, beside these."""
    constants: tuple[tuple[str, str], ...]
    """Those of ``names`` that name a machine, a phase or the like, and always the same one; and which."""

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
        moment = record[by_field["ts_ms"]] if "ts_ms" in by_field else None
        if type(moment) not in _TIME_TYPES:
            return None
        width = len(moment) if isinstance(moment, str) else 0
        names = tuple(by_field.values())
        constants = tuple(
            (name, record[name]) for name in names if LOOKUP[name].field.name in TEXTS and type(record[name]) is str
        )
        return cls(names, type(moment), width, any(name not in LOOKUP for name in record), constants)

    def widened(self, other: "RecordShape") -> "RecordShape":
        """The same shape, and beside it the fields of ``other`` that it lacks."""
        return replace(
            self,
            names=self.names + self._lacking(other),
            open=self.open or other.open,
            constants=tuple(constant for constant in self.constants if constant in other.constants),
        )

    def instead_of(self, other: "RecordShape") -> "RecordShape":
        """The same shape, where ``other`` fits no longer; times whose width changes are times of any width."""
        width = self.time_width if self.time_width == other.time_width or self.names != other.names else 0
        return replace(self.widened(other), time_width=width)

    def _lacking(self, other: "RecordShape") -> tuple[str, ...]:
        fields = {LOOKUP[name].field.name for name in self.names}
        return tuple(name for name in other.names if LOOKUP[name].field.name not in fields)


class Wire:
    """Decodes records of one shape."""

    def __init__(self, shape: RecordShape) -> None:
        targets = [LOOKUP[name] for name in shape.names]
        present = {target.field.name: name for name, target in zip(shape.names, targets, strict=True)}
        self.numbers = [target for target in targets if target.field.kind is FieldKind.NUMBER]
        """The metrics, in the order of ``number_0``, ``number_1`` …"""
        record = _struct_of(shape, present, [target.field.name for target in self.numbers])
        decoder = msgspec.json.Decoder(record)
        self.decode: Callable[[bytes | memoryview], Any] = decoder.decode
        """One record."""
        self.decode_lines: Callable[[bytes | memoryview], list[Any]] = decoder.decode_lines
        """Several, one a line. Lines are not told apart: what it gives is to be trusted if the count is right."""
        self.time = shape.time
        self.time_width = shape.time_width
        self.time_unit_ms = LOOKUP[present["ts_ms"]].scale
        self.constants = {LOOKUP[name].field.name: value for name, value in shape.constants}
        """Names that are the same in every record, by field."""
        self.others = [name for name in _OTHERS if name in present and name not in self.constants]
        """Fields that are neither times nor plain numbers, and may differ."""
        self.pack = Struct(f"=q{len(self.numbers)}d").pack
        """A step and the metrics as bytes."""


@lru_cache(maxsize=64)
def wire_of(shape: RecordShape) -> Wire:
    """The decoder of a shape."""
    return Wire(shape)


def _struct_of(shape: RecordShape, present: dict[str, str], numbers: list[str]) -> Any:
    """A struct with a field for each name of the shape; what else is known is refused.

    Numbers are called ``number_0``, ``number_1`` …, so that all shapes are read by the same code.
    """
    fields: list[tuple[str, Any, Any]] = []
    rename: dict[str, str] = {}
    constants = dict(shape.constants)
    for name in shape.names:
        target = LOOKUP[name]
        attribute = _attribute(target, numbers)
        rename[attribute] = name
        if target.field.kind is FieldKind.TIME:
            fields.append((attribute, _time_type(shape), msgspec.NODEFAULT))
        elif name in constants:
            # A record with another one, or with none, is refused.
            fields.append((attribute, _literal[constants[name]], msgspec.NODEFAULT))
        else:
            fields.append((attribute, _type_of(target), _default(target)))
    if "step" not in present:
        fields.append(("step", _Refused, MISSING_STEP))
        rename["step"] = "step"
    if shape.open:
        taken = set(rename.values())
        for place, name in enumerate(name for name in LOOKUP if name not in taken):
            fields.append((f"refused_{place}", _Refused, 0))
            rename[f"refused_{place}"] = name
    return msgspec.defstruct(
        "ShapedRecord", fields, kw_only=True, rename=rename, gc=False, forbid_unknown_fields=not shape.open
    )


def _time_type(shape: RecordShape) -> Any:
    if not shape.time_width:
        return _TIME_TYPES[shape.time]
    return Annotated[str, msgspec.Meta(min_length=shape.time_width, max_length=shape.time_width)]


def _attribute(target: Target, numbers: list[str]) -> str:
    name = target.field.name
    return f"number_{numbers.index(name)}" if name in numbers else name


def _type_of(target: Target) -> Any:
    # Whether a number may be negative is looked at for all records together.
    return WIRE_TYPES.get(target.field.kind, float | None)


def _default(target: Target) -> Any:
    if target.field.kind is FieldKind.NUMBER:
        return math.nan
    return MISSING_STEP if target.field.kind is FieldKind.COUNTER else None
