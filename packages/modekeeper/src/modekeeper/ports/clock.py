"""The one clock. Nothing else in the product asks the machine for the time."""

from datetime import datetime
from typing import Protocol

__all__ = ["Clock", "StopSignal"]


class StopSignal(Protocol):
    """Says that the user wants to stop. A ``threading.Event`` is one."""

    def is_set(self) -> bool:
        """Whether to stop at the next safe point."""
        ...

    def wait(self, timeout: float | None = None) -> bool:
        """Wait up to ``timeout`` seconds, and say whether to stop."""
        ...


class Clock(Protocol):
    """Wall time, elapsed time and waiting."""

    def now(self) -> datetime:
        """The wall time, with the UTC zone."""
        ...

    def monotonic_s(self) -> float:
        """Seconds since an arbitrary moment; never goes back."""
        ...

    def sleep(self, duration_s: float, stop: StopSignal) -> bool:
        """Wait ``duration_s`` seconds or until ``stop`` is set; true when it was."""
        ...
