"""Which names a record may use for what: the table the decoder reads, and the documentation prints."""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["FIELDS", "KNOB_PREFIXES", "LOOKUP", "Alias", "Field", "FieldKind", "Target"]


class FieldKind(StrEnum):
    """What a field holds."""

    TIME = "time"
    COUNTER = "whole number"
    NUMBER = "number"
    NUMBERS = "list of numbers"
    TEXTS = "list of names"
    TEXT = "name"
    KNOBS = "object of numbers"


@dataclass(frozen=True, slots=True)
class Alias:
    """One name of a field in a record. Where a record has several, the first usable one of the table wins."""

    name: str
    scale: float | None = None
    """What to multiply by to get the unit of the field; for times, ``None`` tells the unit by magnitude."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a sample and the names a record may give it."""

    name: str
    kind: FieldKind
    unit: str
    meaning: str
    aliases: tuple[Alias, ...]
    measured: bool = False
    """Whether a record that has a time and this field is worth keeping."""
    negative: bool = False
    """Whether a number below zero makes sense."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where one name leads."""

    field: Field
    priority: int
    """Lower wins."""
    scale: float | None


def _names(*names: str) -> tuple[Alias, ...]:
    return tuple(Alias(name) for name in names)


FIELDS: tuple[Field, ...] = (
    Field(
        "ts_ms",
        FieldKind.TIME,
        "ms",
        "When the step ended: ISO 8601 (no zone: UTC), or seconds, ms, us or ns since 1970, told by magnitude.",
        (
            Alias("ts"),
            Alias("ts_ms", 1.0),
            Alias("timestamp"),
            Alias("timestamp_ms", 1.0),
            Alias("time"),
            Alias("@timestamp"),
        ),
    ),
    Field("step", FieldKind.COUNTER, "", "Training step, from 0.", _names("step", "global_step", "iteration", "iter")),
    Field(
        "step_time_ms",
        FieldKind.NUMBER,
        "ms",
        "Duration of the step.",
        (Alias("step_time_ms"), Alias("latency_ms"), Alias("step_time_s", 1000.0), Alias("latency_s", 1000.0)),
        measured=True,
    ),
    Field(
        "loss",
        FieldKind.NUMBER,
        "",
        "Training loss; not finite means diverged.",
        _names("loss", "train_loss"),
        measured=True,
        negative=True,
    ),
    Field(
        "throughput",
        FieldKind.NUMBER,
        "units/s",
        "Units of work a second, as the trainer counts them.",
        _names("throughput", "tokens_per_sec", "tokens_per_second", "samples_per_sec", "samples_per_second"),
        measured=True,
    ),
    Field(
        "data_wait_ms",
        FieldKind.NUMBER,
        "ms",
        "Part of the step spent waiting for input.",
        (Alias("data_wait_ms"), Alias("data_time_ms"), Alias("data_wait_s", 1000.0), Alias("data_time_s", 1000.0)),
        measured=True,
    ),
    Field(
        "gpu_util_pct",
        FieldKind.NUMBER,
        "%",
        "GPU utilisation.",
        _names("gpu_util_pct", "gpu_utilization", "gpu_utilization_pct", "gpu_util"),
        measured=True,
    ),
    Field(
        "gpu_mem_used_mb",
        FieldKind.NUMBER,
        "MB",
        "GPU memory in use.",
        _names("gpu_mem_used_mb", "gpu_memory_mb", "gpu_memory_used_mb", "gpu_mem_mb"),
        measured=True,
    ),
    Field(
        "gpu_mem_total_mb",
        FieldKind.NUMBER,
        "MB",
        "GPU memory there is.",
        _names("gpu_mem_total_mb", "gpu_memory_total_mb"),
    ),
    Field(
        "gpu_power_w",
        FieldKind.NUMBER,
        "W",
        "GPU power draw.",
        _names("gpu_power_w", "gpu_power_watts", "gpu_power"),
        measured=True,
    ),
    Field(
        "gpu_temp_c",
        FieldKind.NUMBER,
        "°C",
        "GPU temperature.",
        _names("gpu_temp_c", "gpu_temperature_c", "gpu_temperature", "gpu_temp"),
        measured=True,
        negative=True,
    ),
    Field("batch_size", FieldKind.NUMBER, "", "Global batch size.", _names("batch_size", "global_batch_size")),
    Field("seq_len", FieldKind.NUMBER, "", "Sequence length.", _names("seq_len", "sequence_length")),
    Field(
        "worker_latencies_ms",
        FieldKind.NUMBERS,
        "ms",
        "Step time of each worker in rank order; without it, the step time stands for the one worker.",
        _names("worker_latencies_ms", "worker_step_times_ms"),
        measured=True,
    ),
    Field(
        "worker_groups",
        FieldKind.TEXTS,
        "",
        "Peer group (pipeline stage) of each worker, in rank order.",
        _names("worker_groups", "worker_stages"),
    ),
    Field("node", FieldKind.TEXT, "", "Machine the record comes from.", _names("node", "node_name", "hostname")),
    Field("gpu_model", FieldKind.TEXT, "", "GPU model of that machine.", _names("gpu_model", "gpu_name")),
    Field("phase", FieldKind.TEXT, "", "What the job is doing: train, eval, checkpoint …", _names("phase")),
    Field(
        "knobs",
        FieldKind.KNOBS,
        "",
        "Knob values the job runs with; also flat, as knob.<name> or modekeeper/knob.<name>.",
        _names("knobs"),
    ),
    Field(
        "rank",
        FieldKind.TEXT,
        "",
        "Worker the record comes from; only used to tell repeated records apart.",
        _names("rank", "worker_id", "worker_rank", "worker"),
    ),
)
"""Every field a record may carry. Other names are ignored."""

KNOB_PREFIXES: tuple[str, ...] = ("modekeeper/knob.", "knob.")

LOOKUP: dict[str, Target] = {
    alias.name: Target(field, priority, alias.scale) for field in FIELDS for priority, alias in enumerate(field.aliases)
}
