"""Sustained changes of the level of one series, online: the core the drift detectors wrap.

An abrupt change is found by a two-sided CUSUM (E. S. Page, Continuous inspection schemes, Biometrika 41, 1954)
over cells of Huber-clipped residuals (P. J. Huber, Robust estimation of a location parameter, 1964) from a
lagged robust reference whose noise is that of its own block means, so alternation and autocorrelation count. A
slow ramp is found by comparing the newest window with the first one after the last change, in standard errors
of the difference.
"""

import math
from typing import Any

import msgspec
import numpy as np

from modekeeper.detect.history import History, Position
from modekeeper.detect.reference import CELL, Reference, cell_mean, learn_reference, step_free_cell_sd
from modekeeper.detect.robust import (
    clamp,
    interquartile_mean,
    normal_confidence,
    relative,
    robust_sd,
    split_position,
)
from modekeeper.detect.settings import DetectorSettings
from modekeeper.model.block import FloatColumn

__all__ = ["LevelChange", "LevelCore", "LevelState"]

REFRESH_CELLS = 5
"""The reference is computed again every so many cells."""
SLACK_SD = 0.4
THRESHOLD_SD = 4.0
INTERVAL_90 = 1.645
HALVES_SD = 3.0
"""The halves of a first window may differ by so many standard deviations of a cell, about 4 of the difference."""
FLOOR_MARGIN_SE = 0.5
"""Standard errors by which an abrupt change must pass the effect floor, lest one just below passes by chance."""
TAIL = 10
"""Samples at the end of a run that must still be at the new level."""
RAMP_BLOCK = 25
MAX_RAMP_BLOCKS = 256


class LevelChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change of level, ``suspected`` or not, with its evidence in the unit of the series."""

    suspected: bool
    slow: bool
    start: int
    """Number of the first value measured as the level after."""
    since: Position
    at: Position
    before: Reference
    after: float
    standard_error: float
    """Of the difference, had the noise stayed what it was: what the change is tested with."""
    spread: float
    """The same with the noise of the new level, where that is larger."""
    confidence: float
    samples_used: int

    @property
    def effect(self) -> float | None:
        """Relative to the level before; ``None`` where that was zero."""
        return relative(self.after, self.before.level)

    @property
    def interval(self) -> tuple[float | None, float | None]:
        """90 % interval of :attr:`effect`."""
        half = INTERVAL_90 * self.spread
        level = self.before.level
        return relative(self.after - half, level), relative(self.after + half, level)


class LevelState(msgspec.Struct, kw_only=True):
    """All numbers of a core besides its history of values."""

    since: int
    """Number of the first value of the present level."""
    learn_from: int
    """Number of the first value the level is learned from."""
    reference: Reference | None = None
    anchor: Reference | None = None
    """The first window of the present level."""
    rising: float = 0.0
    falling: float = 0.0
    rising_since: int = 0
    falling_since: int = 0
    cells: int = 0
    """Cells seen at the present level."""
    suspected: bool = False
    suspected_since: int = 0
    ramp_means: list[float] = msgspec.field(default_factory=list)
    ramp_positions: list[Position] = msgspec.field(default_factory=list)


class LevelCore:
    """Feed values one at a time; a change comes back at the end of a cell of 5 values, or nothing.

    After a confirmed change the level is learned anew from its onset, so that the next change is found too.
    """

    def __init__(self, settings: DetectorSettings, *, abrupt_effect_rel: float | None = None) -> None:
        self._settings = settings
        self._abrupt = settings.abrupt_effect_rel if abrupt_effect_rel is None else abrupt_effect_rel
        self.history = History(settings.reference_samples + 2 * settings.reference_lag_samples)
        warmup = settings.warmup_samples
        self._state = LevelState(since=warmup, learn_from=warmup)

    @property
    def reference(self) -> Reference | None:
        """The present level; ``None`` while it is being learned."""
        return self._state.reference

    @property
    def anchor(self) -> Reference | None:
        """The first window of the present level; ``None`` until it is full."""
        return self._state.anchor

    @property
    def suspected(self) -> bool:
        """Whether a change is in the air."""
        return self._state.suspected

    @property
    def samples(self) -> int:
        """Values seen at the present level."""
        return self.history.count - self._state.since

    def push(self, value: float, position: Position) -> LevelChange | None:
        """Take the next value of the series."""
        self.history.append(clamp(value), position)
        if self.history.count % CELL or self.history.count - CELL < self._state.learn_from:
            return None
        return self._end_of_cell()

    def recent(self, samples: int) -> FloatColumn:
        """The newest values, at most ``samples``."""
        count = self.history.count
        return self.history.values(count - samples, count)

    def settle_at(self, reference: Reference, since: int) -> None:
        """Say that the series is at a known level again, from value number ``since``."""
        self._begin_level(since)
        self._state.reference = reference
        self._state.anchor = reference

    def relearn_from(self, since: int) -> None:
        """Forget the level; learn a new one from value number ``since``."""
        self._begin_level(since)

    def _begin_level(self, since: int) -> None:
        since = max(since, self.history.first)
        self._state = LevelState(since=since, learn_from=since, rising_since=since, falling_since=since)

    def _end_of_cell(self) -> LevelChange | None:
        state = self._state
        state.cells += 1
        self._remember_block()
        if state.reference is None:
            self._learn()
            return None
        if state.cells % REFRESH_CELLS == 0:
            self._refresh()
        self._accumulate(state.reference)
        return self._abrupt_change(state.reference) or self._slow_change()

    def _learn(self) -> None:
        """The first reference: of the first samples whose two halves agree, or of the latest after five tries."""
        state, need = self._state, self._settings.first_reference_samples
        count = self.history.count
        if count - state.learn_from < need:
            return
        window = self.history.values(state.learn_from, count)
        found = learn_reference(window)
        half = len(window) // 2
        difference = abs(found.location(window[half:]) - found.location(window[:half]))
        noise = step_free_cell_sd(window, found)
        tolerance = max(self._settings.abrupt_effect_rel * found.scale, HALVES_SD * noise)
        if difference > tolerance and count - state.since < 5 * need:
            state.learn_from += 2 * CELL
            return
        state.reference = found
        state.rising_since = state.falling_since = count

    def _refresh(self) -> None:
        """Move the reference on, at a lag; take the anchor once its window is full."""
        state, settings = self._state, self._settings
        stop = self.history.count - settings.reference_lag_samples
        start = max(state.learn_from, stop - settings.reference_samples)
        first = settings.slow_window_samples
        if stop - start >= settings.first_reference_samples:
            state.reference = learn_reference(self.history.values(start, stop))
        if state.anchor is None and self.history.count - state.learn_from >= 2 * first:
            state.anchor = learn_reference(self.history.values(state.learn_from, state.learn_from + first))

    def _accumulate(self, reference: Reference) -> None:
        state = self._state
        count = self.history.count
        mean = cell_mean(self.history.values(count - CELL, count), reference)
        noise = reference.cell_sd * reference.inflation**0.5
        slack = max(0.5 * self._abrupt * reference.scale, SLACK_SD * noise)
        cap = 2.0 * max(THRESHOLD_SD * noise, slack)
        state.rising = min(max(0.0, state.rising + mean - slack), cap)
        state.falling = min(max(0.0, state.falling - mean - slack), cap)
        if state.rising == 0.0:
            state.rising_since = count
        if state.falling == 0.0:
            state.falling_since = count

    def _abrupt_change(self, reference: Reference) -> LevelChange | None:
        state, settings = self._state, self._settings
        threshold = THRESHOLD_SD * reference.cell_sd * reference.inflation**0.5
        upwards = state.rising >= state.falling
        since = state.rising_since if upwards else state.falling_since
        run = self.history.count - since
        if max(state.rising, state.falling) <= threshold or run < 2 * CELL:
            state.suspected = False
            return None
        change = self._plainest(reference, max(since, self.history.count - settings.reference_samples))
        sign = 1.0 if upwards else -1.0
        shift = sign * (change.after - reference.level)
        tail = sign * (reference.location(self.recent(TAIL)) - reference.level)
        error = change.standard_error
        real = shift > self._abrupt * reference.scale + FLOOR_MARGIN_SE * error and shift > settings.drift_z * error
        if not real or tail < 0.5 * shift:
            return None
        if self.history.count - change.start < settings.min_run_samples:
            return self._suspect(change)
        return self._confirm(change)

    def _slow_change(self) -> LevelChange | None:
        state, settings = self._state, self._settings
        anchor, window = state.anchor, settings.slow_window_samples
        count = self.history.count
        if anchor is None or count - state.learn_from < 2 * window:
            return None
        if state.suspected and count - state.suspected_since < window:
            return None
        after = anchor.location(self.recent(window))
        shift = after - anchor.level
        error = anchor.standard_error(window)
        if abs(shift) <= max(settings.slow_effect_rel * anchor.scale, settings.drift_z * error):
            return None
        halves = self.recent(window)[: window // 2], self.recent(RAMP_BLOCK)
        if any((anchor.location(part) - anchor.level) * shift < 0.5 * shift * shift for part in halves):
            return None
        change = self._measure(anchor, self.history.count - window, slow=True)
        return self._confirm(msgspec.structs.replace(change, since=self._ramp_onset(anchor, shift)))

    def _measure(self, before: Reference, since: int, *, slow: bool) -> LevelChange:
        count = self.history.count
        values = self.history.values(since, count)
        after = before.location(values)
        error = before.standard_error(len(values))
        z = (after - before.level) / error if error > 0 else math.inf
        return LevelChange(
            suspected=False,
            slow=slow,
            start=since,
            since=self.history.position(since),
            at=self.history.position(count - 1),
            before=before,
            after=after,
            standard_error=error,
            spread=max(error, robust_sd(values) * (before.inflation / len(values)) ** 0.5),
            confidence=normal_confidence(z, max(self._state.cells, 1)),
            samples_used=len(values) + before.samples,
        )

    def _plainest(self, reference: Reference, since: int) -> LevelChange:
        """The change from where the CUSUM began, or from where a least-squares step fits best if that is plainer.

        A small shift may have kept the CUSUM up for long when a larger one comes.
        """
        count = self.history.count
        given = self._measure(reference, since, slow=False)
        start = max(since - 8 * CELL, self._state.learn_from, self.history.first)
        low, high = sorted((reference.level, given.after))
        values = np.clip(self.history.values(start, count), low - reference.clip, high + reference.clip)
        onset = start + split_position(values, 1, len(values) - 2 * CELL)
        fitted = self._measure(reference, onset, slow=False)
        return fitted if abs(fitted.after - reference.level) >= abs(given.after - reference.level) else given

    def _ramp_onset(self, anchor: Reference, shift: float) -> Position:
        """Start of the block after the last one that was still within a fifth of the shift."""
        state = self._state
        position = state.ramp_positions[0]
        for mean, start in zip(state.ramp_means, state.ramp_positions, strict=True):
            if (mean - anchor.level) * shift <= 0.2 * shift * shift:
                position = start
        return position

    def _remember_block(self) -> None:
        state = self._state
        if state.cells % (RAMP_BLOCK // CELL):
            return
        start = self.history.count - RAMP_BLOCK
        state.ramp_means.append(interquartile_mean(self.recent(RAMP_BLOCK)))
        state.ramp_positions.append(self.history.position(start))
        del state.ramp_means[:-MAX_RAMP_BLOCKS], state.ramp_positions[:-MAX_RAMP_BLOCKS]

    def _suspect(self, change: LevelChange) -> LevelChange | None:
        self._state.suspected_since = change.start
        if self._state.suspected:
            return None
        self._state.suspected = True
        return msgspec.structs.replace(change, suspected=True)

    def _confirm(self, change: LevelChange) -> LevelChange:
        self._begin_level(change.start)
        return change

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"history": self.history.snapshot(), "state": msgspec.to_builtins(self._state)}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take over a :meth:`snapshot`."""
        self.history.restore(snapshot["history"])
        self._state = msgspec.convert(snapshot["state"], LevelState)
