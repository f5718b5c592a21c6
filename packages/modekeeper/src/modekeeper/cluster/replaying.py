"""A recording answers the questions that were asked when it was made."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from modekeeper.artifacts.canonical import json_line
from modekeeper.cluster.answers import shown
from modekeeper.cluster.recorded_words import ANSWER_TYPES, SCHEMA_VERSION, asked_as, chunk_read, error_read
from modekeeper.model.cluster import (
    AccessAnswer,
    AccessQuestion,
    ClusterConfigError,
    ClusterContext,
    ClusterUnreachableError,
    DryRunAnswer,
    JsonObject,
    LogQuestion,
    ObjectList,
    ObjectRef,
    Resource,
    ServerVersion,
    WatchEvent,
)
from modekeeper.model.errors import ModeKeeperError
from modekeeper.ports.clock import StopSignal

__all__ = ["ReplayReader"]


class _Outcome:
    """What one question was answered with. ``end`` is absent where the recording broke off."""

    def __init__(self, answer: Any = None, error: dict[str, Any] | None = None) -> None:
        self.answer = answer
        self.error = error
        self.items: list[Any] = []


class ReplayReader:
    """A ``ClusterReader`` that asks nobody.

    A question asked several times gets its answers in the order they were recorded in, and the last one ever after.
    A question that was not recorded is a ``ClusterUnreachableError``. Nothing waits: a log that was followed for an
    hour comes at once, and ends as it ended then.

    Raises:
        ClusterConfigError: the file cannot be read, or is no recording.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._outcomes: dict[bytes, list[_Outcome]] = {}
        self._asked: dict[bytes, int] = {}
        self._closed = False
        self._lock = threading.Lock()
        self._context = self._read()

    @property
    def context(self) -> ClusterContext:
        """That of the recording."""
        return self._context

    def server_version(self) -> ServerVersion:
        """As it was recorded."""
        answer: ServerVersion = self._answer("server_version")
        return answer

    def served_versions(self, group: str) -> tuple[str, ...]:
        """As it was recorded."""
        answer: tuple[str, ...] = self._answer("served_versions", group=group)
        return answer

    def get(self, ref: ObjectRef) -> JsonObject:
        """As it was recorded."""
        answer: JsonObject = self._answer("get", ref=ref)
        return answer

    def list(
        self, resource: Resource, namespace: str | None, *, labels: str = "", fields: str = "", limit: int | None = None
    ) -> ObjectList:
        """As it was recorded."""
        answer: ObjectList = self._answer(
            "list", resource=resource, namespace=namespace, labels=labels, fields=fields, limit=limit
        )
        return answer

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
        """As it was recorded."""
        asked = asked_as(
            "watch",
            resource=resource,
            namespace=namespace,
            resource_version=resource_version,
            labels=labels,
            fields=fields,
        )
        for item in self._items(asked, stop):
            event: WatchEvent = self._decoded("watch", item)
            yield event

    def logs(self, question: LogQuestion, stop: StopSignal) -> Iterator[bytes]:
        """As it was recorded."""
        for item in self._items(asked_as("logs", question=question), stop):
            try:
                chunk = chunk_read(item)
            except ValueError:
                self._damaged("a chunk of a log cannot be read")
            yield chunk

    def can_i(self, question: AccessQuestion) -> AccessAnswer:
        """As it was recorded."""
        answer: AccessAnswer = self._answer("can_i", question=question)
        return answer

    def dry_run(self, ref: ObjectRef, patch: JsonObject) -> DryRunAnswer:
        """As it was recorded."""
        answer: DryRunAnswer = self._answer("dry_run", ref=ref, patch=patch)
        return answer

    def close(self) -> None:
        """As the port says."""
        self._closed = True

    def _answer(self, method: str, **words: Any) -> Any:
        outcome = self._next(asked_as(method, **words))
        if outcome.error is not None:
            raise self._error(outcome.error)
        return self._decoded(method, outcome.answer)

    def _items(self, asked: dict[str, Any], stop: StopSignal) -> Iterator[Any]:
        outcome = self._next(asked)
        for item in outcome.items:
            if stop.is_set():
                return
            yield item
        if outcome.error is not None and not stop.is_set():
            raise self._error(outcome.error)

    def _next(self, asked: dict[str, Any]) -> _Outcome:
        key = json_line(asked)
        with self._lock:
            if self._closed:
                raise ClusterUnreachableError("The recording is closed.")
            outcomes = self._outcomes.get(key)
            if not outcomes:
                raise ClusterUnreachableError(
                    f"The recording {self._path} holds no answer to this question: {shown(key.decode(), 300)}."
                    " Replay it with the command it was made with."
                )
            index = self._asked.get(key, 0)
            self._asked[key] = index + 1
        return outcomes[min(index, len(outcomes) - 1)]

    def _decoded(self, method: str, answer: Any) -> Any:
        try:
            return msgspec.convert(answer, ANSWER_TYPES[method])
        except msgspec.ValidationError as error:
            self._damaged(f"an answer to {method} cannot be read: {shown(str(error), 150)}")

    def _error(self, found: dict[str, Any]) -> ModeKeeperError:
        try:
            return error_read(found)
        except (KeyError, TypeError, ValueError):
            self._damaged("an error cannot be read")

    def _read(self) -> ClusterContext:
        streams: dict[int, _Outcome] = {}
        context: ClusterContext | None = None
        try:
            with self._path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    if context is None:
                        context = self._head(line)
                    elif line.endswith(b"\n"):  # the last line of a run that was killed may be cut off
                        self._take(number, line, streams)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise ClusterConfigError(f"The recording {self._path} cannot be read: {why}. Name another file.") from None
        if context is None:
            self._damaged("it is empty")
        return context

    def _head(self, line: bytes) -> ClusterContext:
        try:
            head = msgspec.json.decode(line)
            version = head["schema_version"]
            context = msgspec.convert(head["context"], ClusterContext)
        except (msgspec.DecodeError, KeyError, TypeError, UnicodeDecodeError, RecursionError):
            self._damaged("its first line names no context")
        if version != SCHEMA_VERSION:
            self._damaged(f"it is {shown(version, 60) or 'of no version'}, and {SCHEMA_VERSION} is read")
        return context

    def _take(self, number: int, line: bytes, streams: dict[int, _Outcome]) -> None:
        try:
            found = msgspec.json.decode(line)
            if "ask" in found:
                outcome = _Outcome(found.get("answer"), found.get("error"))
                self._outcomes.setdefault(json_line(found["ask"]), []).append(outcome)
                if "stream" in found:
                    streams[found["stream"]] = outcome
            elif "item" in found:
                streams[found["stream"]].items.append(found["item"])
            else:
                streams[found["stream"]].error = found["end"]
        except (msgspec.DecodeError, KeyError, TypeError, UnicodeDecodeError, RecursionError):
            self._damaged(f"line {number} cannot be read")

    def _damaged(self, what: str) -> NoReturn:
        raise ClusterConfigError(f"{self._path} is no usable recording of a cluster: {what}. Name another file.")
