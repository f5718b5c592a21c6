"""Raw bytes of one file or pipe: growth, truncation and rotation, and what it looked like from its beginning."""

import io
import os
import select
import weakref
from pathlib import Path
from typing import BinaryIO

from modekeeper.model.errors import BadInputError, FailedError
from modekeeper.telemetry.values import clean_text

__all__ = ["HEAD_BYTES", "InputFile", "InputStream", "RawInput", "cannot_read", "display_name", "fault"]

HEAD_BYTES = 4096
"""So much of the beginning tells one file from another."""
_ADVICE = "Give the path of a JSON-lines or CSV file, or '-' for standard input."
_NAME_CHARS = 300


def display_name(path: str) -> str:
    """A path as it may be printed."""
    return "standard input" if path == "-" else clean_text(path, _NAME_CHARS)


def cannot_read(path: str, why: str) -> BadInputError:
    """The one line for a path that cannot be read."""
    return BadInputError(f"cannot read telemetry '{display_name(path)}': {why}. {_ADVICE}")


def fault(error: OSError | ValueError) -> str:
    """What the system says is wrong, as it stands in the middle of a sentence."""
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, IsADirectoryError):
        return "it is a directory"
    return (getattr(error, "strerror", None) or "the name cannot be used").lower()


class RawInput:
    """Bytes as they lie: what regular files and pipes have in common."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.offset = 0
        """Bytes read so far."""
        self.head = b""
        """The first of them, up to ``HEAD_BYTES``."""
        self.device = 0
        self.inode = 0

    def read(self, size: int) -> bytes | None:
        """Up to ``size`` bytes; none at the end of what there is; ``None`` where a pipe has nothing yet.

        Raises:
            BadInputError: there is no such file any more.
            FailedError: reading broke off.
        """
        raise NotImplementedError

    def changed(self) -> str | None:
        """``rotated``: another file has the name; ``truncated``: it was cut, or written anew; else ``None``."""
        return None

    def restart(self) -> None:
        """Begin again with what lies there now."""

    def seek(self, offset: int) -> bool:
        """Go on at ``offset`` without reading what is before it; false where that cannot be done."""
        del offset
        return False

    def close(self) -> None:
        """Let go of the file; reading goes on where it was."""

    @property
    def ended(self) -> bool:
        """Whether nothing can be added any more."""
        return False

    def _count(self, data: bytes) -> bytes:
        self.offset += len(data)
        if len(self.head) < HEAD_BYTES:
            self.head += data[: HEAD_BYTES - len(self.head)]
        return data

    def _broke_off(self, error: OSError) -> FailedError:
        return FailedError(
            f"reading telemetry '{display_name(self.path)}' broke off after {self.offset} bytes: {fault(error)}. "
            "Check the disk or the pipe, then run again."
        )


class InputFile(RawInput):
    """A regular file that may grow, be cut, or be replaced under its name (``tail -F``)."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._fd = -1
        self._closer: weakref.finalize[[int], InputFile] | None = None
        self._change: str | None = None

    def read(self, size: int) -> bytes:
        """See ``RawInput``."""
        if self._fd < 0:
            self._open()
        if self._change is not None:
            return b""
        try:
            return self._count(os.read(self._fd, size))
        except OSError as error:
            raise self._broke_off(error) from error

    def changed(self) -> str | None:
        """See ``RawInput``."""
        if self._change is not None or self._fd < 0:
            return self._change
        here = os.fstat(self._fd)
        try:
            there = Path(self.path).stat()
        except OSError:
            # Moved away and not made again yet: what is open may still grow.
            return None
        if (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino):
            return "rotated"
        if here.st_size < self.offset or os.pread(self._fd, len(self.head), 0) != self.head:
            return "truncated"
        return None

    def restart(self) -> None:
        """See ``RawInput``."""
        self.close()
        self.offset, self.head, self._change = 0, b"", None

    def seek(self, offset: int) -> bool:
        """See ``RawInput``."""
        self.close()
        self.offset = offset
        return True

    def close(self) -> None:
        """See ``RawInput``."""
        if self._closer is not None:
            self._closer()
        self._fd, self._closer = -1, None

    def skip_to(self, offset: int) -> None:
        """Count what lies before ``offset`` as read, and go on there."""
        self.offset = offset
        if len(self.head) < HEAD_BYTES:
            self.head = self.beginning(min(HEAD_BYTES, offset))
        os.lseek(self.descriptor, offset, os.SEEK_SET)

    @property
    def descriptor(self) -> int:
        """The open file."""
        if self._fd < 0:
            self._open()
        return self._fd

    def beginning(self, size: int) -> bytes:
        """The first ``size`` bytes that lie there now, without counting them as read."""
        return os.pread(self.descriptor, size, 0)

    @property
    def size(self) -> int:
        """How many bytes lie there now."""
        return os.fstat(self.descriptor).st_size

    def _open(self) -> None:
        try:
            self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            self._closer = weakref.finalize(self, os.close, self._fd)
            # A folder can be opened too; that it cannot be read is said here, not where its head is looked at.
            os.pread(self._fd, 0, 0)
        except (OSError, ValueError) as error:
            self.close()
            raise cannot_read(self.path, fault(error)) from error
        status = os.fstat(self._fd)
        self.device, self.inode = status.st_dev, status.st_ino
        if status.st_size < self.offset or os.pread(self._fd, len(self.head), 0) != self.head:
            self._change = "rotated"
        else:
            os.lseek(self._fd, self.offset, os.SEEK_SET)


class InputStream(RawInput):
    """Standard input, or a named pipe: read once, from wherever it stands.

    Args:
        path: its name.
        stream: where to read from; ``None`` to open ``path``.
        wait_s: how long one read waits for something to come.
    """

    def __init__(self, path: str, stream: BinaryIO | None, wait_s: float) -> None:
        super().__init__(path)
        self._stream = stream
        self._fd = _descriptor(stream)
        self._closer: weakref.finalize[[int], InputStream] | None = None
        self._wait_s = wait_s
        self._ended = False

    @property
    def ended(self) -> bool:
        """See ``RawInput``."""
        return self._ended

    def read(self, size: int) -> bytes | None:
        """See ``RawInput``."""
        if self._ended:
            return b""
        try:
            data = self._read(size)
        except OSError as error:
            raise self._broke_off(error) from error
        if data is None:
            return None
        self._ended = not data
        return self._count(data)

    def close(self) -> None:
        """A stream given from outside stays open; a named pipe is let go of."""
        if self._closer is not None:
            self._closer()
            self._closer, self._ended = None, True

    def _read(self, size: int) -> bytes | None:
        if self._stream is not None and self._fd is None:
            return self._stream.read(size)
        if self._fd is None:
            self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            self._closer = weakref.finalize(self, os.close, self._fd)
        # Straight from the descriptor: a buffered read would wait for more than a line.
        ready, _, _ = select.select([self._fd], [], [], self._wait_s)
        return os.read(self._fd, size) if ready else None


def _descriptor(stream: BinaryIO | None) -> int | None:
    if stream is None:
        return None
    try:
        return stream.fileno()
    except (OSError, io.UnsupportedOperation, AttributeError):
        return None
