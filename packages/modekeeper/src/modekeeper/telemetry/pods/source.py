"""Telemetry from the logs of a workload's pods."""

import base64
import binascii
import threading
from collections.abc import Callable, Iterator
from typing import Any, Literal

import msgspec

from modekeeper.model.block import SampleBlock
from modekeeper.model.cluster import ClusterAnswerError, JsonObject
from modekeeper.model.errors import BadInputError, FailedError
from modekeeper.model.ingest import IngestCounters
from modekeeper.model.sample import Sample
from modekeeper.ports.clock import StopSignal
from modekeeper.ports.cluster import ClusterReader
from modekeeper.telemetry.limits import IngestLimits
from modekeeper.telemetry.pods.collator import Collator, Inbox, Item, ItemKind
from modekeeper.telemetry.pods.container_log import ContainerLog
from modekeeper.telemetry.pods.cursor import LogCursor, LogPlace
from modekeeper.telemetry.pods.facts import PodFacts
from modekeeper.telemetry.pods.followers import Followed, Followers, FollowLimits
from modekeeper.telemetry.pods.pipeline import PodPipeline, PodPipelineState
from modekeeper.telemetry.pods.recording import (
    Entry,
    GapEntry,
    GoneEntry,
    Header,
    LeavingEntry,
    PodEntry,
    encoded,
    line_entry,
)
from modekeeper.telemetry.pods.registry import GpuModels, PodWatch, SeenPod, seen_pod
from modekeeper.telemetry.pods.selection import PODS
from modekeeper.telemetry.rank_merge import MergeLimits
from modekeeper.telemetry.recorder import RawRecorder, RecorderPosition

__all__ = ["PodLogSource"]

_BATCH = 2048
_LOOK_S = 0.1
_MOST_NOTES = 100


class _Position(msgspec.Struct, frozen=True, kw_only=True):
    source: Literal["k8s"]
    version: Literal[1]
    workload: str
    given: int
    places: dict[str, LogPlace]
    ended: list[str]
    """Keys of containers whose logs have been read to their end."""
    notes: list[str]
    state: str
    recorder: RecorderPosition | None = None


class _State(msgspec.Struct, frozen=True, kw_only=True):
    pipeline: PodPipelineState
    ready: list[Sample]


