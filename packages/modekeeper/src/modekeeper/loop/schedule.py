"""When the iterations of ``watch`` begin: at fixed distances from the first one, whatever they take."""

import math

import msgspec

__all__ = ["Slot", "next_slot"]


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """The beginning of the next iteration."""

    number: int
    """How many intervals after the first iteration it begins."""
    wait_s: float
    skipped: int
    """Intervals that were over before the iteration before them was done."""


def next_slot(last: int, interval_s: float, elapsed_s: float) -> Slot:
    """The next beginning after slot number ``last``, ``elapsed_s`` after the first iteration began.

    Beginnings lie at whole multiples of ``interval_s``, so an iteration that takes a while moves none of the
    later ones; one that takes longer than an interval skips the beginnings it covers.
    """
    if interval_s <= 0:
        return Slot(number=last + 1, wait_s=0.0, skipped=0)
    number = max(last + 1, math.ceil(elapsed_s / interval_s - 1e-9))
    return Slot(number=number, wait_s=max(0.0, number * interval_s - elapsed_s), skipped=number - last - 1)
