"""Telemetry clocks that jump: told apart from late records and real gaps, and put right where possible.

Records are judged in the order of arrival against the records trusted so far. One that fits is passed on. One that
does not fit is held until the next arrivals tell what it was:

- the next one fits again: the jump was **isolated**. Beyond ``max_skew_s`` the record goes where its step belongs
  (``clock_skew`` repaired), or is dropped (``clock_skew``); within, it is late data like any other.
- three in a row agree, ahead of the rest: a **real gap**; they stay as they are.
- three in a row agree, behind the rest, while their steps go on: the clock was **set back**, or another machine
  took over. From here on a constant offset is added (``clock_skew`` repaired) until telemetry time has caught up.
  Without steps to go by, and within ``max_skew_s``, it takes as many as the reorder window holds.
- time and step both went back: **late data**, never a clock; dropped as ``out_of_order`` unless its step has a
  place among the latest ones and its time was beyond ``max_skew_s``.

The first three records have no history: if they are outvoted by the three that follow, they are the ones moved or
dropped. A held forward jump at the end of the input stays, since nothing speaks against it.
"""

from collections import deque
from itertools import pairwise
from statistics import median

import msgspec

from modekeeper.model.ingest import DropReason, RepairReason
from modekeeper.telemetry.arrivals import Arrival, moved_to
from modekeeper.telemetry.batch import RecordBatch
from modekeeper.telemetry.limits import IngestLimits
from modekeeper.telemetry.window import Outcome, ReorderWindow

__all__ = ["ClockRepair", "ClockState"]

_PERSISTENT = 3
"""So many records in a row are a pattern, not an accident."""
_HISTORY = 64
_RECENT = 16
_UNUSUAL_CADENCES = 20
"""A jump counts only beyond this many times the usual interval, for telemetry that comes every few hours."""
_LATE_CADENCES = 10
"""Time may go back this many usual intervals between one step and the next: workers' clocks differ a little."""
_EXTRAPOLATED_STEPS = 32
_POINTS_OF_A_LINE = 2

Point = tuple[int | None, int]
"""Step and time of one trusted record."""


class ClockState(msgspec.Struct, frozen=True, array_like=True):
    """A clock repair at rest."""

    offset_ms: int
    head_ms: int | None
    young: list[Arrival]
    settled: bool
    suspects: list[Arrival]
    forward: bool
    needed: int
    history: list[Point]


