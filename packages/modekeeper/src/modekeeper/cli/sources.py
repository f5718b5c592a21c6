"""From the options of a command to a telemetry source."""

import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from modekeeper.artifacts.contracts.parts import SourcePart
from modekeeper.cli.telemetry_options import TelemetryChoice
from modekeeper.loop.reading import RawRecording
from modekeeper.model.errors import BadInputError
from modekeeper.ports.clock import Clock
from modekeeper.ports.cluster import ClusterReader
from modekeeper.ports.telemetry import TelemetrySource
from modekeeper.telemetry.file import FileSource, open_files
from modekeeper.telemetry.following import Following
from modekeeper.telemetry.recorder import RawRecorder
from modekeeper.telemetry.recordings import RecordingKind, recording_among
from modekeeper.telemetry.synthetic import SyntheticSource, scenario_names

if TYPE_CHECKING:
    from modekeeper.telemetry.pods.replay import PodRecordingSource
    from modekeeper.telemetry.prometheus.source import PrometheusSource

__all__ = ["OpenTelemetry", "opened"]

_LOOK_AGAIN_S = 1.0


def _no_notes() -> tuple[str, ...]:
    return ()


def _nobody_knows() -> float | None:
    return None


@dataclass(frozen=True, kw_only=True)
class OpenTelemetry:
    """A source, and how reports speak of it."""

    kind: str
    source: TelemetrySource
    recorder: RawRecorder | None
    label: str | None = None
    """What reports call the source instead of the path it happens to be read from."""
    notes: Callable[[], tuple[str, ...]] = _no_notes
    """What a person should know about it; complete after reading."""
    share_read: Callable[[], float | None] = _nobody_knows
    """How much of it has been read, from 0 to 1; ``None`` where nobody knows how much there is."""

    knobs: Mapping[str, float] = field(default_factory=dict)
    """What the live pods were last told."""
    cluster: ClusterReader | None = None
    """The cluster that is read, where it is a live one."""

    @property
    def name(self) -> str:
        """What the answer calls the job, where nobody named it."""
        text = self.label or self.source.describe
        return Path(text).name if self.kind == "file" and text != "-" else text

    def part(self) -> SourcePart:
        """How reports name the source; only complete after reading."""
        return SourcePart(kind=self.kind, describe=self.label or self.source.describe, notes=self.notes())

    def recording(self) -> RawRecording | None:
        """What the raw recorder kept so far."""
        raw = self.recorder
        if raw is None:
            return None
        return RawRecording(path=raw.path.as_posix(), lines=raw.lines, bytes=raw.size_bytes, truncated=raw.truncated)


@contextmanager
def opened(choice: TelemetryChoice, clock: Clock, *, for_watch_every_s: float | None = None) -> Iterator[OpenTelemetry]:
    """The telemetry ``choice`` asks for; what was opened is closed at the end.

    A recording of a finite run appears whole at the end, and not at all after an error. For ``watch`` it grows
    with each iteration, and a scenario gives so much telemetry time an iteration as an interval has.

    Raises:
        BadInputError: it cannot be read, or the options contradict each other.
    """
    kind, for_watch = choice.kind, for_watch_every_s is not None
    if kind == "synthetic":
        yield OpenTelemetry(kind=kind, source=_synthetic(choice, for_watch_every_s), recorder=None)
        return
    if for_watch and choice.duration_s is not None:
        raise BadInputError("watch goes on as telemetry comes; a duration has no meaning there. Give --max-iterations.")
    recorder = RawRecorder(Path(choice.record_raw), append=for_watch) if choice.record_raw else None
    try:
        with _OPENERS[kind](choice, clock, recorder, for_watch) as telemetry:
            yield telemetry
    except BaseException:
        if recorder is not None:
            recorder.abort()
        raise
    if recorder is not None:
        recorder.close()


@contextmanager
def _files(
    choice: TelemetryChoice, clock: Clock, recorder: RawRecorder | None, for_watch: bool
) -> Iterator[OpenTelemetry]:
    source = _file_source(choice, clock, recorder, for_watch)
    try:
        yield OpenTelemetry(
            kind="file",
            source=source,
            recorder=recorder,
            label=choice.label,
            notes=lambda: source.notes,
            share_read=lambda: source.share_read if isinstance(source, FileSource) else None,
        )
    finally:
        source.close()


