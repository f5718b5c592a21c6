"""Fields of objects from outside: what is not of the expected type is not there."""

from collections.abc import Iterable, Iterator
from typing import Any

from modekeeper.model.cluster import JsonObject
from modekeeper.model.untrusted import visible

__all__ = [
    "at",
    "flag_at",
    "items_at",
    "labels_of",
    "mapping_at",
    "names_of",
    "said",
    "text_at",
    "texts_at",
    "whole_at",
]

_LONGEST_SAID = 120


def at(found: Any, *path: str | int) -> Any:
    """The value at ``path``; ``None`` where the way there ends."""
    for step in path:
        if isinstance(step, int):
            found = found[step] if isinstance(found, list) and 0 <= step < len(found) else None
        else:
            found = found.get(step) if isinstance(found, dict) else None
    return found


def mapping_at(found: Any, *path: str | int) -> JsonObject:
    """The object at ``path``, or an empty one."""
    value = at(found, *path)
    return value if isinstance(value, dict) else {}


def items_at(found: Any, *path: str | int) -> Iterator[JsonObject]:
    """The objects of the list at ``path``."""
    value = at(found, *path)
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())


def text_at(found: Any, *path: str | int) -> str | None:
    """The text at ``path``."""
    value = at(found, *path)
    return value if isinstance(value, str) else None


def whole_at(found: Any, *path: str | int) -> int | None:
    """The whole number at ``path``."""
    value = at(found, *path)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def flag_at(found: Any, *path: str | int) -> bool:
    """Whether ``true`` is at ``path``."""
    return at(found, *path) is True


def texts_at(found: Any, *path: str | int) -> dict[str, str]:
    """The texts of the object at ``path``: labels, annotations."""
    return {key: value for key, value in mapping_at(found, *path).items() if isinstance(value, str)}


def labels_of(found: Any) -> dict[str, str]:
    """The labels of an object."""
    return texts_at(found, "metadata", "labels")


def names_of(found: Iterable[JsonObject]) -> tuple[str, ...]:
    """The names of objects, sorted."""
    return tuple(sorted(name for item in found if (name := text_at(item, "metadata", "name"))))


def said(text: str | None) -> str:
    """A text of the cluster inside a sentence: quoted, escaped, cut."""
    return repr(visible(text or "", _LONGEST_SAID))
