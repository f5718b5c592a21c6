"""Lines of many logs to one order: by the node's time, and where that is the same by pod.

Every log has an inbox of bounded size. A line leaves once every log that is waited for has one, so which log is read
first or fastest makes no difference; who reads ahead waits until there is room again.

A line that is older than one before it in its log follows that one at once: it counts as of the same time.
"""

import threading
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import chain, repeat
from operator import itemgetter
from typing import NamedTuple

__all__ = ["Collator", "Inbox", "Item", "ItemKind", "Taken"]

_LOOK_S = 1.0
_LONGEST_REACH = 4096
_time_of = itemgetter(0)


class ItemKind:
    """What an item is."""

    LINE = 0
    LONG_LINE = 1
    """The beginning of a line that was too long to keep."""
    GAP = 2
    """Lines may be missing here; the text says why."""
    END = 3
    """Nothing more comes."""


class Item(NamedTuple):
    """One thing that came out of a log."""

    ns: int
    kind: int
    data: bytes


Taken = tuple[int, str, Item]
"""When its turn was, the key of its log, and the item."""
Order = tuple[str, ...]


class Inbox:
    """What was read of one log and has not been taken yet."""

    def __init__(self, key: str, order: Order, most_bytes: int) -> None:
        self.key = key
        self.order = order
        self.items: deque[Item] = deque()
        self.turns: deque[int] = deque()
        """For each item the latest time of it and of those before it."""
        self.bytes = 0
        self.most_bytes = most_bytes
        self.awaited = True
        """Whether the others have to wait for it."""
        self.closed = False
        """Whether its end was put in."""
        self.room: threading.Condition | None = None
        """Told when there is room again, where somebody waits for it."""

    @property
    def has_room(self) -> bool:
        """Whether it is worth while to read more."""
        return self.bytes * 2 <= self.most_bytes

    def fitting(self, items: Sequence[Item], start: int) -> int:
        """How many of ``items`` from ``start`` on there is room for; for the first in any case, where it is empty."""
        size = self.bytes
        for at in range(start, len(items)):
            item = items[at]
            size += len(item.data)
            empty = at == start and not self.items
            if size > self.most_bytes and item.kind < ItemKind.GAP and not empty:
                return at - start
        return len(items) - start

    def append(self, items: Sequence[Item]) -> None:
        """Put items behind the others."""
        turn = self.turns[-1] if self.turns else 0
        for item in items:
            turn = max(turn, item.ns)
            self.turns.append(turn)
            self.bytes += len(item.data)
        self.items.extend(items)
        self.closed = self.closed or items[-1].kind == ItemKind.END

    def pop(self, count: int) -> Iterator[Taken]:
        """Take the first ``count`` items out."""
        if count == len(self.items):
            items, turns = list(self.items), list(self.turns)
            self.items.clear()
            self.turns.clear()
            self.bytes = 0
        else:
            items = [self.items.popleft() for _ in range(count)]
            turns = [self.turns.popleft() for _ in range(count)]
            self.bytes -= sum(len(item.data) for item in items)
        return zip(turns, repeat(self.key), items)


