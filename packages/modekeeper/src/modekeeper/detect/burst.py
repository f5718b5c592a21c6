"""Bursts: steps that take far longer than usual, one or a few at a time.

The test is a robust z (B. Iglewicz and D. C. Hoaglin, How to Detect and Handle Outliers, 1993) with two floors: a
relative one, and the job's own tail, so that a job whose times are heavy-tailed by nature does not burst all day.
A burst is an event: it is confirmed at the first usual sample after it, and cleared at the same sample.
"""

import math
from typing import Any

import msgspec
import numpy as np

from modekeeper.detect.base import BEFORE_FIRST, cleared, is_pause, placed, position_at, share, undecided
from modekeeper.detect.history import History, Position
from modekeeper.detect.robust import clamp, quantile, relative, robust_sd
from modekeeper.detect.settings import DetectorSettings
from modekeeper.model import wording
from modekeeper.model.block import SampleBlock
from modekeeper.model.signal import Direction, Phase, Signal, SignalKind

__all__ = ["BurstDetector"]

METRIC = "step_time_ms"
REFRESH = 10
"""The threshold is computed again every so many usual samples."""
TAIL = 0.98
BURSTS_KEPT = 32
SAME_SIZE = 1.5
"""Pauses of one kind do not differ by more than this factor."""
MIN_PERIOD = 5
CHANCE = 0.05
"""A spacing is called regular when bursts at random would show it less often than this."""


class _Level(msgspec.Struct):
    median: float
    threshold: float
    sd: float
    samples: int


class _Run(msgspec.Struct):
    """Spikes in a row, not yet judged."""

    start: Position
    end: Position
    times: list[float] = msgspec.field(default_factory=list)
    waits: list[float | None] = msgspec.field(default_factory=list)
    paused: bool = False


class _Past(msgspec.Struct):
    number: int
    """Step, or sample where the job names no steps: a lost sample must not break a regular spacing."""
    excess: float


