"""Gzip (RFC 1952) and Zstandard (RFC 8878) as streams: bounded output, every member, defects named."""

import contextlib
import sys
import zlib
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, Protocol

__all__ = ["CompressedReader", "PlainReader", "StreamReader", "compression_of"]

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = tuple(bytes([0x50 + n]) + b"\x2a\x4d\x18" for n in range(16))
_MAGICS = (_GZIP, _ZSTD, *_ZSTD_SKIPPABLE)
_PIECE_BYTES = 64
"""Compressed bytes given at a time. Output of the piece that holds a defect is lost, so pieces are small."""
_OUTPUT_BYTES = 1 << 18
"""Most text bytes at a time: what a decompression bomb may claim."""
_GZIP_WINDOW_BITS = 31


class StreamReader(Protocol):
    """Raw bytes in, text bytes out."""

    @property
    def broken(self) -> str | None:
        """What is wrong with the stream; nothing more comes out of it."""

    @property
    def unfinished(self) -> bool:
        """Whether the stream has begun something that it has not ended."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Text in pieces of bounded size."""

    def drain(self) -> Iterator[bytes]:
        """Text that can still be had from the bytes fed so far."""


class PlainReader:
    """Bytes as they are."""

    broken: str | None = None
    unfinished: bool = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The same bytes."""
        if data:
            yield data

    def drain(self) -> Iterator[bytes]:
        """Nothing is held back."""
        yield from ()


class CompressedReader:
    """A sequence of gzip members or zstd frames."""

    def __init__(self) -> None:
        self.broken: str | None = None
        self._member: _Member | None = None
        self._waiting = b""
        self._between = b""

    @property
    def unfinished(self) -> bool:
        """Whether the stream stops inside a member."""
        return self._member is not None or bool(self._between) or bool(self._waiting)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Text in pieces of at most twice ``_OUTPUT_BYTES``."""
        data = self._waiting + data
        whole = len(data) - len(data) % _PIECE_BYTES
        self._waiting = data[whole:]
        yield from _joined(
            text for start in range(0, whole, _PIECE_BYTES) for text in self._piece(data[start : start + _PIECE_BYTES])
        )

    def drain(self) -> Iterator[bytes]:
        """Text of the last piece, which is not full."""
        data, self._waiting = self._waiting, b""
        yield from _joined(self._piece(data))

    def _piece(self, data: bytes) -> Iterator[bytes]:
        while data and self.broken is None:
            if self._member is None:
                data = self._begin(data)
                continue
            try:
                yield from self._member.feed(data)
            except _errors() as error:
                self.broken = str(error) or type(error).__name__
                return
            if not self._member.eof:
                return
            data, self._member = self._member.unused_data, None

    def _begin(self, data: bytes) -> bytes:
        """Look for the next member; zeros between members are padding (gzip(1) ignores them too)."""
        data = (self._between + data).lstrip(b"\0")
        self._between = b""
        kind = compression_of(data) if data else None
        if kind is None:
            self._between = data
            return b""
        if kind == "plain":
            self.broken = "there are other bytes behind its end"
            return b""
        self._member = _GzipMember() if kind == "gzip" else _ZstdFrame()
        return data


def compression_of(prefix: bytes) -> str | None:
    """``plain``, ``gzip`` or ``zstd`` by the first bytes; ``None`` where there are too few to tell."""
    if prefix.startswith(_GZIP):
        return "gzip"
    if prefix.startswith(_MAGICS):
        return "zstd"
    return None if any(magic.startswith(prefix) for magic in _MAGICS) else "plain"


class _Member(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def feed(self, data: bytes) -> Iterator[bytes]: ...


class _GzipMember:
    def __init__(self) -> None:
        self._stream = _gzip_stream()

    @property
    def eof(self) -> bool:
        return bool(self._stream.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._stream.unused_data)

    def feed(self, data: bytes) -> Iterator[bytes]:
        text = self._stream.decompress(data, _OUTPUT_BYTES)
        yield text
        # A full answer may have left more behind, with or without input to go on from.
        while not self._stream.eof and (self._stream.unconsumed_tail or len(text) == _OUTPUT_BYTES):
            text = self._stream.decompress(self._stream.unconsumed_tail, _OUTPUT_BYTES)
            yield text


class _ZstdFrame:
    def __init__(self) -> None:
        self._stream = _zstd_module().ZstdDecompressor()

    @property
    def eof(self) -> bool:
        return bool(self._stream.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._stream.unused_data)

    def feed(self, data: bytes) -> Iterator[bytes]:
        yield self._stream.decompress(data, max_length=_OUTPUT_BYTES)
        while not self._stream.eof and not self._stream.needs_input:
            yield self._stream.decompress(b"", max_length=_OUTPUT_BYTES)


def _joined(texts: Iterator[bytes]) -> Iterator[bytes]:
    parts: list[bytes] = []
    size = 0
    for text in texts:
        parts.append(text)
        size += len(text)
        if size >= _OUTPUT_BYTES:
            yield b"".join(parts)
            parts, size = [], 0
    if size:
        yield b"".join(parts)


def _gzip_stream() -> Any:
    """Intel's isal where it is installed (the extra ``fast``), else zlib: the same text, in less time."""
    try:
        isal_zlib = import_module("isal.isal_zlib")
    except ImportError:
        return zlib.decompressobj(_GZIP_WINDOW_BITS)
    make: Callable[[int], Any] = isal_zlib.decompressobj
    return make(_GZIP_WINDOW_BITS)


def _zstd_module() -> Any:
    return import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")


def _errors() -> tuple[type[Exception], ...]:
    errors: list[type[Exception]] = [
        zlib.error,
        OSError,
        EOFError,
        ValueError,
        MemoryError,
        _zstd_module().ZstdError,
    ]
    with contextlib.suppress(ImportError):
        errors.append(import_module("isal.isal_zlib").error)
    return tuple(errors)
