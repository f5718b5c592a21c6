"""Keeps what was read, byte for byte, so that a run can be replayed."""

import contextlib
import os
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from modekeeper.model.errors import BadInputError, FailedError

__all__ = ["RawRecorder", "RecorderPosition"]


class RecorderPosition(msgspec.Struct, frozen=True, kw_only=True):
    """How far a recording has come."""

    start: int
    """Size of the file before, with ``append``."""
    bytes: int
    lines: int
    truncated: bool


class RawRecorder:
    """Writes lines as they were read, after decompression, unchanged.

    For a run that ends, the file appears whole at ``close``, or not at all. With ``append`` it grows segment by
    segment, as ``watch`` needs it, and what is there already is kept.

    Args:
        path: where to.
        max_bytes: stop before the line that would go beyond this; ``truncated`` then says so.
        append: add to the file in place.

    Raises:
        BadInputError: there cannot be a file of that name.
    """

    def __init__(self, path: Path, *, max_bytes: int | None = None, append: bool = False) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._append = append
        self._bytes = 0
        self._lines = 0
        self._truncated = False
        self._line_open = False
        self._part = path if append else path.with_name(f".{path.name}.part")
        self._fd = _opened(self._part, path, append=append)
        self._start = os.fstat(self._fd).st_size

    @property
    def path(self) -> Path:
        """Where the recording is, or will be after ``close``."""
        return self._path

    @property
    def lines(self) -> int:
        """Lines recorded, one that has not ended included."""
        return self._lines + self._line_open

    @property
    def size_bytes(self) -> int:
        """Bytes recorded."""
        return self._bytes

    @property
    def truncated(self) -> bool:
        """Whether ``max_bytes`` cut the recording short."""
        return self._truncated

    def write(self, data: bytes) -> None:
        """Record what was read.

        Raises:
            FailedError: the disk did not take it.
        """
        if self._truncated or not data:
            return
        if self._max_bytes is not None and self._bytes + len(data) > self._max_bytes:
            self._truncated = True
            data = data[: data.rfind(b"\n", 0, max(0, self._max_bytes - self._bytes)) + 1]
            if not data:
                return
        self._write(data)
        self._bytes += len(data)
        self._lines += data.count(b"\n")
        self._line_open = not data.endswith(b"\n")

    def end_line(self) -> None:
        """End a line that its file left open: what follows comes from another file."""
        if self._line_open:
            self.write(b"\n")

    def position(self) -> RecorderPosition:
        """How far the recording has come, to go on from in another process."""
        return RecorderPosition(start=self._start, bytes=self._bytes, lines=self._lines, truncated=self._truncated)

    def resume(self, position: RecorderPosition) -> None:
        """Take back what was recorded after ``position``, since it will be read again. Only with ``append``."""
        end = position.start + position.bytes
        if not self._append or os.fstat(self._fd).st_size < end:
            return
        os.ftruncate(self._fd, end)
        self._start, self._bytes = position.start, position.bytes
        self._lines, self._truncated = position.lines, position.truncated
        self._line_open = False

    def close(self) -> None:
        """Make the recording durable, under its name.

        Raises:
            FailedError: the disk did not take it.
        """
        if self._fd < 0:
            return
        try:
            os.fsync(self._fd)
            os.close(self._fd)
            self._fd = -1
            if not self._append:
                self._part.replace(self._path)
        except OSError as error:
            raise self._failed(error) from error

    def abort(self) -> None:
        """Leave no recording behind; with ``append``, leave what is there."""
        if self._fd < 0:
            return
        os.close(self._fd)
        self._fd = -1
        if not self._append:
            with contextlib.suppress(OSError):
                self._part.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> FailedError:
        return FailedError(
            f"cannot record telemetry to '{self._path}': {_reason(error)}. Free some space, or name another place."
        )


def _opened(part: Path, path: Path, *, append: bool) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_APPEND if append else os.O_TRUNC)
    try:
        if path.is_dir():
            raise IsADirectoryError(21, "Is a directory")
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(part, flags, 0o644)
    except (OSError, ValueError) as error:
        raise BadInputError(
            f"cannot record telemetry to '{path}': {_reason(error)}. Name a file that can be written."
        ) from error


def _reason(error: OSError | ValueError) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()