class BurstDetector:
    """Spikes of the step time, up to ``longest_burst_samples`` in a row; a longer run is a new level."""

    def __init__(self, settings: DetectorSettings) -> None:
        self._settings = settings
        self._times = History(settings.burst_tail_samples)
        self._waits = History(settings.burst_window_samples)
        self._level: _Level | None = None
        self._run: _Run | None = None
        self._past: list[_Past] = []
        self._findings = 0
        self._last = BEFORE_FIRST

    def update(self, block: SampleBlock) -> list[Signal]:
        """See :class:`modekeeper.detect.base.Detector`."""
        signals: list[Signal] = []
        waits = block.metrics["data_wait_ms"].tolist()
        for row, value in enumerate(block.metrics[METRIC].tolist()):
            if math.isfinite(value):
                position = position_at(block, row)
                paused = is_pause(block.phase[row])
                signals.extend(self._judge(clamp(value), waits[row], position, paused=paused))
        if len(block):
            self._last = position_at(block, len(block) - 1)
        return signals

    def _judge(self, time_ms: float, wait_ms: float, position: Position, *, paused: bool) -> list[Signal]:
        level = self._level
        if level is not None and time_ms > level.threshold:
            self._extend_run(time_ms, wait_ms, position, paused=paused)
            if self._run is not None and len(self._run.times) > self._settings.longest_burst_samples:
                self._forget_level(self._run)
            return []
        signals: list[Signal] = []
        if level is not None and self._run is not None:
            signals = self._confirm(self._run, level, position)
            self._absorb(self._run)
        self._run = None
        if not paused:
            self._append(time_ms, wait_ms, position)
        return signals

    def _extend_run(self, time_ms: float, wait_ms: float, position: Position, *, paused: bool) -> None:
        if self._run is None:
            self._run = _Run(start=position, end=position)
        self._run.end = position
        self._run.times.append(time_ms)
        self._run.waits.append(wait_ms if math.isfinite(wait_ms) else None)
        self._run.paused = self._run.paused or paused

    def _append(self, time_ms: float, wait_ms: float, position: Position) -> None:
        self._times.append(time_ms, position)
        self._waits.append(wait_ms if math.isfinite(wait_ms) else math.nan, position)
        if self._times.count % REFRESH == 0:
            self._learn()

    def _learn(self) -> None:
        settings = self._settings
        count = self._times.count
        values = self._times.values(count - settings.burst_window_samples, count)
        if len(values) < settings.burst_first_samples:
            return
        ordered = np.sort(values)
        # The tail is that of a longer past: an episode of bursts must not become the usual while it lasts.
        past = self._times.values(count - settings.burst_tail_samples, count)
        median, tail = quantile(ordered, 0.5), quantile(np.sort(past), TAIL)
        sd = robust_sd(ordered)
        threshold = max(
            median + settings.burst_effect_rel * abs(median),
            median + settings.burst_z * sd,
            settings.burst_tail_factor * tail,
        )
        self._level = _Level(median=median, threshold=threshold, sd=sd, samples=len(values))

    def _absorb(self, run: _Run) -> None:
        """Spikes are part of the job's tail: frequent ones raise the threshold."""
        if not run.paused:
            for time_ms, wait_ms in zip(run.times, run.waits, strict=True):
                self._append(time_ms, math.nan if wait_ms is None else wait_ms, run.end)

    def _forget_level(self, run: _Run) -> None:
        """The run outgrew the longest burst: this is the usual time now."""
        self._times = History(self._settings.burst_tail_samples)
        self._waits = History(self._settings.burst_window_samples)
        self._level = None
        self._run = None
        self._absorb(run)

    def _confirm(self, run: _Run, level: _Level, at: Position) -> list[Signal]:
        peak = max(run.times)
        excess = peak - level.median
        cause = self._cause(run, level, excess)
        self._past = [*self._past[1 - BURSTS_KEPT :], _Past(number=_number(run.start), excess=excess)]
        self._findings += 1
        effect = relative(peak, level.median)
        count = len(run.times)
        steps = "1 step" if count == 1 else f"{count} steps in a row"
        text = (
            f"{steps} up to {wording.level(METRIC, peak)} against a usual {wording.level(METRIC, level.median)}"
            f" ({share(effect)} more) at {wording.place(run.start.step, run.start.index)}"
        )
        signal = Signal(
            id=f"burst-{METRIC}-{self._findings}",
            kind=SignalKind.BURST,
            phase=Phase.CONFIRMED,
            metric=METRIC,
            direction=Direction.NEUTRAL if cause == "announced_pause" else Direction.WORSE,
            **placed(at, run.start),
            baseline=level.median,
            level=peak,
            effect=effect,
            healthy_level=level.median,
            confidence=1.0 - 1.0 / (level.samples + 1),
            samples_used=level.samples + count,
            cause=cause,
            explanation=text if cause is None else f"{text}; cause: {cause.replace('_', ' ')}",
        )
        return [signal, cleared(signal, at, f"over after {steps}")]

    def _cause(self, run: _Run, level: _Level, excess: float) -> str | None:
        if run.paused:
            return "announced_pause"
        if self._is_input_bound(run, level):
            return "input_bound"
        return "periodic_pause" if self._is_periodic(_number(run.start), excess) else None

    def _is_input_bound(self, run: _Run, level: _Level) -> bool:
        usual = self._waits.values(0, self._waits.count)
        usual = usual[np.isfinite(usual)]
        spent = [wait for wait in run.waits if wait is not None]
        if not (len(usual) and spent):
            return False
        waited = sum(spent) - len(spent) * float(np.median(usual))
        lost = sum(t - level.median for t, w in zip(run.times, run.waits, strict=True) if w is not None)
        return waited >= self._settings.input_bound_share * lost

    def _is_periodic(self, number: int, excess: float) -> bool:
        """Whether bursts of this size came before at equal spacings, more than scattered ones would by chance."""
        alike = [p.number for p in self._past if excess / SAME_SIZE <= p.excess <= excess * SAME_SIZE]
        alike = [earlier for earlier in alike if number - earlier >= MIN_PERIOD]
        if not alike:
            return False
        rate = (len(alike) - 1) / (number - alike[0])
        for earlier in alike:
            period = number - earlier
            tolerance = max(1.0, self._settings.period_tolerance_rel * period)
            matches, expected = 0, earlier - period
            while (found := _nearest(alike, expected, tolerance)) is not None:
                matches, expected = matches + 1, found - period
            if matches and len(alike) * min(rate * (2.0 * tolerance + 1.0), 1.0) ** matches < CHANCE:
                return True
        return False

    def conclude(self) -> list[Signal]:
        """Undecided where the usual step time is unknown, or the input ended inside a spike."""
        count = self._times.count
        if self._run is not None:
            text = f"the input ended {len(self._run.times)} samples into a spike at sample {self._run.start.index}"
            return [undecided(SignalKind.BURST, METRIC, self._last, text, count)]
        if self._level is None:
            need = self._settings.burst_first_samples
            text = f"only {count} samples with {METRIC}; bursts are told from {need} on"
            return [undecided(SignalKind.BURST, METRIC, self._last, text, count)]
        return []

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "times": self._times.snapshot(),
            "waits": self._waits.snapshot(),
            "level": msgspec.to_builtins(self._level),
            "run": msgspec.to_builtins(self._run),
            "past": msgspec.to_builtins(self._past),
            "findings": self._findings,
            "last": self._last.to_json(),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take over a :meth:`snapshot`."""
        self._times.restore(snapshot["times"])
        self._waits.restore(snapshot["waits"])
        self._level = msgspec.convert(snapshot["level"], _Level | None)
        self._run = msgspec.convert(snapshot["run"], _Run | None)
        self._past = msgspec.convert(snapshot["past"], list[_Past])
        self._findings = snapshot["findings"]
        self._last = Position(*snapshot["last"])


def _number(position: Position) -> int:
    return position.index if position.step is None else position.step


def _nearest(numbers: list[int], expected: int, tolerance: float) -> int | None:
    """The number nearest to ``expected``, if one is within ``tolerance``."""
    nearest = min(numbers, key=lambda number: abs(number - expected))
    return nearest if abs(nearest - expected) <= tolerance else None
