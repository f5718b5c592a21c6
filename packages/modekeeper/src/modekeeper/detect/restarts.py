"""Restarts of the job, and the samples after them that say nothing: compilation, cold caches, a loader that fills up.

A job that is started again from a checkpoint is silent for a while and then counts its steps from an earlier one on.
Both are asked for: steps alone go back where the records of several workers arrive interleaved.
"""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

__all__ = ["RestartWatch"]

LEAST_GAP_MS = 5_000
GAP_INTERVALS = 10
"""A silence of so many usual intervals, and at least of ``LEAST_GAP_MS``, belongs to a restart."""
FEWEST_SAMPLES = 10
"""Before so many samples nobody knows what is usual."""
UNKNOWN = -1

IntColumn = NDArray[np.int64]


class _State(msgspec.Struct):
    first_ts_ms: int = 0
    """Of the present run of the job."""
    samples: int = 0
    last_step: int = UNKNOWN
    last_ts_ms: int = 0
    left_out: int = 0
    """Samples of the warm-up that are still to come."""


class RestartWatch:
    """Tells which samples of a series are to be judged: not the first ``warmup_samples`` after a restart."""

    def __init__(self, warmup_samples: int) -> None:
        self._warmup = warmup_samples
        self._state = _State()

    def judged(self, steps: IntColumn, times_ms: IntColumn) -> NDArray[np.bool_] | None:
        """Which of the next samples count; ``None`` where all do.

        Args:
            steps: ``int64[n]``, ``n ≥ 1``; ``-1`` where unknown.
            times_ms: ``int64[n]``, Unix milliseconds, never falling.
        """
        state, count = self._state, len(steps)
        if state.samples and not state.left_out and steps[0] >= state.last_step and (steps[1:] >= steps[:-1]).all():
            state.samples += count
            state.last_step, state.last_ts_ms = steps.item(-1), times_ms.item(-1)
            return None
        steps_before = np.concatenate(((state.last_step,), steps[:-1]))
        times_before = np.concatenate(((state.last_ts_ms,), times_ms[:-1]))
        back = (steps >= 0) & (steps < steps_before) & (times_ms - times_before >= LEAST_GAP_MS)
        kept = np.ones(count, dtype=np.bool_)
        kept[: state.left_out] = False
        left_out = max(state.left_out - count, 0)
        if not state.samples:
            state.first_ts_ms = int(times_ms[0])
        began = -state.samples
        for row in np.flatnonzero(back).tolist():
            if self._is_restart(int(times_ms[row]), int(times_before[row]), row - began):
                state.first_ts_ms, began = int(times_ms[row]), row
                kept[row : row + self._warmup] = False
                left_out = max(row + self._warmup - count, 0)
        state.samples, state.left_out = count - began, left_out
        state.last_step, state.last_ts_ms = int(steps[-1]), int(times_ms[-1])
        return None if kept.all() else kept

    def is_judged(self, step: int, ts_ms: int) -> bool:
        """:meth:`judged` for a single sample."""
        state = self._state
        if step >= state.last_step and state.samples and not state.left_out:
            state.samples += 1
            state.last_step, state.last_ts_ms = step, ts_ms
            return True
        if not state.samples:
            state.first_ts_ms = ts_ms
        elif 0 <= step < state.last_step and self._is_restart(ts_ms, state.last_ts_ms, state.samples):
            state.first_ts_ms, state.samples, state.left_out = ts_ms, 0, self._warmup
        state.samples += 1
        state.last_step, state.last_ts_ms = step, ts_ms
        if state.left_out:
            state.left_out -= 1
            return False
        return True

    def _is_restart(self, ts_ms: int, before_ms: int, samples: int) -> bool:
        """Whether the silence before a sample is long for the ``samples`` of the run that it may have ended."""
        gap = ts_ms - before_ms
        usual = (before_ms - self._state.first_ts_ms) / max(samples - 1, 1)
        return samples >= FEWEST_SAMPLES and gap >= LEAST_GAP_MS and gap >= GAP_INTERVALS * usual

    def snapshot(self) -> Any:
        """Plain JSON values."""
        return msgspec.to_builtins(self._state)

    def restore(self, snapshot: Any) -> None:
        """Take over a :meth:`snapshot`."""
        self._state = msgspec.convert(snapshot, _State)
