"""The reorder window: records leave in the order of their time, or not at all."""

import bisect

import msgspec

from modekeeper.model.ingest import DropReason, RepairReason
from modekeeper.telemetry.arrivals import Arrival, Outcome, moved_to
from modekeeper.telemetry.limits import IngestLimits

__all__ = ["ReorderWindow", "Waiting", "WindowState"]


class Waiting(msgspec.Struct, array_like=True, gc=False):
    """One record in the window. Sorted by time, then step, then order of arrival."""

    ts_ms: int
    step: int
    arrived: int
    arrival: Arrival


class WindowState(msgspec.Struct, frozen=True, array_like=True):
    """A window at rest."""

    waiting: list[Waiting]
    arrived: int
    floor_ms: int | None


class ReorderWindow:
    """Holds back the latest records until no earlier one is to be expected.

    A record leaves when more than ``reorder_records`` wait, or when the newest one is ``reorder_lateness_s`` of
    telemetry time ahead. What comes after its place has been given away is dropped as ``out_of_order``.
    """

    def __init__(self, limits: IngestLimits) -> None:
        self._most = limits.reorder_records
        self._lateness_ms = round(limits.reorder_lateness_s * 1000)
        self._waiting: list[Waiting] = []
        self._arrived = 0
        self.floor_ms: int | None = None
        """Time of the last record that left; nothing earlier can be taken any more."""

    def push(self, arrival: Arrival, out: list[Outcome]) -> None:
        """Take one record in; what may leave, leaves through ``out``."""
        waiting = self._waiting
        sample = arrival.sample
        ts_ms = sample.ts_ms
        if self.floor_ms is not None and ts_ms < self.floor_ms:
            out.append((arrival, DropReason.OUT_OF_ORDER))
            return
        step = sample.step
        if not waiting:
            waiting.append(Waiting(ts_ms, -1 if step is None else step, self._arrived, arrival))
        else:
            last = waiting[-1]
            if step is None:
                # Without a step a record keeps its place among those of the same time.
                step = last.step if ts_ms == last.ts_ms else -1
            entry = Waiting(ts_ms, step, self._arrived, arrival)
            if ts_ms > last.ts_ms or (ts_ms == last.ts_ms and step >= last.step):
                waiting.append(entry)
            else:
                entry.arrival = moved_to(arrival, ts_ms, RepairReason.REORDERED)
                bisect.insort(waiting, entry, key=_place)
        self._arrived += 1
        latest_to_leave = waiting[-1].ts_ms - self._lateness_ms
        while waiting and (len(waiting) > self._most or waiting[0].ts_ms <= latest_to_leave):
            self._release(waiting.pop(0), out)

    def flush(self, out: list[Outcome]) -> None:
        """Let everything leave: the input is over."""
        for entry in self._waiting:
            self._release(entry, out)
        self._waiting = []

    def state(self) -> WindowState:
        """Everything needed to go on elsewhere."""
        return WindowState(list(self._waiting), self._arrived, self.floor_ms)

    def restore(self, state: WindowState) -> None:
        """Go on from ``state``."""
        self._waiting = sorted(state.waiting, key=_place)
        self._arrived = state.arrived
        self.floor_ms = state.floor_ms

    def _release(self, entry: Waiting, out: list[Outcome]) -> None:
        self.floor_ms = entry.ts_ms
        out.append((entry.arrival, None))


def _place(entry: Waiting) -> tuple[int, int, int]:
    return entry.ts_ms, entry.step, entry.arrived
