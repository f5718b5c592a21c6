"""Where samples come from."""

from collections.abc import Iterator
from typing import Any, Protocol

from modekeeper.model.block import SampleBlock
from modekeeper.model.ingest import IngestCounters
from modekeeper.ports.clock import StopSignal

__all__ = ["TelemetrySource"]


class TelemetrySource(Protocol):
    """A stream of samples in their final order, and the story of what was dropped or repaired.

    ``blocks`` may be called again after it ended: it then gives what has been added since, so ``watch`` reads
    a growing file an interval at a time. Records still waiting to be put in order stay inside until later
    ones release them, or ``flush`` does.
    """

    @property
    def describe(self) -> str:
        """What is read, for a person: escaped, one line."""
        ...

    def blocks(self, stop: StopSignal) -> Iterator[SampleBlock]:
        """Everything there is to read now, in blocks; ends early when ``stop`` is set.

        Raises:
            BadInputError: what was asked for cannot be read.
            FailedError: reading broke off.
        """
        ...

    def flush(self) -> Iterator[SampleBlock]:
        """Give the records that still wait to be put in order: the input is over."""
        ...

    def counters(self) -> IngestCounters:
        """What happened to the records so far."""
        ...

    def position(self) -> dict[str, Any]:
        """Everything needed to go on from here in another process, as plain JSON values."""
        ...

    def resume(self, position: dict[str, Any]) -> None:
        """Go on from a ``position`` of an earlier process.

        Raises:
            BadInputError: the position is not one of this source.
        """
        ...
