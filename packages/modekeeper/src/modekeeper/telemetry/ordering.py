"""From records as they arrive to records in order: repeated ones out, clocks repaired, time never going back."""

import math
from collections import deque
from operator import attrgetter
from typing import Any

import msgspec

from modekeeper.model.ingest import DropReason
from modekeeper.model.sample import METRIC_COLUMNS
from modekeeper.telemetry.arrivals import Arrival, Outcome
from modekeeper.telemetry.clock_repair import ClockRepair, ClockState
from modekeeper.telemetry.limits import IngestLimits
from modekeeper.telemetry.window import ReorderWindow, WindowState

__all__ = ["Orderer", "OrdererState"]

_values_of = attrgetter(*METRIC_COLUMNS, "worker_groups", "phase")

Key = tuple[Any, ...]


class OrdererState(msgspec.Struct, frozen=True, array_like=True):
    """An orderer at rest."""

    window: WindowState
    clock: ClockState
    seen: list[tuple[int, list[bytes]]]


class Orderer:
    """The ordering stage. Pure: what comes out depends on what was pushed, in which order, and on nothing else."""

    def __init__(self, limits: IngestLimits) -> None:
        self._window = ReorderWindow(limits)
        self._clock = ClockRepair(limits, self._window)
        self._remembered = limits.duplicate_records
        self._latest: deque[tuple[int, tuple[Key, ...]]] = deque()
        self._seen: set[Key] = set()
        self._plain: list[Arrival] = []
        self._top_step = -1
        self._looked_up = 0

    def push(self, arrival: Arrival) -> list[Outcome]:
        """Take one record; everything decided by it, in order. Each record is in exactly one outcome."""
        out: list[Outcome] = []
        step = arrival.sample.step
        if step is not None and step > self._top_step:
            # A step beyond all that are remembered repeats none: no need to look it up.
            self._clock.push(arrival, out)
            if not _refused(arrival, out):
                self._top_step = step
                self._plain.append(arrival)
                if len(self._plain) >= 2 * self._remembered:
                    del self._plain[: -self._remembered]
            return out
        self._catch_up()
        keys = _identities(arrival)
        if not self._seen.isdisjoint(keys):
            return [(arrival, DropReason.DUPLICATE)]
        self._clock.push(arrival, out)
        if not _refused(arrival, out):
            self._remember(step, keys)
        return out

    def flush(self) -> list[Outcome]:
        """Decide about everything that waits: the input is over."""
        out: list[Outcome] = []
        self._clock.flush(out)
        self._window.flush(out)
        return out

    def state(self) -> OrdererState:
        """Everything needed to go on elsewhere."""
        self._catch_up()
        seen = [(step, [msgspec.msgpack.encode(key) for key in keys]) for step, keys in self._latest]
        return OrdererState(self._window.state(), self._clock.state(), seen)

    def restore(self, state: OrdererState) -> None:
        """Go on from ``state``.

        Raises:
            msgspec.DecodeError: it is damaged.
        """
        self._window.restore(state.window)
        self._clock.restore(state.clock)
        self._latest.clear()
        self._seen.clear()
        self._plain.clear()
        self._top_step = -1
        for step, encoded in state.seen:
            self._remember(None if step < 0 else step, tuple(_hashable(msgspec.msgpack.decode(key)) for key in encoded))

    def _catch_up(self) -> None:
        """Look at the records that were taken without being looked up."""
        for arrival in self._plain[-self._remembered :]:
            self._remember(arrival.sample.step, _identities(arrival))
        self._plain.clear()
        self._looked_up += 1
        if self._looked_up >= self._remembered:
            # After a restart of the job from an earlier step, the old top is soon forgotten.
            self._looked_up = 0
            self._top_step = max((step for step, _ in self._latest), default=-1)

    def _remember(self, step: int | None, keys: tuple[Key, ...]) -> None:
        if step is not None and step > self._top_step:
            self._top_step = step
        self._latest.append((-1 if step is None else step, keys))
        self._seen.update(keys)
        if len(self._latest) > self._remembered:
            self._seen.difference_update(self._latest.popleft()[1])


def _refused(arrival: Arrival, out: list[Outcome]) -> bool:
    """Whether a record was dropped on the spot: late data in bulk must not push out the memory of the others."""
    return bool(out) and out[-1][1] is not None and out[-1][0].line == arrival.line


def _identities(arrival: Arrival) -> tuple[Key, ...]:
    """What makes two records the same one.

    With a step: the same time, step, machine, worker and step time; or, whatever the time, the same step with the
    same values. Without a step only a record that is the same in everything.
    """
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


def _hashable(value: Any) -> Any:
    return tuple(_hashable(item) for item in value) if isinstance(value, list) else value
