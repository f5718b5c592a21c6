"""Drift of the step time and the throughput: the level of the job, told as findings.

While the level is worse than the healthy one, exactly one finding in the direction WORSE stands, and it
describes the present level: a further change clears it and confirms the next one at the same sample. Changes
for the better and changes that the job announced are events: confirmed and cleared at the same sample; the
level after them is the new healthy level. Method and citations: ``level.py``.
"""

import math
from typing import Any

import msgspec
import numpy as np

from modekeeper.detect.base import (
    cleared,
    placed,
    share,
    signal_from_json,
    signal_to_json,
    undecided,
)
from modekeeper.detect.chunks import LastSample
from modekeeper.detect.history import Position
from modekeeper.detect.level import AHEAD, LevelChange, LevelCore
from modekeeper.detect.reference import CELL, Reference, locations
from modekeeper.detect.restarts import RestartWatch
from modekeeper.detect.robust import LARGEST, clamp
from modekeeper.detect.settings import DetectorSettings
from modekeeper.model import wording
from modekeeper.model.block import FloatColumn, Rows, SampleBlock
from modekeeper.model.signal import Direction, Phase, Signal, SignalKind

__all__ = ["DriftDetector"]

SCHEDULE_COLUMNS = ("batch_size", "seq_len")
SCHEDULES_KEPT = 8
RECOVERY_LOOK = 10
"""A recovery is looked for every so many values."""
NOISY_REL = 0.1
"""A series that hides changes of this size is not called steady."""
WAIT_WINDOW = 100
FAR_BETTER = 2.0
"""A level this many times ``abrupt_effect_rel`` better than the healthy one is a new level, no recovery."""


