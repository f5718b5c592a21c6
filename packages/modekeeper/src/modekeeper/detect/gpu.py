"""GPU saturated or underused, by reported utilisation.

Utilisation in the sense of NVML ``nvmlDeviceGetUtilizationRates``: the share of time in which a kernel ran, not
how much of the chip it used; so a high figure is a fact and no fault, and memory, power and temperature stand
beside it.
"""

import math
from typing import Any

import numpy as np

from modekeeper.detect.base import BEFORE_FIRST, is_pause, position_at, undecided
from modekeeper.detect.history import History, Position
from modekeeper.detect.settings import DetectorSettings
from modekeeper.detect.usage import UsageTrigger
from modekeeper.model import wording
from modekeeper.model.block import SampleBlock
from modekeeper.model.signal import Direction, Signal, SignalKind

__all__ = ["GpuDetector"]

METRIC = "gpu_util_pct"
BESIDE = (
    ("gpu_mem_used_mb", "memory", "MB"),
    ("gpu_power_w", "power", "W"),
    ("gpu_temp_c", "temperature", "°C"),
)


class GpuDetector:
    """``gpu_saturated`` (neutral) and ``gpu_underused`` (worse), each with its own hysteresis."""

    def __init__(self, settings: DetectorSettings) -> None:
        window = settings.usage_window_samples
        self._window = window
        self._history = History(window)
        self._beside = [History(window) for _ in BESIDE]
        self._high = UsageTrigger(
            SignalKind.GPU_SATURATED,
            METRIC,
            Direction.NEUTRAL,
            window=window,
            enter=settings.gpu_saturated_pct,
            leave=settings.gpu_saturated_clear_pct,
        )
        self._low = UsageTrigger(
            SignalKind.GPU_UNDERUSED,
            METRIC,
            Direction.WORSE,
            window=window,
            enter=settings.gpu_underused_pct,
            leave=settings.gpu_underused_clear_pct,
        )
        self._last = BEFORE_FIRST

    def update(self, block: SampleBlock) -> list[Signal]:
        """See :class:`modekeeper.detect.base.Detector`."""
        signals: list[Signal] = []
        for row, value in enumerate(block.metrics[METRIC].tolist()):
            if not math.isfinite(value) or is_pause(block.phase[row]):
                continue
            position = position_at(block, row)
            self._history.append(min(max(value, 0.0), 100.0), position)
            for (name, _, _), history in zip(BESIDE, self._beside, strict=True):
                history.append(float(block.metrics[name][row]), position)
            signals.extend(self._high.judge(self._history, self._explain))
            signals.extend(self._low.judge(self._history, self._explain))
        if len(block):
            self._last = position_at(block, len(block) - 1)
        return signals

    def _explain(self, level: float) -> str:
        """The utilisation, and medians of what was reported beside it."""
        parts = []
        for (_, word, unit), history in zip(BESIDE, self._beside, strict=True):
            values = history.values(history.count - self._window, history.count)
            values = values[np.isfinite(values)]
            if len(values):
                parts.append(f"{word} {float(np.median(values)):.0f} {unit}")
        beside = f" ({', '.join(parts)})" if parts else ""
        return f"median GPU utilisation {wording.level(METRIC, level)} over {self._window} samples{beside}"

    def conclude(self) -> list[Signal]:
        """Undecided without enough utilisation figures."""
        count = self._history.count
        if count >= self._window:
            return []
        text = f"only {count} samples with {METRIC}; at least {self._window} are needed"
        if count == 0:
            text = f"no {METRIC} in the telemetry: GPU use is not judged; emit {METRIC!r}"
        kinds = (SignalKind.GPU_SATURATED, SignalKind.GPU_UNDERUSED)
        return [undecided(kind, METRIC, self._last, text, count) for kind in kinds]

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "history": self._history.snapshot(),
            "beside": [history.snapshot() for history in self._beside],
            "high": self._high.snapshot(),
            "low": self._low.snapshot(),
            "last": self._last.to_json(),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take over a :meth:`snapshot`."""
        self._history.restore(snapshot["history"])
        for history, saved in zip(self._beside, snapshot["beside"], strict=True):
            history.restore(saved)
        self._high.restore(snapshot["high"])
        self._low.restore(snapshot["low"])
        self._last = Position(*snapshot["last"])
