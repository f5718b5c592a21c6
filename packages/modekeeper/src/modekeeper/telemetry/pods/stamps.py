"""The node's time in front of a line of a container log."""

import re
from datetime import UTC, datetime, timedelta

__all__ = ["since_of", "split_stamp", "stamp_of", "text_behind_stamp"]

_STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)(?: |\Z)")
_NS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_REMEMBERED = 1024
_seconds: dict[tuple[bytes, bytes], int] = {}


def split_stamp(line: bytes) -> tuple[int, bytes] | None:
    """Nanoseconds since 1970 and the rest of the line; ``None`` where no time is in front of it."""
    ns = stamp_of(line)
    return None if ns is None else (ns, text_behind_stamp(line))


def stamp_of(line: bytes) -> int | None:
    """Nanoseconds since 1970; ``None`` where no time is in front of a line."""
    found = _STAMP.match(line)
    if found is None:
        return None
    whole, fraction, zone = found.groups()
    seconds = _seconds.get((whole, zone))
    if seconds is None:
        try:
            text = whole.decode() + ("+00:00" if zone == b"Z" else zone.decode())
            seconds = (datetime.fromisoformat(text) - _EPOCH) // timedelta(seconds=1)
        except (ValueError, OverflowError):
            return None
        if seconds < 0:
            return None
        if len(_seconds) >= _REMEMBERED:
            _seconds.clear()
        _seconds[whole, zone] = seconds
    nanoseconds = int(fraction.ljust(9, b"0")) if fraction else 0
    return seconds * _NS + nanoseconds


def text_behind_stamp(line: bytes) -> bytes:
    """What the container wrote in a line that has a time: no time has a space in it."""
    return line.partition(b" ")[2]


def since_of(ns: int, margin_s: int) -> str:
    """RFC 3339 in whole seconds, at least ``margin_s`` before a moment, as ``sinceTime`` takes it."""
    moment = _EPOCH + timedelta(seconds=max(0, ns // _NS - margin_s))
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
