"""What happened to the records on their way in."""

from enum import StrEnum

import msgspec

__all__ = ["DropReason", "IngestCounters", "IngestExample", "RepairReason"]


class DropReason(StrEnum):
    """Why a record was not accepted."""

    BLANK = "blank"
    INVALID_JSON = "invalid_json"
    WRONG_SHAPE = "wrong_shape"
    MISSING_FIELD = "missing_field"
    NOT_A_NUMBER = "not_a_number"
    DUPLICATE = "duplicate"
    OUT_OF_ORDER = "out_of_order"
    CLOCK_SKEW = "clock_skew"
    TOO_LONG = "too_long"
    NO_TELEMETRY = "no_telemetry"


class RepairReason(StrEnum):
    """What was put right before a record was accepted."""

    REORDERED = "reordered"
    CLOCK_SKEW = "clock_skew"
    NON_FINITE = "non_finite"
    FIELD_IGNORED = "field_ignored"
    BYTE_ORDER_MARK = "byte_order_mark"
    INVALID_UTF8 = "invalid_utf8"


class IngestExample(msgspec.Struct, frozen=True, kw_only=True):
    """One dropped or repaired record, escaped and cut: safe to print."""

    source: str
    line: int
    reason: str
    text: str


class IngestCounters(msgspec.Struct, frozen=True, kw_only=True):
    """``read_total = accepted_total + dropped_total``, always. A repaired record is an accepted one."""

    read_total: int = 0
    accepted_total: int = 0
    dropped_total: int = 0
    repaired_total: int = 0
    dropped_by_reason: dict[str, int] = {}
    repaired_by_reason: dict[str, int] = {}
    examples: tuple[IngestExample, ...] = ()
    """The first few of each reason."""
