"""A file cut into ranges of whole lines that can be read apart from one another."""

import os
import weakref
from collections.abc import Iterator
from typing import NamedTuple

from modekeeper.telemetry.compressed import compression_of
from modekeeper.telemetry.limits import IngestLimits

__all__ = ["FilePart", "LineRange", "OpenFile", "line_ranges"]

_LOOK_BYTES = 1 << 12
_MAGIC_BYTES = 4


class LineRange(NamedTuple):
    """Bytes ``begin`` up to ``end``: whole lines, the last line feed included."""

    begin: int
    end: int


class OpenFile:
    """A file that stays open for as long as anybody wants to look at a line of it."""

    def __init__(self, fd: int) -> None:
        self.fd = os.dup(fd)
        weakref.finalize(self, os.close, self.fd)


class FilePart:
    """The bytes of a range, read from the file again when somebody asks for some of them."""

    def __init__(self, file: OpenFile, begin: int) -> None:
        self._file = file
        self._begin = begin

    def __getitem__(self, part: slice, /) -> bytes:
        return os.pread(self._file.fd, part.stop - part.start, self._begin + part.start)


def line_ranges(fd: int, begin: int, limits: IngestLimits) -> Iterator[LineRange]:
    """The ranges from ``begin`` on, which is the beginning of a line, up to the last line feed.

    None at all where the file is compressed. They end early before a line that is too long.
    """
    size = os.fstat(fd).st_size
    if compression_of(os.pread(fd, _MAGIC_BYTES, 0)) != "plain":
        return
    while begin < size:
        aim = begin + limits.range_bytes
        end = (
            _behind_line_feed(fd, aim, aim + limits.max_line_bytes) if aim < size else _last_line_feed(fd, begin, size)
        )
        if end is None or end <= begin:
            return
        yield LineRange(begin, end)
        begin = end


def _behind_line_feed(fd: int, begin: int, limit: int) -> int | None:
    """The place behind the first line feed from ``begin`` on."""
    while begin < limit:
        data = os.pread(fd, _LOOK_BYTES, begin)
        found = data.find(b"\n")
        if found >= 0:
            return begin + found + 1
        if not data:
            return None
        begin += len(data)
    return None


def _last_line_feed(fd: int, begin: int, size: int) -> int | None:
    """The place behind the last line feed before ``size``."""
    at = size
    while at > begin:
        start = max(begin, at - _LOOK_BYTES)
        found = os.pread(fd, at - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        at = start
    return None
