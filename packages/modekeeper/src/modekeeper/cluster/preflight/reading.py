"""Fields of an object that the cluster sent. Every shape is possible: what is not as expected is not there."""

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["count_at", "mapping_at", "objects_at", "text_at", "texts_at", "value_at"]

_THOUSANDS = {"k": 1_000, "M": 1_000_000}
_MOST_DIGITS = 12


def value_at(value: Any, *path: str) -> Any:
    """What lies under ``path``; ``None`` where the way there is no way of objects."""
    for key in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def mapping_at(value: Any, *path: str) -> Mapping[str, Any]:
    """The object under ``path``; an empty one where there is none."""
    found = value_at(value, *path)
    return found if isinstance(found, Mapping) else {}


def text_at(value: Any, *path: str) -> str | None:
    """The text under ``path``; ``None`` where there is none, or an empty one."""
    found = value_at(value, *path)
    return found if isinstance(found, str) and found else None


def objects_at(value: Any, *path: str) -> Iterator[Mapping[str, Any]]:
    """The objects in the list under ``path``."""
    found = value_at(value, *path)
    if isinstance(found, list):
        yield from (item for item in found if isinstance(item, Mapping))


def texts_at(value: Any, *path: str) -> dict[str, str]:
    """The labels or annotations under ``path``."""
    return {key: text for key, text in mapping_at(value, *path).items() if isinstance(text, str)}


def count_at(value: Any, *path: str) -> int:
    """A number of whole things, as quantities write it (``8``, ``"8"``, ``"1k"``); 0 where there is none."""
    found = value_at(value, *path)
    if isinstance(found, bool):
        return 0
    if isinstance(found, int):
        return max(0, found)
    if not isinstance(found, str) or len(found) > _MOST_DIGITS:
        return 0
    digits, factor = (found[:-1], _THOUSANDS[found[-1]]) if found[-1:] in _THOUSANDS else (found, 1)
    return int(digits) * factor if digits.isascii() and digits.isdecimal() else 0
