"""One value of a record at a time: hostile text and numbers in, a clean value or a verdict out."""

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import Enum

import msgspec

__all__ = [
    "MAX_TS_MS",
    "Bad",
    "clean_text",
    "parse_list",
    "parse_mapping",
    "parse_number",
    "parse_step",
    "parse_text",
    "parse_ts_ms",
]

MAX_TS_MS = 253_402_300_799_999
"""Last millisecond of the year 9999, where ISO 8601 with four digits ends."""
MAX_STEP = 2**63 - 1
EXACT_FLOAT = 2**53

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMERIC = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?\Z")
_WHOLE = re.compile(r"[+-]?[0-9]{1,19}\Z")
_NON_FINITE = frozenset({"nan", "inf", "infinity", "+inf", "-inf", "+infinity", "-infinity", "1.#qnan", "1.#inf"})
_MISSING = frozenset({"", "null", "none", "na", "n/a"})
# Anything a terminal, a log or a page could take for an instruction: C0, C1, line and bidi controls, surrogates.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff\ufff9-\uffff]")

# Upper ends of the magnitudes in which an epoch number is taken for seconds, milliseconds and microseconds:
# 10^11 s is the year 5138, and 10^11 ms, us and ns are in 1973 each in its own unit.
_SECONDS_BELOW = 10**11
_MILLIS_BELOW = 10**14
_MICROS_BELOW = 10**17


class Bad(Enum):
    """Why a value cannot be used."""

    MISSING = "missing"
    """Null, empty, or a word for nothing."""
    UNUSABLE = "unusable"
    """Not of the right type, or out of range."""
    NON_FINITE = "non_finite"
    """Not a number, or infinite."""


def parse_number(value: object) -> float | Bad:
    """A finite number from a JSON value or a text cell. ``true`` is not a number, ``"12.5"`` is one."""
    if type(value) is float:
        return value if math.isfinite(value) else Bad.NON_FINITE
    if type(value) is int:
        return _float_of(value)
    if type(value) is str:
        return _number_of_text(value.strip())
    return Bad.MISSING if value is None else Bad.UNUSABLE


def parse_step(value: object) -> int | Bad:
    """A step counter: a whole number from 0 up to what 63 bits hold, also written ``3.0`` or ``"3"``."""
    if type(value) is str:
        text = value.strip()
        value = int(text) if _WHOLE.match(text) else _number_of_text(text)
        if isinstance(value, Bad):
            return value
    if type(value) is float:
        if not value.is_integer() or abs(value) > EXACT_FLOAT:
            return Bad.NON_FINITE if not math.isfinite(value) else Bad.UNUSABLE
        value = int(value)
    if type(value) is int:
        return value if 0 <= value <= MAX_STEP else Bad.UNUSABLE
    return Bad.MISSING if value is None else Bad.UNUSABLE


def parse_ts_ms(value: object, unit_ms: float | None) -> int | Bad:
    """Unix milliseconds from ISO 8601 text (no zone: UTC) or an epoch number.

    Args:
        value: what the record holds.
        unit_ms: milliseconds in one unit of an epoch number; ``None`` to tell seconds, milliseconds,
            microseconds and nanoseconds apart by magnitude.
    """
    if type(value) is str:
        text = value.strip()
        if text[4:5] == "-":
            return _ts_of_iso(text)
        if _WHOLE.match(text):
            value = int(text)
        elif _NUMERIC.match(text):
            value = float(text)
        else:
            return _ts_of_iso(text)
    if type(value) is int:
        if value < 0:
            return Bad.UNUSABLE
        ts_ms = _epoch_int_ms(value, unit_ms)
    elif type(value) is float:
        if not math.isfinite(value) or value < 0:
            return Bad.NON_FINITE if not math.isfinite(value) else Bad.UNUSABLE
        ts_ms = _epoch_float_ms(value, unit_ms)
    else:
        return Bad.MISSING if value is None else Bad.UNUSABLE
    return ts_ms if 0 <= ts_ms <= MAX_TS_MS else Bad.UNUSABLE


