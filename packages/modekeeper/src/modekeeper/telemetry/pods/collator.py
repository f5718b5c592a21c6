"""Lines of many logs to one order: by the node's time, and where that is the same by pod.

Every log has an inbox of bounded size. A line leaves once every log that is waited for has one, so which log is read
first or fastest makes no difference; who reads ahead waits until there is room again.
"""

import heapq
import threading
from collections import deque
from typing import NamedTuple

__all__ = ["Collator", "Inbox", "Item", "ItemKind"]


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


class Inbox:
    """What was read of one log and has not been taken yet."""

    def __init__(self, key: str, order: tuple[str, ...], most_bytes: int) -> None:
        self.key = key
        self.order = order
        self.items: deque[Item] = deque()
        self.bytes = 0
        self.most_bytes = most_bytes
        self.awaited = True
        """Whether the others have to wait for it."""
        self.closed = False
        """Whether its end was put in."""

    @property
    def has_room(self) -> bool:
        """Whether it is worth while to read more."""
        return self.bytes * 2 <= self.most_bytes


class Collator:
    """All inboxes. Any thread may put; one takes."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inboxes: dict[str, Inbox] = {}
        self._heads: list[tuple[int, tuple[str, ...], str]] = []
        self._empty_awaited = 0
        self._stopped = False
        self.fault: Exception | None = None
        """Why reading cannot go on at all."""

    def add(self, inbox: Inbox) -> None:
        """One log more."""
        with self._changed:
            self._inboxes[inbox.key] = inbox
            self._empty_awaited += inbox.awaited

    def put(self, inbox: Inbox, item: Item, *, wait: bool) -> bool:
        """Hand over one item; false where there is no room for it, or nobody takes any more.

        Args:
            inbox: of the log it came from.
            item: what came.
            wait: until there is room.
        """
        with self._changed:
            small = item.kind in {ItemKind.GAP, ItemKind.END}
            while inbox.items and not small and inbox.bytes + len(item.data) > inbox.most_bytes and not self._stopped:
                if not wait:
                    return False
                self._changed.wait(1.0)
            if self._stopped:
                return False
            if not inbox.items:
                self._empty_awaited -= inbox.awaited
                heapq.heappush(self._heads, (item.ns, inbox.order, inbox.key))
                self._changed.notify_all()
            inbox.items.append(item)
            inbox.bytes += len(item.data)
            if item.kind == ItemKind.END:
                inbox.closed = True
            return True

    def await_it(self, inbox: Inbox, awaited: bool) -> None:
        """Say whether the others have to wait for a log."""
        with self._changed:
            if inbox.awaited != awaited:
                inbox.awaited = awaited
                if not inbox.items:
                    self._empty_awaited += 1 if awaited else -1
                self._changed.notify_all()

    def fail(self, fault: Exception) -> None:
        """Reading cannot go on at all."""
        with self._changed:
            self.fault = self.fault or fault
            self._changed.notify_all()

    def take(self, most: int, until_ns: int | None = None, *, in_any_case: bool = False) -> list[tuple[str, Item]]:
        """The next items in order, with the keys of their logs.

        Args:
            most: at most so many.
            until_ns: none that is later.
            in_any_case: wait for no log.
        """
        taken: list[tuple[str, Item]] = []
        with self._changed:
            while self._heads and (in_any_case or not self._empty_awaited) and len(taken) < most:
                if until_ns is not None and self._heads[0][0] > until_ns:
                    break
                _, order, key = heapq.heappop(self._heads)
                inbox = self._inboxes[key]
                item = inbox.items.popleft()
                inbox.bytes -= len(item.data)
                taken.append((key, item))
                if inbox.items:
                    heapq.heappush(self._heads, (inbox.items[0].ns, order, key))
                elif item.kind == ItemKind.END:
                    del self._inboxes[key]
                else:
                    self._empty_awaited += inbox.awaited
            if taken:
                self._changed.notify_all()
        return taken

    def newest_ns(self) -> int | None:
        """The latest time of all that waits."""
        with self._changed:
            return max((inbox.items[-1].ns for inbox in self._inboxes.values() if inbox.items), default=None)

    def waiting_for(self) -> int:
        """How many logs the others wait for."""
        with self._changed:
            return sum(inbox.awaited and not inbox.closed for inbox in self._inboxes.values())

    def __len__(self) -> int:
        with self._changed:
            return len(self._inboxes)

    def wait(self, timeout_s: float) -> None:
        """Wait until something changes, but not longer than that."""
        with self._changed:
            if self.fault is None:
                self._changed.wait(timeout_s)

    def stop(self) -> None:
        """Nobody takes any more: whoever waits for room goes on."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
