"""Processes that read ranges of files beside this one, and the order in which what they read is taken."""

import json
import mmap
import os
import select
import socket
import subprocess
import sys
import tempfile
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

import msgspec

from modekeeper.model.errors import FailedError
from modekeeper.telemetry.bulk import BulkDecoder, LinesRead
from modekeeper.telemetry.decode import LineDecoder
from modekeeper.telemetry.inputs import InputFile
from modekeeper.telemetry.limits import IngestLimits
from modekeeper.telemetry.range_worker import Answer, Request, receive, receive_bytes, send
from modekeeper.telemetry.ranges import FilePart, LineRange, OpenFile, line_ranges
from modekeeper.telemetry.scan import places_of
from modekeeper.telemetry.text_input import TextInput
from modekeeper.telemetry.transport import put_together

__all__ = ["RangeRead", "RangeReaders"]

_SLOTS = 3
"""Ranges a process reads before the first of them is taken: it never waits for the next question."""
_SLOT_BYTES = 8 << 20
"""Shared memory for one answer. Only what is used of it takes memory; a larger answer goes over the socket."""
_START_WAIT_S = 0.0
"""How long to wait for a process that is starting: not at all, there is enough to read meanwhile."""
_PATIENCE_S = 2.0
"""How long a process may take to end by itself."""
_START = (
    "import json, sys; path, given = map(json.loads, sys.argv[1:]); sys.path[:] = path;"
    "from modekeeper.telemetry.range_worker import main; main(**given)"
)
_decode_answer = msgspec.msgpack.Decoder(Answer).decode


class RangeRead(NamedTuple):
    """One range, decoded."""

    range: LineRange
    lines: int
    read: LinesRead
    header: str | None
    """The CSV header in force behind it."""


@dataclass(slots=True)
class _Asked:
    """A range that is read before it is needed."""

    item: TextInput
    file: OpenFile
    range: LineRange
    header: str | None
    """The CSV header taken to be in force before it."""
    worker: "_Worker | None" = None
    slot: int = 0
    answer: Answer | None = None
    """What the process said."""
    data: memoryview | None = None
    here: tuple[LinesRead, int] | None = None
    """What this process read itself, with lines from 1, and how many; ``answer`` says the rest."""
    unwanted: bool = False


