"""Which pods a workload has, now and from now on."""

import threading
from collections.abc import Callable, Iterable

from modekeeper.model.cluster import (
    ClusterAnswerError,
    ClusterUnreachableError,
    JsonObject,
    ObjectRef,
    WatchEventType,
)
from modekeeper.model.errors import BadInputError
from modekeeper.ports.cluster import ClusterReader
from modekeeper.telemetry.counting import escape
from modekeeper.telemetry.pods.facts import PodFacts, facts_of, mapping, text_of
from modekeeper.telemetry.pods.selection import NODES, PODS, choose_container

__all__ = ["GpuModels", "PodWatch", "SeenPod", "seen_pod"]

_EXPIRED = 410
_REFUSED = frozenset({401, 403})
_ENDED = frozenset({"Succeeded", "Failed"})
_GPU_LABELS = ("nvidia.com/gpu.product", "amd.com/gpu.product-name", "cloud.google.com/gke-accelerator")
_MOST_NODES = 256
"""So many are asked for, one after the other; the records of further ones go without a GPU model."""
_FIRST_RETRY_S, _LONGEST_RETRY_S = 0.5, 15.0


class SeenPod:
    """What a list or a watch said of one pod."""

    def __init__(self, facts: PodFacts, *, ended: bool, leaving: bool, restarted: bool) -> None:
        self.facts = facts
        self.ended = ended
        """Whether it will print nothing more."""
        self.leaving = leaving
        """Whether it has been deleted, and has some time left to end."""
        self.restarted = restarted
        """Whether its container has been started more than once."""


def seen_pod(pod: JsonObject, *, wanted: str | None, strict: bool) -> SeenPod | None:
    """One pod of the workload; ``None`` where it has not the container that was asked for.

    Raises:
        BadInputError: several of its containers may be meant.
    """
    container = choose_container(pod, wanted)
    if container is None:
        return None
    status = mapping(pod.get("status"))
    statuses = status.get("containerStatuses")
    restarts = 0
    for each in statuses if isinstance(statuses, list) else ():
        if mapping(each).get("name") == container:
            count = mapping(each).get("restartCount")
            restarts = count if isinstance(count, int) else 0
    facts = facts_of(pod, container, strict=strict)
    leaving = mapping(pod.get("metadata")).get("deletionTimestamp") is not None
    return SeenPod(facts, ended=status.get("phase") in _ENDED, leaving=leaving, restarted=restarts > 0)


class GpuModels:
    """The GPU model of each node, by its labels; each node is asked for once."""

    def __init__(self, reader: ClusterReader) -> None:
        self._reader = reader
        self._known: dict[str, str | None] = {}
        self.refused = False
        """Whether nodes may not be read: then nobody asks again."""

    def of(self, node: str | None) -> str | None:
        """The model of the GPUs of a node; ``None`` where it is not known."""
        if node is None or self.refused:
            return None
        if node not in self._known and len(self._known) < _MOST_NODES:
            try:
                labels = mapping(mapping(self._reader.get(ObjectRef(NODES, None, node)).get("metadata")).get("labels"))
            except ClusterAnswerError as error:
                self.refused = error.status in _REFUSED
                labels = {}
            except ClusterUnreachableError:
                # Not asked again for every pod: each time would take a deadline.
                self.refused = True
                labels = {}
            found = (text_of(labels.get(label)) for label in _GPU_LABELS)
            self._known[node] = next((model for model in found if model), None)
        return self._known.get(node)


class PodWatch:
    """Follows the pods of a workload; runs in a thread of its own.

    Args:
        reader: the cluster.
        namespace: where.
        labels: the workload's selector.
        came: told of every pod that is there, again and again.
        went: told the uid of a pod that is gone.
        noted: told what a person should know.
    """

    def __init__(
        self,
        reader: ClusterReader,
        namespace: str,
        labels: str,
        *,
        came: Callable[[JsonObject], None],
        went: Callable[[str], None],
        noted: Callable[[str], None],
    ) -> None:
        self._reader = reader
        self._namespace = namespace
        self._labels = labels
        self._came = came
        self._went = went
        self._noted = noted
        self._uids: set[str] = set()

    def known(self, pods: Iterable[JsonObject]) -> None:
        """Pods that a list has just said are there: of any other known one the end was missed."""
        now = {uid for uid in map(_uid, pods) if uid}
        for uid in sorted(self._uids - now):
            self._went(uid)
        self._uids = now

    def run(self, stop: threading.Event, resource_version: str) -> None:
        """Watch until ``stop`` is set, from a version on; what was missed is listed again."""
        retry_s = _FIRST_RETRY_S
        version: str | None = resource_version
        while not stop.is_set():
            try:
                if version is None:
                    version = self._list()
                version = self._watch(version, stop)
                retry_s = _FIRST_RETRY_S
                stop.wait(0.1)
            except ClusterAnswerError as error:
                if error.status in _REFUSED:
                    self._noted(f"pods may not be watched, so new ones are not seen: {escape(str(error).encode())}")
                    return
                if error.status != _EXPIRED:
                    stop.wait(retry_s)
                    retry_s = min(retry_s * 2, _LONGEST_RETRY_S)
                version = None
            except ClusterUnreachableError:
                stop.wait(retry_s)
                retry_s = min(retry_s * 2, _LONGEST_RETRY_S)
                version = None

    def _list(self) -> str:
        found = self._reader.list(PODS, self._namespace, labels=self._labels)
        self.known(found.items)
        for pod in found.items:
            self._tell(pod)
        return found.resource_version

    def _watch(self, version: str, stop: threading.Event) -> str:
        events = self._reader.watch(PODS, self._namespace, resource_version=version, stop=stop, labels=self._labels)
        for event in events:
            seen = text_of(mapping(event.object.get("metadata")).get("resourceVersion"))
            version = seen or version
            uid = _uid(event.object)
            if event.type is WatchEventType.BOOKMARK or not uid:
                continue
            if event.type is WatchEventType.DELETED:
                self._uids.discard(uid)
                self._went(uid)
            else:
                self._uids.add(uid)
                self._tell(event.object)
        return version

    def _tell(self, pod: JsonObject) -> None:
        try:
            self._came(pod)
        except BadInputError as error:
            # Those that are read already go on.
            self._noted(str(error))


def _uid(pod: JsonObject) -> str | None:
    return text_of(mapping(pod.get("metadata")).get("uid"))
