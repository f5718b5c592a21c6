"""The clocks behind the Clock port."""

import os
import time
from datetime import UTC, datetime, timedelta

from modekeeper.artifacts.times import parse_iso
from modekeeper.model.errors import BadInputError
from modekeeper.ports.clock import Clock, StopSignal

__all__ = ["PINNED_CLOCK_VARIABLE", "PinnedClock", "SystemClock", "clock_from"]

PINNED_CLOCK_VARIABLE = "MODEKEEPER_PINNED_CLOCK"


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The wall time, with the UTC zone."""
        return datetime.now(tz=UTC)  # noqa: TID251 - this is the one clock

    def monotonic_s(self) -> float:
        """Seconds since an arbitrary moment; never goes back."""
        return time.monotonic()

    def sleep(self, duration_s: float, stop: StopSignal) -> bool:
        """Wait ``duration_s`` seconds or until ``stop`` is set; true when it was."""
        return stop.wait(max(0.0, duration_s))


class PinnedClock:
    """A clock that stands still and moves only by sleeping, which takes no time.

    Two runs under it write the same bytes, and a day of ``watch`` passes in minutes.
    """

    def __init__(self, start: datetime) -> None:
        self._start = start.astimezone(UTC)
        self._elapsed_s = 0.0

    def now(self) -> datetime:
        """The start, plus all sleep since."""
        return self._start + timedelta(seconds=self._elapsed_s)

    def monotonic_s(self) -> float:
        """All sleep since the start, in seconds."""
        return self._elapsed_s

    def sleep(self, duration_s: float, stop: StopSignal) -> bool:
        """Move the clock on, unless ``stop`` is set."""
        if stop.is_set():
            return True
        self._elapsed_s += max(0.0, duration_s)
        return False


def clock_from(environment: "os._Environ[str] | dict[str, str]") -> Clock:
    """The machine's clock, or a pinned one where ``MODEKEEPER_PINNED_CLOCK`` names a moment (ISO 8601).

    Raises:
        BadInputError: the variable names no moment.
    """
    pinned = environment.get(PINNED_CLOCK_VARIABLE)
    if not pinned:
        return SystemClock()
    try:
        return PinnedClock(parse_iso(pinned))
    except ValueError as error:
        raise BadInputError(
            f"{PINNED_CLOCK_VARIABLE}={pinned!r} is not a time. Give one like 2026-01-31T09:00:00Z, or unset it."
        ) from error