class RangeReaders:
    """Reads plain files together with ``jobs - 1`` other processes, once from where they stand.

    What comes out is what one process reads, in the same order: what is read apart, line by line decoded, depends on
    nothing before it but the CSV header in force, and a range that was read under another one is read again. Where
    the range that is needed is not there yet, this process reads one itself.
    """

    def __init__(self, items: Sequence[TextInput], jobs: int, limits: IngestLimits) -> None:
        self._limits = limits
        self._plan = _plan(items, limits)
        self._next: _Asked | None = next(self._plan, None)
        self._ahead: deque[_Asked] = deque()
        self._here: tuple[OpenFile, BulkDecoder, LineDecoder] | None = None
        self._workers = [_Worker(limits) for _ in range(jobs - 1)] if self._next and sys.executable else []
        self._closer = weakref.finalize(self, _close_all, self._workers)

    def parts(self, item: TextInput) -> Iterator[RangeRead]:
        """The ranges of one input from where it stands; the rest of it has to be read in the usual way.

        Raises:
            FailedError: a process was ended, or could not do its work.
        """
        while (part := self._part(item)) is not None:
            yield part
        self._forget(item)
        if self._next is None and not self._ahead:
            self.close()

    def close(self) -> None:
        """End the processes."""
        self._closer()
        self._next = None
        self._ahead.clear()

    def _part(self, item: TextInput) -> RangeRead | None:
        self._ask()
        if not self._ahead and self._next is not None and self._next.item is item:
            self._read_here()
        first = self._ahead[0] if self._ahead else None
        if first is None or first.item is not item or first.range.begin != item.raw.offset:
            return None
        while first.answer is None:
            if not self._receive(wait=False) and not (self._may_read_here() and self._read_here()):
                self._receive(wait=True)
        self._ahead.popleft()
        part = _taken(first)
        if part is not None and first.header != item.decoder.header:
            return self._read_again(first)
        return part

    def _ask(self) -> None:
        """Give every process that is there enough to do; until then, this one reads alone."""
        starting = [worker for worker in self._workers if not worker.is_there]
        for worker in select.select(starting, [], [], _START_WAIT_S)[0] if starting else ():
            worker.greet()
        for worker in self._workers:
            while self._next is not None and worker.is_there and worker.free:
                worker.ask(self._next)
                self._ahead.append(self._next)
                self._next = next(self._plan, None)

    def _receive(self, *, wait: bool) -> bool:
        """Take the answers that are there; whether there were any."""
        busy = [worker for worker in self._workers if worker.asked]
        ready, _, _ = select.select(busy, [], [], None if wait else 0)
        for worker in ready:
            worker.receive()
        return bool(ready)

    # A share of one's own

    def _may_read_here(self) -> bool:
        return self._next is not None and sum(asked.here is not None for asked in self._ahead) < _SLOTS

    def _read_here(self) -> bool:
        """Read the next range that nobody has been asked for."""
        asked = self._next
        assert asked is not None  # noqa: S101 - who calls has looked
        if self._here is None or self._here[0] is not asked.file:
            decoder = LineDecoder(self._limits, table=asked.item.is_table)
            self._here = asked.file, BulkDecoder(self._limits, decoder), decoder
        _, bulk, decoder = self._here
        decoder.header = asked.header = asked.item.decoder.header
        text = _text_of(asked)
        if text is None:
            asked.answer = Answer()
        else:
            ends = places_of("\n", text)
            asked.here = bulk.read(text, ends, asked.item.name, 1), len(ends)
            asked.answer = Answer(header=decoder.header)
        self._ahead.append(asked)
        self._next = next(self._plan, None)
        return True

    def _read_again(self, asked: _Asked) -> RangeRead | None:
        text = _text_of(asked)
        if text is None:
            return None
        item = asked.item
        ends = places_of("\n", text)
        read = item.bulk.read(text, ends, item.name, item.splitter.lines + 1)
        return RangeRead(asked.range, len(ends), read, item.decoder.header)

    def _forget(self, item: TextInput) -> None:
        """Drop what is read ahead of an input that is read on in another way."""
        for asked in self._ahead:
            asked.unwanted = asked.unwanted or asked.item is item
            if asked.unwanted and asked.answer is not None and asked.worker is not None:
                asked.worker.release(asked)
        self._ahead = deque(asked for asked in self._ahead if not asked.unwanted)
        while self._next is not None and self._next.item is item:
            self._next = next(self._plan, None)


def _plan(items: Sequence[TextInput], limits: IngestLimits) -> Iterator[_Asked]:
    """The ranges of all inputs that can be read apart, in their order."""
    for item in items:
        if item.finished or not item.stands_before_a_line or not isinstance(item.raw, InputFile):
            continue
        fd = item.raw.descriptor
        if os.fstat(fd).st_size - item.raw.offset < 2 * limits.range_bytes:
            continue
        file = OpenFile(fd)
        for part in line_ranges(fd, item.raw.offset, limits):
            yield _Asked(item, file, part, item.decoder.header)


def _text_of(asked: _Asked) -> bytes | None:
    begin, end = asked.range
    text = os.pread(asked.file.fd, end - begin, begin)
    return text if len(text) == end - begin and text.endswith(b"\n") else None


def _taken(asked: _Asked) -> RangeRead | None:
    """What was read, numbered as in its input; ``None`` where the file is not what it was."""
    item, answer = asked.item, asked.answer
    assert answer is not None  # noqa: S101 - who calls has waited for it
    before = item.splitter.lines
    if asked.here is not None:
        (batch, dropped), lines = asked.here
        read = LinesRead(
            replace(batch, lines=batch.lines + before),
            [dropped_line._replace(line=dropped_line.line + before) for dropped_line in dropped],
        )
        return RangeRead(asked.range, lines, read, answer.header)
    part = None
    if answer.head is not None and asked.data is not None:
        text = FilePart(asked.file, asked.range.begin)
        read = put_together(answer.head, asked.data, item.name, text, before + 1)
        part = RangeRead(asked.range, answer.head.lines, read, answer.header)
    if asked.worker is not None:
        asked.worker.release(asked)
    return part


