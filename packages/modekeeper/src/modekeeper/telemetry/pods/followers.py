"""Who reads which log when: a thread for each of the first few hundred, rounds by a few threads for the rest.

Every call behind this has a deadline of its own, and ``stop`` ends all waits, so nothing here can hang.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from modekeeper.model.cluster import ClusterAnswerError, ClusterUnreachableError
from modekeeper.telemetry.counting import escape
from modekeeper.telemetry.pods.collator import Collator
from modekeeper.telemetry.pods.container_log import BAD_REQUEST, ContainerLog, PassEnd

__all__ = ["FollowLimits", "Followed", "Followers"]

_LOOK_FOR_ROOM_S = 0.02
_REFUSED = frozenset({401, 403})


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowLimits:
    """How many read at once, and how long trouble is put up with."""

    max_followers: int = 256
    """Threads that follow a log each; further logs are read in rounds."""
    round_threads: int = 32
    """Threads that read those in turn."""
    round_wait_s: float = 2.0
    """Between two rounds, where nothing waits for them."""
    first_retry_s: float = 0.25
    """Before the first new try after a connection was lost; each further wait is twice as long."""
    longest_retry_s: float = 15.0
    patience_s: float = 60.0
    """A log that could not be read for so long holds the others up no longer; one that is read once is given up."""
    idle_s: float = 1.0
    """Before the log of a container that has ended, or not begun, is looked at again."""
    buffer_bytes: int = 64 << 20
    """Lines that have been read and not taken, all logs together."""
    least_buffer_bytes: int = 8 << 10
    """For each of them."""


class Followed:
    """One log, and how reading it goes.

    Args:
        log: what is read.
        live: go on after its end has been reached, until it is ``over``.
    """

    def __init__(self, log: ContainerLog, collator: Collator, limits: FollowLimits, *, live: bool) -> None:
        self.log = log
        self.over = threading.Event()
        """The pod has ended or is gone: one more pass, and that is all."""
        self.done = False
        self.wait_s = 0.0
        """How long not to read it again, where it is read in rounds."""
        self.trouble: str | None = None
        """What went wrong last, until it went well again."""
        self._collator = collator
        self._limits = limits
        self._live = live
        self._caught_up = False
        self._ended_quietly = False
        self._retry_s = limits.first_retry_s
        self._troubled_s = 0.0

    def step(self, stop: threading.Event, *, may_wait: bool) -> float:
        """One pass; how many seconds to wait before the next one.

        Args:
            stop: ends everything.
            may_wait: whether this thread has nothing else to do: it may follow, and wait for room.
        """
        ending = self.over.is_set()
        follow = self._live and may_wait and self._caught_up and not ending
        try:
            end = self.log.read(stop, follow=follow, wait=may_wait, last=ending or not self._live)
        except ClusterUnreachableError as error:
            return self._after_trouble(str(error))
        except ClusterAnswerError as error:
            return self._after_refusal(error)
        if stop.is_set():
            return 0.0
        self._well()
        if end is PassEnd.GONE:
            if not self._ended_quietly:
                self.log.put_gap("the pod went away before its log had been read to the end")
            self._finish()
        elif end is PassEnd.QUIET:
            return self._after_all_was_read(ending=ending, followed=follow)
        return 0.0

    def _after_all_was_read(self, *, ending: bool, followed: bool) -> float:
        if ending or not self._live:
            self._finish()
            return 0.0
        self._collator.await_it(self.log.inbox, awaited=False)
        first, self._caught_up = not self._caught_up, True
        self._ended_quietly = followed
        # A log that was followed has ended, with its container or because the server closed it.
        return self._limits.idle_s if followed else 0.0 if first else self._limits.round_wait_s

    def _after_refusal(self, error: ClusterAnswerError) -> float:
        if error.status in _REFUSED:
            self._collator.fail(error)
            self._finish()
            return 0.0
        if error.status == BAD_REQUEST:
            # The container has not begun: there is nothing to wait for, and nothing lost.
            self._well()
            return self._after_all_was_read(ending=self.over.is_set(), followed=True)
        return self._after_trouble(str(error))

    def _after_trouble(self, what: str) -> float:
        self.trouble = what
        # Before it is followed again, it is read to its end: so it is known when the others need not wait any more.
        self._caught_up = self._ended_quietly = False
        if self._troubled_s >= self._limits.patience_s:
            if not self._live or self.over.is_set():
                self.log.put_gap(f"its log could not be read: {escape(what.encode())}")
                self._finish()
                return 0.0
            self._collator.await_it(self.log.inbox, awaited=False)
        else:
            self._collator.await_it(self.log.inbox, awaited=True)
        wait_s, self._retry_s = self._retry_s, min(self._retry_s * 2, self._limits.longest_retry_s)
        self._troubled_s += wait_s
        self.log.waited_s += wait_s
        return wait_s

    def _well(self) -> None:
        self.trouble, self._troubled_s, self._retry_s = None, 0.0, self._limits.first_retry_s

    def _finish(self) -> None:
        self.done = True
        self.log.put_end()


class Followers:
    """All threads. Made once; ``close`` ends them."""

    def __init__(self, collator: Collator, limits: FollowLimits) -> None:
        self._collator = collator
        self._limits = limits
        self._stop = threading.Event()
        self._lock = threading.RLock()
        self._ended = threading.Condition(self._lock)
        self._running = 0
        self._following = 0
        self._in_rounds: list[Followed] = []
        self._rounds: threading.Thread | None = None

    @property
    def stop(self) -> threading.Event:
        """Set when all reading is over."""
        return self._stop

    def add(self, followed: Followed) -> None:
        """Read one log more, from now on."""
        with self._lock:
            if self._stop.is_set():
                return
            if self._following < self._limits.max_followers:
                self._following += 1
                self._start(lambda: self._follow(followed))
                return
            self._in_rounds.append(followed)
            if self._rounds is None:
                self._rounds = self._start(self._go_round)

    def run(self, task: Callable[[], None]) -> None:
        """Run something else beside the reading, until ``stop``."""
        with self._lock:
            self._start(task)

    def close(self, wait_s: float = 5.0) -> None:
        """End all threads, and wait for them so long at most altogether."""
        self._stop.set()
        self._collator.stop()
        with self._ended:
            self._ended.wait_for(lambda: self._running == 0, wait_s)

    def _start(self, task: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=self._guarded, args=(task,), name="pod-log", daemon=True)
        self._running += 1
        thread.start()
        return thread

    def _guarded(self, task: Callable[[], None]) -> None:
        """A fault in a thread is a fault of the whole reading, not a log that falls silent."""
        try:
            task()
        except Exception as error:  # noqa: BLE001 - handed to the thread that reads the samples, which raises it
            self._collator.fail(error)
        finally:
            with self._ended:
                self._running -= 1
                self._ended.notify_all()

    def _follow(self, followed: Followed) -> None:
        try:
            while not followed.done and not self._stop.is_set():
                wait_s = followed.step(self._stop, may_wait=True)
                if wait_s:
                    self._pause(followed, wait_s)
        finally:
            with self._lock:
                self._following -= 1

    def _pause(self, followed: Followed, wait_s: float) -> None:
        """Wait, but no longer than until the pod has ended."""
        if followed.over.is_set() or followed.trouble is not None:
            self._stop.wait(wait_s)
            return
        left_s = wait_s
        while left_s > 0 and not self._stop.is_set() and not followed.over.wait(min(left_s, 0.1)):
            left_s -= 0.1

    def _go_round(self) -> None:
        """Read each log in turn, where its wait is over and its inbox has room."""
        with ThreadPoolExecutor(self._limits.round_threads, thread_name_prefix="pod-log-round") as pool:
            while not self._stop.is_set():
                with self._lock:
                    self._in_rounds = [followed for followed in self._in_rounds if not followed.done]
                    waiting = list(self._in_rounds)
                due = [each for each in waiting if each.wait_s <= 0 and each.log.inbox.has_room]
                if due:
                    list(pool.map(self._step_in_round, due))
                else:
                    self._pause_between(waiting)

    def _step_in_round(self, followed: Followed) -> None:
        followed.wait_s = followed.step(self._stop, may_wait=False)

    def _pause_between(self, waiting: list[Followed]) -> None:
        pause_s = min((each.wait_s for each in waiting if each.wait_s > 0), default=self._limits.round_wait_s)
        if any(each.wait_s <= 0 for each in waiting):
            # Their inboxes are emptied by somebody else.
            pause_s = min(pause_s, _LOOK_FOR_ROOM_S)
        self._stop.wait(pause_s)
        for each in waiting:
            each.wait_s = 0.0 if each.over.is_set() and each.trouble is None else each.wait_s - pause_s
