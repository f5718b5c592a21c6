"""Bytes in pieces of any size to whole lines. Where the pieces are cut carries no meaning."""

from typing import NamedTuple

import msgspec

from modekeeper.telemetry.counting import EXCERPT_BYTES

__all__ = ["Cut", "LineSplitter", "LongLine", "SplitterState"]


class LongLine(bytes):
    """The beginning of a line that was too long to keep."""

    __slots__ = ()


class Cut(NamedTuple):
    """Whole lines, and the bytes that went into them."""

    lines: list[bytes]
    taken: bytes


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
            return Cut([], self._hold(data))
        skipped = b""
        if self._skipping:
            first_end = data.index(b"\n") + 1
            skipped, data, end = data[:first_end], data[first_end:], end - first_end
            lines: list[bytes] = [LongLine(self._head)]
            self._skipping, self._head = False, b""
        else:
            lines = []
        taken = b"".join([*self._parts, data[:end]]) if self._parts else data[:end]
        self._parts, self._held = [], 0
        if taken:
            whole = taken.split(b"\n")
            whole.pop()
            if len(taken) > self._most:
                whole = [LongLine(x[:EXCERPT_BYTES]) if len(x) > self._most else x for x in whole]
            lines += whole
        self.lines += len(lines)
        return Cut(lines, skipped + taken + self._hold(data[end:]))

    def finish(self) -> Cut:
        """The last line, which no line feed ended, if there is one."""
        if self._skipping:
            cut = Cut([LongLine(self._head)], b"")
        elif self._held:
            rest = b"".join(self._parts)
            cut = Cut([rest], rest)
        else:
            return Cut([], b"")
        self._parts, self._held, self._skipping, self._head = [], 0, False, b""
        self.lines += 1
        return cut

    def state(self) -> SplitterState:
        """Everything needed to go on elsewhere, at the first byte not taken."""
        return SplitterState(skipping=self._skipping, head=self._head, lines=self.lines)

    def restore(self, state: SplitterState) -> None:
        """Go on from ``state``."""
        self._parts, self._held = [], 0
        self._skipping, self._head, self.lines = state.skipping, state.head[:EXCERPT_BYTES], state.lines

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
