"""Times of many records at once: the same answers as ``parse_ts_ms`` gives one by one."""

import re
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modekeeper.telemetry.batch import Integers
from modekeeper.telemetry.values import MAX_TS_MS, Bad, parse_ts_ms

__all__ = ["UNDECIDED", "iso_column", "iso_column_of", "number_column", "whole_column"]

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


def iso_column_of(joined: str, width: int, unit_ms: float | None) -> Integers:
    """As ``iso_column``, of texts of ``width`` characters each, without anything between them."""
    found = _layout_of(joined[:width])
    if found is None or not joined.isascii():
        texts = [joined[at : at + width] for at in range(0, len(joined), width)]
        return np.fromiter((_alone(text, unit_ms) for text in texts), np.int64, len(texts))
    ts_ms = _together(np.frombuffer(joined.encode(), np.uint8).reshape(-1, width).T, *found)
    for at in np.flatnonzero(ts_ms == UNDECIDED).tolist():
        ts_ms[at] = _alone(joined[at * width : (at + 1) * width], unit_ms)
    return ts_ms


def iso_column(lines: str, unit_ms: float | None) -> Integers:
    """Unix milliseconds of ISO 8601 texts, a text a line; ``UNDECIDED`` where a text is no time.

    Texts laid out as the first one is are read together; every other one by itself, also those that are a number,
    in ``unit_ms`` or in the unit told by magnitude.
    """
    width = lines.find("\n")
    found = _layout_of(lines[:width])
    if found is None or not lines.isascii():
        texts = lines.split("\n")[:-1]
        return np.fromiter((_alone(text, unit_ms) for text in texts), np.int64, len(texts))
    characters = np.frombuffer(lines.encode(), np.uint8)
    ends = np.flatnonzero(characters == ord("\n"))
    begins = np.concatenate(([0], ends[:-1] + 1))
    alike = ends - begins == width
    if not alike.all():
        characters = np.delete(characters, np.concatenate([np.arange(*x) for x in _spans(begins, ends, ~alike)]))
    ts_ms = np.full(len(ends), UNDECIDED)
    ts_ms[alike] = _together(characters.reshape(-1, width + 1)[:, :width].T, *found)
    for at in np.flatnonzero(ts_ms == UNDECIDED).tolist():
        ts_ms[at] = _alone(lines[begins[at] : ends[at]], unit_ms)
    return ts_ms


def _spans(begins: Integers, ends: Integers, chosen: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """From where to where the chosen texts go, their line feeds included."""
    return list(zip(begins[chosen].tolist(), (ends[chosen] + 1).tolist(), strict=True))


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


def _together(table: NDArray[np.uint8], first: NDArray[np.uint8], fraction: int, zone_ms: int) -> Integers:
    width = len(table)
    places = [*_DIGITS, *range(_FRACTION, _FRACTION + fraction)]
    others = [place for place in range(width) if place not in places]
    digits = table[places] - np.uint8(ord("0"))
    usable = (digits <= 9).all(axis=0) & (table[others] == first[others, np.newaxis]).all(axis=0)  # noqa: PLR2004
    wide = digits.astype(np.int32)
    hour, minute, second = _number(wide, 8, 10), _number(wide, 10, 12), _number(wide, 12, 14)
    shown = min(fraction, _MS_DIGITS)
    ms = _number(wide, 14, 14 + shown) * 10 ** (_MS_DIGITS - shown)
    usable &= (hour < 24) & (minute < 60) & (second < 60)  # noqa: PLR2004 - a day's
    day_ms = _days(wide[:8], usable) * _DAY_MS
    ts_ms = day_ms + ((hour * 60 + minute) * 60 + second) * 1000 + ms + zone_ms
    usable &= (day_ms != UNDECIDED * _DAY_MS) & (ts_ms >= 0) & (ts_ms <= MAX_TS_MS)
    return np.where(usable, ts_ms, UNDECIDED)


def _number(digits: NDArray[np.int32], start: int, stop: int) -> Any:
    number: Any = 0
    for place in range(start, stop):
        number = number * 10 + digits[place]
    return number


def _days(digits: NDArray[np.int32], usable: NDArray[np.bool_]) -> Integers:
    """Days since 1970 of dates written as yyyymmdd; ``UNDECIDED`` where there is no such day, or before 1970."""
    if (digits == digits[:, :1]).all():
        return np.full(digits.shape[1], _day(int(_number(digits, 0, 8)[0])), np.int64)
    written = _number(digits, 0, 8)
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
