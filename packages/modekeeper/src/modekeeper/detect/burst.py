"""Bursts: steps that take far longer than usual, one or a few at a time.

What is usual, and what the job's own tail brings forth, is learned in ``usual_time.py``. A burst is an event: it is
confirmed at the first usual sample after it, and cleared at the same sample.
"""

import math
from bisect import bisect_left
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from modekeeper.detect.base import cleared, placed, position_at, share, undecided
from modekeeper.detect.chunks import LastSample
from modekeeper.detect.history import Position, floats_from_json, floats_to_json
from modekeeper.detect.robust import LARGEST, clamp, quantile, relative
from modekeeper.detect.settings import DetectorSettings
from modekeeper.detect.usual_time import UsualLevel, UsualLevels, UsualTime
from modekeeper.model import wording
from modekeeper.model.block import FloatColumn, Rows, SampleBlock
from modekeeper.model.signal import Direction, Phase, Signal, SignalKind

__all__ = ["BurstDetector"]

METRIC = "step_time_ms"
WAITED = "data_wait_ms"
USUAL_WAITS = 200
"""Samples that tell the usual time waited for input."""
BURSTS_KEPT = 32
SAME_SIZE = 1.5
"""Pauses of one kind do not differ by more than this factor."""
MIN_PERIOD = 5
CHANCE = 0.05
"""A spacing is called regular when bursts at random would show it less often than this."""


class _Run(msgspec.Struct):
    """Spikes in a row, not yet judged; those beyond the longest burst are only counted."""

    start: Position
    usual: UsualLevel
    usual_wait: float | None
    count: int = 0
    times: list[float] = msgspec.field(default_factory=list)
    waits: list[float | None] = msgspec.field(default_factory=list)
    paused: bool = False


class _Past(msgspec.Struct):
    number: int
    """Step, or sample where the job names no steps: a lost sample must not break a regular spacing."""
    excess: float


class _Judged(msgspec.Struct, frozen=True):
    """The samples of a block that have a step time."""

    block: SampleBlock
    rows: Rows
    times: FloatColumn
    training: NDArray[np.bool_] | None
    """Which of them are no evaluation or checkpoint; ``None``: all."""

    def position(self, number: int) -> Position:
        return position_at(self.block, number if isinstance(self.rows, slice) else int(self.rows[number]))

    def learned(self, column: FloatColumn) -> FloatColumn:
        """Values of the samples that the usual is learned from."""
        values = column[self.rows]
        return values if self.training is None else values[self.training]

    def before(self) -> NDArray[np.intp]:
        """How many of those came before each sample."""
        if self.training is None:
            return np.arange(len(self.times))
        counts: NDArray[np.intp] = np.cumsum(self.training) - self.training
        return counts


