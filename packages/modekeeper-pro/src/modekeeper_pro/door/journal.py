"""What a run did, line by line, each on the disk before the next thing happens. A killed run can be told from it."""

import os
from enum import StrEnum
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
    """The journal of one run; lines are only ever added."""

    def __init__(self, files: Files, run: int, clock: Clock) -> None:
        self._name = f"{run_folder(run)}/journal.jsonl"
        self._path = files.root / self._name
        self._files = files
        self._clock = clock

    def add(self, event: Event, **fields: Any) -> None:
        """Add a line, and wait until the disk has it.

        Raises:
            FailedError: the disk did not take it.
        """
        data = json_line(Line(at=iso_utc(self._clock.now()), event=event, **fields))
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            handle = os.open(self._path, flags, 0o600)
            try:
                if os.write(handle, data) != len(data):
                    raise OSError(28, "no space left on the device")
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            why = (error.strerror or type(error).__name__).lower()
            raise FailedError(f"cannot write {self._name}: {why}. Nothing more is changed.") from error
        if event is Event.INTENT:
            sync_folder(self._path.parent)  # the file itself is new

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


def states(lines: tuple[Line, ...]) -> dict[int, WriteState]:
    """What became of each write that was begun; the others were not written."""
    found: dict[int, WriteState] = {}
    for line in lines:
        if line.number is not None and line.event in _AFTER:
            found[line.number] = _AFTER[line.event]
    return found