class DriftDetector:
    """Sustained changes of one metric.

    Args:
        metric: a column of the block; NaN rows and evaluation or checkpoint rows are not judged.
        unit: for the explanation.
        worse_when_up: whether a rise is for the worse.
        settings: see :class:`DetectorSettings`.
    """

    def __init__(self, metric: str, unit: str, settings: DetectorSettings, *, worse_when_up: bool) -> None:
        self._metric = metric
        self._unit = unit
        self._sign = 1.0 if worse_when_up else -1.0
        self._settings = settings
        self._core = LevelCore(settings)
        self._restarts = RestartWatch(settings.warmup_samples)
        self._healthy: Reference | None = None
        self._goal: Reference | None = None
        """The level just before the finding that stands, or before the first of a chain of them."""
        self._active: Signal | None = None
        self._suspect: Signal | None = None
        self._findings = 0
        self._schedule: list[float | None] = [None] * len(SCHEDULE_COLUMNS)
        self._announced: list[int] = []
        self._last = LastSample()

    def update(self, block: SampleBlock) -> list[Signal]:
        """See :class:`modekeeper.detect.base.Detector`."""
        if not len(block):
            return []
        if len(block) == 1:
            return self._update_one(block)
        self._watch_schedule(block)
        signals: list[Signal] = []
        rows = self._judged_rows(block)
        values = np.clip(block.metrics[self._metric][rows], -LARGEST, LARGEST)
        waits = block.metrics["data_wait_ms"][rows]
        numbers = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
        for start in range(0, len(values), AHEAD):
            part = slice(start, start + AHEAD)
            self._core.history.extend(values[part], block, numbers[part], waits[part])
            signals += self._judge()
        self._forget_schedules()
        self._last.see(block)
        return signals

    def _judged_rows(self, block: SampleBlock) -> Rows:
        """Training rows with a number, without the warm-up after a restart."""
        rows = block.training_rows(self._metric)
        steps, times_ms = block.step[rows], block.ts_ms[rows]
        kept = self._restarts.judged(steps, times_ms) if len(steps) else None
        return rows if kept is None else np.arange(len(block))[rows][kept]

    def _update_one(self, block: SampleBlock) -> list[Signal]:
        """:meth:`update` for a single sample."""
        one = block.only()
        metrics = one.metrics
        for place, name in enumerate(SCHEDULE_COLUMNS):
            if math.isfinite(metrics[name]) and metrics[name] != self._schedule[place]:
                self._watch_schedule(block)
                self._forget_schedules()
                break
        self._last.see(block)
        value = metrics[self._metric]
        if one.paused or not math.isfinite(value) or not self._restarts.is_judged(one.step, one.ts_ms):
            return []
        core = self._core
        value = clamp(value)
        core.history.append(value, one.at_index, one.step, one.ts_ms, metrics["data_wait_ms"])
        if self._active is not None:
            return self._judge()
        change = core.advance_one(value)
        if change is None and self._suspect is None and self._healthy is not None:
            return []
        return self._heard(change)

    def _judge(self) -> list[Signal]:
        """Judge what has come."""
        signals: list[Signal] = []
        core = self._core
        while core.judged < core.history.count:
            active = self._active
            look_at = None if active is None else self._recovery_candidate(active)
            change = core.advance(core.history.count if look_at is None else look_at)
            signals += self._heard(change)
            if change is None and active is not None and core.judged == look_at:
                signals += self._look_for_recovery(active)
        return signals

    def _heard(self, change: LevelChange | None) -> list[Signal]:
        """What a change, or none, says."""
        if self._healthy is None:
            self._healthy = self._core.anchor if change is None else change.anchor
        if not self._core.suspected:
            self._suspect = None
        if change is None:
            return []
        return [self._suspected(change)] if change.suspected else self._changed(change)

    def _watch_schedule(self, block: SampleBlock) -> None:
        """Remember where the job named another batch size or sequence length than before."""
        found: list[int] = []
        for place, name in enumerate(SCHEDULE_COLUMNS):
            column, before = block.metrics[name], self._schedule[place]
            if before is not None and (column == before).all():
                continue
            rows = np.flatnonzero(np.isfinite(column))
            if not len(rows):
                continue
            values = column[rows]
            moved = np.diff(values, prepend=values[0] if before is None else before) != 0
            found += (rows[moved] + block.first_index).tolist()
            self._schedule[place] = float(values[-1])
        self._announced += sorted(found)

    def _forget_schedules(self) -> None:
        del self._announced[:-SCHEDULES_KEPT]

    def _suspected(self, change: LevelChange) -> Signal:
        self._findings += 1
        self._suspect = self._signal(change, Phase.SUSPECTED, self._direction(change), None)
        return self._suspect

    def _changed(self, change: LevelChange) -> list[Signal]:
        if change.restated is not None and self._active is None:
            return []
        if not change.announced:
            self._findings += 1
        before = self._active
        self._active = None
        if self._is_announced(change):
            self._healthy = None
            signals = self._event(change, Direction.NEUTRAL, "announced_schedule")
        elif before is not None and self._is_recovery(change, before.level):
            return [self._recovered(before, change.at, change.after)]
        elif self._is_worse(change, standing=before is not None):
            signals = [self._worse(change)]
        else:
            signals = self._event(change, Direction.BETTER, None)
            self._healthy = None
        if before is not None:
            text = f"superseded by {signals[0].id}: now {wording.level(self._metric, change.after)}"
            signals.insert(0, cleared(before, change.at, text, change.after))
        return signals

    def _is_worse(self, change: LevelChange, *, standing: bool) -> bool:
        """Whether the level is worse than before the findings that stand, or where none does, than just before."""
        if standing and self._goal is not None:
            return self._sign * (change.after - self._goal.level) > 0
        worse = self._sign * (change.after - change.before.level) > 0
        if worse:
            self._goal = change.before
            if self._healthy is None or self._is_near(self._healthy, change.after, None):
                self._healthy = change.before
        return worse

    def _worse(self, change: LevelChange) -> Signal:
        signal = self._signal(change, Phase.CONFIRMED, Direction.WORSE, self._cause(change))
        if self._direction(change) is Direction.BETTER and self._goal is not None:
            change = msgspec.structs.replace(change, before=self._goal)
            signal = self._signal(change, Phase.CONFIRMED, Direction.WORSE, None)
            name, off = wording.metric_name(self._metric), share(change.effect)
            text = f"{name} improved, but is still {off} off the level before"
            signal = msgspec.structs.replace(signal, explanation=f"{text}: {signal.explanation}")
        self._active = signal
        return signal

    def _event(self, change: LevelChange, direction: Direction, cause: str | None) -> list[Signal]:
        signal = self._signal(change, Phase.CONFIRMED, direction, cause)
        text = "an event: the level after it is the new healthy level"
        return [signal, cleared(signal, change.at, text)]

    def _recovery_candidate(self, active: Signal) -> int | None:
        """The next number of values judged at which the level may be found as good as before."""
        core, goal, size = self._core, self._goal, self._settings.clear_samples
        first = max(core.judged, core.judged - core.samples + size - 1) // RECOVERY_LOOK + 1
        counts = range(first * RECOVERY_LOOK, core.history.count + 1, RECOVERY_LOOK)
        if goal is None or not counts:
            return None
        level = locations(core.history.windows(counts, size), goal.clip)
        found = np.flatnonzero(self._sign * (level - goal.level) <= self._band(goal, active.level))
        return counts[int(found[0])] if len(found) else None

    def _look_for_recovery(self, active: Signal) -> list[Signal]:
        goal, samples = self._goal, self._settings.clear_samples
        count = self._core.judged
        if goal is None or self._core.samples < samples:
            return []
        position = self._core.history.position(count - 1)
        window = self._core.recent(samples)
        level = goal.location(window)
        tail = goal.location(window[-2 * CELL :])
        if self._is_near(goal, level, active.level) and self._is_near(goal, tail, active.level):
            self._core.settle_at(goal, count - 2 * CELL)
        elif self._is_overlooked(goal, level):
            self._core.relearn_from(count - samples)
        else:
            return []
        self._active = None
        return [self._recovered(active, position, level)]

    def _is_overlooked(self, goal: Reference, level: float) -> bool:
        """Whether the job became better than ever before the worse level was known well enough to see it."""
        far = FAR_BETTER * self._settings.abrupt_effect_rel * goal.scale
        return self._core.reference is None and self._sign * (level - goal.level) < -far

    def _is_recovery(self, change: LevelChange, worse_level: float | None) -> bool:
        """Whether a change leads back to the level before, or leaves less than would be a change of its own."""
        goal = self._goal
        if goal is None:
            return False
        rest = self._sign * (change.after - goal.level)
        small = 0.0 <= rest <= self._settings.abrupt_effect_rel * goal.scale
        return small or self._is_near(goal, change.after, worse_level)

    def _is_near(self, goal: Reference, level: float, worse_level: float | None) -> bool:
        """Whether ``level`` is as good as ``goal``, or nearly."""
        distance = self._sign * (level - goal.level)
        return -FAR_BETTER * self._settings.abrupt_effect_rel * goal.scale <= distance <= self._band(goal, worse_level)

    def _band(self, goal: Reference, worse_level: float | None) -> float:
        """How much worse than ``goal`` still counts as near it."""
        settings = self._settings
        effect = abs((goal.level if worse_level is None else worse_level) - goal.level)
        band = max(settings.clear_effect_share * effect, settings.clear_least_rel * goal.scale)
        return min(band, max(settings.clear_most_rel * goal.scale, goal.cell_sd))

    def _recovered(self, active: Signal, at: Position, now: float) -> Signal:
        healthy = active.healthy_level
        text = f"{wording.metric_name(self._metric)} is back at {wording.level(self._metric, now)}"
        text += "" if healthy is None else f" (healthy level {wording.level(self._metric, healthy)})"
        return cleared(active, at, text, now)

    def _direction(self, change: LevelChange) -> Direction:
        worse = self._sign * (change.after - change.before.level) > 0
        return Direction.WORSE if worse else Direction.BETTER

    def _is_announced(self, change: LevelChange) -> bool:
        near = self._settings.schedule_samples
        known = [index for index in self._announced if index <= change.at.index][-SCHEDULES_KEPT:]
        return any(abs(index - change.since.index) <= near for index in known)

    def _cause(self, change: LevelChange) -> str | None:
        """``input_bound`` when the wait for input rose by most of what the step time rose by."""
        if self._metric != "step_time_ms" or self._direction(change) is not Direction.WORSE:
            return None
        onset = change.start if change.restated is None else change.restated
        history, first = self._core.history, max(onset - WAIT_WINDOW, change.stop - self._core.reach)
        before = _finite(history.beside(first, onset))
        after = _finite(history.beside(change.start, change.stop))
        if not (len(before) and len(after)):
            return None
        rise = float(np.median(after)) - float(np.median(before))
        share = self._settings.input_bound_share
        return "input_bound" if rise >= share * (change.after - change.before.level) else None

    def _signal(self, change: LevelChange, phase: Phase, direction: Direction, cause: str | None) -> Signal:
        low, high = change.interval
        return Signal(
            id=f"drift-{self._metric}-{self._findings}",
            kind=SignalKind.DRIFT,
            phase=phase,
            metric=self._metric,
            direction=direction,
            **placed(change.at, change.since),
            baseline=change.before.level,
            level=change.after,
            effect=change.effect,
            effect_low=low,
            effect_high=high,
            healthy_level=change.before.level if self._healthy is None else self._healthy.level,
            confidence=change.confidence,
            samples_used=change.samples_used,
            cause=cause,
            explanation=self._explain(change, cause),
        )

    def _explain(self, change: LevelChange, cause: str | None) -> str:
        low, high = change.interval
        verb = "moved slowly from" if change.slow else "went from" if change.restated is None else "went on, from"
        before, after = wording.level(self._metric, change.before.level), wording.level(self._metric, change.after)
        text = f"{wording.metric_name(self._metric)} {verb} {before} to {after}"
        if change.effect is not None and low is not None and high is not None:
            interval = f"90 % interval {wording.signed_percent(low)} to {wording.signed_percent(high)}"
            text += f" ({wording.signed_percent(change.effect)}, {interval})"
        text += f" since {wording.place(change.since.step, change.since.index)}"
        if cause == "input_bound":
            text += "; waiting for input explains most of it"
        if cause == "announced_schedule":
            text += "; the job announced a new batch size or sequence length there"
        return text

    def conclude(self) -> list[Signal]:
        """Undecided where no level could be learned, a change began too late to be told, or the noise hides most."""
        count, need = self._core.judged, self._settings
        kind = SignalKind.DRIFT
        if count == 0:
            text = f"no {self._metric} in the telemetry: its drift is not judged; emit {self._metric!r}"
            return [undecided(kind, self._metric, self._last.position, text)]
        wanted = need.warmup_samples + need.first_reference_samples
        if count < wanted + need.min_run_samples:
            text = f"only {count} samples with {self._metric}; at least {wanted + need.min_run_samples} are needed"
            return [undecided(kind, self._metric, self._last.position, text, count)]
        if self._suspect is not None:
            text = f"the input ended before this could be told from chance: {self._suspect.explanation}"
            return [msgspec.structs.replace(self._suspect, phase=Phase.UNDECIDED, explanation=text)]
        detectable = self._core.detectable_rel
        if detectable is not None and detectable > NOISY_REL:
            text = (
                f"{wording.metric_name(self._metric)} is too noisy, or its samples lean too much on each other:"
                f" a change below {wording.percent(detectable)} cannot be told from chance"
            )
            return [undecided(kind, self._metric, self._last.position, text, count)]
        return []

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "core": self._core.snapshot(),
            "restarts": self._restarts.snapshot(),
            "healthy": msgspec.to_builtins(self._healthy),
            "goal": msgspec.to_builtins(self._goal),
            "active": signal_to_json([self._active] if self._active else []),
            "suspect": signal_to_json([self._suspect] if self._suspect else []),
            "findings": self._findings,
            "schedule": list(self._schedule),
            "announced": list(self._announced),
            "last": self._last.snapshot(),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take over a :meth:`snapshot`."""
        self._core.restore(snapshot["core"])
        self._restarts.restore(snapshot["restarts"])
        self._healthy = msgspec.convert(snapshot["healthy"], Reference | None)
        self._goal = msgspec.convert(snapshot["goal"], Reference | None)
        self._active = next(iter(signal_from_json(snapshot["active"])), None)
        self._suspect = next(iter(signal_from_json(snapshot["suspect"])), None)
        self._findings = snapshot["findings"]
        self._schedule = list(snapshot["schedule"])
        self._announced = list(snapshot["announced"])
        self._last.restore(snapshot["last"])


def _finite(values: FloatColumn) -> FloatColumn:
    return values[np.isfinite(values)]
