"""Times of many records at once: the same answers as ``parse_ts_ms`` gives one by one."""

import re
from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modekeeper.telemetry.batch import Integers
from modekeeper.telemetry.values import MAX_TS_MS, Bad, parse_ts_ms

__all__ = ["UNDECIDED", "iso_column", "number_column", "whole_column"]

UNDECIDED = -1
"""A time that needs a look at its own record."""

_LAYOUT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,]([0-9]{1,9}))?(?:Z|[+-][0-9]{2}:[0-9]{2})?\Z"
)
_DIGITS = (0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18)
_FRACTION = 20
_MS_DIGITS = 3
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_DAY_MS = 86_400_000
_SECONDS_BELOW, _MILLIS_BELOW, _MICROS_BELOW = 10**11, 10**14, 10**17


def iso_column(texts: Sequence[str], unit_ms: float | None) -> Integers:
    """Unix milliseconds of ISO 8601 texts; ``UNDECIDED`` where a text is no time.

    Texts laid out as the first one is are read together; every other one by itself, also those that are a number,
    in ``unit_ms`` or in the unit told by magnitude.
    """
    found = _layout_of(texts[0]) if texts else None
    if found is None:
        return np.fromiter((_alone(text, unit_ms) for text in texts), np.int64, len(texts))
    width = len(texts[0])
    joined = "".join(texts)
    if len(joined) == width * len(texts) and joined.isascii() and set(map(len, texts)) == {width}:
        return _patched(_together(joined, width, *found), texts, unit_ms)
    alike = [text if len(text) == width and text.isascii() else texts[0] for text in texts]
    ts_ms = _together("".join(alike), width, *found)
    different = [len(text) != width or not text.isascii() for text in texts]
    ts_ms[np.array(different)] = UNDECIDED
    return _patched(ts_ms, texts, unit_ms)


def whole_column(values: Integers, unit_ms: float | None) -> Integers:
    """Unix milliseconds of whole numbers; the unit is told by magnitude where none is given."""
    if unit_ms is None:
        values = np.select(
            [values < 0, values < _SECONDS_BELOW, values < _MILLIS_BELOW, values < _MICROS_BELOW],
            [UNDECIDED, values * 1000, values, values // 1000],
            values // 1_000_000,
        )
    return np.where((values >= 0) & (values <= MAX_TS_MS), values, UNDECIDED)


def number_column(values: NDArray[np.float64], unit_ms: float | None) -> Integers:
    """Unix milliseconds of numbers with or without a fraction.

    ``UNDECIDED`` beyond 10^14, where a whole number written without a fraction is divided otherwise.
    """
    if unit_ms is None:
        unit_ms_each = np.where(values < _SECONDS_BELOW, 1000.0, 1.0)
        usable = (values >= 0) & (values < _MILLIS_BELOW)
    else:
        unit_ms_each = np.full(len(values), unit_ms)
        usable = (values >= 0) & (values <= MAX_TS_MS)
    ts_ms = np.rint(np.where(usable, values * unit_ms_each, UNDECIDED)).astype(np.int64)
    return np.where(ts_ms <= MAX_TS_MS, ts_ms, UNDECIDED)


def _alone(text: str, unit_ms: float | None) -> int:
    ts_ms = parse_ts_ms(text, unit_ms)
    return UNDECIDED if isinstance(ts_ms, Bad) else ts_ms


def _patched(ts_ms: Integers, texts: Sequence[str], unit_ms: float | None) -> Integers:
    for index in np.flatnonzero(ts_ms == UNDECIDED).tolist():
        ts_ms[index] = _alone(texts[index], unit_ms)
    return ts_ms


def _layout_of(text: str) -> tuple[NDArray[np.uint8], int, int] | None:
    """The bytes of ``text``, its digits after the point, and the distance of its zone; ``None`` for other layouts."""
    match = _LAYOUT.match(text) if text.isascii() else None
    if match is None or _alone(text, None) == UNDECIDED:
        return None
    fraction = len(match[1] or "")
    suffix = text[19 + fraction + bool(fraction) :]
    shifted = parse_ts_ms(f"2000-01-01T00:00:00{suffix}", None)
    plain = parse_ts_ms("2000-01-01T00:00:00", None)
    if isinstance(shifted, Bad) or isinstance(plain, Bad):
        return None
    return np.frombuffer(text.encode(), np.uint8), fraction, shifted - plain


def _together(joined: str, width: int, first: NDArray[np.uint8], fraction: int, zone_ms: int) -> Integers:
    table = np.frombuffer(joined.encode(), np.uint8).reshape(-1, width).T
    places = [*_DIGITS, *range(_FRACTION, _FRACTION + fraction)]
    others = [place for place in range(width) if place not in places]
    digits = table[places] - np.uint8(ord("0"))
    usable = (digits <= 9).all(axis=0) & (table[others] == first[others, np.newaxis]).all(axis=0)  # noqa: PLR2004
    wide = digits.astype(np.int32)
    day = _number(wide, 0, 8)
    hour, minute, second = _number(wide, 8, 10), _number(wide, 10, 12), _number(wide, 12, 14)
    shown = min(fraction, _MS_DIGITS)
    ms = _number(wide, 14, 14 + shown) * 10 ** (_MS_DIGITS - shown)
    usable &= (hour < 24) & (minute < 60) & (second < 60)  # noqa: PLR2004 - a day's
    day_ms = _days(day, usable) * _DAY_MS
    ts_ms = day_ms + ((hour * 60 + minute) * 60 + second) * 1000 + ms + zone_ms
    usable &= (day_ms != UNDECIDED * _DAY_MS) & (ts_ms >= 0) & (ts_ms <= MAX_TS_MS)
    return np.where(usable, ts_ms, UNDECIDED)


def _number(digits: NDArray[np.int32], start: int, stop: int) -> Any:
    number: Any = 0
    for place in range(start, stop):
        number = number * 10 + digits[place]
    return number


def _days(written: NDArray[np.int32], usable: NDArray[np.bool_]) -> Integers:
    """Days since 1970 of dates written as yyyymmdd; ``UNDECIDED`` where there is no such day, or before 1970."""
    first = int(written[0])
    if (written == first).all():
        return np.full(len(written), _day(first), np.int64)
    days = np.full(len(written), UNDECIDED, np.int64)
    for number in np.unique(written[usable]).tolist():
        days[written == number] = _day(number)
    return days


def _day(number: int) -> int:
    try:
        day = date(number // 10_000, number // 100 % 100, number % 100)
    except ValueError:
        return UNDECIDED
    return max(UNDECIDED, day.toordinal() - _EPOCH_DAY)