class PodLogSource:
    """Samples of a workload, one a step, from the logs of all its pods. Made by ``open_pod_logs``.

    Not live, everything there is is read once, in an order that depends on nothing but the logs. Live, each call of
    ``blocks`` gives what has come since the last one, while threads go on reading; lines that came within the last
    ``settle_s`` wait for the next call, so that those of other pods can come before them.
    """

    def __init__(
        self,
        reader: ClusterReader,
        *,
        namespace: str,
        workload: str,
        labels: str,
        container: str | None,
        strict: bool,
        since_s: int | None,
        live: bool,
        recorder: RawRecorder | None,
        limits: IngestLimits,
        merging: MergeLimits,
        following: FollowLimits,
        settle_s: float,
    ) -> None:
        self._reader = reader
        self._namespace, self._workload, self._labels = namespace, workload, labels
        self._container, self._strict, self._since_s, self._live = container, strict, since_s, live
        self._recorder = recorder
        self._limits, self._following, self._settle_s = limits, following, settle_s
        self._pipeline = PodPipeline(limits, merging)
        self._collator = Collator()
        self._followers = Followers(self._collator, following)
        self._gpus = GpuModels(reader)
        self._lock = threading.Lock()
        self._followed: dict[str, Followed] = {}
        self._facts: dict[str, PodFacts] = {}
        self._new: dict[str, PodFacts] = {}
        self._leaving: dict[str, None] = {}
        self._cursors: dict[str, LogCursor] = {}
        self._places: dict[str, LogPlace] = {}
        self._ended: dict[str, None] = {}
        self._started = False
        self._caught_up = False
        self._header_written = self._resumed = False
        self._given = 0
        self._notes: list[str] = []

    @property
    def describe(self) -> str:
        """What is read, for a person."""
        return f"logs of {self._workload} in namespace {self._namespace}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know: gaps, pods that cannot be read, ranks that do not agree."""
        with self._lock:
            notes = list(self._notes)
            for followed in self._followed.values():
                if followed.log.node_said is not None:
                    notes.append(f"{followed.log.facts.label}: the node says {followed.log.node_said}")
                if followed.trouble is not None:
                    notes.append(f"{followed.log.facts.label} cannot be read at the moment: {followed.trouble}")
        if self._gpus.refused:
            notes.append("nodes may not be read, so the GPU model is that of the records")
        return (*self._pipeline.notes, *notes)[:_MOST_NOTES]

    @property
    def gaps(self) -> int:
        """How often lines may have been missed."""
        return self._pipeline.gaps

    def blocks(self, stop: StopSignal) -> Iterator[SampleBlock]:
        """Everything there is to read now.

        Raises:
            BadInputError: it cannot be told which container of a pod is meant.
            FailedError: the logs may not be read, or the cluster does not answer.
        """
        self._start()
        if not self._live:
            yield from self._drain(stop, None, lambda: not len(self._collator))
        else:
            if not self._caught_up:
                yield from self._drain(stop, None, lambda: not self._collator.waiting_for())
                self._caught_up = not stop.is_set()
            until_ns = self._collator.newest_ns()
            if until_ns is not None and not stop.wait(self._settle_s):
                yield from self._drain(stop, until_ns, lambda: True)
        yield from self._rest()

    def flush(self) -> Iterator[SampleBlock]:
        """Give the records that still wait: the input is over."""
        if self._live:
            self._introduce()
            while batch := self._collator.take(_BATCH, in_any_case=True):
                for key, item in batch:
                    self._take(key, item)
        self._pipeline.flush()
        yield from self._rest()

    def counters(self) -> IngestCounters:
        """What happened to the lines so far; one that still waits has not been counted as read."""
        return self._pipeline.counters()

    def close(self) -> None:
        """End all reading. The reader and the recorder belong to whoever made them."""
        self._followers.close()

    def position(self) -> dict[str, Any]:
        """Everything needed to go on from here in another process, as plain JSON values."""
        places = {key: cursor.place for key, cursor in self._cursors.items()}
        state = _State(pipeline=self._pipeline.state(), ready=self._pipeline.outbox.samples())
        position = _Position(
            source="k8s",
            version=1,
            workload=self.describe,
            given=self._given,
            places=self._places | {key: place for key, place in places.items() if place is not None},
            ended=list(self._ended),
            notes=self._notes,
            state=base64.b64encode(msgspec.msgpack.encode(state)).decode("ascii"),
            recorder=self._recorder.position() if self._recorder else None,
        )
        plain: dict[str, Any] = msgspec.to_builtins(position)
        return plain

    def resume(self, position: dict[str, Any]) -> None:
        """Go on from a ``position`` of an earlier process; only before the first ``blocks``.

        Raises:
            BadInputError: the position is not one of this source.
        """
        try:
            saved = msgspec.convert(position, _Position)
            state = msgspec.msgpack.decode(base64.b64decode(saved.state, validate=True), type=_State)
            damaged = any(not place.times for place in saved.places.values())
            self._pipeline.restore(state.pipeline)
        except (msgspec.MsgspecError, ValueError, KeyError, TypeError, binascii.Error) as error:
            raise _not_ours("it is damaged, or of another version") from error
        if damaged or saved.workload != self.describe:
            raise _not_ours("it is damaged, or of another workload")
        self._pipeline.outbox.refill(state.ready)
        self._given, self._notes = saved.given, list(saved.notes)
        self._places, self._ended = dict(saved.places), dict.fromkeys(saved.ended)
        self._facts = {facts.key: facts for facts in state.pipeline.facts}
        self._resumed = True
        self._header_written = saved.recorder is not None
        if self._recorder is not None and saved.recorder is not None:
            self._recorder.resume(saved.recorder)

    # Pods

    def _start(self) -> None:
        if self._started:
            return
        found = self._reader.list(PODS, self._namespace, labels=self._labels)
        known_before = set(self._facts)
        seen = [pod for pod in (self._seen(each) for each in found.items) if pod is not None]
        if not seen and not self._live:
            raise FailedError(f"{self._workload} has no pods in namespace {self._namespace}, so no logs to read.")
        if not self._header_written:
            self._header_written = True
            self._record(Header(namespace=self._namespace, workload=self._workload))
        for pod in sorted(seen, key=lambda pod: (pod.facts.label, pod.facts.uid)):
            self._follow(pod)
        here = {pod.facts.key for pod in seen}
        for key in sorted(known_before - here):
            # It went while nobody was there.
            facts = self._facts[key]
            if key in self._places:
                self._feed(
                    GapEntry(facts.pod, facts.container, facts.uid, "the pod went away while nobody read its log")
                )
            self._feed(GoneEntry(facts.pod, facts.container, facts.uid))
        self._introduce()
        self._started = True
        if self._live:
            watch = PodWatch(
                self._reader, self._namespace, self._labels, came=self._came, went=self._went, noted=self._note
            )
            watch.known(found.items)
            self._followers.run(lambda: watch.run(self._followers.stop, found.resource_version))

    def _seen(self, pod: JsonObject) -> SeenPod | None:
        return seen_pod(pod, wanted=self._container, strict=self._strict)

    def _came(self, pod: JsonObject) -> None:
        seen = self._seen(pod)
        if seen is not None:
            self._follow(seen)

    def _went(self, uid: str) -> None:
        with self._lock:
            for key, followed in self._followed.items():
                if key.startswith(f"{uid}/"):
                    followed.over.set()

    def _follow(self, pod: SeenPod) -> None:
        """Read the log of a pod, unless that is done already."""
        facts = pod.facts
        with self._lock:
            followed = self._followed.get(facts.key)
        if facts.node is None:
            # It has not been given to a node yet, so it has no log. The watch tells when.
            return
        if followed is None and facts.key not in self._ended:
            facts = msgspec.structs.replace(facts, gpu_model=self._gpus.of(facts.node))
            followed = self._open(facts, pod)
        if followed is not None and pod.ended:
            followed.over.set()
        if followed is not None and pod.leaving:
            with self._lock:
                self._leaving[facts.key] = None

    def _open(self, facts: PodFacts, pod: SeenPod) -> Followed:
        inbox = Inbox(facts.key, (facts.label, facts.uid), self._share_of_buffer())
        log = ContainerLog(
            self._reader,
            facts,
            self._collator,
            inbox,
            max_line_bytes=self._limits.max_line_bytes,
            since_s=None if self._resumed or self._caught_up else self._since_s,
            place=self._places.get(facts.key),
            previous_first=pod.restarted,
            identity_known=not self._live,
        )
        followed = Followed(log, self._collator, self._following, live=self._live)
        with self._lock:
            if facts.key in self._followed:
                return self._followed[facts.key]
            self._followed[facts.key] = followed
            self._facts[facts.key] = self._new[facts.key] = facts
            self._cursors[facts.key] = LogCursor(self._places.get(facts.key))
        self._collator.add(inbox)
        self._followers.add(followed)
        return followed

    def _share_of_buffer(self) -> int:
        share = self._following.buffer_bytes // max(self._following.max_followers, len(self._followed) + 1)
        return max(share, self._following.least_buffer_bytes)

    # Entries

    def _introduce(self) -> None:
        """Let the pipeline meet the pods that have come."""
        with self._lock:
            new, self._new = self._new, {}
            leaving = [self._facts[key] for key in self._leaving if key in self._facts]
            self._leaving.clear()
        unknown = [facts for facts in new.values() if not self._pipeline.knows(facts.key)]
        if unknown:
            self._feed(PodEntry(sorted(unknown, key=lambda facts: (facts.label, facts.uid))))
        for facts in leaving:
            self._feed(LeavingEntry(facts.pod, facts.container, facts.uid))

    def _take(self, key: str, item: Item) -> None:
        facts = self._facts[key]
        if not self._pipeline.knows(key):
            self._introduce()
        if item.kind == ItemKind.GAP:
            self._feed(GapEntry(facts.pod, facts.container, facts.uid, item.data.decode(errors="replace")[:400]))
        elif item.kind == ItemKind.END:
            self._feed(GoneEntry(facts.pod, facts.container, facts.uid))
            self._forget(key)
        else:
            self._feed(line_entry(facts, item.data, cut=item.kind == ItemKind.LONG_LINE))
            self._cursors[key].advance(item.ns, item.data)

    def _forget(self, key: str) -> None:
        with self._lock:
            followed = self._followed.pop(key, None)
            if followed is not None and followed.log.node_said is not None:
                self._notes.append(f"{followed.log.facts.label}: the node says {followed.log.node_said}")
            self._cursors.pop(key, None)
            self._places.pop(key, None)
            self._facts.pop(key, None)
            self._ended[key] = None
            while len(self._ended) > _MOST_ENDED:
                del self._ended[next(iter(self._ended))]

    def _feed(self, entry: Entry) -> None:
        self._record(entry)
        self._pipeline.feed(entry)

    def _record(self, entry: Header | Entry) -> None:
        if self._recorder is not None:
            self._recorder.write(encoded(entry))

    # Giving

    def _drain(self, stop: StopSignal, until_ns: int | None, is_over: Callable[[], bool]) -> Iterator[SampleBlock]:
        """Take what has been read, in order, until there is nothing and ``is_over`` says that no more is expected."""
        while not stop.is_set():
            self._introduce()
            batch = self._collator.take(_BATCH, until_ns)
            for key, item in batch:
                self._take(key, item)
            yield from self._full()
            if self._collator.fault is not None:
                raise _plain(self._collator.fault) from self._collator.fault
            if not batch:
                if is_over():
                    return
                self._collator.wait(_LOOK_S)

    def _full(self) -> Iterator[SampleBlock]:
        while len(self._pipeline.outbox) >= self._limits.block_records:
            yield self._block()

    def _rest(self) -> Iterator[SampleBlock]:
        while self._pipeline.outbox:
            yield self._block()

    def _block(self) -> SampleBlock:
        block = self._pipeline.outbox.block(self._limits.block_records, self._given)
        self._given += len(block)
        return block

    def _note(self, text: str) -> None:
        with self._lock:
            if text not in self._notes and len(self._notes) < _MOST_NOTES:
                self._notes.append(text)


_MOST_ENDED = 20_000
"""Ended containers that are remembered, so that a pod which is listed still is not read again."""


def _plain(fault: Exception) -> Exception:
    """What a thread met, for the user."""
    if isinstance(fault, ClusterAnswerError):
        return FailedError(
            f"the logs of the pods may not be read: {fault} The observer needs 'get' on pods and pods/log, "
            "'list' and 'watch' on pods."
        )
    return fault


def _not_ours(why: str) -> BadInputError:
    return BadInputError(f"cannot go on from the saved position: {why}. Start without it.")
