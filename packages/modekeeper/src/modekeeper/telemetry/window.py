"""The reorder window: records leave in the order of their time, or not at all."""

import bisect

import msgspec
import numpy as np

from modekeeper.model.ingest import DropReason, RepairReason
from modekeeper.telemetry.arrivals import Arrival, moved_to
from modekeeper.telemetry.batch import RecordBatch, Row, Stretch
from modekeeper.telemetry.limits import IngestLimits

__all__ = ["Outcome", "ReorderWindow", "Waiting", "WindowState"]

Outcome = tuple[Arrival | Row, DropReason | None]
"""The end of one record's way: accepted in its place, or dropped for a reason."""

Waiting = tuple[int, int, int, Arrival | Row]
"""One record in the window: time, step, number of arrival, by which it is sorted; and the record."""


class WindowState(msgspec.Struct, frozen=True, array_like=True):
    """A window at rest."""

    waiting: list[tuple[int, int, int, Arrival]]
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
            waiting.append((ts_ms, -1 if step is None else step, self._arrived, arrival))
        else:
            last_ms, last_step, _, _ = waiting[-1]
            if step is None:
                # Without a step a record keeps its place among those of the same time.
                step = last_step if ts_ms == last_ms else -1
            if ts_ms > last_ms or (ts_ms == last_ms and step >= last_step):
                waiting.append((ts_ms, step, self._arrived, arrival))
            else:
                moved = moved_to(arrival, ts_ms, RepairReason.REORDERED)
                bisect.insort(waiting, (ts_ms, step, self._arrived, moved), key=_place)
        self._arrived += 1
        latest_to_leave = waiting[-1][0] - self._lateness_ms
        while waiting and (len(waiting) > self._most or waiting[0][0] <= latest_to_leave):
            self.floor_ms, _, _, released = waiting.pop(0)
            out.append((released, None))

    def goes_last(self, ts_ms: int, step: int) -> bool:
        """Whether a record would simply go behind all that wait. Without a step (``-1``) only a later one does."""
        if self.floor_ms is not None and ts_ms < self.floor_ms:
            return False
        if not self._waiting:
            return True
        last_ms, last_step, _, _ = self._waiting[-1]
        return ts_ms > last_ms or (ts_ms == last_ms and step >= max(last_step, 0))

    def pass_through(self, batch: RecordBatch, start: int, stop: int, out: list[Outcome | Stretch]) -> None:
        """Take in a run of records each of which goes behind all before; what may leave, leaves through ``out``."""
        ts_ms = batch.ts_ms[start:stop]
        latest_to_leave = int(ts_ms[-1]) - self._lateness_ms
        leaving = max(int(np.searchsorted(ts_ms, latest_to_leave, side="right")), stop - start - self._most)
        keep = max(0, self._most - (stop - start)) if leaving <= 0 else 0
        waiting = self._waiting
        while waiting and (len(waiting) > keep or waiting[0][0] <= latest_to_leave):
            self.floor_ms, _, _, released = waiting.pop(0)
            out.append((released, None))
        leaving = max(0, leaving)
        if leaving:
            self.floor_ms = int(ts_ms[leaving - 1])
            out.append(Stretch(batch, start, start + leaving))
        steps = batch.step[start + leaving : stop].tolist()
        for at, (waits_ms, step) in enumerate(zip(ts_ms[leaving:].tolist(), steps, strict=True), leaving):
            waiting.append((waits_ms, step, self._arrived + at, Row(batch, start + at)))
        self._arrived += stop - start

    def flush(self, out: list[Outcome]) -> None:
        """Let everything leave: the input is over."""
        for ts_ms, _, _, released in self._waiting:
            self.floor_ms = ts_ms
            out.append((released, None))
        self._waiting = []

    def state(self) -> WindowState:
        """Everything needed to go on elsewhere."""
        waiting = [
            (ts_ms, step, arrived, record.batch.arrival(record.place) if isinstance(record, Row) else record)
            for ts_ms, step, arrived, record in self._waiting
        ]
        return WindowState(waiting, self._arrived, self.floor_ms)

    def restore(self, state: WindowState) -> None:
        """Go on from ``state``."""
        self._waiting = sorted(state.waiting, key=_place)
        self._arrived = state.arrived
        self.floor_ms = state.floor_ms


def _place(entry: Waiting) -> tuple[int, int, int]:
    return entry[:3]
