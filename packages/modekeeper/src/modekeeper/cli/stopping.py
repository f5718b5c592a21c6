"""SIGINT and SIGTERM ask for an end; what is being written is finished first."""

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["StopRequest", "stop_on_signals"]


class StopRequest:
    """A ``StopSignal`` that a signal handler may set at any moment.

    Not a ``threading.Event``: its lock is not reentrant, so a handler that runs while the same thread is inside
    ``wait`` could lock the process up. A byte in a pipe wakes whoever waits, or will.
    """

    def __init__(self) -> None:
        self._asked = False
        self._wake_from, self._wake_to = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def is_set(self) -> bool:
        """Whether an end was asked for."""
        return self._asked

    def set(self) -> None:
        """Ask for an end."""
        if not self._asked:
            self._asked = True
            os.write(self._wake_to, b"\0")

    def wait(self, timeout: float | None = None) -> bool:
        """Wait up to ``timeout`` seconds, and say whether an end was asked for."""
        if not self._asked:
            select.select([self._wake_from], [], [], timeout)
        return self._asked

    def close(self) -> None:
        """Let go of the pipe."""
        os.close(self._wake_from)
        os.close(self._wake_to)


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """The first SIGINT or SIGTERM asks for an end; a second one ends the process at once."""
    stop = StopRequest()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    for number in before:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        stop.close()
