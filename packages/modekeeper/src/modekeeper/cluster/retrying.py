"""Asking again: growing waits with jitter, as long as the deadline allows."""

import time
from collections.abc import Callable
from typing import TypeVar

from modekeeper.model.errors import ModeKeeperError
from modekeeper.ports.clock import Clock, StopSignal

__all__ = ["RETRIED_STATUSES", "AskAgainError", "retried"]

RETRIED_STATUSES = frozenset({429, 500, 502, 503, 504})
_ATTEMPTS = 5
_STALE_ATTEMPTS = 3
_FIRST_WAIT_S = 0.2
_LONGEST_WAIT_S = 5.0

_Answer = TypeVar("_Answer")


class AskAgainError(Exception):
    """Asking again may help.

    Attributes:
        error: what to raise in the end.
        wait_s: how long the server asks to wait; ``None`` where it did not say.
        stale: a connection kept from before was closed in the meantime: nothing is wrong, take another at once.
    """

    def __init__(self, error: ModeKeeperError, *, wait_s: float | None = None, stale: bool = False) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait_s = wait_s
        self.stale = stale


def retried(
    ask: Callable[[], _Answer],
    *,
    end_s: float,
    clock: Clock,
    stop: StopSignal,
    jitter: Callable[[], float] | None = None,
) -> _Answer:
    """What ``ask`` gives, asked up to five times, until ``end_s`` of ``time.monotonic``.

    The waits grow from 0.2 s, each between half and the whole of it by chance, so that many clients do not come back
    at the same moment.

    Raises:
        ModeKeeperError: the last failure, or one that asking again cannot help.
    """
    attempt = stale = 0
    while True:
        try:
            return ask()
        except AskAgainError as failed:
            if failed.stale and stale < _STALE_ATTEMPTS:
                stale += 1
                continue
            wait_s = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2**attempt) * (0.5 + 0.5 * (jitter or _by_chance)())
            if failed.wait_s is not None:
                wait_s = max(wait_s, failed.wait_s)
            attempt += 1
            late = time.monotonic() + wait_s >= end_s
            if attempt >= _ATTEMPTS or late or clock.sleep(wait_s, stop):
                raise failed.error from None


def _by_chance() -> float:
    import random  # noqa: PLC0415 - only where something failed

    return random.random()  # noqa: S311 - nothing secret