class _Worker:
    """One process, seen from here."""

    def __init__(self, limits: IngestLimits) -> None:
        self._channel, theirs = socket.socketpair()
        shared_bytes = _SLOTS * _SLOT_BYTES
        with theirs, tempfile.TemporaryFile() as file:
            shared_fd = _memory(file.fileno(), shared_bytes)
            self._shared = mmap.mmap(shared_fd, shared_bytes)
            given = {
                "channel_fd": theirs.fileno(),
                "shared_fd": shared_fd,
                "shared_bytes": shared_bytes,
                "slots": _SLOTS,
                "limits": asdict(limits),
            }
            path = [place for place in sys.path if place]
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own code
                [sys.executable, "-P", "-c", _START, json.dumps(path), json.dumps(given)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), shared_fd),
                # A terminal's Ctrl-C is for the process that asks.
                process_group=0,
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
            )
            if shared_fd != file.fileno():
                os.close(shared_fd)
        self._file: OpenFile | None = None
        self.is_there = False
        """Whether it has started."""
        self.asked: deque[_Asked] = deque()
        """What has not been answered yet."""
        self.free = list(range(_SLOTS))
        """Slots that hold no answer, and wait for none."""

    def fileno(self) -> int:
        return self._channel.fileno()

    def greet(self) -> None:
        """Take note that it has started.

        Raises:
            FailedError: it has ended instead.
        """
        try:
            said = receive(self._channel)
        except ConnectionError:
            said = None
        if said is None:
            raise self._failed(None)
        self.is_there = True

    def ask(self, asked: _Asked) -> None:
        """Have a range read."""
        asked.worker, asked.slot = self, self.free.pop()
        asked.header = asked.item.decoder.header
        is_new = self._file is not asked.file
        request = Request(is_new, asked.item.is_table, asked.header, asked.range.begin, asked.range.end, asked.slot)
        with suppress(ConnectionError):
            # That it has gone is said where its answer is waited for.
            send(self._channel, msgspec.msgpack.encode(request))
            if is_new:
                socket.send_fds(self._channel, [b"\0"], [asked.file.fd])
        self._file = asked.file
        self.asked.append(asked)

    def receive(self) -> None:
        """Take the next answer.

        Raises:
            FailedError: the process has ended, or could not do its work.
        """
        try:
            message = receive(self._channel)
            answer = None if message is None else _decode_answer(message)
            if answer is None or answer.failed is not None:
                raise self._failed(None if answer is None else answer.failed)
            asked = self.asked.popleft()
            data: memoryview | bytearray | None = memoryview(self._shared)[asked.slot * _SLOT_BYTES :]
            if not answer.in_slot:
                data = receive_bytes(self._channel, answer.size)
        except ConnectionError:
            raise self._failed(None) from None
        if data is None:
            raise self._failed(None)
        asked.answer, asked.data = answer, memoryview(data)
        if asked.unwanted:
            self.release(asked)

    def release(self, asked: _Asked) -> None:
        """The answer has been taken, or is not wanted."""
        asked.data = None
        self.free.append(asked.slot)

    def close(self) -> None:
        """End the process."""
        self._channel.close()
        if not self.is_there:
            self._process.kill()
        try:
            self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _failed(self, why: str | None) -> FailedError:
        if why is None:
            with suppress(subprocess.TimeoutExpired):
                code = self._process.wait(_PATIENCE_S)
                why = f"it was ended by signal {-code}" if code < 0 else f"it ended with code {code}"
        return FailedError(
            f"a process that helps to read telemetry failed: {why or 'it says no more'}. "
            "Run again, or with --jobs 1 to read in one process."
        )


def _close_all(workers: list[_Worker]) -> None:
    while workers:
        workers.pop().close()


def _memory(otherwise: int, size: int) -> int:
    """A descriptor of memory that two processes can share: anonymous where the system has that."""
    fd = os.memfd_create("modekeeper", os.MFD_CLOEXEC) if hasattr(os, "memfd_create") else otherwise
    os.ftruncate(fd, size)
    return fd
