"""Bytes in pieces of any size to whole lines. Where the pieces are cut carries no meaning."""

from functools import cached_property

import msgspec
import numpy as np
from numpy.typing import NDArray

from modekeeper.telemetry.counting import EXCERPT_BYTES
from modekeeper.telemetry.scan import places_of

__all__ = ["Cut", "LineSplitter", "LongLine", "SplitterState"]


class LongLine(bytes):
    """The beginning of a line that was too long to keep."""

    __slots__ = ()


class Cut:
    """Whole lines, and the bytes that went into them.

    Args:
        taken: the bytes.
        text: those of them that are whole lines, each with its line feed; the last one of an input may have none.
        head: the beginning of a line that is too long and ended before ``text``.
        max_line_bytes: a longer line of ``text`` is too long.
    """

    def __init__(self, taken: bytes, text: bytes, head: LongLine | None, max_line_bytes: int) -> None:
        self.taken = taken
        self.text = text
        self.head = head
        self._most = max_line_bytes

    @cached_property
    def ends(self) -> NDArray[np.int64]:
        """Where the line feeds of ``text`` are."""
        return places_of("\n", self.text)

    @cached_property
    def lines(self) -> list[bytes]:
        """All lines, without line feeds."""
        whole = self.text.split(b"\n")
        if not whole[-1]:
            whole.pop()
        if len(self.text) > self._most:
            whole = [LongLine(x[:EXCERPT_BYTES]) if len(x) > self._most else x for x in whole]
        return whole if self.head is None else [self.head, *whole]

    @property
    def count(self) -> int:
        """How many lines."""
        open_line = bool(self.text) and not self.text.endswith(b"\n")
        return len(self.ends) + open_line + (self.head is not None)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing at all."""
        return not self.taken and self.head is None


class SplitterState(msgspec.Struct, frozen=True, kw_only=True):
    """A splitter at rest. The bytes of a line that has not ended are not part of it: they are read again."""

    skipping: bool
    head: bytes
    lines: int


class LineSplitter:
    """Cuts at line feeds and keeps at most one line's worth of bytes."""

    def __init__(self, max_line_bytes: int) -> None:
        self._most = max_line_bytes
        self._parts: list[bytes] = []
        self._held = 0
        self._skipping = False
        self._head = b""
        self.lines = 0
        """Lines that have ended so far."""

    @property
    def has_rest(self) -> bool:
        """Whether a line has begun and not ended."""
        return self._held > 0 or self._skipping

    @property
    def rest_looks_whole(self) -> bool:
        """Whether the line that has begun ends as a JSON object does: then only its line feed is missing."""
        return not self._skipping and self._held > 0 and b"".join(self._parts).rstrip().endswith(b"}")

    def feed(self, data: bytes) -> Cut:
        """The lines that ``data`` completes, without line feeds."""
        end = data.rfind(b"\n") + 1
        if not end:
            return self._cut(self._hold(data))
        skipped, head = b"", None
        if self._skipping:
            first_end = data.index(b"\n") + 1
            skipped, data, end = data[:first_end], data[first_end:], end - first_end
            head = LongLine(self._head)
            self._skipping, self._head = False, b""
        text = b"".join([*self._parts, memoryview(data)[:end]]) if self._parts else data[:end]
        self._parts, self._held = [], 0
        given_up = self._hold(data[end:])
        return self._cut(b"".join((skipped, text, given_up)) if skipped or given_up else text, text, head)

    def finish(self) -> Cut:
        """The last line, which no line feed ended, if there is one."""
        rest = b"".join(self._parts)
        head = LongLine(self._head) if self._skipping else None
        self._parts, self._held, self._skipping, self._head = [], 0, False, b""
        return self._cut(rest, rest, head)

    def state(self) -> SplitterState:
        """Everything needed to go on elsewhere, at the first byte not taken."""
        return SplitterState(skipping=self._skipping, head=self._head, lines=self.lines)

    def restore(self, state: SplitterState) -> None:
        """Go on from ``state``."""
        self._parts, self._held = [], 0
        self._skipping, self._head, self.lines = state.skipping, state.head[:EXCERPT_BYTES], state.lines

    def _cut(self, taken: bytes, text: bytes = b"", head: LongLine | None = None) -> Cut:
        cut = Cut(taken, text, head, self._most)
        self.lines += cut.count
        return cut

    def _hold(self, data: bytes) -> bytes:
        """Keep the beginning of a line; what is given up because the line is too long is returned as taken."""
        if self._skipping or not data:
            return data
        self._parts.append(data)
        self._held += len(data)
        if self._held <= self._most:
            return b""
        begun = b"".join(self._parts)
        self._parts, self._held, self._skipping, self._head = [], 0, True, begun[:EXCERPT_BYTES]
        return begun
