"""From records as they arrive to records in order: repeated ones out, clocks repaired, time never going back."""

import msgspec
import numpy as np

from modekeeper.model.ingest import DropReason
from modekeeper.telemetry.arrivals import Arrival
from modekeeper.telemetry.batch import Integers, RecordBatch, Stretch
from modekeeper.telemetry.clock_repair import ClockRepair, ClockState
from modekeeper.telemetry.limits import IngestLimits
from modekeeper.telemetry.recent import RecentRecords, Seen, identities
from modekeeper.telemetry.window import Outcome, ReorderWindow, WindowState

__all__ = ["Orderer", "OrdererState"]

_WORTH_A_RUN = 32
"""A shorter run of records is taken record by record. So a run that is remembered never holds much else in memory."""


class OrdererState(msgspec.Struct, frozen=True, array_like=True):
    """An orderer at rest."""

    window: WindowState
    clock: ClockState
    seen: Seen


class Orderer:
    """The ordering stage. Pure: what comes out depends on what was pushed, in which order, and on nothing else."""

    def __init__(self, limits: IngestLimits) -> None:
        self._window = ReorderWindow(limits)
        self._clock = ClockRepair(limits, self._window)
        self._recent = RecentRecords(limits.duplicate_records)

    def push(self, arrival: Arrival) -> list[Outcome]:
        """Take one record; everything decided by it, in order. Each record is in exactly one outcome."""
        out: list[Outcome] = []
        recent = self._recent
        if recent.is_beyond(arrival.sample.step, arrival.sample.ts_ms):
            self._clock.push(arrival, out)
            if not _refused(arrival, out):
                recent.remember_beyond(arrival)
            return out
        keys = identities(arrival)
        if recent.repeats(arrival, keys):
            return [(arrival, DropReason.DUPLICATE)]
        self._clock.push(arrival, out)
        if not _refused(arrival, out):
            recent.remember(arrival, keys)
        return out

    def push_batch(self, batch: RecordBatch) -> list[Outcome | Stretch]:
        """Take records one after the other; the same as ``push`` of each."""
        out: list[Outcome | Stretch] = []
        start = 0
        for stop in [*_breaks(batch, self._clock.max_skew_ms), len(batch)]:
            while start < stop:
                if stop - start >= _WORTH_A_RUN and self._runs_on(batch, start, stop):
                    self._clock.follow(batch, start, stop)
                    self._recent.remember_stretch(batch, start, stop)
                    self._window.pass_through(batch, start, stop, out)
                    start = stop
                else:
                    out += self.push(batch.arrival(start))
                    start += 1
        return out

    def flush(self) -> list[Outcome]:
        """Decide about everything that waits: the input is over."""
        out: list[Outcome] = []
        self._clock.flush(out)
        self._window.flush(out)
        return out

    def state(self) -> OrdererState:
        """Everything needed to go on elsewhere."""
        return OrdererState(self._window.state(), self._clock.state(), self._recent.state())

    def restore(self, state: OrdererState) -> None:
        """Go on from ``state``.

        Raises:
            msgspec.DecodeError: it is damaged.
        """
        self._window.restore(state.window)
        self._clock.restore(state.clock)
        self._recent.restore(state.seen)

    def _runs_on(self, batch: RecordBatch, start: int, stop: int) -> bool:
        """Whether nothing would be looked up, repaired or put elsewhere in a run in which nothing breaks."""
        ts_ms, step = int(batch.ts_ms[start]), int(batch.step[start])
        if not (self._clock.fits(ts_ms) and self._window.goes_last(ts_ms, step)):
            return False
        steps = batch.step[start:stop]
        if step >= 0 and steps.min() >= 0:
            return step > self._recent.top_step
        with_step = np.flatnonzero(steps >= 0)
        without = np.flatnonzero(steps < 0)
        return (not with_step.size or int(steps[with_step[0]]) > self._recent.top_step) and (
            not without.size or int(batch.ts_ms[start + without[0]]) > self._recent.top_ts_ms
        )


def _breaks(batch: RecordBatch, max_skew_ms: int) -> list[int]:
    """Records, beside the first, that do not simply go on from the one before.

    That is: whose time goes back, or on by more than ``max_skew_ms``; whose step is not beyond all before in the
    batch; and those without a step whose time stands still.
    """
    if not len(batch):
        return []
    passed: Integers = np.diff(batch.ts_ms)
    step = batch.step[1:]
    beyond = step > np.maximum.accumulate(batch.step)[:-1]
    goes_on = (passed >= 0) & (passed <= max_skew_ms) & (beyond | ((step < 0) & (passed > 0)))
    breaks: list[int] = (np.flatnonzero(~goes_on) + 1).tolist()
    return breaks


def _refused(arrival: Arrival, out: list[Outcome]) -> bool:
    """Whether a record was dropped on the spot: late data in bulk must not push out the memory of the others."""
    if not out:
        return False
    last, dropped = out[-1]
    return dropped is not None and isinstance(last, Arrival) and last.line == arrival.line
