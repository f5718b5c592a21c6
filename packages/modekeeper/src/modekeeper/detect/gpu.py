"""GPU saturated or underused, by reported utilisation.

Utilisation in the sense of NVML ``nvmlDeviceGetUtilizationRates``: the share of time in which a kernel ran, not
how much of the chip it used; so a high figure is a fact and no fault, and memory, power and temperature stand
beside it.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from modekeeper.detect.base import undecided
from modekeeper.detect.chunks import LastSample, chunks
from modekeeper.detect.history import History, floats_from_json, floats_to_json
from modekeeper.detect.settings import DetectorSettings
from modekeeper.detect.usage import LOOK_EVERY, NO_SIGN, UsageTrigger
from modekeeper.model import wording
from modekeeper.model.block import FloatColumn, SampleBlock
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
        self._beside: list[tuple[float, ...]] = []
        """What was reported beside the newest utilisations."""
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
        self._last = LastSample()

    def update(self, block: SampleBlock) -> list[Signal]:
        """See :class:`modekeeper.detect.base.Detector`."""
        self._last.see(block)
        if len(block) == 1:
            return self._judge_one(block)
        signals: list[Signal] = []
        for rows in chunks(block.training_rows(METRIC)):
            since = self._history.count
            self._history.extend(np.minimum(np.maximum(block.metrics[METRIC][rows], 0.0) + NO_SIGN, 100.0), block, rows)
            columns = [block.metrics[name][rows] for name, _, _ in BESIDE]
            signals.extend(self._judge(since, columns))
            self._beside = self._rows_beside(columns, self._history.count - since)
        return signals

    def _judge_one(self, block: SampleBlock) -> list[Signal]:
        one = block.only()
        value = one.metrics[METRIC]
        if one.paused or not math.isfinite(value):
            return []
        since = self._history.count
        self._history.append(min(max(value, 0.0) + NO_SIGN, 100.0), one.at_index, one.step, one.ts_ms)
        self._beside.append(tuple([one.metrics[name] for name, _, _ in BESIDE]))
        if len(self._beside) > 2 * self._window:
            del self._beside[: -self._window]
        return self._judge(since)

    def _judge(self, since: int, columns: Sequence[FloatColumn] = ()) -> list[Signal]:
        """Judge the utilisations from number ``since`` on; ``columns`` stood beside them, if ``_beside`` lacks them."""
        if self._history.count // LOOK_EVERY == since // LOOK_EVERY:
            return []

        def explain(level: float, look: int) -> str:
            rows = self._rows_beside(columns, look - since) if columns else self._beside
            return self._explain(level, rows[-self._window :])

        high = self._high.judge(self._history, since, explain)
        low = self._low.judge(self._history, since, explain)
        return sorted(high + low, key=lambda signal: signal.at_index)

    def _rows_beside(self, columns: Sequence[FloatColumn], stop: int) -> list[tuple[float, ...]]:
        """What stood beside the newest utilisations, up to row ``stop`` of ``columns``."""
        start = max(stop - self._window, 0)
        new = list(zip(*(column[start:stop].tolist() for column in columns), strict=True))
        return [*self._beside, *new][-self._window :]

    def _explain(self, level: float, rows: Sequence[tuple[float, ...]]) -> str:
        """The utilisation, and medians of what was reported beside it."""
        parts = []
        for place, (_, word, unit) in enumerate(BESIDE):
            values = [row[place] for row in rows if math.isfinite(row[place])]
            if values:
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
        return [undecided(kind, METRIC, self._last.position, text, count) for kind in kinds]

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "history": self._history.snapshot(),
            "beside": [floats_to_json(list(row)) for row in self._beside[-self._window :]],
            "high": self._high.snapshot(),
            "low": self._low.snapshot(),
            "last": self._last.snapshot(),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take over a :meth:`snapshot`."""
        self._history.restore(snapshot["history"])
        self._beside = [tuple(floats_from_json(row)) for row in snapshot["beside"]]
        self._high.restore(snapshot["high"])
        self._low.restore(snapshot["low"])
        self._last.restore(snapshot["last"])
