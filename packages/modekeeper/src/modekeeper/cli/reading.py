"""From the options of a command to one pass over telemetry."""

from collections.abc import Iterator
from contextlib import contextmanager

from modekeeper.cli.console import Progress
from modekeeper.cli.deadline import Deadline
from modekeeper.cli.sources import opened
from modekeeper.cli.stopping import stop_on_signals
from modekeeper.cli.telemetry_options import TelemetryChoice
from modekeeper.loop.reading import Reading
from modekeeper.ports.clock import Clock, StopSignal

__all__ = ["reading"]


@contextmanager
def reading(choice: TelemetryChoice, clock: Clock) -> Iterator[Reading]:
    """The telemetry asked for, until its end, a signal, or for a followed file the end of ``--duration``.

    Raises:
        BadInputError: it cannot be read, or the options contradict each other.
    """
    progress = Progress(clock.monotonic_s)
    with stop_on_signals() as asked, opened(choice, clock) as telemetry:
        # A file that is followed may never reach so much telemetry time by itself.
        stop: StopSignal = asked
        if choice.follow and choice.duration_s is not None:
            stop = Deadline(asked, clock, choice.duration_s)
        try:
            yield Reading(
                name=telemetry.name,
                source=telemetry.source,
                stop=stop,
                # What runs was asked for so much by the clock, not by its own times.
                duration_s=None if choice.is_live else choice.duration_s,
                knobs=telemetry.knobs,
                cluster=telemetry.cluster,
                describe_source=telemetry.part,
                describe_recording=telemetry.recording,
                advanced=lambda count: progress.advance(count, telemetry.share_read),
            )
        finally:
            progress.done()