class Collator:
    """All inboxes. Any thread may put; one takes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._news = threading.Condition(self._lock)
        """For the one who takes."""
        self._inboxes: list[Inbox] = []
        self._sorted = True
        self._empty_awaited = 0
        self._reach = 1
        """So many items of each inbox are looked at in one take."""
        self._stopped = False
        self.fault: Exception | None = None
        """Why reading cannot go on at all."""

    def add(self, inbox: Inbox) -> None:
        """One log more."""
        with self._lock:
            self._inboxes.append(inbox)
            self._sorted = False
            self._empty_awaited += inbox.awaited

    def put(self, inbox: Inbox, items: Sequence[Item], *, wait: bool) -> int:
        """Hand over items in their order; how many. The others found no room, or nobody takes any more.

        Args:
            inbox: of the log they came from.
            items: what came.
            wait: until there is room.
        """
        done = 0
        with self._lock:
            while done < len(items) and not self._stopped:
                fitting = inbox.fitting(items, done)
                if fitting:
                    self._append(inbox, items[done : done + fitting])
                    done += fitting
                elif wait:
                    if inbox.room is None:
                        inbox.room = threading.Condition(self._lock)
                    inbox.room.wait(_LOOK_S)
                else:
                    break
        return done

    def await_it(self, inbox: Inbox, awaited: bool) -> None:
        """Say whether the others have to wait for a log."""
        with self._lock:
            if inbox.awaited != awaited:
                inbox.awaited = awaited
                if not inbox.items:
                    self._empty_awaited += 1 if awaited else -1
                self._news.notify_all()

    def fail(self, fault: Exception) -> None:
        """Reading cannot go on at all."""
        with self._lock:
            self.fault = self.fault or fault
            self._news.notify_all()

    def take(self, most: int, until_ns: int | None = None, *, in_any_case: bool = False) -> list[Taken]:
        """The next items in order.

        Args:
            most: about so many at most, but one of each log.
            until_ns: none that is later.
            in_any_case: wait for no log.
        """
        with self._lock:
            if self._empty_awaited and not in_any_case:
                return []
            if not self._sorted:
                self._inboxes.sort(key=lambda inbox: inbox.order)
                self._sorted = True
            ready = [inbox for inbox in self._inboxes if inbox.items]
            end = self._end(ready, in_any_case=in_any_case)
            had_more = any(len(inbox.items) > self._reach for inbox in ready)
            taken = self._taken(ready, end, until_ns)
            if had_more and len(taken) * 2 < most:
                self._reach = min(self._reach * 2, _LONGEST_REACH)
            elif len(taken) > most:
                self._reach = max(self._reach // 2, 1)
        # Logs come in their order, and a sort is stable.
        taken.sort(key=_time_of)
        return taken

    def newest_ns(self) -> int | None:
        """The latest time of all that waits."""
        with self._lock:
            return max((inbox.items[-1].ns for inbox in self._inboxes if inbox.items), default=None)

    def waiting_for(self) -> int:
        """How many logs the others wait for."""
        with self._lock:
            return sum(inbox.awaited and not inbox.closed for inbox in self._inboxes)

    def __len__(self) -> int:
        with self._lock:
            return len(self._inboxes)

    def wait(self, timeout_s: float) -> None:
        """Wait until there may be something to take, but not longer than that."""
        with self._lock:
            if self.fault is None:
                self._news.wait(timeout_s)

    def stop(self) -> None:
        """Nobody takes any more: whoever waits for room goes on."""
        with self._lock:
            self._stopped = True
            self._news.notify_all()
            for inbox in self._inboxes:
                if inbox.room is not None:
                    inbox.room.notify_all()

    # With the lock held

    def _append(self, inbox: Inbox, items: Sequence[Item]) -> None:
        was_empty = not inbox.items
        inbox.append(items)
        if was_empty:
            self._empty_awaited -= inbox.awaited
        # As long as another one is waited for, there is nothing to take.
        if inbox.closed or (was_empty and not self._empty_awaited):
            self._news.notify_all()

    def _end(self, ready: list[Inbox], *, in_any_case: bool) -> tuple[int, Order] | None:
        """What may follow later must not come before: up to where items may be taken now, that included."""
        ends: list[tuple[int, Order]] = []
        for inbox in ready:
            count = len(inbox.turns)
            if count > self._reach:
                ends.append((inbox.turns[self._reach - 1], inbox.order))
            elif inbox.awaited and not inbox.closed and not in_any_case:
                ends.append((inbox.turns[-1], inbox.order))
        return min(ends, default=None)

    def _taken(self, ready: list[Inbox], end: tuple[int, Order] | None, until_ns: int | None) -> list[Taken]:
        taken: list[Iterator[Taken]] = []
        over = False
        for inbox in ready:
            count = min(len(inbox.turns), self._reach)
            if end is not None:
                bisect = bisect_right if inbox.order <= end[1] else bisect_left
                count = bisect(inbox.turns, end[0], 0, count)
            if until_ns is not None:
                count = bisect_right(inbox.turns, until_ns, 0, count)
            if not count:
                continue
            taken.append(inbox.pop(count))
            if inbox.room is not None and inbox.has_room:
                inbox.room.notify()
            if inbox.items:
                continue
            if inbox.closed:
                over = True
            else:
                self._empty_awaited += inbox.awaited
        if over:
            self._inboxes = [inbox for inbox in self._inboxes if inbox.items or not inbox.closed]
        return list(chain.from_iterable(taken))
