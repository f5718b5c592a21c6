"""One telemetry record of one workload at one time."""

from collections.abc import Mapping

import msgspec

__all__ = ["METRIC_COLUMNS", "Sample"]

METRIC_COLUMNS = (
    "step_time_ms",
    "loss",
    "throughput",
    "data_wait_ms",
    "gpu_util_pct",
    "gpu_mem_used_mb",
    "gpu_mem_total_mb",
    "gpu_power_w",
    "gpu_temp_c",
    "batch_size",
    "seq_len",
)
"""The fields of a sample that are plain numbers, in the order a block stores them."""


class Sample(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One accepted telemetry record.

    Only ``ts_ms`` is certain; every other field is ``None`` where the record did not carry it. Times are Unix
    milliseconds. ``loss`` is ``+inf`` where the trainer printed a loss that is not a finite number, so that
    a diverged loss is told from a loss nobody reported.
    """

    ts_ms: int
    step: int | None = None
    step_time_ms: float | None = None
    loss: float | None = None
    throughput: float | None = None
    """Units of work (tokens, images …) a second, as the trainer counts them."""
    data_wait_ms: float | None = None
    """Part of ``step_time_ms`` spent waiting for input."""
    gpu_util_pct: float | None = None
    gpu_mem_used_mb: float | None = None
    gpu_mem_total_mb: float | None = None
    gpu_power_w: float | None = None
    gpu_temp_c: float | None = None
    batch_size: float | None = None
    """Global batch size, where the job announces it: a change is a schedule, not a slow-down."""
    seq_len: float | None = None
    """Sequence length, where the job announces it."""
    worker_latencies_ms: tuple[float, ...] | None = None
    """Step time of each worker, in rank order."""
    worker_groups: tuple[str, ...] | None = None
    """Peer group (pipeline stage) of each worker, in rank order."""
    node: str | None = None
    gpu_model: str | None = None
    phase: str | None = None
    """What the job says it is doing: ``train``, ``eval``, ``checkpoint`` …"""
    knobs: Mapping[str, float] | None = None
    """Knob values the job says it is running with."""
