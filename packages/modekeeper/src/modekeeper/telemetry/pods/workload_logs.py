"""All logs of a workload: which pods there are, who reads them, and the lines in one order."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from modekeeper.model.cluster import JsonObject
from modekeeper.ports.cluster import ClusterReader
from modekeeper.telemetry.pods.collator import Collator, Inbox
from modekeeper.telemetry.pods.container_log import ContainerLog
from modekeeper.telemetry.pods.cursor import LogPlace
from modekeeper.telemetry.pods.facts import PodFacts
from modekeeper.telemetry.pods.followers import Followed, Followers, FollowLimits
from modekeeper.telemetry.pods.registry import GpuModels, PodWatch, SeenPod, seen_pod
from modekeeper.telemetry.pods.selection import PODS

__all__ = ["Newcomers", "Wanted", "WorkloadLogs"]

_MOST_NOTES = 100
_MOST_ENDED = 20_000
"""Ended containers that are remembered, so that a pod which is listed still is not read again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which logs."""

    namespace: str
    workload: str
    """Kind and name, for people."""
    labels: str
    """Selects its pods."""
    container: str | None
    strict: bool
    """Whether the workload promises JSON lines."""
    since_s: int | None
    live: bool
    max_line_bytes: int


class Newcomers(NamedTuple):
    """What has changed among the pods."""

    come: list[PodFacts]
    leaving: list[PodFacts]
    """Deleted, with some time left to end."""


class WorkloadLogs:
    """The pods and the threads that read them. One thread takes the lines from ``collator``."""

    def __init__(self, reader: ClusterReader, wanted: Wanted, limits: FollowLimits) -> None:
        self.collator = Collator()
        self.facts: dict[str, PodFacts] = {}
        """Of every container that is read, or was when an earlier process ended."""
        self.ended: dict[str, None] = {}
        """Containers whose logs have been read to their end."""
        self.later = False
        """Whether reading began some time ago: of pods that come now everything is read."""
        self._reader, self._wanted, self._limits = reader, wanted, limits
        self._followers = Followers(self.collator, limits)
        self._gpus = GpuModels(reader)
        self._lock = threading.Lock()
        self._followed: dict[str, Followed] = {}
        self._come: dict[str, PodFacts] = {}
        self._leaving: dict[str, None] = {}
        self._places: dict[str, LogPlace] = {}
        self._expected = 0
        self._notes: list[str] = []

    def resume(self, facts: Mapping[str, PodFacts], places: Mapping[str, LogPlace], ended: list[str]) -> None:
        """Go on where an earlier process came to."""
        self.facts, self._places, self.ended = dict(facts), dict(places), dict.fromkeys(ended)
        self.later = True

    def start(self) -> list[PodFacts]:
        """Begin to read, and return the containers that went while nobody was there.

        Raises:
            BadInputError: it cannot be told which container of a pod is meant.
            ClusterUnreachableError, ClusterAnswerError: the pods cannot be listed.
        """
        wanted = self._wanted
        found = self._reader.list(PODS, wanted.namespace, labels=wanted.labels)
        seen = [pod for pod in map(self._seen, found.items) if pod is not None]
        here = {pod.facts.key for pod in seen}
        gone = [facts for key, facts in sorted(self.facts.items()) if key not in here]
        self._expected = len(seen)
        for pod in sorted(seen, key=lambda pod: (pod.facts.label, pod.facts.uid)):
            self._meet(pod)
        if wanted.live:
            watch = PodWatch(
                self._reader, wanted.namespace, wanted.labels, came=self._came, went=self._went, noted=self._note
            )
            watch.known(found.items)
            self._followers.run(lambda: watch.run(self._followers.stop, found.resource_version))
        return gone

    @property
    def is_empty(self) -> bool:
        """Whether no pod has been met at all."""
        with self._lock:
            return not self.facts and not self.ended

    def newcomers(self) -> Newcomers:
        """What has changed since the last call."""
        with self._lock:
            come, self._come = self._come, {}
            leaving = [self.facts[key] for key in self._leaving if key in self.facts]
            self._leaving.clear()
        return Newcomers(sorted(come.values(), key=lambda facts: (facts.label, facts.uid)), leaving)

    def forget(self, key: str) -> None:
        """A log has been taken to its end."""
        with self._lock:
            followed = self._followed.pop(key, None)
            if followed is not None and followed.log.node_said is not None:
                self._notes.append(_said(followed))
            self._places.pop(key, None)
            self.facts.pop(key, None)
            self.ended[key] = None
            while len(self.ended) > _MOST_ENDED:
                del self.ended[next(iter(self.ended))]

    def notes(self) -> list[str]:
        """What a person should know about the pods and the way to them."""
        with self._lock:
            notes = self._notes[-_MOST_NOTES:]
            for followed in self._followed.values():
                if followed.log.node_said is not None:
                    notes.append(_said(followed))
                if followed.trouble is not None:
                    notes.append(f"{followed.log.facts.label} cannot be read at the moment: {followed.trouble}")
        if self._gpus.refused:
            notes.append("nodes may not be read, so the GPU model is that of the records")
        return notes[:_MOST_NOTES]

    def close(self) -> None:
        """End all reading."""
        self._followers.close()

    def _seen(self, pod: JsonObject) -> SeenPod | None:
        return seen_pod(pod, wanted=self._wanted.container, strict=self._wanted.strict)

    def _came(self, pod: JsonObject) -> None:
        seen = self._seen(pod)
        if seen is not None:
            self._meet(seen)

    def _went(self, uid: str) -> None:
        with self._lock:
            for key, followed in self._followed.items():
                if key.startswith(f"{uid}/"):
                    followed.over.set()

    def _meet(self, pod: SeenPod) -> None:
        """Read the log of a pod, unless that is done already."""
        facts = pod.facts
        if facts.node is None:
            # It has not been given to a node yet, so it has no log. The watch tells when.
            return
        with self._lock:
            followed = self._followed.get(facts.key)
            has_ended = facts.key in self.ended
        if followed is None and not has_ended:
            followed = self._open(msgspec.structs.replace(facts, gpu_model=self._gpus.of(facts.node)), pod)
        if followed is not None and pod.ended:
            followed.over.set()
        if followed is not None and pod.leaving:
            with self._lock:
                self._leaving[facts.key] = None

    def _open(self, facts: PodFacts, pod: SeenPod) -> Followed:
        share = self._limits.buffer_bytes // max(self._limits.max_followers, self._expected, len(self._followed) + 1)
        inbox = Inbox(facts.key, (facts.label, facts.uid), max(share, self._limits.least_buffer_bytes))
        log = ContainerLog(
            self._reader,
            facts,
            self.collator,
            inbox,
            max_line_bytes=self._wanted.max_line_bytes,
            since_s=None if self.later else self._wanted.since_s,
            place=self._places.get(facts.key),
            previous_first=pod.restarted,
            identity_known=not self._wanted.live,
        )
        followed = Followed(log, self.collator, self._limits, live=self._wanted.live)
        with self._lock:
            self._followed[facts.key] = followed
            self.facts[facts.key] = self._come[facts.key] = facts
        self.collator.add(inbox)
        self._followers.add(followed)
        return followed

    def _note(self, text: str) -> None:
        with self._lock:
            if text not in self._notes and len(self._notes) < _MOST_NOTES:
                self._notes.append(text)


def _said(followed: Followed) -> str:
    return f"{followed.log.facts.label}: the node says {followed.log.node_said}"
