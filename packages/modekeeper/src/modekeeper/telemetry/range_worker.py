"""What a process does that reads ranges of files for another one.

It is started by :mod:`modekeeper.telemetry.range_readers`, is asked over a socket, and ends when that is closed.
"""

import mmap
import os
import signal
import socket
from typing import Any

import msgspec
import numpy as np

from modekeeper.telemetry.bulk import BulkDecoder
from modekeeper.telemetry.decode import LineDecoder
from modekeeper.telemetry.limits import IngestLimits
from modekeeper.telemetry.scan import places_of
from modekeeper.telemetry.transport import ALIGNED_BYTES, Head, laid_out, size_of

__all__ = ["Answer", "Request", "main", "receive", "receive_bytes", "send"]

_LENGTH_BYTES = 8


class Request(msgspec.Struct, frozen=True, array_like=True):
    """A range to read."""

    is_new: bool
    """Whether it is of another file than the one before, whose descriptor follows."""
    table: bool
    """Whether the file is expected to be CSV."""
    header: str | None
    begin: int
    end: int
    slot: int
    """Which part of the shared memory the answer goes to."""


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What was read."""

    head: Head | None = None
    """``None`` where the file has not what it should have: it was cut or written anew."""
    failed: str | None = None
    """What went wrong in the process that should have read it."""
    header: str | None = None
    """The CSV header in force behind the range."""
    in_slot: bool = True
    """Whether the columns are in the shared memory; else they follow."""
    size: int = 0
    """Bytes of the columns."""


class _Worker:
    def __init__(self, channel: socket.socket, shared: mmap.mmap, slots: int, limits: IngestLimits) -> None:
        self._channel = channel
        self._shared = memoryview(shared)
        self._slot_bytes = len(shared) // slots
        self._limits = limits
        self._fd = -1
        self._decoder = LineDecoder(limits)
        self._bulk = BulkDecoder(limits, self._decoder)

    def serve(self) -> None:
        """Answer until nobody asks any more."""
        decode = msgspec.msgpack.Decoder(Request).decode
        while (data := receive(self._channel)) is not None:
            request = decode(data)
            if request.is_new:
                self._open(table=request.table)
            answer, rest = self._answer(request)
            send(self._channel, msgspec.msgpack.encode(answer))
            self._channel.sendall(rest)

    def _open(self, *, table: bool) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        _, fds, _, _ = socket.recv_fds(self._channel, 1, 1)
        self._fd = fds[0]
        self._decoder = LineDecoder(self._limits, table=table)
        self._bulk = BulkDecoder(self._limits, self._decoder)

    def _answer(self, request: Request) -> tuple[Answer, bytes | bytearray]:
        text = os.pread(self._fd, request.end - request.begin, request.begin)
        if len(text) != request.end - request.begin or not text.endswith(b"\n"):
            return Answer(), b""
        self._decoder.header = request.header
        ends = places_of("\n", text)
        head, columns = laid_out(self._bulk.read(text, ends, "", 1), len(ends))
        size = size_of(columns)
        in_slot = size <= self._slot_bytes
        rest = bytearray(0 if in_slot else size)
        begin = request.slot * self._slot_bytes
        target = self._shared[begin : begin + size] if in_slot else memoryview(rest)
        at = 0
        for column in columns:
            np.frombuffer(target, column.dtype, len(column), at)[:] = column
            at += -(-column.nbytes // ALIGNED_BYTES) * ALIGNED_BYTES
        return Answer(head, header=self._decoder.header, in_slot=in_slot, size=size), rest


def send(channel: socket.socket, data: bytes) -> None:
    """Send one message."""
    channel.sendall(len(data).to_bytes(_LENGTH_BYTES, "little") + data)


def receive(channel: socket.socket) -> bytearray | None:
    """Receive one message; ``None`` where the other side has gone."""
    length = receive_bytes(channel, _LENGTH_BYTES)
    return None if length is None else receive_bytes(channel, int.from_bytes(length, "little"))


def receive_bytes(channel: socket.socket, size: int) -> bytearray | None:
    """Receive so many bytes; ``None`` where the other side has gone."""
    data = bytearray(size)
    view = memoryview(data)
    while view:
        count = channel.recv_into(view)
        if not count:
            return None
        view = view[count:]
    return data


def main(channel_fd: int, shared_fd: int, shared_bytes: int, slots: int, limits: dict[str, Any]) -> None:
    """Serve until the other side closes the socket.

    Args:
        channel_fd: descriptor of the socket.
        shared_fd: descriptor of the memory that answers go to.
        shared_bytes: its size.
        slots: parts it is divided into.
        limits: fields of :class:`IngestLimits`.
    """
    # It is the one who asks who is told to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    shared = mmap.mmap(shared_fd, shared_bytes)
    os.close(shared_fd)
    channel = socket.socket(fileno=channel_fd)
    try:
        send(channel, b"here")
        _Worker(channel, shared, slots, IngestLimits(**limits)).serve()
    except ConnectionError:
        # The other side has gone.
        os._exit(0)
    except Exception as error:  # noqa: BLE001 - the one who asks says it in one line
        send(channel, msgspec.msgpack.encode(Answer(failed=type(error).__name__)))
    # Nothing is left to be tidied up, and memory that is still looked at cannot be closed.
    os._exit(0)
