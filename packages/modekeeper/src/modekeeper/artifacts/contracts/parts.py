"""What several artifacts carry."""

import msgspec

from modekeeper.model.mode import Mode
from modekeeper.model.signal import Signal

__all__ = [
    "Answer",
    "AuditTrace",
    "EnvironmentPart",
    "Finding",
    "Findings",
    "ModeSpan",
    "OpportunityAssumption",
    "PassportPart",
    "SeriesPoint",
    "SourcePart",
    "Telemetry",
]


class SourcePart(msgspec.Struct, frozen=True, kw_only=True):
    """Where the telemetry came from."""

    kind: str
    """``file``, ``synthetic``, ``k8s`` or ``prometheus``."""
    describe: str
    notes: tuple[str, ...] = ()


class PassportPart(msgspec.Struct, frozen=True, kw_only=True):
    """The passport that was in force."""

    source: str
    """``built-in``, or the file it was read from."""
    name: str | None
    """``None``: what was given is no passport, and nothing was allowed."""
    digest: str | None
    """``sha256:<hex>`` over its canonical JSON; ``None`` where there is no name."""


class EnvironmentPart(msgspec.Struct, frozen=True, kw_only=True):
    """Fingerprint of where the samples came from. Lists are sorted."""

    nodes_seen: tuple[str, ...]
    gpu_models_seen: tuple[str, ...]
    unstable: bool
    """More than one node or more than one GPU model."""
    notes: tuple[str, ...]


class SeriesPoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run of neighbouring samples as one point. ``ts_ms`` and ``index`` are those of the first of them."""

    ts_ms: int
    index: int
    samples: int
    step: int | None = None
    step_time_ms: float | None = None
    """Mean of the run."""
    step_time_min_ms: float | None = None
    step_time_max_ms: float | None = None
    loss: float | None = None
    """Mean of the finite values of the run."""
    throughput: float | None = None
    gpu_util_pct: float | None = None
    gpu_mem_used_mb: float | None = None
    gpu_power_w: float | None = None
    gpu_temp_c: float | None = None
    node: str | None = None
    gpu_model: str | None = None


class Telemetry(msgspec.Struct, frozen=True, kw_only=True):
    """What was read, thinned to a bounded number of points that keep the extremes."""

    sample_count: int
    first_ts_ms: int | None
    last_ts_ms: int | None
    first_step: int | None
    last_step: int | None
    workers_max: int
    """Largest number of workers any sample named."""
    metrics_seen: tuple[str, ...]
    samples_per_point: int
    points: tuple[SeriesPoint, ...]


class ModeSpan(msgspec.Struct, frozen=True, kw_only=True):
    """One uninterrupted stay in a mode."""

    mode: Mode
    reason: str
    from_index: int
    from_step: int | None
    from_ts_ms: int | None
    to_index: int
    """Sample at which the mode was left; the last one seen while it lasts."""
    to_step: int | None
    to_ts_ms: int | None
    chord_id: str


class AuditTrace(msgspec.Struct, frozen=True, kw_only=True):
    """Where the decision trace is, and how to know that it is the one this report was made from."""

    path: str
    events: int
    sha256: str


class OpportunityAssumption(msgspec.Struct, frozen=True, kw_only=True):
    """One thing the estimate of lost hours takes for granted."""

    name: str
    value: float | str | None
    source: str
    """``given``, ``telemetry`` or ``assumed``."""
    note: str


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One finding of the detectors from its confirmation to its end."""

    signal: Signal
    """As confirmed."""
    ended_index: int | None = None
    """Sample at which it was cleared; ``None`` while it stands."""
    ended_step: int | None = None
    ended_ts_ms: int | None = None


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """The findings of a run, the oldest left out beyond a limit."""

    standing: tuple[Finding, ...] = ()
    ended: tuple[Finding, ...] = ()
    confirmed_total: int = 0
    suspected_total: int = 0
    confirmed_by_kind: dict[str, int] = {}
    undecided: tuple[Signal, ...] = ()
    left_out: int = 0


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer for a person: verdict, why, cost and what to do next."""

    title: str
    verdict: str
    why: tuple[str, ...]
    cost: str
    next: tuple[str, ...]
    unknown: tuple[str, ...] = ()
    """What is not known, with how to make it known."""
