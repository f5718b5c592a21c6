"""The latest records, remembered to recognise a repeated one."""

import math
from collections import deque
from collections.abc import Iterator
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np

from modekeeper.model.sample import METRIC_COLUMNS
from modekeeper.telemetry.arrivals import Arrival
from modekeeper.telemetry.batch import RecordBatch, Stretch

__all__ = ["RecentRecords", "Seen"]

_values_of = attrgetter(*METRIC_COLUMNS, "worker_groups", "phase")
_NOTHING = -1

Key = tuple[Any, ...]
Keyed = tuple[int, int, tuple[Key, ...]]
"""Step and time of a record (``-1`` for the one that does not count), and what makes another one the same."""
Seen = list[tuple[int, list[bytes]]]
"""What is remembered, at rest: step and keys of each record."""


class RecentRecords:
    """The last ``remembered`` records.

    With a step, two records are the same if time, step, machine, worker and step time are; or, whatever the time, if
    the step and all values are. Without a step only a record that is the same in everything is. So a record whose
    step lies beyond those of all that are remembered repeats none of them; nor does one without a step whose time
    does. Most are of that kind, and what makes them the same as another is worked out only when somebody asks.
    """

    def __init__(self, remembered: int) -> None:
        self._most = remembered
        self._looked_at: deque[Keyed | Stretch] = deque()
        self._held = 0
        self._keys: set[Key] = set()
        self._plain: deque[Arrival | Stretch] = deque()
        self._plain_held = 0
        self._asked = 0
        self.top_step = _NOTHING
        """No remembered record has a higher step."""
        self.top_ts_ms = _NOTHING
        """No remembered record without a step is later."""

    def is_beyond(self, step: int | None, ts_ms: int) -> bool:
        """Whether a record cannot repeat any."""
        return step > self.top_step if step is not None else ts_ms > self.top_ts_ms

    def repeats(self, arrival: Arrival, keys: tuple[Key, ...]) -> bool:
        """Whether a record is one of those remembered. ``keys`` are its ``identities``."""
        self._catch_up()
        if not self._keys.isdisjoint(keys):
            return True
        step = arrival.sample.step
        for piece in self._looked_at:
            if isinstance(piece, Stretch):
                for index in _candidates(piece, step, arrival.sample.ts_ms):
                    if not set(keys).isdisjoint(identities(piece.batch.arrival(index))):
                        return True
        return False

    def remember_beyond(self, arrival: Arrival) -> None:
        """Remember a record that lies beyond all of them."""
        self._rise(arrival.sample.step, arrival.sample.ts_ms)
        self._plain.append(arrival)
        self._plain_held += 1
        self._trim()

    def remember_stretch(self, batch: RecordBatch, start: int, stop: int) -> None:
        """Remember records each of which lies beyond all of them and beyond those before it."""
        self.top_step = max(self.top_step, int(batch.step[start:stop].max()))
        without = np.flatnonzero(batch.step[start:stop] < 0)
        if without.size:
            self.top_ts_ms = max(self.top_ts_ms, int(batch.ts_ms[start + without[-1]]))
        start = max(start, stop - self._most)
        if start < stop:
            self._plain.append(Stretch(batch, start, stop))
            self._plain_held += stop - start
            self._trim()

    def remember(self, arrival: Arrival, keys: tuple[Key, ...]) -> None:
        """Remember any record. ``keys`` are its ``identities``."""
        self._rise(arrival.sample.step, arrival.sample.ts_ms)
        self._keep(_keyed(arrival, keys))

    def state(self) -> Seen:
        """Everything needed to go on elsewhere."""
        self._catch_up()
        return [(step, [msgspec.msgpack.encode(key) for key in keys]) for step, _, keys in self._each()]

    def restore(self, seen: Seen) -> None:
        """Go on from a ``state``.

        Raises:
            msgspec.DecodeError: it is damaged.
        """
        for held in (self._looked_at, self._keys, self._plain):
            held.clear()
        self._held = self._plain_held = self._asked = 0
        self.top_step = self.top_ts_ms = _NOTHING
        for step, encoded in seen:
            keys = tuple(_hashable(msgspec.msgpack.decode(key)) for key in encoded)
            # Without a step the time comes first in the only key.
            ts_ms = max((int(key[0]) for key in keys if step < 0), default=_NOTHING)
            self._rise(None if step < 0 else step, ts_ms)
            self._keep((step, ts_ms, keys))

    def _rise(self, step: int | None, ts_ms: int) -> None:
        if step is None:
            self.top_ts_ms = max(self.top_ts_ms, ts_ms)
        else:
            self.top_step = max(self.top_step, step)

    def _trim(self) -> None:
        """Forget plain records that so many newer ones have followed."""
        while self._plain_held - _size(self._plain[0]) >= self._most:
            self._plain_held -= _size(self._plain.popleft())

    def _catch_up(self) -> None:
        """Take in the records that were not looked at."""
        for piece in self._plain:
            self._keep(piece if isinstance(piece, Stretch) else _keyed(piece, identities(piece)))
        self._plain.clear()
        self._plain_held = 0
        self._asked += 1
        if self._asked >= self._most:
            # After a restart of the job from an earlier step, the old top is soon forgotten.
            self._asked = 0
            self.top_step = max((_top_step(piece) for piece in self._looked_at), default=_NOTHING)

    def _keep(self, piece: Keyed | Stretch) -> None:
        self._looked_at.append(piece)
        self._held += _size(piece)
        if not isinstance(piece, Stretch):
            self._keys.update(piece[2])
        while self._held > self._most:
            first = self._looked_at[0]
            if isinstance(first, Stretch) and first.stop - first.start > self._held - self._most:
                self._looked_at[0] = Stretch(first.batch, first.start + self._held - self._most, first.stop)
                self._held = self._most
                return
            self._looked_at.popleft()
            self._held -= _size(first)
            if not isinstance(first, Stretch):
                self._keys.difference_update(first[2])

    def _each(self) -> Iterator[Keyed]:
        for piece in self._looked_at:
            if isinstance(piece, Stretch):
                for index in range(piece.start, piece.stop):
                    arrival = piece.batch.arrival(index)
                    yield _keyed(arrival, identities(arrival))
            else:
                yield piece


