"""From the options of a command to a telemetry source."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from modekeeper.artifacts.contracts.parts import SourcePart
from modekeeper.cli.telemetry_options import TelemetryChoice
from modekeeper.loop.reading import RawRecording
from modekeeper.model.errors import BadInputError
from modekeeper.ports.clock import Clock
from modekeeper.ports.telemetry import TelemetrySource
from modekeeper.telemetry.file import FileSource, open_files
from modekeeper.telemetry.recorder import RawRecorder
from modekeeper.telemetry.synthetic import SyntheticSource, scenario_names

__all__ = ["OpenTelemetry", "opened"]


@dataclass(frozen=True, kw_only=True)
class OpenTelemetry:
    """A source, and how reports speak of it."""

    kind: str
    source: TelemetrySource
    recorder: RawRecorder | None
    label: str | None = None
    """What reports call the source instead of the path it happens to be read from."""

    @property
    def name(self) -> str:
        """What the answer calls the job, where nobody named it."""
        text = self.label or self.source.describe
        return Path(text).name if self.kind == "file" and text != "-" else text

    def part(self) -> SourcePart:
        """How reports name the source; only complete after reading."""
        notes = self.source.notes if isinstance(self.source, FileSource) else ()
        return SourcePart(kind=self.kind, describe=self.label or self.source.describe, notes=notes)

    def share_read(self) -> float | None:
        """How much of it has been read, from 0 to 1; ``None`` where nobody knows how much there is."""
        return self.source.share_read if isinstance(self.source, FileSource) else None

    def recording(self) -> RawRecording | None:
        """What the raw recorder kept so far."""
        raw = self.recorder
        if raw is None:
            return None
        return RawRecording(path=raw.path.as_posix(), lines=raw.lines, bytes=raw.size_bytes, truncated=raw.truncated)


@contextmanager
def opened(choice: TelemetryChoice, clock: Clock, *, for_watch_every_s: float | None = None) -> Iterator[OpenTelemetry]:
    """The telemetry ``choice`` asks for; files and a recording are closed at the end.

    A recording of a finite run appears whole at the end, and not at all after an error. For ``watch`` it grows
    with each iteration, and a scenario gives so much telemetry time an iteration as an interval has.

    Raises:
        BadInputError: it cannot be read, or the options contradict each other.
    """
    if choice.kind == "synthetic":
        yield OpenTelemetry(kind="synthetic", source=_synthetic(choice, for_watch_every_s), recorder=None)
        return
    if for_watch_every_s is not None and choice.duration_s is not None:
        raise BadInputError("watch goes on as the file grows; a duration has no meaning there. Give --max-iterations.")
    if choice.scenario is not None:
        raise BadInputError(
            f"--scenario goes with synthetic telemetry, not with {choice.path_option}. Give one of the two."
        )
    recorder = RawRecorder(Path(choice.record_raw), append=for_watch_every_s is not None) if choice.record_raw else None
    try:
        # Watch reads what there is at each interval: following would never let an iteration end.
        follow = choice.follow and for_watch_every_s is None
        source = open_files(
            choice.paths,
            clock=clock,
            follow=follow,
            may_grow=for_watch_every_s is not None,
            recorder=recorder,
            jobs=None if choice.jobs is msgspec.UNSET else choice.jobs,
        )
        try:
            yield OpenTelemetry(kind="file", source=source, recorder=recorder, label=choice.label)
        finally:
            source.close()
    except BaseException:
        if recorder is not None:
            recorder.abort()
        raise
    if recorder is not None:
        recorder.close()


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
