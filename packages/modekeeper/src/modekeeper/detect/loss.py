"""Drift of the loss: only a sustained rise above its recent level, or a loss that is no number, is a signal.

A loss falls by nature, so its level is never held against it; the comparison is between the newest run and the
window just before it, by interquartile means in standard errors of block means (the same noise model as
``level.py``; W. A. Shewhart's rule of comparing with the process's own short-term variation, Economic Control
of Quality, 1931).
"""

import math
from typing import Any

import numpy as np

from modekeeper.detect.base import (
    BEFORE_FIRST,
    cleared,
    placed,
    position_at,
    share,
    signal_from_json,
    signal_to_json,
    undecided,
)
from modekeeper.detect.chunks import LastSample, chunks
from modekeeper.detect.history import History, Position
from modekeeper.detect.reference import CELL, Reference, learn_reference
from modekeeper.detect.robust import (
    LARGEST,
    clamp,
    interquartile_mean,
    normal_confidence,
    relative,
    split_position,
    windows_of,
)
from modekeeper.detect.settings import DetectorSettings
from modekeeper.model import wording
from modekeeper.model.block import FloatColumn, Rows, SampleBlock, is_pause
from modekeeper.model.signal import Direction, Phase, Signal, SignalKind

__all__ = ["LossDetector"]

METRIC = "loss"
INTERVAL_90 = 1.645
LOOK_EVERY = 2 * CELL
"""Losses between two looks."""
RUN_RANK = 0.5
WINDOW_RANK = 0.85
"""A rise is measured where the newest cells, but for this share of them, lie above this share of those before."""
WORTH_MEASURING = 0.5
"""… and above their middle by this share of the smallest rise."""


