"""Labels in rows: none overlaps another."""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["PlacedLabel", "placed"]


@dataclass(frozen=True, slots=True)
class PlacedLabel:
    """Where one label goes: its left end, and its row, from 0."""

    number: int
    left: float
    row: int


def placed(lefts: Sequence[float], widths: Sequence[float], rows: int, gap: float) -> tuple[PlacedLabel, ...]:
    """The lowest free row for each label, in the given order; a label that fits in no row is left out.

    Args:
        lefts: left end of each label.
        widths: its width, in the same unit.
        rows: how many rows there are.
        gap: smallest distance of two labels in a row.
    """
    taken: list[list[tuple[float, float]]] = [[] for _ in range(rows)]
    result = []
    for number, (left, width) in enumerate(zip(lefts, widths, strict=True)):
        right = left + width
        for row, others in enumerate(taken):
            if all(right + gap <= start or stop + gap <= left for start, stop in others):
                others.append((left, right))
                result.append(PlacedLabel(number, left, row))
                break
    return tuple(result)
