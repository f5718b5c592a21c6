"""The reader port over anything that carries requests to an API server."""

from collections.abc import Iterator
from typing import Any

import msgspec

from modekeeper.cluster.answers import answer_error, shown, status_error
from modekeeper.cluster.requests import (
    WATCH_S,
    AccessReview,
    DryRun,
    Get,
    Streaming,
    Transport,
    collection_path,
    object_path,
    segment,
)
from modekeeper.cluster.wording import ask_to_get, ask_to_list, ask_to_patch, ask_to_read_log, ask_to_watch
from modekeeper.model.cluster import (
    AccessAnswer,
    AccessQuestion,
    ClusterAnswerError,
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
    WatchEventType,
)
from modekeeper.ports.clock import StopSignal

__all__ = ["RestReader"]

_PAGE = 500
_MAX_OBJECTS = 500_000
_MAX_PAGES = 10_000
_MAX_EVENT_BYTES = 16 * 2**20
_NOT_FOUND = 404


class RestReader:
    """A ``ClusterReader`` whose questions all go through one transport."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @property
    def context(self) -> ClusterContext:
        """As the port says."""
        return self._transport.context

    def server_version(self) -> ServerVersion:
        """As the port says."""
        body = self._object("tell its version", Get("/version"))
        return ServerVersion(
            git_version=shown(body.get("gitVersion"), 60),
            major=shown(body.get("major"), 10),
            minor=shown(body.get("minor"), 10),
        )

    def served_versions(self, group: str) -> tuple[str, ...]:
        """As the port says."""
        asked = f"tell the versions of the API group {shown(group, 100) or 'core'}"
        if not group:
            versions = self._object(asked, Get("/api")).get("versions")
            return tuple(each for each in _items(versions) if isinstance(each, str))
        try:
            body = self._object(asked, Get(f"/apis/{segment(group)}"))
        except ClusterAnswerError as error:
            if error.status == _NOT_FOUND:
                return ()
            raise
        entries = [body.get("preferredVersion"), *_items(body.get("versions"))]
        versions = [each.get("version") for each in entries if isinstance(each, dict)]
        return tuple(dict.fromkeys(each for each in versions if isinstance(each, str)))

    def get(self, ref: ObjectRef) -> JsonObject:
        """As the port says."""
        return self._object(ask_to_get(ref), Get(object_path(ref)))

    def list(
        self, resource: Resource, namespace: str | None, *, labels: str = "", fields: str = "", limit: int | None = None
    ) -> ObjectList:
        """As the port says; pages of 500."""
        asked = ask_to_list(resource, namespace)
        path = collection_path(resource, namespace)
        selectors = _selectors(labels, fields)
        items: list[JsonObject] = []
        token = ""
        for _ in range(_MAX_PAGES):
            page = _PAGE if limit is None else max(1, min(_PAGE, limit - len(items)))
            query = (*selectors, ("limit", str(page)), *((("continue", token),) if token else ()))
            body = self._object(asked, Get(path, query))
            metadata = _metadata(body)
            items += [_completed(item, resource) for item in _items(body.get("items"))]
            token = str(metadata.get("continue") or "")
            if not token or (limit is not None and len(items) >= limit):
                version = str(metadata.get("resourceVersion") or "")
                return ObjectList(items=tuple(items[:limit]), resource_version=version)
            if len(items) > _MAX_OBJECTS:
                raise ClusterUnreachableError(
                    f"The answer when asked to {asked} has more than {_MAX_OBJECTS:,} objects. Ask for less."
                )
        raise ClusterUnreachableError(
            f"The answer when asked to {asked} has more than {_MAX_PAGES:,} pages. Ask for less."
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
        asked = ask_to_watch(resource, namespace)
        query = (
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", str(WATCH_S)),
            ("resourceVersion", resource_version),
            *_selectors(labels, fields),
        )
        request = Get(collection_path(resource, namespace), query)
        chunks = self._transport.stream(asked, request, stop, Streaming.WATCH)
        for line in _lines(chunks, asked):
            yield _event(line, resource, asked)

    def logs(self, question: LogQuestion, stop: StopSignal) -> Iterator[bytes]:
        """As the port says."""
        asked = ask_to_read_log(question)
        path = f"/api/v1/namespaces/{segment(question.namespace)}/pods/{segment(question.pod)}/log"
        streaming = Streaming.FOLLOW if question.follow else Streaming.ONCE
        yield from self._transport.stream(asked, Get(path, _log_query(question)), stop, streaming)

    def can_i(self, question: AccessQuestion) -> AccessAnswer:
        """As the port says."""
        attributes = {
            "verb": question.verb,
            "group": question.group,
            "resource": question.resource,
            "subresource": question.subresource,
            "namespace": question.namespace or "",
            "name": question.name or "",
        }
        asked = "say what its user may do"
        body = self._object(asked, AccessReview({key: value for key, value in attributes.items() if value}))
        status = body.get("status")
        if not isinstance(status, dict):
            raise ClusterUnreachableError("The answer to a question for access has no status. Look at the API server.")
        reason = status.get("reason") or status.get("evaluationError")
        return AccessAnswer(allowed=status.get("allowed") is True, reason=shown(reason))

    def dry_run(self, ref: ObjectRef, patch: JsonObject) -> DryRunAnswer:
        """As the port says."""
        answer = self._transport.ask(ask_to_patch(ref), DryRun(ref, patch))
        return DryRunAnswer(object=_mapping(answer.body, ask_to_patch(ref)), warnings=answer.warnings)

    def close(self) -> None:
        """As the port says."""
        self._transport.close()

    def _object(self, asked: str, request: Get | AccessReview) -> JsonObject:
        return _mapping(self._transport.ask(asked, request).body, asked)


def _mapping(body: Any, asked: str) -> JsonObject:
    if isinstance(body, dict):
        return body
    raise ClusterUnreachableError(
        f"The server would not {asked}: what it answers is no object of Kubernetes. Look at the server of the context."
    )


def _metadata(body: JsonObject) -> JsonObject:
    found = body.get("metadata")
    return found if isinstance(found, dict) else {}


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _completed(item: Any, resource: Resource) -> JsonObject:
    """An object of a list, with the kind that the API leaves out there."""
    if not isinstance(item, dict):
        return {}
    return {"apiVersion": resource.api_version, "kind": resource.kind} | item


def _selectors(labels: str, fields: str) -> tuple[tuple[str, str], ...]:
    named = (("labelSelector", labels), ("fieldSelector", fields))
    return tuple((name, value) for name, value in named if value)


def _log_query(question: LogQuestion) -> tuple[tuple[str, str], ...]:
    values: dict[str, str | int | bool | None] = {
        "container": question.container,
        "sinceTime": question.since_time,
        "sinceSeconds": question.since_s,
        "tailLines": question.tail_lines,
        "limitBytes": question.limit_bytes,
        "follow": question.follow or None,
        "previous": question.previous or None,
        "timestamps": question.timestamps or None,
    }
    return tuple((name, "true" if value is True else str(value)) for name, value in values.items() if value is not None)


def _lines(chunks: Iterator[bytes], asked: str) -> Iterator[bytes]:
    """Whole lines; what stands after the last newline was cut off with the connection."""
    kept = bytearray()
    for chunk in chunks:
        kept += chunk
        *lines, rest = kept.split(b"\n") if b"\n" in chunk else (kept,)
        kept = bytearray(rest)
        yield from (bytes(line) for line in lines if line.strip())
        if len(kept) > _MAX_EVENT_BYTES:
            raise ClusterUnreachableError(f"The answer to {asked} has a line of more than 16 MiB. Look at the server.")


def _event(line: bytes, resource: Resource, asked: str) -> WatchEvent:
    try:
        found = msgspec.json.decode(line)
        kind, body = found["type"], found["object"]
    except (msgspec.DecodeError, KeyError, TypeError, RecursionError):
        kind, body = None, None
    if kind == "ERROR" and isinstance(body, dict):
        code = body.get("code")
        if body.get("kind") == "Status":
            raise status_error(asked, code if isinstance(code, int) else 500, body)
        raise answer_error(asked, 500)
    if not isinstance(body, dict) or kind not in list(WatchEventType):
        raise ClusterUnreachableError(
            f"The answer to {asked} is no line of a watch. Look at the server of the context."
        )
    return WatchEvent(WatchEventType(kind), _completed(body, resource))