def identities(arrival: Arrival) -> tuple[Key, ...]:
    """What makes two records the same one: any key in common."""
    sample = arrival.sample
    latencies = sample.worker_latencies_ms
    workers: tuple[float | None, ...] | None = latencies
    if latencies is not None and math.isnan(sum(latencies)):
        # A silent worker is NaN, and NaN is not equal to itself.
        workers = tuple(None if math.isnan(latency) else latency for latency in latencies)
    who = (sample.step, sample.node, arrival.rank)
    everything = (*who, workers, *_values_of(sample))
    if sample.step is None:
        return ((sample.ts_ms, *everything, *(sample.knobs or {}).items()),)
    if sample.step_time_ms is None:
        return (everything,)
    return (everything, (sample.ts_ms, *who, sample.step_time_ms))


def _keyed(arrival: Arrival, keys: tuple[Key, ...]) -> Keyed:
    step = arrival.sample.step
    return (_NOTHING, arrival.sample.ts_ms, keys) if step is None else (step, _NOTHING, keys)


def _size(piece: Keyed | Arrival | Stretch) -> int:
    return piece.stop - piece.start if isinstance(piece, Stretch) else 1


def _top_step(piece: Keyed | Stretch) -> int:
    return int(piece.batch.step[piece.start : piece.stop].max()) if isinstance(piece, Stretch) else piece[0]


def _candidates(piece: Stretch, step: int | None, ts_ms: int) -> list[int]:
    """Records of a stretch that may be the same as one of that step, or without a step of that time."""
    steps = piece.batch.step[piece.start : piece.stop]
    same = steps == step if step is not None else (steps < 0) & (piece.batch.ts_ms[piece.start : piece.stop] == ts_ms)
    found: list[int] = (np.flatnonzero(same) + piece.start).tolist()
    return found


def _hashable(value: Any) -> Any:
    return tuple(_hashable(item) for item in value) if isinstance(value, list) else value
