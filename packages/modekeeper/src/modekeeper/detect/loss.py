"""Drift of the loss: only a sustained rise above its recent level, or a loss that is no number, is a signal.

A loss falls by nature, so its level is never held against it; the comparison is between the newest run and the
window just before it, by interquartile means in standard errors of block means (the same noise model as
``level.py``; W. A. Shewhart's rule of comparing with the process's own short-term variation, Economic Control
of Quality, 1931).
"""

import math
from typing import Any

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
from modekeeper.detect.history import History, Position
from modekeeper.detect.reference import CELL, Reference, learn_reference
from modekeeper.detect.robust import (
    clamp,
    interquartile_mean,
    normal_confidence,
    relative,
    split_position,
)
from modekeeper.detect.settings import DetectorSettings
from modekeeper.model import wording
from modekeeper.model.block import SampleBlock, is_pause
from modekeeper.model.signal import Direction, Phase, Signal, SignalKind

__all__ = ["LossDetector"]

METRIC = "loss"
INTERVAL_90 = 1.645
LOOK_EVERY = 2 * CELL
"""Losses between two looks."""


class LossDetector:
    """Sustained rise or divergence of the loss; ``baseline`` and ``healthy_level`` are the level before."""

    def __init__(self, settings: DetectorSettings) -> None:
        self._settings = settings
        self._history = History(settings.loss_window_samples + 2 * settings.loss_run_samples)
        self._active: Signal | None = None
        self._findings = 0
        self._bad = 0
        self._good = 0
        self._first_bad = BEFORE_FIRST
        self._last = BEFORE_FIRST

    def update(self, block: SampleBlock) -> list[Signal]:
        """See :class:`modekeeper.detect.base.Detector`."""
        signals: list[Signal] = []
        for row, value in enumerate(block.metrics[METRIC].tolist()):
            if math.isnan(value) or is_pause(block.phase[row]):
                continue
            position = position_at(block, row)
            signals.extend(self._finite(value, position) if math.isfinite(value) else self._not_finite(position))
        if len(block):
            self._last = position_at(block, len(block) - 1)
        return signals

    def _not_finite(self, position: Position) -> list[Signal]:
        self._first_bad = position if self._bad == 0 else self._first_bad
        self._bad += 1
        self._good = 0
        if self._bad != self._settings.non_finite_losses or self._is_diverged():
            return []
        level = self._level(self._settings.loss_run_samples)
        start = self._first_bad
        since = wording.place(start.step, start.index)
        text = f"the loss has not been a finite number for {self._bad} samples, since {since}"
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
            samples_used=self._bad,
            cause="non_finite_loss",
            explanation=text,
        )
        return [*signals, self._active]

    def _finite(self, value: float, position: Position) -> list[Signal]:
        self._bad = 0
        self._good += 1
        step = -1 if position.step is None else position.step
        self._history.append(clamp(value), position.index, step, position.ts_ms)
        if self._active is not None:
            return self._look_for_recovery(self._active, position)
        return [] if self._history.count % LOOK_EVERY else self._look_for_rise(position)

    def _is_diverged(self) -> bool:
        return self._active is not None and self._active.cause == "non_finite_loss"

    def _level(self, samples: int) -> float | None:
        count = self._history.count
        return interquartile_mean(self._history.values(count - samples, count)) if count else None

    def _look_for_recovery(self, active: Signal, position: Position) -> list[Signal]:
        level = self._level(self._settings.clear_samples)
        if self._good < self._settings.clear_samples or level is None:
            return []
        if active.baseline is not None and not self._is_back(active, level, active.baseline):
            return []
        self._active = None
        return [cleared(active, position, f"the loss is back at {wording.level(METRIC, level)}", level)]

    def _is_back(self, active: Signal, level: float, baseline: float) -> bool:
        rise = abs(baseline) * self._settings.loss_effect_rel if active.level is None else active.level - baseline
        return level <= baseline + 0.5 * rise

    def _look_for_rise(self, position: Position) -> list[Signal]:
        settings = self._settings
        run, window = settings.loss_run_samples, settings.loss_window_samples
        count = self._history.count
        if count < settings.warmup_samples + window + run:
            return []
        reference = learn_reference(self._history.values(count - run - window, count - run))
        after = reference.location(self._history.values(count - run, count))
        tail = reference.location(self._history.values(count - 2 * CELL, count))
        rise, error = after - reference.level, reference.standard_error(run)
        floor = max(settings.loss_effect_rel * reference.scale, settings.drift_z * error)
        if rise <= floor or tail - reference.level < 0.5 * rise:
            return []
        return self._confirm_rise(reference, position)

    def _confirm_rise(self, before: Reference, at: Position) -> list[Signal]:
        """The rise from its onset on, where a least-squares step fits window and run best."""
        count = self._history.count
        settings = self._settings
        start = count - settings.loss_run_samples - settings.loss_window_samples
        values = self._history.values(start, count)
        run = len(values) - split_position(values, before.samples - 2 * CELL, len(values) - 2 * CELL)
        if run < settings.loss_run_samples // 2:
            return []
        self._findings += 1
        self._active = self._rise(before, run, at)
        return [self._active]

    def _rise(self, before: Reference, run: int, at: Position) -> Signal:
        count = self._history.count
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
            **placed(at, since),
            baseline=before.level,
            level=after,
            effect=effect,
            effect_low=relative(after - INTERVAL_90 * error, before.level),
            effect_high=relative(after + INTERVAL_90 * error, before.level),
            healthy_level=before.level,
            confidence=normal_confidence(z, max(self._history.count // CELL, 1)),
            samples_used=run + before.samples,
            explanation=text,
        )

    def conclude(self) -> list[Signal]:
        """Undecided where there was no loss, too little of it, or where it ended in numbers that are none."""
        count, settings = self._history.count, self._settings
        kind = SignalKind.DRIFT
        if count == 0 and self._bad == 0:
            text = f"no {METRIC} in the telemetry: it is not judged; emit {METRIC!r}"
            return [undecided(kind, METRIC, self._last, text)]
        if self._bad and not self._is_diverged():
            text = f"the last {self._bad} losses are not finite numbers, and the input ended there"
            return [undecided(kind, METRIC, self._last, text, count)]
        wanted = settings.warmup_samples + settings.loss_window_samples + settings.loss_run_samples
        if count < wanted and self._active is None:
            text = f"only {count} samples with {METRIC}; at least {wanted} are needed"
            return [undecided(kind, METRIC, self._last, text, count)]
        return []

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "history": self._history.snapshot(),
            "active": signal_to_json([self._active] if self._active else []),
            "findings": self._findings,
            "bad": self._bad,
            "good": self._good,
            "first_bad": self._first_bad.to_json(),
            "last": self._last.to_json(),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take over a :meth:`snapshot`."""
        self._history.restore(snapshot["history"])
        self._active = next(iter(signal_from_json(snapshot["active"])), None)
        self._findings = snapshot["findings"]
        self._bad = snapshot["bad"]
        self._good = snapshot["good"]
        self._first_bad = Position(*snapshot["first_bad"])
        self._last = Position(*snapshot["last"])