def _file_source(
    choice: TelemetryChoice, clock: Clock, recorder: RawRecorder | None, for_watch: bool
) -> "FileSource | PodRecordingSource | PrometheusSource":
    recording = recording_among(choice.paths)
    if recording is not None and recording.kind is RecordingKind.PROMETHEUS:
        from modekeeper.telemetry.prometheus.opening import open_prometheus_recording  # noqa: PLC0415

        if recorder is not None:
            raise BadInputError("a recording of Prometheus is not recorded again: copy the file.")
        return open_prometheus_recording(Path(recording.path))
    if recording is not None:
        from modekeeper.telemetry.pods.replay import open_recording  # noqa: PLC0415

        return open_recording(recording.path, recorder=recorder)
    return open_files(
        choice.paths,
        clock=clock,
        # Watch reads what there is at each interval: following would never let an iteration end.
        follow=choice.follow and not for_watch,
        may_grow=for_watch,
        recorder=recorder,
        jobs=None if choice.jobs is msgspec.UNSET else choice.jobs,
    )


@contextmanager
def _pods(
    choice: TelemetryChoice, clock: Clock, recorder: RawRecorder | None, for_watch: bool
) -> Iterator[OpenTelemetry]:
    from modekeeper.cli.cluster_options import opened_cluster  # noqa: PLC0415 - see _prometheus
    from modekeeper.cluster.live_knobs import live_knobs  # noqa: PLC0415
    from modekeeper.telemetry.pods.opening import PodLogsChoice, open_pod_logs  # noqa: PLC0415

    asked = PodLogsChoice(
        namespace=choice.target.namespace,
        workload=choice.target.name,
        kind=choice.target.kind,
        container=choice.container,
        since_s=None if choice.duration_s is None or choice.follow else math.ceil(choice.duration_s),
    )
    follows = choice.follow and not for_watch
    with opened_cluster(choice.cluster, clock, os.environ) as reader:
        source = open_pod_logs(reader, asked, live=for_watch or choice.follow, recorder=recorder)
        try:
            yield OpenTelemetry(
                kind="k8s",
                source=Following(source, clock, _LOOK_AGAIN_S) if follows else source,
                recorder=recorder,
                notes=lambda: source.notes,
                knobs=live_knobs(reader, choice.target),
                cluster=reader if choice.cluster.replay_from is None else None,
            )
        finally:
            source.close()


@contextmanager
def _prometheus(
    choice: TelemetryChoice, clock: Clock, recorder: RawRecorder | None, for_watch: bool
) -> Iterator[OpenTelemetry]:
    # The library that asks takes a tenth of a second to import.
    from modekeeper.telemetry.prometheus.choice import PrometheusChoice  # noqa: PLC0415
    from modekeeper.telemetry.prometheus.opening import open_prometheus  # noqa: PLC0415

    asked = PrometheusChoice(
        url=choice.prometheus.url or "",
        namespace=choice.target.namespace,
        workload=choice.target.name,
        pods=choice.prometheus.pods,
        container=choice.container,
        metrics=choice.prometheus.metrics,
        gpu=choice.prometheus.gpu,
        timeout_s=choice.cluster.request_timeout_s,
    )
    if choice.prometheus.step_s is not None:
        asked = msgspec.structs.replace(asked, step_s=choice.prometheus.step_s)
    if choice.prometheus.settle_s is not None:
        asked = msgspec.structs.replace(asked, settle_s=choice.prometheus.settle_s)
    if choice.duration_s is not None and not choice.follow:
        asked = msgspec.structs.replace(asked, window_s=choice.duration_s)
    source = open_prometheus(asked, clock=clock, environment=os.environ, recorder=recorder)
    follows = choice.follow and not for_watch
    try:
        yield OpenTelemetry(
            kind="prometheus",
            source=Following(source, clock, asked.step_s) if follows else source,
            recorder=recorder,
            notes=lambda: source.notes,
        )
    finally:
        source.close()


_OPENERS = {"file": _files, "k8s": _pods, "prometheus": _prometheus}


def _synthetic(choice: TelemetryChoice, for_watch_every_s: float | None) -> TelemetrySource:
    scenario = choice.scenario or "stable"
    if scenario not in scenario_names():
        known = ", ".join(scenario_names())
        raise BadInputError(f"no such scenario {scenario!r}. There is: {known}.")
    if choice.record_raw:
        raise BadInputError("--record-raw keeps what was read from files; a scenario is given by its name and --seed.")
    return SyntheticSource(
        scenario,
        seed=choice.seed,
        duration_s=None if choice.duration_s is None else math.ceil(choice.duration_s),
        samples_per_read=None if for_watch_every_s is None else max(1, round(for_watch_every_s)),
    )
