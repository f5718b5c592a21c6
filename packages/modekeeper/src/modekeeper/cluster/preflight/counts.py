"""Numbers of whole things, as the API writes quantities."""

from typing import Any

from modekeeper.model.json_fields import at

__all__ = ["count_at"]

_THOUSANDS = {"k": 1_000, "M": 1_000_000}
_MOST_DIGITS = 12


def count_at(found: Any, *path: str) -> int:
    """The number under ``path`` (``8``, ``"8"``, ``"1k"``); 0 where there is none."""
    value = at(found, *path)
    if isinstance(value, bool):
        return 0
    if isinstance(value, int):
        return max(0, value)
    if not isinstance(value, str) or len(value) > _MOST_DIGITS:
        return 0
    digits, factor = (value[:-1], _THOUSANDS[value[-1]]) if value[-1:] in _THOUSANDS else (value, 1)
    return int(digits) * factor if digits.isascii() and digits.isdecimal() else 0
