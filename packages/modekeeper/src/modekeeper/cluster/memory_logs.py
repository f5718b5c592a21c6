"""Container logs of the cluster held in memory: what a node would keep, and what happens to a follower."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from modekeeper.artifacts.times import parse_iso
from modekeeper.model.cluster import ClusterUnreachableError, LogQuestion
from modekeeper.ports.clock import StopSignal

__all__ = ["MemoryLog"]

_POLL_S = 0.02
_NS_PER_US = 1000


class _Line(msgspec.Struct, frozen=True):
    time: datetime
    text: bytes

    def written(self, *, timestamps: bool) -> bytes:
        stamp = (
            f"{self.time:%Y-%m-%dT%H:%M:%S}.{self.time.microsecond * _NS_PER_US:09d}Z ".encode() if timestamps else b""
        )
        return stamp + self.text + b"\n"


class MemoryLog:
    """The log of one container instance. Tests write it while others read it."""

    def __init__(self) -> None:
        self._lines: list[_Line] = []
        self._first = 0
        self._ended = False
        self._breaks = 0
        self._changed = threading.Condition()

    def write(self, time: datetime, text: bytes) -> None:
        """One more line, without its newline."""
        with self._changed:
            self._lines.append(_Line(time.astimezone(UTC), text))
            self._changed.notify_all()

    def end(self) -> None:
        """The container ended: followers get what is left, and their end."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def break_connections(self) -> None:
        """Whoever follows now loses the connection, after the lines written so far."""
        with self._changed:
            self._breaks += 1
            self._changed.notify_all()

    def rotate(self) -> None:
        """The node throws away the lines written so far."""
        with self._changed:
            self._first = len(self._lines)
            self._changed.notify_all()

    def read(self, question: LogQuestion, now: datetime, stop: StopSignal) -> Iterator[bytes]:
        """The chunks of an answer: a line each."""
        with self._changed:
            breaks, position = self._breaks, self._start(question, now)
        left = question.limit_bytes
        while not stop.is_set():
            with self._changed:
                position = max(position, self._first)
                lines = self._lines[position:]
                finished = self._ended or not question.follow
                broken = self._breaks > breaks
            for line in lines:
                chunk = line.written(timestamps=question.timestamps)[:left]
                left = None if left is None else left - len(chunk)
                if chunk:
                    yield chunk
                if left == 0 or stop.is_set():
                    return
            position += len(lines)
            if broken:
                raise ClusterUnreachableError("The connection broke while a log was read. Read it again.")
            if finished:
                return
            with self._changed:
                if position == len(self._lines) and self._breaks == breaks and not self._ended:
                    self._changed.wait(_POLL_S)

    def _start(self, question: LogQuestion, now: datetime) -> int:
        """The first line of the answer: the node takes the tail after it looked at the time."""
        since = None
        if question.since_time is not None:
            since = parse_iso(question.since_time)
        elif question.since_s is not None:
            since = now - timedelta(seconds=question.since_s)
        kept = range(self._first, len(self._lines))
        start = kept.stop
        tail = kept if question.tail_lines is None else kept[max(0, len(kept) - question.tail_lines) :]
        for index in reversed(tail):
            if since is not None and self._lines[index].time < since:
                break
            start = index
        return start
