"""Sustained changes of the level of one series: the core the drift detector wraps.

An abrupt change is suspected by a bank of CUSUM charts against a lagged robust reference (``charts.py``) and confirmed
once it has lasted and its size is beyond doubt. A slow ramp shows against the first window of the level (``ramp.py``).

Values are judged in runs: whatever can be computed for many at once is, up to the next value at which something may
happen. What comes out is the same one value at a time.
"""

import math
from functools import partial
from typing import Any

import msgspec
import numpy as np

from modekeeper.detect.charts import LONG_AGO, SPIKE_Z, Bank, Crossing, Yardstick, certainty_for, threshold_for
from modekeeper.detect.coming import NOTHING_COMES, ComingReferences
from modekeeper.detect.history import History
from modekeeper.detect.level_change import LevelChange, measure
from modekeeper.detect.level_state import LevelState, Suspicion
from modekeeper.detect.ramp import LOOK, RampState, RampWatch
from modekeeper.detect.reference import Reference, learn_reference, step_free_sd
from modekeeper.detect.robust import split_position
from modekeeper.detect.settings import DetectorSettings
from modekeeper.model.block import FloatColumn

__all__ = ["AHEAD", "LevelChange", "LevelCore"]

AHEAD = 4096
"""Values appended before they are judged, at most."""
REFRESH = 100
"""The reference is computed again every so many values."""
RECHECK = 5
"""Values between two looks at a suspicion that cannot be confirmed yet."""
LINGERING = 100
"""A suspicion is dropped when it cannot be confirmed after so many values …"""
PROMISING = 0.75
"""… and when it has lasted, but its size is below this share of the effect floor."""
HALVES_SD = 3.0
"""The halves of a first window may differ by so many standard errors of their difference."""
TRIES = 5
FLOOR_MARGIN_SE = 0.5
"""Standard errors by which an abrupt change must pass the effect floor, lest one just below passes by chance."""
FLOOR_SD = 1.0
"""The charts count in standard deviations, but in no smaller ones than this share of the effect floor."""
TAIL = 10
"""Values at the end of a run that must still be at the new level."""
STANDING = 0.5
"""Share of the shift at which they are."""
CERTAIN_SE = 2.5
"""Standard errors by which the end of a run must be off to say that the run is over, or the run to go on with it."""
CLEAR_OF = 10
"""So many values before an excursion may already belong to it."""
FITTED_BEFORE = 40
"""The onset may lie so many values before the excursion of the chart."""
FEWEST_AFTER = 2
DAY_MS = 86_400_000.0
LEAST_PACE_MS, MOST_PACE_MS = 1.0, 600_000.0
SELDOM_LOOKED = 2.0
"""Runs are tested only while something is suspected, and every few values: so many times more seldom do chance
excursions pass (measured on Gaussian noise)."""
EAGER = 4.0
"""So many times as often as an alarm may be false, a suspicion may be …"""
LEAST_EAGER, MOST_EAGER = 400_000.0, 5000.0
"""… but at least once, and at most, in so many samples: a suspicion changes nothing, so it may come early."""


