"""Who is there: workers or GPUs, in their order, and for how long one that is silent is still waited for."""

import re
from collections.abc import Iterable, Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from modekeeper.model.block import FloatColumn
from modekeeper.telemetry.prometheus.tables import Entity
from modekeeper.telemetry.prometheus.windows import Window

__all__ = ["FORGET_MS", "Member", "Roll", "Roster", "RosterState", "natural_order"]

FORGET_MS = 300_000
"""A worker silent for five minutes has gone: so long does Prometheus itself look back for a value."""
_NEVER = -1
_LEAST_CELLS = 20
_DIGITS = re.compile(r"(\d+)")


class Member(msgspec.Struct, frozen=True, array_like=True):
    """One of a roster, and when it was last heard of."""

    entity: Entity
    last_ms: int


class RosterState(msgspec.Struct, frozen=True, kw_only=True):
    """A roster at rest."""

    members: tuple[Member, ...] = ()
    expected: int = 0
    missing: int = 0


class Roll(msgspec.Struct, frozen=True):
    """What a roster says of one window.

    Attributes:
        table: ``float64[points, width]``: the values of those known at each grid point in their order, ``NaN`` where
            one of them was silent and behind the last of them.
        present: ``bool[points]``: whether anybody said something.
        after: the roster after the window.
    """

    table: FloatColumn
    present: NDArray[np.bool_]
    after: RosterState


_Parts = tuple[tuple[int, str], ...]


def natural_order(entity: Entity) -> tuple[_Parts, _Parts, Entity]:
    """Sorts ``trainer-2`` before ``trainer-10``, and ranks of one pod by their number."""
    return _parts(entity[0]), _parts(entity[1]), entity


class Roster:
    """Remembers who was heard of within ``FORGET_MS``: who it is at a moment depends on nothing that came later."""

    def __init__(self) -> None:
        self.state = RosterState()

    def call(self, rows: Mapping[Entity, FloatColumn], window: Window) -> Roll:
        """Line up the values of one window; changes nothing.

        Args:
            rows: the values of each, ``float64[points]``, ``NaN`` where there is none.
            window: the grid points.
        """
        before = {member.entity: member.last_ms for member in self.state.members}
        entities = sorted({*before, *rows}, key=natural_order)
        times = window.start_ms + np.arange(window.points, dtype=np.int64) * window.step_ms
        silent = np.full(window.points, np.nan)
        values = np.array([rows.get(each, silent) for each in entities]).reshape(len(entities), window.points)
        heard = ~np.isnan(values)
        earlier = np.array([before.get(each, _NEVER) for each in entities], np.int64).reshape(-1, 1)
        last = np.maximum.accumulate(np.where(heard, times, earlier), axis=1)
        known = (last != _NEVER) & (times - last <= FORGET_MS)
        return Roll(
            _lined_up(values, known),
            heard.any(axis=0),
            RosterState(
                members=_members(entities, last[:, -1], int(times[-1])),
                expected=self.state.expected + int(np.count_nonzero(known)),
                missing=self.state.missing + int(np.count_nonzero(known & ~heard)),
            ),
        )

    @property
    def gappy(self) -> bool:
        """Whether a third or more of the values of those known is missing: what rare scrapes look like."""
        state = self.state
        return state.expected >= _LEAST_CELLS and state.missing * 3 >= state.expected


def _members(entities: Iterable[Entity], last: NDArray[np.int64], now_ms: int) -> tuple[Member, ...]:
    return tuple(
        Member(entity, int(last_ms))
        for entity, last_ms in zip(entities, last, strict=True)
        if last_ms != _NEVER and now_ms - last_ms <= FORGET_MS
    )


def _lined_up(values: FloatColumn, known: NDArray[np.bool_]) -> FloatColumn:
    if known.all():
        return np.ascontiguousarray(values.T)
    position = np.cumsum(known, axis=0) - 1
    width = int(known.sum(axis=0).max(initial=0))
    table = np.full((values.shape[1], width), np.nan)
    who, when = np.nonzero(known)
    table[when, position[who, when]] = values[who, when]
    return table


def _parts(text: str) -> _Parts:
    """Every second part is a number: its count of digits comes first, so that no number is too long to compare."""
    found = _DIGITS.split(text)
    found[1::2] = [digits.lstrip("0") for digits in found[1::2]]
    return tuple((len(part) if index % 2 else 0, part) for index, part in enumerate(found))
