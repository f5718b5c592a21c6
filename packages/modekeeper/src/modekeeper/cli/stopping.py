"""SIGINT and SIGTERM ask for an end; what is being written is finished first."""

import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

__all__ = ["StopRequest", "stop_on_signals"]


class StopRequest:
    """A ``StopSignal`` that a signal may set at any moment.

    Not a ``threading.Event``: its lock is not reentrant, so a handler that runs while the same thread is inside
    ``wait`` could lock the process up; and a signal that arrives just before the thread falls asleep would only be
    looked at when it wakes. Here the signal itself leaves a byte in a pipe, which ends the wait, or the next one.
    """

    def __init__(self) -> None:
        self._asked = False
        self._wake_from, self.wake_to = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def is_set(self) -> bool:
        """Whether an end was asked for."""
        return self._asked

    def set(self) -> None:
        """Ask for an end."""
        self._asked = True

    def wait(self, timeout: float | None = None) -> bool:
        """Wait up to ``timeout`` seconds, and say whether an end was asked for."""
        end_s = None if timeout is None else time.monotonic() + timeout
        while not self._asked:
            left_s = None if end_s is None else max(0.0, end_s - time.monotonic())
            woken, _, _ = select.select([self._wake_from], [], [], left_s)
            if not woken:
                break
            with suppress(BlockingIOError):
                os.read(self._wake_from, 512)
        return self._asked

    def close(self) -> None:
        """Let go of the pipe."""
        os.close(self._wake_from)
        os.close(self.wake_to)


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """The first SIGINT or SIGTERM asks for an end; a second one ends the process at once."""
    stop = StopRequest()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    woken_before = signal.set_wakeup_fd(stop.wake_to, warn_on_full_buffer=False)
    for number in before:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(woken_before)
        stop.close()
