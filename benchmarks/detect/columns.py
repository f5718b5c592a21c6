"""Columns to blocks, and blocks through the panel: the only place of the bench that touches the product."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from modekeeper.detect.panel import Panel
from modekeeper.detect.settings import DetectorSettings
from modekeeper.model.block import FloatColumn, SampleBlock
from modekeeper.model.sample import METRIC_COLUMNS
from modekeeper.model.signal import Signal

__all__ = ["alarms_per_day", "block_of", "cut", "end_times", "settings_of", "signals_of", "step_times"]

EPOCH_MS = 1_767_225_600_000
"""2026-01-01; where the streams made here begin."""
BLOCK_SAMPLES = 1024


def end_times(step_time_ms: FloatColumn, begin_ms: int = EPOCH_MS) -> NDArray[np.int64]:
    """``int64[n]``: when each step ended if one followed the other; a step of unknown time took the median."""
    known = np.isfinite(step_time_ms)
    usual = float(np.median(step_time_ms[known])) if known.any() else 1000.0
    return begin_ms + np.cumsum(np.where(known, step_time_ms, usual)).astype(np.int64)


def block_of(
    samples: int,
    metrics: Mapping[str, ArrayLike],
    *,
    ts_ms: NDArray[np.int64] | None = None,
    step: NDArray[np.int64] | None = None,
    workers: FloatColumn | None = None,
    worker_groups: tuple[str, ...] | None = None,
    phase: Sequence[str | None] | None = None,
    node: Sequence[str | None] | None = None,
    gpu_model: Sequence[str | None] | None = None,
    knobs: Sequence[Mapping[str, float] | None] | None = None,
) -> SampleBlock:
    """``samples`` samples from columns (numbers stand for constant columns); what is not given is missing.

    Args:
        samples: how many.
        metrics: by name of a column of :data:`METRIC_COLUMNS`.
        ts_ms: Unix milliseconds; without it the steps follow each other without a gap.
        step: training steps; without it from 0.
        workers: ``float64[n, w]`` milliseconds.
        worker_groups: peer group of each worker, the same in every sample.
        phase, node, gpu_model, knobs: one entry a sample.
    """
    if unknown := set(metrics) - set(METRIC_COLUMNS):
        raise ValueError(f"no such columns: {sorted(unknown)}")
    missing = np.full(samples, np.nan)
    columns = {
        name: np.broadcast_to(np.asarray(metrics[name], dtype=np.float64), (samples,)) if name in metrics else missing
        for name in METRIC_COLUMNS
    }
    nothing: list[None] = [None] * samples
    return SampleBlock(
        first_index=0,
        ts_ms=end_times(columns["step_time_ms"]) if ts_ms is None else ts_ms,
        step=np.arange(samples, dtype=np.int64) if step is None else step,
        metrics=columns,
        workers=np.empty((samples, 0)) if workers is None else workers,
        worker_groups=[worker_groups] * samples,
        node=nothing if node is None else node,
        gpu_model=nothing if gpu_model is None else gpu_model,
        phase=nothing if phase is None else phase,
        knobs=nothing if knobs is None else knobs,
    )


def step_times(step_time_ms: FloatColumn) -> SampleBlock:
    """A stream that tells nothing but its step times."""
    return block_of(len(step_time_ms), {"step_time_ms": step_time_ms})


def cut(block: SampleBlock, block_samples: int = BLOCK_SAMPLES) -> Iterator[SampleBlock]:
    """``block`` in pieces of ``block_samples`` samples, the last one shorter."""
    for start in range(0, len(block), block_samples):
        yield block.part(start, min(start + block_samples, len(block)))


def signals_of(block: SampleBlock, settings: DetectorSettings, *, conclude: bool = False) -> list[Signal]:
    """What a new panel says of ``block``; with ``conclude`` also what it cannot tell at the end."""
    panel = Panel(settings)
    signals = [signal for piece in cut(block) for signal in panel.update(piece)]
    return signals + panel.conclude() if conclude else signals


def alarms_per_day(settings: DetectorSettings) -> float | None:
    """The false-alarm setting, alarms a day; ``None`` where the detectors have none."""
    value: float | None = getattr(settings, "false_alarms_per_day", None)
    return value


def settings_of(false_alarms_per_day: float | None) -> DetectorSettings:
    """The default settings, or those with another false-alarm setting.

    Raises:
        ValueError: the detectors have no such setting.
    """
    settings = DetectorSettings()
    if false_alarms_per_day is None:
        return settings
    if alarms_per_day(settings) is None:
        raise ValueError("the detectors have no setting false_alarms_per_day")
    return msgspec.structs.replace(settings, false_alarms_per_day=false_alarms_per_day)
