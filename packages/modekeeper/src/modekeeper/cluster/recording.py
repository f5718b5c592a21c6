"""Everything a cluster was asked and what it said, kept exactly: one JSON line an answer.

The first line names the format, the context and the time. Then, in the order in which the answers came:

    {"ask": {…}, "answer": …}            an answer
    {"ask": {…}, "error": {…}}           a refusal, or why there is none
    {"ask": {…}, "stream": 3}            a watch or a log begins: the third stream of this recording
    {"stream": 3, "item": …}             an event of it, or a chunk
    {"stream": 3, "end": null}           its end: quiet, or with the error

Only bodies of answers are kept: no headers, so no tokens; and Secret objects are never asked for.
"""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from modekeeper.artifacts.canonical import json_line
from modekeeper.artifacts.times import iso_utc
from modekeeper.cluster.recorded_words import SCHEMA_VERSION, asked_as, chunk_written, error_written
from modekeeper.cluster.requests import refuse_secrets
from modekeeper.model.cluster import (
    AccessAnswer,
    AccessQuestion,
    ClusterContext,
    DryRunAnswer,
    JsonObject,
    LogQuestion,
    ObjectList,
    ObjectRef,
    Resource,
    ServerVersion,
    WatchEvent,
)
from modekeeper.model.errors import BadInputError, FailedError, ModeKeeperError
from modekeeper.ports.clock import Clock, StopSignal
from modekeeper.ports.cluster import ClusterReader

__all__ = ["RecordingReader"]

_Answer = TypeVar("_Answer")


class RecordingReader:
    """A ``ClusterReader`` that keeps what another one says. The same questions in the same order give the same bytes.

    Args:
        reader: who is asked. It is closed with this one.
        path: where the recording is written, line by line, readable by its owner only. A file there is replaced.
        clock: for the time in the first line.

    Raises:
        BadInputError: nothing can be written there.
    """

    def __init__(self, reader: ClusterReader, path: Path, *, clock: Clock) -> None:
        self._reader = reader
        self._path = path
        self._streams = 0
        self._lock = threading.Lock()
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        except (OSError, ValueError) as error:
            why = (getattr(error, "strerror", None) or str(error)).lower()
            raise BadInputError(f"The recording {path} cannot be written: {why}. Name another place.") from None
        self._file = open(descriptor, "wb", buffering=0)  # noqa: PTH123, SIM115 - closed by close
        try:
            self._write(
                {
                    "schema_version": SCHEMA_VERSION,
                    "context": reader.context,
                    "started_at": iso_utc(clock.now()),
                }
            )
        except BaseException:
            self._file.close()
            raise

    @property
    def context(self) -> ClusterContext:
        """As the port says."""
        return self._reader.context

    def server_version(self) -> ServerVersion:
        """As the port says."""
        return self._kept(asked_as("server_version"), self._reader.server_version)

    def served_versions(self, group: str) -> tuple[str, ...]:
        """As the port says."""
        return self._kept(asked_as("served_versions", group=group), lambda: self._reader.served_versions(group))

    def get(self, ref: ObjectRef) -> JsonObject:
        """As the port says."""
        refuse_secrets(ref.resource)
        return self._kept(asked_as("get", ref=ref), lambda: self._reader.get(ref))

    def list(
        self, resource: Resource, namespace: str | None, *, labels: str = "", fields: str = "", limit: int | None = None
    ) -> ObjectList:
        """As the port says."""
        refuse_secrets(resource)
        asked = asked_as("list", resource=resource, namespace=namespace, labels=labels, fields=fields, limit=limit)
        return self._kept(
            asked, lambda: self._reader.list(resource, namespace, labels=labels, fields=fields, limit=limit)
        )

    def watch(
        self,
        resource: Resource,
        namespace: str | None,
        *,
        resource_version: str,
        stop: StopSignal,
        labels: str = "",
        fields: str = "",
    ) -> Iterator[WatchEvent]:
        """As the port says."""
        refuse_secrets(resource)
        asked = asked_as(
            "watch",
            resource=resource,
            namespace=namespace,
            resource_version=resource_version,
            labels=labels,
            fields=fields,
        )
        events = self._reader.watch(
            resource, namespace, resource_version=resource_version, stop=stop, labels=labels, fields=fields
        )
        return self._kept_stream(asked, events, lambda event: event)

    def logs(self, question: LogQuestion, stop: StopSignal) -> Iterator[bytes]:
        """As the port says."""
        return self._kept_stream(asked_as("logs", question=question), self._reader.logs(question, stop), chunk_written)

    def can_i(self, question: AccessQuestion) -> AccessAnswer:
        """As the port says."""
        return self._kept(asked_as("can_i", question=question), lambda: self._reader.can_i(question))

    def dry_run(self, ref: ObjectRef, patch: JsonObject) -> DryRunAnswer:
        """As the port says."""
        refuse_secrets(ref.resource)
        return self._kept(asked_as("dry_run", ref=ref, patch=patch), lambda: self._reader.dry_run(ref, patch))

    def close(self) -> None:
        """As the port says; the recording is whole."""
        self._reader.close()
        with self._lock:
            self._file.close()

    def _kept(self, asked: dict[str, Any], ask: Callable[[], _Answer]) -> _Answer:
        try:
            answer = ask()
        except ModeKeeperError as error:
            self._write({"ask": asked, "error": error_written(error)})
            raise
        self._write({"ask": asked, "answer": answer})
        return answer

    def _kept_stream(
        self, asked: dict[str, Any], items: Iterator[_Answer], written: Callable[[_Answer], Any]
    ) -> Iterator[_Answer]:
        with self._lock:
            self._streams += 1
            number = self._streams
        self._write({"ask": asked, "stream": number})
        end: dict[str, Any] | None = None
        try:
            for item in items:
                self._write({"stream": number, "item": written(item)})
                yield item
        except ModeKeeperError as error:
            end = error_written(error)
            raise
        finally:
            self._write({"stream": number, "end": end})

    def _write(self, line: dict[str, Any]) -> None:
        data = json_line(line)
        try:
            with self._lock:
                if not self._file.closed:
                    self._file.write(data)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise FailedError(f"The recording {self._path} could not be written: {why}. Make room there.") from None