class ClockRepair:
    """Judges the time of every record before it enters the reorder window."""

    def __init__(self, limits: IngestLimits, window: ReorderWindow) -> None:
        self._window = window
        self._most_waiting = limits.reorder_records
        self._max_skew_ms = round(limits.max_skew_s * 1000)
        self._lateness_ms = min(self._max_skew_ms, round(limits.reorder_lateness_s * 1000))
        self._offset_ms = 0
        self._head_ms: int | None = None
        self._young: list[Arrival] = []
        self._settled = False
        self._suspects: list[Arrival] = []
        self._forward = False
        self._needed = 0
        self._history: deque[Point] = deque(maxlen=_HISTORY)

    @property
    def max_skew_ms(self) -> int:
        """A jump beyond this is questioned."""
        return self._max_skew_ms

    def fits(self, ts_ms: int) -> bool:
        """Whether a record of that time is trusted without a second look."""
        head = self._head_ms
        usual = self._settled and not self._suspects and not self._offset_ms
        return usual and head is not None and head <= ts_ms <= head + self._max_skew_ms

    def follow(self, batch: RecordBatch, start: int, stop: int) -> None:
        """Trust a run of records each of which fits. It is the caller who hands them to the window."""
        first = max(start, stop - _HISTORY)
        steps, times = batch.step[first:stop].tolist(), batch.ts_ms[first:stop].tolist()
        self._head_ms = times[-1]
        self._history.extend(zip([None if step < 0 else step for step in steps], times, strict=True))

    def push(self, arrival: Arrival, out: list[Outcome]) -> None:
        """Judge one record; what is decided goes into the window or to ``out``."""
        head = self._head_ms
        ts_ms = arrival.sample.ts_ms
        if self.fits(ts_ms):
            # The way of nearly every record.
            self._head_ms = ts_ms
            self._history.append((arrival.sample.step, ts_ms))
            self._window.push(arrival, out)
            return
        if self._offset_ms and head is not None:
            if head <= ts_ms <= head + self._threshold_ms():
                self._offset_ms = 0
            ts_ms += self._offset_ms
        if self._suspects:
            if self._agrees(arrival, ts_ms):
                self._suspects.append(arrival)
                if len(self._suspects) >= self._needed:
                    self._accept_jump(out)
                return
            fits = not self._is_ahead(ts_ms) and not self._is_behind(arrival, ts_ms)
            self._settle_isolated((arrival.sample.step, ts_ms) if fits else None, out)
        self._judge(arrival, ts_ms, out)

    def flush(self, out: list[Outcome]) -> None:
        """Decide about everything held: the input is over."""
        if self._suspects and self._forward:
            suspects, self._suspects = self._suspects, []
            for suspect in suspects:
                self._trust(suspect, suspect.sample.ts_ms + self._offset_ms, out)
        elif self._suspects:
            self._settle_isolated(None, out)
        self._settle(out)

    def state(self) -> ClockState:
        """Everything needed to go on elsewhere."""
        return ClockState(
            self._offset_ms,
            self._head_ms,
            list(self._young),
            self._settled,
            list(self._suspects),
            self._forward,
            self._needed,
            list(self._history),
        )

    def restore(self, state: ClockState) -> None:
        """Go on from ``state``."""
        self._offset_ms, self._head_ms = state.offset_ms, state.head_ms
        self._young, self._settled = list(state.young), state.settled
        self._suspects, self._forward, self._needed = list(state.suspects), state.forward, state.needed
        self._history = deque(state.history, maxlen=_HISTORY)

    # Judging

    def _judge(self, arrival: Arrival, ts_ms: int, out: list[Outcome]) -> None:
        if self._is_ahead(ts_ms):
            self._suspects, self._forward, self._needed = [arrival], True, _PERSISTENT
        elif self._is_behind(arrival, ts_ms):
            self._judge_behind(arrival, ts_ms, out)
        else:
            self._trust(arrival, ts_ms, out)

    def _judge_behind(self, arrival: Arrival, ts_ms: int, out: list[Outcome]) -> None:
        far = self._is_far_behind(ts_ms)
        if self._step_went_back(arrival):
            place = self._place(arrival.sample.step, None) if far else None
            self._put(arrival, place, DropReason.OUT_OF_ORDER, out)
            return
        has_step = arrival.sample.step is not None and self._last_step() is not None
        self._suspects, self._forward = [arrival], False
        self._needed = _PERSISTENT if far or has_step else max(_PERSISTENT, self._most_waiting)

    def _agrees(self, arrival: Arrival, ts_ms: int) -> bool:
        """Whether a record continues what the held ones began."""
        previous_ms = self._suspects[-1].sample.ts_ms + self._offset_ms
        if self._forward:
            jump_ms = previous_ms - (self._head_ms or 0)
            return self._is_ahead(ts_ms) and abs(ts_ms - previous_ms) <= max(self._max_skew_ms, 2 * jump_ms)
        return (
            self._is_behind(arrival, ts_ms)
            and not self._step_went_back(arrival)
            and abs(ts_ms - previous_ms) <= self._threshold_ms()
        )

    def _is_ahead(self, ts_ms: int) -> bool:
        head = self._head_ms
        return head is not None and ts_ms > head + self._max_skew_ms and ts_ms > head + self._threshold_ms()

    def _is_behind(self, arrival: Arrival, ts_ms: int) -> bool:
        head, floor = self._head_ms, self._window.floor_ms
        if (floor is not None and ts_ms < floor) or self._is_far_behind(ts_ms):
            return True
        if head is None or ts_ms >= head or self._step_went_back(arrival):
            return False
        # There is room for it still. But its step went on, so the clock has gone back, not the record; without
        # steps, one that is later than what is waited for is questioned.
        step_known = arrival.sample.step is not None and self._last_step() is not None
        tolerated_ms = min(self._lateness_ms, _LATE_CADENCES * self._usual_ms()) if step_known else self._lateness_ms
        return ts_ms < head - tolerated_ms

    def _is_far_behind(self, ts_ms: int) -> bool:
        head = self._head_ms
        return head is not None and ts_ms < head - self._max_skew_ms and ts_ms < head - self._threshold_ms()

    def _step_went_back(self, arrival: Arrival) -> bool:
        step, last = arrival.sample.step, self._last_step()
        return step is not None and last is not None and step <= last

    def _last_step(self) -> int | None:
        return self._history[-1][0] if self._history else None

    def _threshold_ms(self) -> int:
        return max(self._max_skew_ms, _UNUSUAL_CADENCES * _cadence_ms([ts for _, ts in self._history]))

    # Deciding

    def _accept_jump(self, out: list[Outcome]) -> None:
        suspects, self._suspects = self._suspects, []
        first_ms = suspects[0].sample.ts_ms + self._offset_ms
        if not self._settled and self._outvoted(suspects, first_ms):
            self._drop_beginning(suspects, out)
        elif not self._forward:
            self._offset_ms += (self._head_ms or 0) + max(1, self._usual_ms()) - first_ms
        for suspect in suspects:
            self._trust(suspect, suspect.sample.ts_ms + self._offset_ms, out)

    def _outvoted(self, suspects: list[Arrival], first_ms: int) -> bool:
        usual_ms = _cadence_ms([suspect.sample.ts_ms for suspect in suspects])
        return abs(first_ms - (self._head_ms or 0)) > max(self._max_skew_ms, _UNUSUAL_CADENCES * usual_ms)

    def _drop_beginning(self, suspects: list[Arrival], out: list[Outcome]) -> None:
        """The first records were wrong, not those that follow."""
        young, self._young = self._young, []
        self._head_ms = None
        self._history.clear()
        self._history.extend((suspect.sample.step, suspect.sample.ts_ms) for suspect in suspects)
        places = [self._place(record.sample.step, None) for record in young]
        self._history.clear()
        self._settled = True
        for record, place in zip(young, places, strict=True):
            self._put(record, place, DropReason.CLOCK_SKEW, out)

    def _settle_isolated(self, following: Point | None, out: list[Outcome]) -> None:
        suspects, self._suspects = self._suspects, []
        for suspect in suspects:
            ts_ms = suspect.sample.ts_ms + self._offset_ms
            if self._forward or self._is_far_behind(ts_ms):
                self._put(suspect, self._place(suspect.sample.step, following), DropReason.CLOCK_SKEW, out)
            else:
                # Late data. The window drops it if there is no room for it any more.
                self._hand_on(suspect, ts_ms, out)

    def _put(self, arrival: Arrival, place_ms: int | None, otherwise: DropReason, out: list[Outcome]) -> None:
        """Put a record where its step belongs; without such a place, or too late for it, drop it."""
        floor = self._window.floor_ms
        if place_ms is None or place_ms < 0 or (floor is not None and place_ms < floor):
            out.append((arrival, otherwise))
            return
        moved = moved_to(arrival, place_ms, RepairReason.CLOCK_SKEW)
        if self._settled:
            self._head_ms = place_ms if self._head_ms is None else max(self._head_ms, place_ms)
            self._window.push(moved, out)
        else:
            self._young.append(moved)

    def _trust(self, arrival: Arrival, ts_ms: int, out: list[Outcome]) -> None:
        if self._head_ms is None or ts_ms > self._head_ms:
            self._head_ms = ts_ms
        self._history.append((arrival.sample.step, ts_ms))
        self._hand_on(arrival, ts_ms, out)
        if not self._settled and len(self._young) >= _PERSISTENT:
            self._settle(out)

    def _hand_on(self, arrival: Arrival, ts_ms: int, out: list[Outcome]) -> None:
        if self._offset_ms:
            arrival = moved_to(arrival, ts_ms, RepairReason.CLOCK_SKEW)
        if self._settled:
            self._window.push(arrival, out)
        else:
            self._young.append(arrival)

    def _settle(self, out: list[Outcome]) -> None:
        young, self._young = self._young, []
        self._settled = self._settled or bool(young)
        for record in young:
            self._window.push(record, out)

    # Placing

    def _usual_ms(self) -> int:
        return _cadence_ms([ts for _, ts in self._history])

    def _place(self, step: int | None, following: Point | None) -> int | None:
        """Where the step sequence puts ``step``: between its neighbours, or a few steps beyond them."""
        if step is None:
            return None
        points = _last_run([*self._history, *([following] if following else [])])
        below = [point for point in points if point[0] <= step]
        above = [point for point in points if point[0] > step]
        if below and (below[-1][0] == step or above):
            (low, low_ms), (high, high_ms) = below[-1], (above or below)[0 if above else -1]
            return low_ms if low == step else low_ms + (high_ms - low_ms) * (step - low) // (high - low)
        near = (below or above)[-_RECENT:] if below else above[:_RECENT]
        distance = min((abs(point[0] - step) for point in near), default=0)
        if len(near) < _POINTS_OF_A_LINE or distance > _EXTRAPOLATED_STEPS:
            return None
        (first, first_ms), (last, last_ms) = near[0], near[-1]
        return first_ms + (last_ms - first_ms) * (step - first) // (last - first)


def _cadence_ms(times: list[int]) -> int:
    """The usual interval of the latest records: the median of the positive ones, 0 where there are none."""
    ordered = sorted(times[-_RECENT:])
    gaps = [after - before for before, after in pairwise(ordered) if after > before]
    return round(median(gaps)) if gaps else 0


def _last_run(history: list[Point]) -> list[tuple[int, int]]:
    """The latest records whose steps rise, by step: after a restart earlier steps say nothing."""
    run: list[tuple[int, int]] = []
    for step, ts_ms in reversed(history):
        if step is None:
            continue
        if run and (step > run[-1][0] or ts_ms > run[-1][1]):
            break
        if not run or step < run[-1][0]:
            run.append((step, ts_ms))
    run.reverse()
    return run
