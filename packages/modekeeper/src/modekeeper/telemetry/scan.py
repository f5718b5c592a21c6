"""Bytes looked for in a text: a part of it at a time, so that what is looked at stays in the cache of a core."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["count_of", "places_of"]

_PART_BYTES = 1 << 16


def places_of(byte: str, text: bytes) -> NDArray[np.int64]:
    """``int64[n]``: where ``byte`` stands."""
    found = [np.flatnonzero(part == ord(byte)) + at for at, part in _parts(text)]
    return np.concatenate(found) if found else np.empty(0, np.int64)


def count_of(byte: str, text: bytes) -> int:
    """How often ``byte`` occurs. Faster than ``bytes.count`` where it is not rare."""
    return sum(int(np.count_nonzero(part == ord(byte))) for _, part in _parts(text))


def _parts(text: bytes) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    view = np.frombuffer(text, np.uint8)
    for at in range(0, len(text), _PART_BYTES):
        yield at, view[at : at + _PART_BYTES]
