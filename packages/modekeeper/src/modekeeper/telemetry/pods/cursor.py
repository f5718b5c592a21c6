"""How far the log of a container has been taken, and how to go on from there without losing or doubling a line.

``sinceTime`` has whole seconds, so what is read again overlaps with what was taken. The last line taken is looked for
in it; what follows it in the file is new. Times alone do not tell: several lines may have the same one, and lines of
standard output and standard error may lie in the file out of order. Where the last line is not there any more, either
the container was started again or the node has thrown the line away; whoever reads has to find out which.
"""

import zlib
from collections.abc import Iterator, Sequence
from itertools import islice
from operator import lt

import msgspec

from modekeeper.telemetry.pods.stamps import since_of

__all__ = ["LogCursor", "LogPlace", "Resumption", "Stamped"]

Stamped = tuple[int, bytes]
"""The node's time of a line in nanoseconds, and the line as it came, with its time."""

_MARGIN_S = 1
"""Lines may lie in the file a little out of order, across the full second too."""
_REMEMBERED_TIMES = 8
_MOST_HELD_BYTES = 4 << 20


class LogPlace(msgspec.Struct, frozen=True, array_like=True):
    """The place behind one line."""

    times: list[tuple[int, int]]
    """The latest times, in nanoseconds, and how many lines with each were taken; the last line's comes last."""
    newest_ns: int
    digest: int
    """CRC-32 of the last line."""

    @property
    def since(self) -> str:
        """From when to read again."""
        return since_of(self.times[-1][0], _MARGIN_S)


class LogCursor:
    """The place behind the last line taken."""

    def __init__(self, place: LogPlace | None = None) -> None:
        self._times: dict[int, int] = {}
        self._newest_ns = 0
        self._last: bytes | None = None
        self._digest = 0
        if place is not None:
            self._times = dict(place.times)
            self._newest_ns, self._digest = place.newest_ns, place.digest

    def advance(self, ns: int, line: bytes) -> None:
        """One more line was taken."""
        # The one taken last has to come last.
        self._times[ns] = self._times.pop(ns, 0) + 1
        if len(self._times) > _REMEMBERED_TIMES:
            del self._times[next(iter(self._times))]
        self._newest_ns = max(self._newest_ns, ns)
        self._last = line

    def advance_all(self, times: Sequence[int], last: bytes) -> None:
        """Lines were taken: their times in nanoseconds, at least one, and the last of them."""
        if times[0] > self._newest_ns and all(map(lt, times, islice(times, 1, None))):
            # Each has a time of its own, as nearly all have.
            self._times.update(dict.fromkeys(times[-_REMEMBERED_TIMES:], 1))
            while len(self._times) > _REMEMBERED_TIMES:
                del self._times[next(iter(self._times))]
            self._newest_ns, self._last = times[-1], last
            return
        for ns in times:
            self.advance(ns, last)

    @property
    def place(self) -> LogPlace | None:
        """Where it is; ``None`` before the first line."""
        if not self._times:
            return None
        if self._last is not None:
            self._digest = zlib.crc32(self._last)
            self._last = None
        return LogPlace(list(self._times.items()), self._newest_ns, self._digest)


class Resumption:
    """Finds the place in what is read again.

    Attributes:
        lost: whether new lines have come, and the last line taken before them has not.
    """

    def __init__(self, place: LogPlace | None) -> None:
        self._place = place
        self._seen = 0
        self._held: list[Stamped] = []
        self._held_bytes = 0
        self.found = place is None
        """Whether the last line taken has come: what follows is new."""
        self.lost = False

    def sift(self, lines: list[Stamped]) -> Iterator[tuple[list[Stamped], bool]]:
        """The lines that are known to be new, in parts; and whether before a part the last line taken became lost."""
        at = 0
        while at < len(lines) and self._place is not None and not self.found and not self.lost:
            new = self.take(*lines[at])
            at += 1
            yield new, self.lost
        if at < len(lines):
            yield lines[at:] if at else lines, False

    def take(self, ns: int, line: bytes) -> list[Stamped]:
        """The lines that are known to be new now."""
        place = self._place
        if place is None or self.found or self.lost:
            return [(ns, line)]
        last_ns, count = place.times[-1]
        if ns == last_ns:
            self._seen += 1
            if self._seen == count:
                self.found = True
                self._held = []
                return []
        if ns > place.newest_ns:
            return self._give_up(place, (ns, line))
        self._held.append((ns, line))
        self._held_bytes += len(line)
        while self._held_bytes > _MOST_HELD_BYTES:
            self._held_bytes -= len(self._held.pop(0)[1])
        return []

    def end(self) -> list[Stamped]:
        """Lines that are new, though nothing came to tell: the last one taken may not be the last of its time."""
        return [] if self._place is None or self.found or self.lost else self._after_the_same(self._place)

    def _give_up(self, place: LogPlace, new: Stamped) -> list[Stamped]:
        after = self._after_the_same(place)
        if not self.found:
            # What is not later than all that was taken may have been taken.
            self.lost = True
        return [*after, new]

    def _after_the_same(self, place: LogPlace) -> list[Stamped]:
        """Where some lines of the last one's very time are gone, but not the last one, what follows it."""
        held, self._held, self._held_bytes = self._held, [], 0
        for at in range(len(held) - 1, -1, -1):
            if held[at][0] == place.times[-1][0] and zlib.crc32(held[at][1]) == place.digest:
                self.found = True
                return held[at + 1 :]
        return []
