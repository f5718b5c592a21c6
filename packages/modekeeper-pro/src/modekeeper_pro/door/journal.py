"""What a run did, line by line, each on the disk before the next thing happens. A killed run can be told from it."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from modekeeper.artifacts.canonical import json_line
from modekeeper.artifacts.times import iso_utc
from modekeeper.model.errors import FailedError
from modekeeper.ports.clock import Clock
from modekeeper_pro.door.ports import Files
from modekeeper_pro.door.records import run_folder, sync_folder

__all__ = ["Event", "Journal", "WriteState", "states"]


class Event(StrEnum):
    """What may stand in a journal."""

    INTENT = "intent"
    BEGUN = "write_begun"
    """The next thing that happens is the write itself."""
    DONE = "write_done"
    """The API server confirmed it."""
    REFUSED = "write_refused"
    """The API server said no: nothing was changed."""
    UNANSWERED = "write_unanswered"
    FOUND = "write_found"
    """After an attempt without an answer, the object was seen to carry what was asked for."""
    NOT_FOUND = "write_not_found"
    """After an attempt without an answer, the object was seen as it was before."""
    RECEIPT = "receipt"
    STOPPED = "stopped"
    FINISHED = "finished"


_LONGEST_LINE = 1 << 16
"""Bytes; the texts in a line are cut to far less."""


class WriteState(StrEnum):
    """What is known of one write."""

    NOT_WRITTEN = "not_written"
    IN_DOUBT = "in_doubt"
    """Begun, and nobody knows how it ended."""
    WRITTEN = "written"
    """Confirmed; its receipt is missing."""
    RECEIPTED = "receipted"


_AFTER = {
    Event.BEGUN: WriteState.IN_DOUBT,
    Event.UNANSWERED: WriteState.IN_DOUBT,
    Event.REFUSED: WriteState.NOT_WRITTEN,
    Event.NOT_FOUND: WriteState.NOT_WRITTEN,
    Event.DONE: WriteState.WRITTEN,
    Event.FOUND: WriteState.WRITTEN,
    Event.RECEIPT: WriteState.RECEIPTED,
}


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One line."""

    at: str
    event: Event
    number: int | None = None
    """Of the write."""
    resource_version: str | None = None
    attempt: int | None = None
    status: int | None = None
    detail: str | None = None
    digest: str | None = None
    approved_by: tuple[str, ...] = ()
    """Of the intent: keys (``kid``) of second persons whose signed approval of the plan was checked."""


class Journal:
    """The journal of one run; lines are only ever added. Close it: it keeps its file open."""

    def __init__(self, files: Files, run: int, clock: Clock) -> None:
        self._name = f"{run_folder(run)}/journal.jsonl"
        self._path = files.root / self._name
        self._files = files
        self._clock = clock
        self._handle: int | None = None

    def add(self, event: Event, *, wait: bool = True, **fields: Any) -> str:
        """Add a line, and wait until the disk has it and every line before it; the time it says.

        Args:
            event: what happens next, or happened.
            wait: ``False``: the line outlives this process, and the machine from the next line on that is waited for.
            fields: the others of ``Line``.

        Raises:
            FailedError: the disk did not take it.
        """
        at = iso_utc(self._clock.now())
        data = json_line(Line(at=at, event=event, **fields))
        try:
            if self._handle is None:
                self._handle = _opened(self._path)
            whole = os.write(self._handle, data) == len(data)
            if whole and wait:
                os.fsync(self._handle)
        except OSError as error:
            why = (error.strerror or type(error).__name__).lower()
            raise FailedError(f"cannot write {self._name}: {why}. Nothing more is changed.") from error
        if not whole:
            raise FailedError(f"cannot write {self._name}: no space left on the device. Nothing more is changed.")
        if event is Event.INTENT:
            sync_folder(self._path.parent)  # the file itself is new
        return at

    def close(self) -> None:
        """Let go of the file."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def lines(self) -> tuple[Line, ...]:
        """Everything that was written; a last line that was cut off with the machine was never waited for.

        Raises:
            FailedError: a line is no line of a journal.
        """
        data = self._files.read_bytes(self._name) or b""
        whole = data[: data.rfind(b"\n") + 1].splitlines()
        try:
            return tuple(msgspec.json.decode(line, type=Line) for line in whole)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise FailedError(f"{self._name} is damaged ({error}). Restore it, or undo by hand.") from None


def _opened(path: Path) -> int:
    """To add lines to. What stands after the last whole line was cut off with the machine, and goes."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        size = os.fstat(handle).st_size
        tail_from = max(0, size - _LONGEST_LINE)
        tail = os.pread(handle, size - tail_from, tail_from)
        if tail and not tail.endswith(b"\n"):
            os.ftruncate(handle, tail_from + tail.rfind(b"\n") + 1)
    except BaseException:
        os.close(handle)
        raise
    return handle


def states(lines: tuple[Line, ...]) -> dict[int, WriteState]:
    """What became of each write that was begun; the others were not written."""
    found: dict[int, WriteState] = {}
    for line in lines:
        if line.number is not None and line.event in _AFTER:
            found[line.number] = _AFTER[line.event]
    return found
