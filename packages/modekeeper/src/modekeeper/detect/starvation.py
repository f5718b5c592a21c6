"""Data starvation: a large share of each step is spent waiting for input.

The share ``data_wait_ms / step_time_ms`` is the stall fraction of J. Mohan et al., Analyzing and Mitigating Data
Stalls in DNN Training, VLDB 2021.
"""

import math
from typing import Any

from modekeeper.detect.base import BEFORE_FIRST, is_pause, position_at, undecided
from modekeeper.detect.history import History, Position
from modekeeper.detect.settings import DetectorSettings
from modekeeper.detect.usage import UsageTrigger
from modekeeper.model import wording
from modekeeper.model.block import SampleBlock
from modekeeper.model.signal import Direction, Signal, SignalKind

__all__ = ["StarvationDetector"]

METRIC = "data_wait_share"


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
        self._last = BEFORE_FIRST

    def update(self, block: SampleBlock) -> list[Signal]:
        """See :class:`modekeeper.detect.base.Detector`."""
        signals: list[Signal] = []
        times = block.metrics["step_time_ms"].tolist()
        for row, wait in enumerate(block.metrics["data_wait_ms"].tolist()):
            time = times[row]
            if not (math.isfinite(wait) and math.isfinite(time) and time > 0) or is_pause(block.phase[row]):
                continue
            self._history.append(min(max(wait / time, 0.0), 1.0), position_at(block, row))
            signals.extend(self._trigger.judge(self._history, self._explain))
        if len(block):
            self._last = position_at(block, len(block) - 1)
        return signals

    def _explain(self, level: float) -> str:
        return f"the median step waits {wording.percent(level)} of its time for input, over {self._window} samples"

    def conclude(self) -> list[Signal]:
        """Undecided without enough samples that name both times."""
        count = self._history.count
        if count >= self._window:
            return []
        text = f"only {count} samples with data_wait_ms and step_time_ms; at least {self._window} are needed"
        if count == 0:
            text = "no data_wait_ms in the telemetry: waiting for input is not judged; emit 'data_wait_ms'"
        return [undecided(SignalKind.DATA_STARVATION, METRIC, self._last, text, count)]

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "history": self._history.snapshot(),
            "trigger": self._trigger.snapshot(),
            "last": self._last.to_json(),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take over a :meth:`snapshot`."""
        self._history.restore(snapshot["history"])
        self._trigger.restore(snapshot["trigger"])
        self._last = Position(*snapshot["last"])
