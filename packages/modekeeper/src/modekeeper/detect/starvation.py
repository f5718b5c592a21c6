"""Data starvation: a large share of each step is spent waiting for input.

The share ``data_wait_ms / step_time_ms`` is the stall fraction of J. Mohan et al., Analyzing and Mitigating Data
Stalls in DNN Training, VLDB 2021.
"""

import math
from typing import Any

import numpy as np

from modekeeper.detect.base import undecided
from modekeeper.detect.chunks import LastSample, chunks, rows_where
from modekeeper.detect.history import History
from modekeeper.detect.settings import DetectorSettings
from modekeeper.detect.usage import NO_SIGN, UsageTrigger
from modekeeper.model import wording
from modekeeper.model.block import Rows, SampleBlock
from modekeeper.model.signal import Direction, Signal, SignalKind

__all__ = ["StarvationDetector"]

METRIC = "data_wait_share"
WAITED = "data_wait_ms"


class StarvationDetector:
    """``level`` is the median share (0 … 1) of the step time spent waiting for input."""

    def __init__(self, settings: DetectorSettings) -> None:
        self._window = settings.usage_window_samples
        self._history = History(self._window)
        self._trigger = UsageTrigger(
            SignalKind.DATA_STARVATION,
            METRIC,
            Direction.WORSE,
            window=self._window,
            enter=settings.starvation_share,
            leave=settings.starvation_clear_share,
        )
        self._last = LastSample()

    def update(self, block: SampleBlock) -> list[Signal]:
        """See :class:`modekeeper.detect.base.Detector`."""
        self._last.see(block)
        if len(block) == 1:
            return self._judge_one(block)
        signals: list[Signal] = []
        for rows in chunks(self._rows(block)):
            times, waits = block.metrics["step_time_ms"][rows], block.metrics[WAITED][rows]
            with np.errstate(over="ignore"):
                shares = np.minimum(np.maximum(waits / times, 0.0) + NO_SIGN, 1.0)
            since = self._history.count
            self._history.extend(shares, block, rows)
            signals.extend(self._trigger.judge(self._history, since, self._explain))
        return signals

    def _judge_one(self, block: SampleBlock) -> list[Signal]:
        one = block.only()
        wait, time = one.metrics[WAITED], one.metrics["step_time_ms"]
        if one.paused or not (math.isfinite(wait) and math.isfinite(time) and time > 0):
            return []
        since = self._history.count
        self._history.append(min(max(wait / time, 0.0) + NO_SIGN, 1.0), one.at_index, one.step, one.ts_ms)
        return self._trigger.judge(self._history, since, self._explain)

    @staticmethod
    def _rows(block: SampleBlock) -> Rows:
        """Rows with both times."""
        rows = block.training_rows(WAITED)
        times = block.metrics["step_time_ms"][rows]
        return rows_where(rows, np.isfinite(times) & (times > 0)) if len(times) else rows

    def _explain(self, level: float, _look: int) -> str:
        return f"the median step waits {wording.percent(level)} of its time for input, over {self._window} samples"

    def conclude(self) -> list[Signal]:
        """Undecided without enough samples that name both times."""
        count = self._history.count
        if count >= self._window:
            return []
        text = f"only {count} samples with data_wait_ms and step_time_ms; at least {self._window} are needed"
        if count == 0:
            text = "no data_wait_ms in the telemetry: waiting for input is not judged; emit 'data_wait_ms'"
        return [undecided(SignalKind.DATA_STARVATION, METRIC, self._last.position, text, count)]

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "history": self._history.snapshot(),
            "trigger": self._trigger.snapshot(),
            "last": self._last.snapshot(),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take over a :meth:`snapshot`."""
        self._history.restore(snapshot["history"])
        self._trigger.restore(snapshot["trigger"])
        self._last.restore(snapshot["last"])