class BurstDetector:
    """Spikes of the step time, up to ``longest_burst_samples`` in a row; a longer run is a new level."""

    def __init__(self, settings: DetectorSettings) -> None:
        self._settings = settings
        self._usual = UsualTime(settings)
        self._waits: list[float] = []
        """Waits of the newest samples, the last ``USUAL_WAITS`` of which count."""
        self._run: _Run | None = None
        self._past: list[_Past] = []
        self._findings = 0
        self._last = LastSample()

    def update(self, block: SampleBlock) -> list[Signal]:
        """See :class:`modekeeper.detect.base.Detector`."""
        self._last.see(block)
        if len(block) == 1:
            return self._judge_one(block)
        judged = _judged(block)
        if len(judged.times) == 0:
            return []
        training = judged.times if judged.training is None else judged.times[judged.training]
        usual = self._usual.extend(training)
        thresholds = (
            usual.each(len(training)) if judged.training is None else usual.thresholds[usual.numbers(judged.before())]
        )
        slow = np.flatnonzero(judged.times > thresholds)
        signals: list[Signal] = []
        if self._run is not None and not (len(slow) and slow[0] == 0):
            signals += self._finish(self._run, judged.position(0))
        if len(slow):
            signals += self._walk(judged, _runs(slow), usual)
        waits = judged.learned(block.metrics[WAITED])[-USUAL_WAITS:].tolist()
        self._waits = waits if len(waits) == USUAL_WAITS else [*self._waits, *waits][-USUAL_WAITS:]
        return signals

    def _walk(self, judged: _Judged, runs: list[tuple[int, int]], usual: UsualLevels) -> list[Signal]:
        """Take the runs of spikes of a block, each from its first to its last sample."""
        signals: list[Signal] = []
        column = judged.block.metrics[WAITED][judged.rows]
        before = judged.before()
        waits = np.concatenate((self._waits[-USUAL_WAITS:], judged.learned(judged.block.metrics[WAITED])))
        older = len(self._waits[-USUAL_WAITS:])
        for first, last in runs:
            if self._run is None:
                new = int(before[first])
                self._run = _begin(judged.position(first), usual.at(new), waits[: older + new])
            here = slice(first, last + 1)
            paused = judged.training is not None and not bool(judged.training[here].all())
            self._prolong(self._run, judged.times[here], column[here], paused=paused)
            if last + 1 < len(judged.times):
                signals += self._finish(self._run, judged.position(last + 1))
        return signals

    def _judge_one(self, block: SampleBlock) -> list[Signal]:
        one = block.only()
        time_ms, wait_ms, paused = one.metrics[METRIC], one.metrics[WAITED], one.paused
        if not math.isfinite(time_ms):
            return []
        time_ms = clamp(time_ms)
        signals: list[Signal] = []
        if time_ms > self._usual.level.threshold:
            if self._run is None:
                self._run = _begin(position_at(block, 0), self._usual.level, np.array(self._waits))
            self._prolong(self._run, np.array([time_ms]), np.array([wait_ms]), paused=paused)
        elif self._run is not None:
            signals = self._finish(self._run, position_at(block, 0))
        if not paused:
            self._usual.append(time_ms)
            self._waits.append(wait_ms)
            if len(self._waits) > 2 * USUAL_WAITS:
                del self._waits[:-USUAL_WAITS]
        return signals

    def _prolong(self, run: _Run, times: FloatColumn, waits: FloatColumn, *, paused: bool) -> None:
        room = max(self._settings.longest_burst_samples - run.count, 0)
        run.times.extend(times[:room].tolist())
        run.waits.extend(wait if math.isfinite(wait) else None for wait in waits[:room].tolist())
        run.count += len(times)
        run.paused = run.paused or paused

    def _finish(self, run: _Run, at: Position) -> list[Signal]:
        """A run that outgrew the longest burst was a new level, and is the business of the drift detector."""
        self._run = None
        return [] if run.count > self._settings.longest_burst_samples else self._confirm(run, at)

    def _confirm(self, run: _Run, at: Position) -> list[Signal]:
        peak, usual = max(run.times), run.usual.middle
        excess = peak - usual
        cause = self._cause(run, excess)
        self._past = [*self._past[1 - BURSTS_KEPT :], _Past(number=_number(run.start), excess=excess)]
        self._findings += 1
        effect = relative(peak, usual)
        count = run.count
        steps = "1 step" if count == 1 else f"{count} steps in a row"
        text = (
            f"{steps} up to {wording.level(METRIC, peak)} against a usual {wording.level(METRIC, usual)}"
            f" ({share(effect)} more) at {wording.place(run.start.step, run.start.index)}"
        )
        signal = Signal(
            id=f"burst-{METRIC}-{self._findings}",
            kind=SignalKind.BURST,
            phase=Phase.CONFIRMED,
            metric=METRIC,
            direction=Direction.NEUTRAL if cause == "announced_pause" else Direction.WORSE,
            **placed(at, run.start),
            baseline=usual,
            level=peak,
            effect=effect,
            healthy_level=usual,
            confidence=1.0 - 1.0 / (run.usual.samples + 1),
            samples_used=run.usual.samples + count,
            cause=cause,
            explanation=text if cause is None else f"{text}; cause: {cause.replace('_', ' ')}",
        )
        return [signal, cleared(signal, at, f"over after {steps}")]

    def _cause(self, run: _Run, excess: float) -> str | None:
        if run.paused:
            return "announced_pause"
        if self._is_input_bound(run):
            return "input_bound"
        return "periodic_pause" if self._is_periodic(_number(run.start), excess) else None

    def _is_input_bound(self, run: _Run) -> bool:
        spent = [wait for wait in run.waits if wait is not None]
        if run.usual_wait is None or not spent:
            return False
        waited = sum(spent) - len(spent) * run.usual_wait
        lost = sum(t - run.usual.middle for t, w in zip(run.times, run.waits, strict=True) if w is not None)
        return waited >= self._settings.input_bound_share * lost

    def _is_periodic(self, number: int, excess: float) -> bool:
        """Whether bursts of this size came before at equal spacings, more than scattered ones would by chance."""
        alike = [p.number for p in self._past if excess / SAME_SIZE <= p.excess <= excess * SAME_SIZE]
        alike = sorted(earlier for earlier in alike if number - earlier >= MIN_PERIOD)
        if not alike:
            return False
        rate = (len(alike) - 1) / (number - alike[0])
        for earlier in reversed(alike):
            period = number - earlier
            tolerance = max(1.0, self._settings.period_tolerance_rel * period)
            matches, expected = 0, earlier - period
            while expected > alike[0] - tolerance and (found := _nearest(alike, expected, tolerance)) is not None:
                matches, expected = matches + 1, found - period
            if matches and len(alike) * min(rate * (2.0 * tolerance + 1.0), 1.0) ** matches < CHANCE:
                return True
        return False

    def conclude(self) -> list[Signal]:
        """Undecided where the usual step time is unknown, or the input ended inside a spike."""
        count = self._usual.count
        if self._run is not None:
            text = f"the input ended {self._run.count} samples into a spike at sample {self._run.start.index}"
            return [undecided(SignalKind.BURST, METRIC, self._last.position, text, count)]
        need = self._settings.burst_first_groups * self._settings.burst_group_samples
        if count < need:
            text = f"only {count} samples with {METRIC}; bursts are told from {need} on"
            return [undecided(SignalKind.BURST, METRIC, self._last.position, text, count)]
        return []

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "usual": self._usual.snapshot(),
            "waits": floats_to_json(self._waits[-USUAL_WAITS:]),
            "run": msgspec.to_builtins(self._run),
            "past": msgspec.to_builtins(self._past),
            "findings": self._findings,
            "last": self._last.snapshot(),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take over a :meth:`snapshot`."""
        self._usual.restore(snapshot["usual"])
        self._waits = floats_from_json(snapshot["waits"])
        self._run = msgspec.convert(snapshot["run"], _Run | None)
        self._past = msgspec.convert(snapshot["past"], list[_Past])
        self._findings = snapshot["findings"]
        self._last.restore(snapshot["last"])


def _begin(start: Position, usual: UsualLevel, waits: FloatColumn) -> _Run:
    known = waits[-USUAL_WAITS:]
    known = np.sort(known[np.isfinite(known)])
    return _Run(start=start, usual=usual, usual_wait=quantile(known, 0.5) if len(known) else None)


def _judged(block: SampleBlock) -> _Judged:
    """Evaluations and checkpoints are judged too, but nothing is learned from them."""
    column = block.metrics[METRIC]
    learned = block.training_rows(METRIC)
    rows: Rows = learned
    training = None
    if not isinstance(learned, slice) or learned.stop < len(column):
        is_training = np.zeros(len(column), dtype=np.bool_)
        is_training[learned] = True
        rows = np.flatnonzero(np.isfinite(column))
        training = is_training[rows]
    return _Judged(block, rows, np.minimum(np.maximum(column[rows], -LARGEST), LARGEST), training)


def _runs(places: NDArray[np.intp]) -> list[tuple[int, int]]:
    """First and last of each run of neighbouring places."""
    if len(places) == 0:
        return []
    breaks = np.flatnonzero(np.diff(places) != 1)
    firsts = places[np.concatenate(((0,), breaks + 1))].tolist()
    lasts = places[np.concatenate((breaks, (len(places) - 1,)))].tolist()
    return list(zip(firsts, lasts, strict=True))


def _number(position: Position) -> int:
    return position.index if position.step is None else position.step


def _nearest(ordered: list[int], expected: int, tolerance: float) -> int | None:
    """The number nearest to ``expected``, if one is within ``tolerance``."""
    place = bisect_left(ordered, expected)
    nearest = min(ordered[max(place - 1, 0) : place + 1], key=lambda number: abs(number - expected))
    return nearest if abs(nearest - expected) <= tolerance else None