def parse_text(value: object, max_chars: int) -> str | Bad:
    """A short name, safe to print; a whole number is a name too (``"node": 3``)."""
    if type(value) is int:
        value = str(value) if abs(value) <= MAX_STEP else None
    if type(value) is not str:
        return Bad.MISSING if value is None else Bad.UNUSABLE
    text = clean_text(value, max_chars)
    return text or Bad.MISSING


def clean_text(text: str, max_chars: int) -> str:
    """``text`` without control, bidirectional and surrogate characters, trimmed and cut."""
    if text.isascii() and text.isprintable():
        return text.strip()[:max_chars]
    return _UNSAFE.sub("", text[: 4 * max_chars]).strip()[:max_chars]


def parse_list(value: object) -> Sequence[object] | Bad:
    """A JSON array, or the text of a flat one (how CSV carries it)."""
    if type(value) is list:
        return value
    if type(value) is str:
        text = value.strip()
        if text.lower() in _MISSING:
            return Bad.MISSING
        parsed = _decoded(text, "[")
        return parsed if type(parsed) is list else Bad.UNUSABLE
    return Bad.MISSING if value is None else Bad.UNUSABLE


def parse_mapping(value: object) -> dict[str, object] | Bad:
    """A JSON object, or the text of a flat one (how CSV carries it)."""
    if type(value) is dict:
        return value
    if type(value) is str:
        text = value.strip()
        if text.lower() in _MISSING:
            return Bad.MISSING
        parsed = _decoded(text, "{")
        return parsed if type(parsed) is dict else Bad.UNUSABLE
    return Bad.MISSING if value is None else Bad.UNUSABLE


def _decoded(text: str, opening: str) -> object:
    # Exactly one bracket: text inside a record has its own depth, which the check on the line cannot see.
    if text.count("[") + text.count("{") != 1 or not text.startswith(opening):
        return None
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        return _decoded_with_non_finite(text)


def _decoded_with_non_finite(text: str) -> object:
    import json  # noqa: PLC0415 - a rare path

    try:
        return json.loads(text, parse_int=_int_or_float)
    except ValueError:
        return None


def _int_or_float(text: str) -> int | float:
    return int(text) if len(text) <= len(str(MAX_STEP)) else float(text)


def _float_of(value: int) -> float | Bad:
    try:
        return float(value)
    except OverflowError:
        return Bad.NON_FINITE


def _number_of_text(text: str) -> float | Bad:
    if _NUMERIC.match(text):
        number = float(text)
        return number if math.isfinite(number) else Bad.NON_FINITE
    word = text.lower()
    if word in _NON_FINITE:
        return Bad.NON_FINITE
    return Bad.MISSING if word in _MISSING else Bad.UNUSABLE


def _ts_of_iso(text: str) -> int | Bad:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        word = text.lower()
        if word in _NON_FINITE:
            return Bad.NON_FINITE
        return Bad.MISSING if word in _MISSING else Bad.UNUSABLE
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    passed = moment - _EPOCH
    ts_ms = passed.days * 86_400_000 + passed.seconds * 1000 + passed.microseconds // 1000
    return ts_ms if 0 <= ts_ms <= MAX_TS_MS else Bad.UNUSABLE


def _epoch_int_ms(value: int, unit_ms: float | None) -> int:
    if value > MAX_STEP * 1000:
        return -1
    if unit_ms is not None:
        return round(value * unit_ms)
    if value < _SECONDS_BELOW:
        return value * 1000
    if value < _MILLIS_BELOW:
        return value
    return value // 1000 if value < _MICROS_BELOW else value // 1_000_000


def _epoch_float_ms(value: float, unit_ms: float | None) -> int:
    if value > MAX_STEP * 1000:
        return -1
    if unit_ms is not None:
        return round(value * unit_ms)
    if value < _SECONDS_BELOW:
        return round(value * 1000)
    if value < _MILLIS_BELOW:
        return round(value)
    return round(value / 1000) if value < _MICROS_BELOW else round(value / 1_000_000)
