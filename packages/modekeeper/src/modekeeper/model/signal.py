"""What the detectors conclude from a stream of samples."""

from enum import StrEnum

import msgspec

__all__ = ["Direction", "Environment", "Phase", "Signal", "SignalKind"]


class SignalKind(StrEnum):
    """What was seen. The order is the order in which signals of one sample are reported."""

    STRAGGLER = "straggler"
    DRIFT = "drift"
    BURST = "burst"
    DATA_STARVATION = "data_starvation"
    GPU_SATURATED = "gpu_saturated"
    GPU_UNDERUSED = "gpu_underused"
    HETEROGENEOUS_ENVIRONMENT = "heterogeneous_environment"


class Phase(StrEnum):
    """Where a signal stands in its life."""

    SUSPECTED = "suspected"
    """Early word; changes no mode."""
    CONFIRMED = "confirmed"
    """The detector stands by it, with evidence."""
    CLEARED = "cleared"
    """A confirmed signal has ended."""
    UNDECIDED = "undecided"
    """The detector cannot tell, and ``explanation`` says why (too short, too noisy, data missing)."""


class Direction(StrEnum):
    """Whether a change is for the worse for the job."""

    WORSE = "worse"
    BETTER = "better"
    NEUTRAL = "neutral"


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """One event in the life of one finding, with its evidence.

    ``id`` is the same for all events of one finding. Positions are sample numbers of the stream, from 0;
    ``effect`` is relative to ``baseline`` in the metric's own direction (0.25 = the number rose by a quarter),
    with a 90 % interval where the detector can give one.
    """

    id: str
    kind: SignalKind
    phase: Phase
    metric: str
    direction: Direction
    at_index: int
    """Sample at which this was decided."""
    at_step: int | None
    at_ts_ms: int
    since_index: int
    """Sample at which the finding began, as estimated."""
    since_step: int | None
    since_ts_ms: int
    baseline: float | None = None
    """Level before, in the unit of ``metric``."""
    level: float | None = None
    """Level since, in the unit of ``metric``."""
    effect: float | None = None
    effect_low: float | None = None
    effect_high: float | None = None
    healthy_level: float | None = None
    """The level the job showed when it was first seen healthy, in the unit of ``metric``."""
    confidence: float | None = None
    """0 … 1: how sure the detector is that the finding is not chance."""
    samples_used: int = 0
    workers: tuple[int, ...] = ()
    """Ranks concerned."""
    nodes: tuple[str, ...] = ()
    gpu_models: tuple[str, ...] = ()
    cause: str | None = None
    """Named cause where the evidence names one: ``input_bound``, ``periodic_pause``, ``announced_schedule`` …"""
    explanation: str = ""
    """One sentence for a person, numbers included."""


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """Fingerprint of where the samples came from. Lists are sorted."""

    nodes_seen: tuple[str, ...] = ()
    gpu_models_seen: tuple[str, ...] = ()
    unstable: bool = False
    """More than one node or more than one GPU model among the samples of one workload."""
    notes: tuple[str, ...] = ()
