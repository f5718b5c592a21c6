"""The fields of one record, whatever names and types they came with, to one sample."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from modekeeper.model.ingest import DropReason, RepairReason
from modekeeper.model.sample import Sample
from modekeeper.telemetry.fields import FIELDS, KNOB_PREFIXES, LOOKUP, FieldKind, Target
from modekeeper.telemetry.limits import IngestLimits
from modekeeper.telemetry.values import (
    Bad,
    parse_list,
    parse_mapping,
    parse_number,
    parse_step,
    parse_text,
    parse_ts_ms,
)

__all__ = ["Decoded", "RecordReader", "is_knob_name"]

_MEASURED = frozenset(field.name for field in FIELDS if field.measured)
_KNOB_NAME_MAX = 63


class Decoded(NamedTuple):
    """A usable record."""

    sample: Sample
    rank: str | None
    """Worker the record comes from; no part of the sample, only of its identity."""
    repairs: tuple[RepairReason, ...]


class RecordReader:
    """Reads records that are already taken apart into names and values."""

    def __init__(self, limits: IngestLimits) -> None:
        self._limits = limits

    def read(self, raw: Mapping[str, object], repaired: set[RepairReason]) -> Decoded | DropReason:
        """The sample in ``raw``; repairs are added to ``repaired``, those already there are kept.

        A value that cannot be used is left out and counted as ``field_ignored`` or ``non_finite``; a record
        without a usable time, or with nothing measured, is dropped.
        """
        found: dict[str, tuple[int, Any]] = {}
        unusable: set[str] = set()
        knobs: dict[str, float] = {}
        for name, value in raw.items():
            target = LOOKUP.get(name)
            if target is None:
                if name.startswith(KNOB_PREFIXES):
                    self._take_knob(name[name.index("knob.") + len("knob.") :], value, knobs, repaired)
                continue
            parsed = self._parse(target, value, repaired)
            if isinstance(parsed, Bad):
                if parsed is not Bad.MISSING:
                    unusable.add(target.field.name)
                    repaired.add(_REPAIR_OF[parsed])
                continue
            earlier = found.get(target.field.name)
            if earlier is None or target.priority < earlier[0]:
                found[target.field.name] = (target.priority, parsed)
        fields = {name: parsed for name, (_, parsed) in found.items()}
        if knobs:
            fields["knobs"] = fields.get("knobs", {}) | knobs
        if "ts_ms" not in fields:
            return DropReason.NOT_A_NUMBER if "ts_ms" in unusable else DropReason.MISSING_FIELD
        if _MEASURED.isdisjoint(fields):
            return DropReason.MISSING_FIELD if _MEASURED.isdisjoint(unusable) else DropReason.NOT_A_NUMBER
        rank = fields.pop("rank", None)
        _settle_workers(fields, repaired)
        return Decoded(Sample(**fields), rank, tuple(reason for reason in RepairReason if reason in repaired))

    def _parse(self, target: Target, value: object, repaired: set[RepairReason]) -> object:
        parsed: object
        match target.field.kind:
            case FieldKind.TIME:
                parsed = parse_ts_ms(value, target.scale)
            case FieldKind.COUNTER:
                parsed = parse_step(value)
            case FieldKind.NUMBER:
                parsed = _scaled(target, parse_number(value), repaired)
            case FieldKind.TEXT:
                parsed = parse_text(value, self._limits.max_text_chars)
            case FieldKind.NUMBERS:
                parsed = self._workers(value, repaired)
            case FieldKind.TEXTS:
                parsed = self._groups(value)
            case FieldKind.KNOBS:
                parsed = self._knobs(value, repaired)
        return parsed

    def _workers(self, value: object, repaired: set[RepairReason]) -> tuple[float, ...] | Bad:
        """All of it or nothing, for a missing rank would shift the others; a silent worker is ``NaN``."""
        listed = parse_list(value)
        if isinstance(listed, Bad):
            return listed
        if not listed:
            return Bad.MISSING
        if len(listed) > self._limits.max_workers:
            return Bad.UNUSABLE
        latencies = [parse_number(item) for item in listed]
        row: list[float] = []
        for latency in latencies:
            if latency is Bad.UNUSABLE or (not isinstance(latency, Bad) and latency < 0):
                return Bad.UNUSABLE
            row.append(math.nan if isinstance(latency, Bad) else latency)
        if all(math.isnan(latency) for latency in row):
            return Bad.NON_FINITE if Bad.NON_FINITE in latencies else Bad.UNUSABLE
        if Bad.NON_FINITE in latencies:
            repaired.add(RepairReason.NON_FINITE)
        return tuple(row)

    def _groups(self, value: object) -> tuple[str, ...] | Bad:
        listed = parse_list(value)
        if isinstance(listed, Bad):
            return listed
        if not listed:
            return Bad.MISSING
        if len(listed) > self._limits.max_workers:
            return Bad.UNUSABLE
        groups: list[str] = []
        for item in listed:
            group = parse_text(item, self._limits.max_text_chars)
            if isinstance(group, Bad):
                return Bad.UNUSABLE
            groups.append(group)
        return tuple(groups)

    def _knobs(self, value: object, repaired: set[RepairReason]) -> dict[str, float] | Bad:
        listed = parse_mapping(value)
        if isinstance(listed, Bad):
            return listed
        knobs: dict[str, float] = {}
        for name, setting in listed.items():
            self._take_knob(name, setting, knobs, repaired)
        return knobs or Bad.MISSING

    def _take_knob(self, name: str, value: object, knobs: dict[str, float], repaired: set[RepairReason]) -> None:
        setting = parse_number(value)
        if setting is Bad.MISSING:
            return
        if isinstance(setting, Bad) or not is_knob_name(name) or len(knobs) >= self._limits.max_knobs:
            repaired.add(RepairReason.FIELD_IGNORED)
            return
        knobs[name] = setting


_REPAIR_OF = {Bad.UNUSABLE: RepairReason.FIELD_IGNORED, Bad.NON_FINITE: RepairReason.NON_FINITE}


def is_knob_name(name: str) -> bool:
    """Whether ``name`` can be the name of a knob: it also has to fit a Kubernetes annotation key."""
    return (
        len(name) <= _KNOB_NAME_MAX
        and name.isascii()
        and name.replace("_", "").replace("-", "").replace(".", "").isalnum()
    )


def _scaled(target: Target, number: float | Bad, repaired: set[RepairReason]) -> float | Bad:
    if isinstance(number, Bad):
        if number is Bad.NON_FINITE and target.field.name == "loss":
            # A diverged loss is news, not a missing number.
            repaired.add(RepairReason.NON_FINITE)
            return math.inf
        return number
    scaled = number if target.scale is None else number * target.scale
    if scaled < 0 and not target.field.negative:
        return Bad.UNUSABLE
    return scaled + 0.0 if math.isfinite(scaled) else Bad.NON_FINITE


def _settle_workers(fields: dict[str, Any], repaired: set[RepairReason]) -> None:
    """One worker where none is named; groups only where there is one for each worker."""
    workers = fields.get("worker_latencies_ms")
    if workers is None and "step_time_ms" in fields:
        workers = fields["worker_latencies_ms"] = (fields["step_time_ms"],)
    groups = fields.get("worker_groups")
    if groups is not None and len(groups) != len(workers or ()):
        del fields["worker_groups"]
        repaired.add(RepairReason.FIELD_IGNORED)
