"""One pass over telemetry: the source, when to stop, and how reports speak of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from modekeeper.artifacts.contracts.parts import SourcePart
from modekeeper.ports.clock import StopSignal
from modekeeper.ports.cluster import ClusterReader
from modekeeper.ports.telemetry import TelemetrySource

__all__ = ["RawRecording", "Reading"]


@dataclass(frozen=True, kw_only=True)
class RawRecording:
    """What the raw recorder kept."""

    path: str
    lines: int
    bytes: int
    truncated: bool


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What is read in one pass.

    Attributes:
        name: what the answer calls the job, where nobody named it.
        source: where the samples come from.
        stop: set when the user wants to stop.
        duration_s: read so much telemetry time at most, from the first sample.
        describe_source: how reports name the source; complete only after reading.
        describe_recording: what the raw recorder kept so far.
        knobs: what the live pods were last told, where a cluster was asked.
        cluster: the cluster that is read, where it is a live one; open as long as the source is.
        advanced: told how many samples each block had.
    """

    name: str
    source: TelemetrySource
    stop: StopSignal
    duration_s: float | None
    describe_source: Callable[[], SourcePart]
    describe_recording: Callable[[], RawRecording | None]
    knobs: Mapping[str, float] = field(default_factory=dict)
    cluster: ClusterReader | None = None
    advanced: Callable[[int], None] = lambda _count: None
