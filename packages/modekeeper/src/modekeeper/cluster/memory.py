"""A cluster held in memory, for tests and demonstrations: it answers, refuses and fails as a real one does.

It knows no schemas: what the API server's own validation would refuse, an admission hook has to refuse here.
"""

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import msgspec

from modekeeper.cluster.answers import answer_error, bad_request
from modekeeper.cluster.memory_logs import MemoryLog
from modekeeper.cluster.memory_rules import Rule, allows, asks, forbidden_text, not_found_text
from modekeeper.cluster.merge_patch import merged
from modekeeper.cluster.requests import collection_path, object_path, segment
from modekeeper.cluster.selectors import Matcher, SelectorError, field_matcher, label_matcher
from modekeeper.cluster.wording import ask_to_get, ask_to_list, ask_to_patch, ask_to_read_log, ask_to_watch
from modekeeper.model.cluster import (
    AccessAnswer,
    AccessQuestion,
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

__all__ = ["CONFIG_MAPS", "NAMESPACES", "PODS", "AdmissionHook", "MemoryCluster", "Rule"]

NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
PODS = Resource("", "v1", "pods", "Pod")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
_BUILT_IN = {"": "v1", "apps": "v1", "batch": "v1", "autoscaling": "v2", "policy": "v1", "authorization.k8s.io": "v1"}
_POLL_S = 0.02

AdmissionHook = Callable[[ObjectRef, JsonObject], JsonObject]
"""Sees the object as a dry run would make it; gives it back, changed or not, or raises (``MemoryCluster.denial``)."""


class _Failure(msgspec.Struct):
    error: Exception
    times: int | None
    when: Callable[[object], bool]


class MemoryCluster:
    """A ``ClusterReader`` over objects a test puts in.

    Args:
        user: who asks, as its refusals name them.
        namespace: the context's.
        rules: what the user may do; ``None``: everything.
        now: the cluster's time.
    """

    def __init__(
        self,
        *,
        user: str = "observer",
        namespace: str = "default",
        rules: Iterable[Rule] | None = None,
        now: Callable[[], datetime] = lambda: datetime(2026, 1, 31, 9, tzinfo=UTC),
    ) -> None:
        self.context = ClusterContext(
            name="memory", server="https://memory.invalid:6443", namespace=namespace, user=user
        )
        self.version = ServerVersion(git_version="v1.35.4", major="1", minor="35")
        self.asked: list[tuple[str, object]] = []
        """Every question so far, in order: the method's name, and the ref, resource or question it was about."""
        self._user = user
        self._now = now
        self._rules = None if rules is None else tuple(rules)
        self._objects: dict[ObjectRef, JsonObject] = {}
        self._served: dict[str, list[str]] = {group: [version] for group, version in _BUILT_IN.items()}
        self._events: list[tuple[int, ObjectRef, WatchEvent]] = []
        self._oldest = 0
        self._watch_ends = 0
        self._logs: dict[tuple[str, str, str, bool], MemoryLog] = {}
        self._hooks: list[AdmissionHook] = []
        self._failures: list[tuple[str, _Failure]] = []
        self._numbers = itertools.count(1)
        self._last = 0
        self._closed = False
        self._changed = threading.Condition(threading.RLock())
        for name in ("default", "kube-system"):
            self.put(NAMESPACES, {"metadata": {"name": name}})

    # What a test arranges.

    def put(self, resource: Resource, found: JsonObject) -> JsonObject:
        """Create an object, or replace the one of that name; its namespace is made where there is none.

        It gets what the API server would give it: a uid, a resourceVersion, a creation time, ``apiVersion``, ``kind``.
        """
        new = deepcopy(found)
        metadata = new.setdefault("metadata", {})
        namespace = metadata.setdefault("namespace", self.context.namespace) if resource.namespaced else None
        ref = ObjectRef(resource, namespace, metadata["name"])
        with self._changed:
            if namespace is not None and ObjectRef(NAMESPACES, None, namespace) not in self._objects:
                self.put(NAMESPACES, {"metadata": {"name": namespace}})
            self.serve(resource)
            before = self._objects.get(ref)
            self._last = next(self._numbers)
            old = {"generation": 0} if before is None else before["metadata"]
            metadata.setdefault("uid", old.get("uid", f"00000000-0000-4000-8000-{self._last:012d}"))
            metadata.setdefault("creationTimestamp", old.get("creationTimestamp", f"{self._now():%Y-%m-%dT%H:%M:%SZ}"))
            if before is None or before.get("spec") != new.get("spec"):
                metadata["generation"] = old.get("generation", 0) + 1
            metadata["resourceVersion"] = str(self._last)
            new = {"apiVersion": resource.api_version, "kind": resource.kind} | new
            self._objects[ref] = new
            kind = WatchEventType.ADDED if before is None else WatchEventType.MODIFIED
            self._happened(ref, WatchEvent(kind, new))
        return deepcopy(new)

    def delete(self, ref: ObjectRef) -> None:
        """Take an object away."""
        with self._changed:
            gone = deepcopy(self._objects.pop(ref))
            self._last = next(self._numbers)
            gone["metadata"]["resourceVersion"] = str(self._last)
            self._happened(ref, WatchEvent(WatchEventType.DELETED, gone))

    def serve(self, resource: Resource) -> None:
        """Serve a kind, as after installing its CRD; ``put`` does it by itself."""
        with self._changed:
            versions = self._served.setdefault(resource.group, [])
            if resource.version not in versions:
                versions.append(resource.version)

    def bookmark(self, resource: Resource) -> None:
        """Send everybody who watches a kind how far they have seen."""
        with self._changed:
            self._last = next(self._numbers)
            mark = {"apiVersion": resource.api_version, "kind": resource.kind}
            event = WatchEvent(WatchEventType.BOOKMARK, mark | {"metadata": {"resourceVersion": str(self._last)}})
            self._happened(ObjectRef(resource, None, ""), event)

    def end_watches(self) -> None:
        """Close every watch that is open now, as the API server does after some minutes."""
        with self._changed:
            self._watch_ends += 1
            self._changed.notify_all()

    def compact(self) -> None:
        """Forget what happened so far: a watch from an older version gets 410."""
        with self._changed:
            self._oldest = self._last
            self._events.clear()

    def log(self, namespace: str, pod: str, container: str, *, previous: bool = False) -> MemoryLog:
        """The log of a container instance, empty at first, to write, end or break."""
        with self._changed:
            return self._logs.setdefault((namespace, pod, container, previous), MemoryLog())

    def restart(self, namespace: str, pod: str, container: str) -> MemoryLog:
        """The container starts again: its log becomes the previous one, and the new one is given back."""
        with self._changed:
            old = self.log(namespace, pod, container)
            self._logs[namespace, pod, container, True] = old
            self._logs[namespace, pod, container, False] = new = MemoryLog()
        old.end()
        return new

    def admit(self, hook: AdmissionHook) -> None:
        """Let a hook see, change or refuse every dry run, after those added before."""
        self._hooks.append(hook)

    def denial(self, ref: ObjectRef, message: str, *, status: int = 403, reason: str = "") -> Exception:
        """What a hook raises. ``message`` is the API's whole text.

        Texts of the API server: ``admission webhook "W" denied the request: …`` (the webhook's code, else 400);
        ``admission webhook "W" does not support dry run`` (400); a ValidatingAdmissionPolicy answers 422.
        """
        return answer_error(ask_to_patch(ref), status, reason, message)

    def fail(
        self,
        method: str,
        error: Exception,
        *,
        times: int | None = 1,
        when: Callable[[object], bool] = lambda _about: True,
    ) -> None:
        """Let calls of a method raise ``error``.

        Args:
            method: its name, as in the port: ``get``, ``list``, ``logs`` …
            error: a ``ClusterUnreachableError``, or an answer made by ``failure``.
            times: for so many calls; ``None``: for all.
            when: only where this holds of the ref, resource or question asked about.
        """
        self._failures.append((method, _Failure(error, times, when)))

    @staticmethod
    def failure(status: int, reason: str = "", detail: str = "") -> Exception:
        """An answer to let a call fail with."""
        return answer_error("answer", status, reason, detail)

    # What a reader is asked.

    def server_version(self) -> ServerVersion:
        """As the port says."""
        self._ask("server_version", None)
        return self.version

    def served_versions(self, group: str) -> tuple[str, ...]:
        """As the port says."""
        self._ask("served_versions", group)
        return tuple(self._served.get(group, ()))

    def get(self, ref: ObjectRef) -> JsonObject:
        """As the port says."""
        object_path(ref)
        self._ask("get", ref)
        self._authorise(ask_to_get(ref), asks("get", ref.resource, ref.namespace, ref.name))
        return deepcopy(self._found(ref, ask_to_get(ref)))

    def list(
        self, resource: Resource, namespace: str | None, *, labels: str = "", fields: str = "", limit: int | None = None
    ) -> ObjectList:
        """As the port says."""
        collection_path(resource, namespace)
        self._ask("list", resource)
        asked = ask_to_list(resource, namespace)
        self._authorise(asked, asks("list", resource, namespace))
        self._check_served(resource, asked)
        matches = _matcher(asked, resource, namespace, labels, fields)
        with self._changed:
            refs = sorted(self._objects, key=lambda ref: (ref.namespace or "", ref.name))
            items = tuple(deepcopy(self._objects[ref]) for ref in refs if matches(ref, self._objects[ref]))
            return ObjectList(items=items[:limit], resource_version=str(self._last))

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
        collection_path(resource, namespace)
        self._ask("watch", resource)
        asked = ask_to_watch(resource, namespace)
        self._authorise(asked, asks("watch", resource, namespace))
        self._check_served(resource, asked)
        matches = _matcher(asked, resource, namespace, labels, fields)
        seen = int(resource_version)
        with self._changed:
            ends = self._watch_ends
            if seen < self._oldest:
                raise answer_error(asked, 410, "Expired", f"too old resource version: {seen} ({self._last})")
        while not stop.is_set():
            with self._changed:
                new = [event for event in self._events if event[0] > seen]
                ended = self._watch_ends > ends or self._closed
                if not new and not ended:
                    self._changed.wait(_POLL_S)
            for number, ref, event in new:
                seen = number
                if event.type is WatchEventType.BOOKMARK and ref.resource != resource:
                    continue
                if event.type is WatchEventType.BOOKMARK or matches(ref, event.object):
                    yield deepcopy(event)
            if ended:
                return

    def logs(self, question: LogQuestion, stop: StopSignal) -> Iterator[bytes]:
        """As the port says."""
        segment(question.namespace), segment(question.pod)
        self._ask("logs", question)
        asked = ask_to_read_log(question)
        self._authorise(asked, asks("get", PODS, question.namespace, question.pod, "log"))
        if question.since_s is not None and question.since_time is not None:
            raise answer_error(asked, 422, "Invalid", "at most one of `sinceTime` or `sinceSeconds` may be specified")
        pod = self._found(ObjectRef(PODS, question.namespace, question.pod), asked)
        container = question.container or _only_container(asked, question.pod, pod)
        key = (question.namespace, question.pod, container, question.previous)
        log = self._logs.get(key)
        if log is None and question.previous:
            raise bad_request(asked, f'previous terminated container "{container}" in pod "{question.pod}" not found')
        yield from (log or self.log(*key[:3])).read(question, self._now(), stop)

    def can_i(self, question: AccessQuestion) -> AccessAnswer:
        """As the port says."""
        self._ask("can_i", question)
        return AccessAnswer(allowed=allows(self._rules, question))

    def dry_run(self, ref: ObjectRef, patch: JsonObject) -> DryRunAnswer:
        """As the port says: a merge patch, then the admission hooks, in their order."""
        object_path(ref)
        self._ask("dry_run", ref)
        asked = ask_to_patch(ref)
        self._authorise(asked, asks("patch", ref.resource, ref.namespace, ref.name))
        before = self._found(ref, asked)
        new = deepcopy(merged(before, patch))
        for hook in self._hooks:
            new = hook(ref, new)
        if new.get("spec") != before.get("spec"):
            new["metadata"]["generation"] = before["metadata"].get("generation", 0) + 1
        return DryRunAnswer(object=new)

    def close(self) -> None:
        """As the port says."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _ask(self, method: str, about: object) -> None:
        with self._changed:
            if self._closed:
                raise ClusterUnreachableError("The connection to the cluster is closed.")
            self.asked.append((method, about))
            for failing, failure in self._failures:
                if failing == method and failure.times != 0 and failure.when(about):
                    failure.times = None if failure.times is None else failure.times - 1
                    raise failure.error

    def _authorise(self, asked: str, question: AccessQuestion) -> None:
        if not allows(self._rules, question):
            raise answer_error(asked, 403, "Forbidden", forbidden_text(self._user, question))

    def _check_served(self, resource: Resource, asked: str) -> None:
        if resource.version not in self._served.get(resource.group, ()):
            raise answer_error(asked, 404, "NotFound", "the server could not find the requested resource")

    def _found(self, ref: ObjectRef, asked: str) -> JsonObject:
        with self._changed:
            self._check_served(ref.resource, asked)
            found = self._objects.get(ref)
        if found is None:
            raise answer_error(asked, 404, "NotFound", not_found_text(ref))
        return found

    def _happened(self, ref: ObjectRef, event: WatchEvent) -> None:
        self._events.append((self._last, ref, event))
        self._changed.notify_all()


def _matcher(
    asked: str, resource: Resource, namespace: str | None, labels: str, fields: str
) -> Callable[[ObjectRef, JsonObject], bool]:
    has_labels, has_fields = _selector(asked, label_matcher, labels), _selector(asked, field_matcher, fields)

    def matches(ref: ObjectRef, found: JsonObject) -> bool:
        here = ref.resource == resource and (namespace is None or ref.namespace == namespace)
        return here and has_labels(found) and has_fields(found)

    return matches


def _selector(asked: str, parse: Callable[[str], Matcher], text: str) -> Matcher:
    try:
        return parse(text)
    except SelectorError as error:
        raise bad_request(asked, f"unable to parse requirement: {error}") from None


def _only_container(asked: str, name: str, pod: dict[str, Any]) -> str:
    names = [str(each["name"]) for each in (pod.get("spec") or {}).get("containers") or []]
    if len(names) == 1:
        return names[0]
    choose = f", choose one of: [{' '.join(names)}]" if names else ""
    raise bad_request(asked, f"a container name must be specified for pod {name}{choose}")