class LevelCore:
    """Append values to ``history``, then call :meth:`advance` until all are judged.

    After a confirmed change the level is learned anew from its onset, so that the next change is found too.
    """

    def __init__(self, settings: DetectorSettings) -> None:
        self._settings = settings
        self.reach = settings.reference_samples + 2 * settings.reference_lag_samples
        """How far behind the value being judged a change may be looked for."""
        self.history = History(self.reach, beside=True)
        self.judged = 0
        """Values judged so far."""
        self._least_rel = FLOOR_SD * settings.abrupt_effect_rel
        self._begin_level(settings.warmup_samples)
        self._yardstick = Yardstick(0.0, 1.0, 1.0)

    @property
    def reference(self) -> Reference | None:
        """The present level; ``None`` while it is being learned."""
        return self._state.reference

    @property
    def anchor(self) -> Reference | None:
        """The first window of the present level; ``None`` until it is full."""
        return self._state.ramp.anchor

    @property
    def suspected(self) -> bool:
        """Whether a change that was announced is still being looked into."""
        return self._state.suspicion is not None and self._state.suspicion.announced

    @property
    def samples(self) -> int:
        """Values judged at the present level."""
        return self.judged - self._state.since

    @property
    def detectable_rel(self) -> float | None:
        """The smallest relative change that can be told from the noise as long as a suspicion is looked into."""
        reference = self._state.reference
        if reference is None or reference.scale == 0:
            return None
        certain = self._state.certain_z * reference.standard_error(LINGERING)
        return max(self._settings.abrupt_effect_rel, certain / reference.scale)

    def recent(self, samples: int) -> FloatColumn:
        """The newest judged values, at most ``samples``."""
        return self.history.values(max(self.judged - samples, 0), self.judged)

    def settle_at(self, reference: Reference, since: int) -> None:
        """Say that the series is at a known level again, from value number ``since``."""
        self._begin_level(since)
        self._state.ramp.anchor = reference
        self._refer_to(reference)
        self._watch_from(self.judged)

    def relearn_from(self, since: int) -> None:
        """Forget the level; learn a new one from value number ``since``."""
        self._begin_level(since)

    def advance(self, limit: int) -> LevelChange | None:
        """Judge values up to number ``limit`` (at most all there are), or up to the first change, which is returned."""
        while self.judged < limit:
            state = self._state
            if state.reference is None:
                change = self._learn(limit)
            elif state.suspicion is None:
                change = self._go(limit)
            else:
                change = self._look_into(state.suspicion, limit)
            if change is not None:
                return change
        return None

    def advance_one(self, value: float) -> LevelChange | None:
        """Judge the next value, which is ``value``: :meth:`advance` by one, cheap where nothing is due."""
        state, number = self._state, self.judged
        if state.reference is None or state.bank is None or (number + 1) % LOOK == 0:
            return self.advance(number + 1)
        if state.suspicion is not None:
            if number + 1 < state.suspicion.check_at:
                self.judged += 1
                return None
            return self.advance(number + 1)
        crossing = state.bank.take_one(value, number, self._yardstick)
        self.judged += 1
        return None if crossing is None else self._begin_suspicion(crossing.since, upwards=crossing.upwards)

    # Levels

    def _begin_level(self, since: int) -> None:
        since = max(since, self.judged - self.reach)
        self._take_over(LevelState(since=since, learn_from=since, ramp=RampState(since=since, learn_from=since)))

    def _take_over(self, state: LevelState) -> None:
        self._state = state
        self._ramp = RampWatch(self._settings, self.history, state.ramp)

    def _refer_to(self, reference: Reference) -> None:
        self._state.reference = reference
        self._yardstick = self._yardstick_of(reference)

    def _yardstick_of(self, reference: Reference) -> Yardstick:
        least = self._least_rel * reference.scale
        return Yardstick(reference.level, max(reference.slow_sd, least), max(reference.fast_sd, least))

    def _learn(self, limit: int) -> LevelChange | None:
        """The first reference: of the first samples whose two halves agree, or of the latest after some tries."""
        state, need = self._state, self._settings.first_reference_samples
        due = state.learn_from + need
        if limit < due:
            self.judged = limit
            return None
        self.judged = due
        window = self.history.values(state.learn_from, due)
        found = learn_reference(window)
        half = need // 2
        difference = abs(found.location(window[half:]) - found.location(window[:half]))
        noise = 2.0 * step_free_sd(window, found) / math.sqrt(need)
        tolerance = max(self._settings.abrupt_effect_rel * found.scale, HALVES_SD * noise)
        if difference > tolerance and due - state.since < TRIES * need:
            state.learn_from += TAIL
            state.ramp.learn_from = state.learn_from
            return None
        self._refer_to(found)
        self._watch_from(due)
        return self._restated(found, noise)

    def _restated(self, found: Reference, noise: float) -> LevelChange | None:
        """The change that led here once more, where it went on after it was reported: a fast ramp does."""
        state, reported = self._state, self._state.reported
        state.reported = None
        if reported is None:
            return None
        error = math.hypot(reported.spread, noise)
        least = max(self._settings.slow_effect_rel * found.scale, state.certain_z * error)
        if abs(found.level - reported.after) <= least:
            return None
        change = self._known(self._measure(reported.before, state.learn_from), suspected=False)
        return msgspec.structs.replace(change, since=reported.since, restated=reported.start)

    def _watch_from(self, number: int) -> None:
        """Set the charts to zero."""
        state = self._state
        reference = state.reference
        if reference is None:
            return
        window = self.history.values(max(state.learn_from, number - self._settings.reference_samples), number)
        spikes = np.flatnonzero(np.abs(window - reference.level) > SPIKE_Z * self._yardstick.fast_sd)
        last_spike = number - len(window) + int(spikes[-1]) if len(spikes) else number - LONG_AGO
        if state.bank is not None:
            last_spike = max(last_spike, state.bank.last_spike)
        seldom = self._mean_samples_between_alarms(window, number)
        state.certain_z = max(certainty_for(seldom / SELDOM_LOOKED), self._settings.drift_z)
        state.bank = Bank.at_zero(threshold_for(min(max(seldom / EAGER, MOST_EAGER), LEAST_EAGER)), last_spike)

    def _mean_samples_between_alarms(self, window: FloatColumn, number: int) -> float:
        """By the false alarms a day that are put up with, and the pace of the samples."""
        times = self.history.times_ms(number - len(window), number)
        pace_ms = float(times[-1] - times[0]) / max(len(times) - 1, 1)
        per_day = DAY_MS / min(max(pace_ms, LEAST_PACE_MS), MOST_PACE_MS)
        # A false alarm comes with a second one, when the level is found to be back.
        return max(2.0 * per_day / self._settings.false_alarms_per_day, MOST_EAGER)

    # Going on while nothing is suspected

    def _go(self, limit: int) -> LevelChange | None:
        """Judge values that may hold nothing, up to the first at which something is suspected or confirmed."""
        state, start = self._state, self.judged
        bank = state.bank
        if bank is None:
            raise RuntimeError("charts are set whenever there is a reference")
        limit = self._ramp.no_farther(start, limit)
        references = self._references(start, limit)
        ramp = self._ramp.find(start, limit, partial(references.slow_sd_before, now=state.reference))
        stop = limit if ramp is None else ramp[0]
        crossing = self._charted(bank, references, start, stop)
        self._move_on(references, stop if crossing is None else crossing.number + 1)
        if crossing is not None:
            return self._begin_suspicion(crossing.since, upwards=crossing.upwards)
        return None if ramp is None else self._confirm_ramp(ramp[1])

    def _charted(self, bank: Bank, references: ComingReferences, start: int, stop: int) -> Crossing | None:
        values = self.history.values(start, stop)
        if stop - start == 1:
            return bank.take_one(values.item(0), start, self._yardstick)
        return bank.take(values, start, references.yardsticks(self._yardstick, start, stop, self._least_rel))

    def _references(self, start: int, stop: int) -> ComingReferences:
        """References that come into force after ``start`` and up to ``stop`` values are judged."""
        learn_from, settings = self._state.learn_from, self._settings
        lag, size = settings.reference_lag_samples, settings.reference_samples
        counts = range((start // REFRESH + 1) * REFRESH, stop + 1, REFRESH)
        coming = NOTHING_COMES
        growing = [count for count in counts if count - lag - size < learn_from]
        for count in growing:
            if count - lag - learn_from >= settings.first_reference_samples:
                learned = learn_reference(self.history.values(learn_from, count - lag))
                coming = coming.then(ComingReferences.one(count, learned))
        full = counts[len(growing) :]
        now = coming.in_force_at(stop) or self._state.reference
        if full and now is not None:
            rows = self.history.windows([count - lag for count in full], size)
            coming = coming.then(ComingReferences.of(full, rows, now))
        return coming

    def _move_on(self, references: ComingReferences, judged: int) -> None:
        """Take over what came into force up to ``judged`` values."""
        self._ramp.move_on(self.judged, judged)
        self.judged = judged
        latest = references.in_force_at(judged)
        if latest is not None:
            self._refer_to(latest)

    # Suspicions

    def _begin_suspicion(self, since: int, *, upwards: bool) -> LevelChange | None:
        before = self._reference_until(since - CLEAR_OF)
        self._state.suspicion = Suspicion(since, upwards, self.judged, before)
        return self._check(self._state.suspicion)

    def _reference_until(self, stop: int) -> Reference:
        """The level up to value number ``stop``, where that is known from more values than the lagged reference."""
        lagged, size = self._state.reference, self._settings.reference_samples
        if lagged is None:
            raise RuntimeError("nothing is suspected before there is a reference")
        start = max(self._state.learn_from, stop - size, self.judged - self.reach)
        return learn_reference(self.history.values(start, stop)) if stop - start > lagged.samples else lagged

    def _look_into(self, suspicion: Suspicion, limit: int) -> LevelChange | None:
        stop = self._ramp.no_farther(self.judged, min(limit, suspicion.check_at))
        fresh = suspicion.since + self._settings.slow_window_samples
        references = self._references(self.judged, stop)
        ramp = self._ramp.find(
            max(self.judged, fresh - 1), stop, partial(references.slow_sd_before, now=self.reference)
        )
        self._move_on(references, stop if ramp is None else ramp[0])
        if ramp is not None:
            return self._confirm_ramp(ramp[1])
        return self._check(suspicion) if self.judged == suspicion.check_at else None

    def _check(self, suspicion: Suspicion) -> LevelChange | None:
        """Confirm a suspicion, announce it, drop it, or wait."""
        reference = suspicion.before
        change = self._plainest(reference, suspicion.since)
        sign = 1.0 if suspicion.upwards else -1.0
        shift = sign * (change.after - reference.level)
        run = self.judged - change.start
        tail = self.recent(min(TAIL, max(run // 2, 1)))
        floor = self._settings.abrupt_effect_rel * reference.scale
        lasted = run >= self._settings.min_run_samples
        now = sign * (reference.location(tail) - reference.level)
        stands = now >= STANDING * shift
        over = not stands and shift - now > CERTAIN_SE * reference.slow_sd / math.sqrt(len(tail))
        faded = shift < CERTAIN_SE * change.standard_error
        if over or faded or (lasted and (shift < PROMISING * floor or run > LINGERING)):
            self._state.suspicion = None
            self._watch_from(self.judged)
            return None
        if lasted and stands and self._is_beyond_doubt(change, shift, floor):
            return self._confirm(change)
        wait = RECHECK if lasted else min(RECHECK, self._settings.min_run_samples - run)
        announce = not suspicion.announced and shift > floor
        self._state.suspicion = msgspec.structs.replace(
            suspicion, check_at=self.judged + wait, announced=suspicion.announced or announce
        )
        return self._known(change, suspected=True) if announce else None

    def _is_beyond_doubt(self, change: LevelChange, shift: float, floor: float) -> bool:
        """Whether a change is large enough to matter and too large for chance, by the noise before and since."""
        enough = shift > floor + FLOOR_MARGIN_SE * change.standard_error
        return enough and shift > self._state.certain_z * change.spread

    def _plainest(self, reference: Reference, since: int) -> LevelChange:
        """The change from where the excursion began, or from where a least-squares step fits if that is plainer.

        A small shift may have kept a chart up for long when a larger one comes.
        """
        stop = self.judged
        since = max(since, stop - self._settings.reference_samples)
        given = self._measure(reference, since)
        start = max(since - FITTED_BEFORE, self._state.learn_from, stop - self.reach)
        if stop - start < 2 * FEWEST_AFTER:
            return given
        low, high = sorted((reference.level, given.after))
        values = np.clip(self.history.values(start, stop), low - reference.clip, high + reference.clip)
        onset = start + split_position(values, 1, len(values) - FEWEST_AFTER)
        fitted = self._measure(reference, onset)
        return fitted if abs(fitted.after - reference.level) >= abs(given.after - reference.level) else given

    def _measure(self, before: Reference, start: int) -> LevelChange:
        return measure(self.history, before, start, self.judged, level_since=self._state.since)

    def _known(self, change: LevelChange, *, suspected: bool) -> LevelChange:
        """A change as it is handed out."""
        return msgspec.structs.replace(
            change, suspected=suspected, announced=self.suspected, anchor=self._state.ramp.anchor
        )

    def _confirm(self, change: LevelChange) -> LevelChange:
        known = self._known(change, suspected=False)
        self._begin_level(change.start)
        self._state.reported = known
        return known

    def _confirm_ramp(self, shift: float) -> LevelChange:
        anchor = self.anchor
        if anchor is None:
            raise RuntimeError("no ramp is seen before there is an anchor")
        change = self._measure(anchor, self.judged - self._settings.slow_window_samples)
        return self._confirm(msgspec.structs.replace(change, slow=True, since=self._ramp.onset(anchor, shift)))

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"history": self.history.snapshot(), "judged": self.judged, "state": msgspec.to_builtins(self._state)}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take over a :meth:`snapshot`."""
        self.history.restore(snapshot["history"])
        self.judged = snapshot["judged"]
        self._take_over(msgspec.convert(snapshot["state"], LevelState))
        if self._state.reference is not None:
            self._refer_to(self._state.reference)
