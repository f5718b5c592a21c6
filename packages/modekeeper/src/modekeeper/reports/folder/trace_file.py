"""The decision trace on disk, written as it comes."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from modekeeper.artifacts.canonical import json_line
from modekeeper.artifacts.contracts.parts import AuditTrace
from modekeeper.artifacts.store import FolderStore
from modekeeper.model.trace import TraceEvent

__all__ = ["TRACE_NAME", "TraceFile", "trace_file"]

TRACE_NAME = "decision_trace_latest.jsonl"


class TraceFile:
    """The decision trace of one iteration while it is written."""

    def __init__(self, write: Callable[[bytes], Any]) -> None:
        self._write = write
        self._hash = hashlib.sha256()
        self._events = 0

    def add(self, event: TraceEvent) -> None:
        """Write one line."""
        line = json_line(event)
        self._write(line)
        self._hash.update(line)
        self._events += 1

    def described(self, folder: FolderStore) -> AuditTrace:
        """How the report points to it."""
        path = (folder.root / TRACE_NAME).as_posix()
        return AuditTrace(path=path, events=self._events, sha256=self._hash.hexdigest())


@contextmanager
def trace_file(folder: FolderStore) -> Iterator[TraceFile]:
    """The trace of ``folder``; it appears when the block ends without an error."""
    with folder.stream(TRACE_NAME) as file:
        yield TraceFile(file.write)