class LossDetector:
    """Sustained rise or divergence of the loss; ``baseline`` and ``healthy_level`` are the level before."""

    def __init__(self, settings: DetectorSettings) -> None:
        self._settings = settings
        run, window = settings.loss_run_samples, settings.loss_window_samples
        self._first_look = -(-(settings.warmup_samples + window + run) // LOOK_EVERY) * LOOK_EVERY
        self._run_cells, self._window_cells = run // CELL, window // CELL
        self._history = History(window + 2 * run)
        self._open: list[float] = []
        self._cells: list[float] = []
        """Medians of the newest cells, as many as window and run have."""
        self._active: Signal | None = None
        self._findings = 0
        self._bad = 0
        self._good = 0
        self._first_bad = BEFORE_FIRST
        self._last = LastSample()

    def update(self, block: SampleBlock) -> list[Signal]:
        """See :class:`modekeeper.detect.base.Detector`."""
        self._last.see(block)
        if len(block) == 1:
            return self._judge_one(block)
        column = block.metrics[METRIC]
        signals: list[Signal] = []
        for rows, is_finite in _stretches(block):
            if not is_finite:
                signals += self._not_finite(block, rows)
                continue
            for part in chunks(rows):
                signals += self._finite(np.minimum(np.maximum(column[part], -LARGEST), LARGEST), block, part)
        return signals

    def _judge_one(self, block: SampleBlock) -> list[Signal]:
        one = block.only()
        value = one.metrics[METRIC]
        if one.paused or math.isnan(value):
            return []
        if math.isinf(value):
            return self._not_finite(block, slice(0, 1))
        self._bad = 0
        self._good += 1
        self._history.append(clamp(value), one.at_index, one.step, one.ts_ms)
        self._open.append(clamp(value))
        if len(self._open) < CELL:
            return []
        self._cells.append(sorted(self._open)[CELL // 2])
        self._open.clear()
        count = self._history.count
        return [] if count % LOOK_EVERY else self._look(range(count, count + 1, LOOK_EVERY), self._good)

    def _finite(self, values: FloatColumn, block: SampleBlock, rows: Rows) -> list[Signal]:
        """Finite losses, one after the other."""
        self._bad = 0
        since, good = self._history.count, self._good
        self._good += len(values)
        self._history.extend(values, block, rows)
        whole = (len(self._open) + len(values)) // CELL * CELL - len(self._open)
        if whole <= 0:
            self._open.extend(values.tolist())
            return []
        cells = np.concatenate((self._open, values[:whole])).reshape(-1, CELL)
        self._open = values[whole:].tolist()
        self._cells.extend(np.sort(cells, axis=1)[:, CELL // 2].tolist())
        first = since - since % LOOK_EVERY + LOOK_EVERY
        return self._look(range(first, self._history.count + 1, LOOK_EVERY), good + first - since)

    def _not_finite(self, block: SampleBlock, rows: Rows) -> list[Signal]:
        """Losses that are no finite numbers, one after the other."""
        numbers = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
        before, wanted = self._bad, self._settings.non_finite_losses
        self._first_bad = position_at(block, int(numbers[0])) if before == 0 else self._first_bad
        self._bad += len(numbers)
        self._good = 0
        if not before < wanted <= self._bad or self._is_diverged():
            return []
        return self._diverged(position_at(block, int(numbers[wanted - before - 1])), wanted)

    def _diverged(self, position: Position, bad: int) -> list[Signal]:
        level = self._level(self._settings.loss_run_samples, self._history.count)
        start = self._first_bad
        since = wording.place(start.step, start.index)
        text = f"the loss has not been a finite number for {bad} samples, since {since}"
        signals = [cleared(self._active, position, "superseded: the loss is not finite")] if self._active else []
        self._findings += 1
        self._active = Signal(
            id=f"drift-{METRIC}-{self._findings}",
            kind=SignalKind.DRIFT,
            phase=Phase.CONFIRMED,
            metric=METRIC,
            direction=Direction.WORSE,
            **placed(position, start),
            baseline=level,
            healthy_level=level,
            confidence=1.0,
            samples_used=bad,
            cause="non_finite_loss",
            explanation=text,
        )
        return [*signals, self._active]

    def _is_diverged(self) -> bool:
        return self._active is not None and self._active.cause == "non_finite_loss"

    def _level(self, samples: int, count: int) -> float | None:
        """Level of the losses before number ``count``."""
        return interquartile_mean(self._history.values(max(count - samples, 0), count)) if count else None

    def _look(self, looks: range, good: int) -> list[Signal]:
        """Look whenever one of the numbers ``looks`` of losses had come; ``good`` of the first were finite in a row."""
        signals: list[Signal] = []
        candidates = self._candidates(looks)
        for place, count in enumerate(looks):
            if self._active is not None:
                signals += self._look_for_recovery(self._active, count, good + place * LOOK_EVERY)
            elif candidates[place]:
                signals += self._look_for_rise(count)
        del self._cells[: -(self._run_cells + self._window_cells)]
        return signals

    def _candidates(self, looks: range) -> list[bool]:
        """At which of ``looks`` a rise is worth measuring: ranks of cell medians, which cost next to nothing."""
        late = [count for count in looks if count >= self._first_look]
        if not late:
            return [False] * len(looks)
        run, window = self._run_cells, self._window_cells
        later = self._history.count // CELL - late[0] // CELL
        stop = len(self._cells) - later
        early = [False] * (len(looks) - len(late))
        if len(late) == 1:
            cells = self._cells[stop - window - run : stop]
            return [*early, self._may_rise(sorted(cells[window:]), sorted(cells[:window]))]
        windows = windows_of(np.array(self._cells[stop - window - run :]), window + run)[:: LOOK_EVERY // CELL]
        rises = self._may_rise(np.sort(windows[:, window:], axis=1).T, np.sort(windows[:, :window], axis=1).T)
        return [*early, *rises.tolist()]

    def _may_rise(self, newest: Any, before: Any) -> Any:
        """Whether sorted cells, numbers or columns of them, may show a rise."""
        run, middle = newest[int(RUN_RANK * len(newest))], before[len(before) // 2]
        worth = WORTH_MEASURING * self._settings.loss_effect_rel
        return (run > before[int(WINDOW_RANK * len(before))]) & (run - middle > worth * abs(middle))

    def _look_for_recovery(self, active: Signal, count: int, good: int) -> list[Signal]:
        clear_samples = self._settings.clear_samples
        level = self._level(clear_samples, count)
        if good < clear_samples or level is None:
            return []
        if active.baseline is not None and not self._is_back(active, level, active.baseline):
            return []
        self._active = None
        text = f"the loss is back at {wording.level(METRIC, level)}"
        return [cleared(active, self._history.position(count - 1), text, level)]

    def _is_back(self, active: Signal, level: float, baseline: float) -> bool:
        rise = abs(baseline) * self._settings.loss_effect_rel if active.level is None else active.level - baseline
        return level <= baseline + 0.5 * rise

    def _look_for_rise(self, count: int) -> list[Signal]:
        settings = self._settings
        run, window = settings.loss_run_samples, settings.loss_window_samples
        reference = learn_reference(self._history.values(count - run - window, count - run))
        after = reference.location(self._history.values(count - run, count))
        tail = reference.location(self._history.values(count - LOOK_EVERY, count))
        rise, error = after - reference.level, reference.standard_error(run)
        floor = max(settings.loss_effect_rel * reference.scale, settings.drift_z * error)
        if rise <= floor or tail - reference.level < 0.5 * rise:
            return []
        return self._confirm_rise(reference, count)

    def _confirm_rise(self, before: Reference, count: int) -> list[Signal]:
        """The rise from its onset on, where a least-squares step fits window and run best."""
        settings = self._settings
        start = count - settings.loss_run_samples - settings.loss_window_samples
        values = self._history.values(start, count)
        run = len(values) - split_position(values, before.samples - 2 * CELL, len(values) - 2 * CELL)
        if run < settings.loss_run_samples // 2:
            return []
        self._findings += 1
        self._active = self._rise(before, run, count)
        return [self._active]

    def _rise(self, before: Reference, run: int, count: int) -> Signal:
        since = self._history.position(count - run)
        after = before.location(self._history.values(count - run, count))
        error = before.standard_error(run)
        effect = relative(after, before.level)
        text = (
            f"the loss rose from {wording.level(METRIC, before.level)} to {wording.level(METRIC, after)}"
            f" ({share(effect)} more)"
            f" and has stayed there for {run} samples, since {wording.place(since.step, since.index)}"
        )
        z = (after - before.level) / error if error > 0 else math.inf
        return Signal(
            id=f"drift-{METRIC}-{self._findings}",
            kind=SignalKind.DRIFT,
            phase=Phase.CONFIRMED,
            metric=METRIC,
            direction=Direction.WORSE,
            **placed(self._history.position(count - 1), since),
            baseline=before.level,
            level=after,
            effect=effect,
            effect_low=relative(after - INTERVAL_90 * error, before.level),
            effect_high=relative(after + INTERVAL_90 * error, before.level),
            healthy_level=before.level,
            confidence=normal_confidence(z, max(count // CELL, 1)),
            samples_used=run + before.samples,
            explanation=text,
        )

    def conclude(self) -> list[Signal]:
        """Undecided where there was no loss, too little of it, or where it ended in numbers that are none."""
        count, settings = self._history.count, self._settings
        kind = SignalKind.DRIFT
        if count == 0 and self._bad == 0:
            text = f"no {METRIC} in the telemetry: it is not judged; emit {METRIC!r}"
            return [undecided(kind, METRIC, self._last.position, text)]
        if self._bad and not self._is_diverged():
            text = f"the last {self._bad} losses are not finite numbers, and the input ended there"
            return [undecided(kind, METRIC, self._last.position, text, count)]
        wanted = settings.warmup_samples + settings.loss_window_samples + settings.loss_run_samples
        if count < wanted and self._active is None:
            text = f"only {count} samples with {METRIC}; at least {wanted} are needed"
            return [undecided(kind, METRIC, self._last.position, text, count)]
        return []

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "history": self._history.snapshot(),
            "open": list(self._open),
            "cells": self._cells[-(self._run_cells + self._window_cells) :],
            "active": signal_to_json([self._active] if self._active else []),
            "findings": self._findings,
            "bad": self._bad,
            "good": self._good,
            "first_bad": self._first_bad.to_json(),
            "last": self._last.snapshot(),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take over a :meth:`snapshot`."""
        self._history.restore(snapshot["history"])
        self._open = [float(value) for value in snapshot["open"]]
        self._cells = [float(value) for value in snapshot["cells"]]
        self._active = next(iter(signal_from_json(snapshot["active"])), None)
        self._findings = snapshot["findings"]
        self._bad = snapshot["bad"]
        self._good = snapshot["good"]
        self._first_bad = Position(*snapshot["first_bad"])
        self._last.restore(snapshot["last"])


def _stretches(block: SampleBlock) -> list[tuple[Rows, bool]]:
    """Rows of training with a loss, in runs of finite numbers (true) and of others (false)."""
    finite = block.training_rows(METRIC)
    others = np.flatnonzero(np.isinf(block.metrics[METRIC]))
    others = others[[not is_pause(block.phase[row]) for row in others.tolist()]] if len(others) else others
    if len(others) == 0:
        return [(finite, True)]
    is_finite = np.zeros(len(block), dtype=np.bool_)
    is_finite[finite] = True
    is_judged = is_finite.copy()
    is_judged[others] = True
    rows = np.flatnonzero(is_judged)
    edges = np.flatnonzero(np.diff(is_finite[rows])) + 1
    return [(part, bool(is_finite[part[0]])) for part in np.split(rows, edges)]
