"""Telemetry from the logs of a workload's pods."""

import base64
import binascii
from collections.abc import Callable, Iterator
from typing import Any, Literal

import msgspec

from modekeeper.model.block import SampleBlock
from modekeeper.model.cluster import ClusterAnswerError
from modekeeper.model.errors import BadInputError, FailedError
from modekeeper.model.ingest import IngestCounters
from modekeeper.model.sample import Sample
from modekeeper.ports.clock import StopSignal
from modekeeper.ports.cluster import ClusterReader
from modekeeper.telemetry.limits import IngestLimits
from modekeeper.telemetry.merge_limits import MergeLimits
from modekeeper.telemetry.pods.collator import Item, ItemKind, Taken
from modekeeper.telemetry.pods.cursor import LogCursor, LogPlace
from modekeeper.telemetry.pods.facts import PodFacts
from modekeeper.telemetry.pods.followers import FollowLimits
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
from modekeeper.telemetry.pods.stamps import text_behind_stamp
from modekeeper.telemetry.pods.workload_logs import Wanted, WorkloadLogs
from modekeeper.telemetry.recorder import RawRecorder, RecorderPosition

__all__ = ["PodLogSource"]

_BATCH = 2048
_LOOK_S = 0.1
_LONGEST_WHY = 400


class _Position(msgspec.Struct, frozen=True, kw_only=True):
    source: Literal["k8s"]
    version: Literal[1]
    workload: str
    given: int
    places: dict[str, LogPlace]
    ended: list[str]
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
        wanted: Wanted,
        *,
        recorder: RawRecorder | None,
        limits: IngestLimits,
        merging: MergeLimits,
        following: FollowLimits,
        settle_s: float,
    ) -> None:
        self._wanted = wanted
        self._logs = WorkloadLogs(reader, wanted, following)
        self._collator = self._logs.collator
        self._recorder = recorder
        self._limits = limits
        self._settle_s = settle_s
        self._pipeline = PodPipeline(limits, merging)
        self._cursors: dict[str, LogCursor] = {}
        self._started = self._caught_up = self._header_written = False
        self._given = 0

    @property
    def describe(self) -> str:
        """What is read, for a person."""
        return f"logs of {self._wanted.workload} in namespace {self._wanted.namespace}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know: gaps, pods that cannot be read, ranks that do not agree."""
        return (*self._pipeline.notes, *self._logs.notes())

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
        if not self._wanted.live:
            yield from self._drain(stop, None, lambda: not len(self._collator))
        else:
            if not self._caught_up:
                yield from self._drain(stop, None, lambda: not self._collator.waiting_for())
                self._caught_up = self._logs.later = not stop.is_set()
            until_ns = self._collator.newest_ns()
            if until_ns is not None and not stop.wait(self._settle_s):
                yield from self._drain(stop, until_ns, lambda: True)
        yield from self._rest()

    def flush(self) -> Iterator[SampleBlock]:
        """Give the records that still wait: the input is over."""
        if self._wanted.live:
            self._introduce()
            while batch := self._collator.take(_BATCH, in_any_case=True):
                self._take(batch)
        self._pipeline.flush()
        yield from self._rest()

    def counters(self) -> IngestCounters:
        """What happened to the lines so far; one that still waits has not been counted as read."""
        return self._pipeline.counters()

    def close(self) -> None:
        """End all reading. The reader and the recorder belong to whoever made them."""
        self._logs.close()

    def position(self) -> dict[str, Any]:
        """Everything needed to go on from here in another process, as plain JSON values."""
        places = {key: cursor.place for key, cursor in self._cursors.items()}
        state = _State(pipeline=self._pipeline.state(), ready=self._pipeline.outbox.samples())
        position = _Position(
            source="k8s",
            version=1,
            workload=self.describe,
            given=self._given,
            places={key: place for key, place in places.items() if place is not None},
            ended=list(self._logs.ended),
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
        self._given = saved.given
        self._logs.resume({facts.key: facts for facts in state.pipeline.facts}, saved.places, saved.ended)
        self._cursors = {key: LogCursor(place) for key, place in saved.places.items()}
        self._header_written = saved.recorder is not None
        if self._recorder is not None and saved.recorder is not None:
            self._recorder.resume(saved.recorder)

    # Entries

    def _start(self) -> None:
        if self._started:
            return
        gone = self._logs.start()
        self._started = True
        if self._logs.is_empty and not self._wanted.live:
            raise FailedError(
                f"{self._wanted.workload} has no pods on a node in namespace {self._wanted.namespace}, so there are no "
                "logs to read. Wait until it runs."
            )
        if not self._header_written:
            self._header_written = True
            self._record(Header(namespace=self._wanted.namespace, workload=self._wanted.workload))
        for facts in gone:
            if facts.key in self._cursors:
                self._feed(_gap(facts, "the pod went away while nobody read its log"))
            self._feed(GoneEntry(facts.pod, facts.container, facts.uid))
            self._forget(facts.key)
        self._introduce()

    def _introduce(self) -> None:
        """Let the pipeline meet the pods that have come."""
        come, leaving = self._logs.newcomers()
        unknown = [facts for facts in come if not self._pipeline.knows(facts.key)]
        if unknown:
            self._feed(PodEntry(unknown))
        for facts in leaving:
            self._feed(LeavingEntry(facts.pod, facts.container, facts.uid))

    def _take(self, batch: list[Taken]) -> None:
        lines: dict[str, list[Item]] = {}
        for _, key, item in batch:
            facts = self._logs.facts[key]
            if not self._pipeline.knows(key):
                self._introduce()
            if item.kind < ItemKind.GAP:
                self._take_line(facts, key, item)
                lines.setdefault(key, []).append(item)
            elif item.kind == ItemKind.GAP:
                self._feed(_gap(facts, item.data.decode(errors="replace")))
            else:
                self._feed(GoneEntry(facts.pod, facts.container, facts.uid))
                self._forget(key)
                lines.pop(key, None)
        for key, items in lines.items():
            cursor = self._cursors.setdefault(key, LogCursor())
            cursor.advance_all([item.ns for item in items], items[-1].data)

    def _take_line(self, facts: PodFacts, key: str, item: Item) -> None:
        cut = item.kind == ItemKind.LONG_LINE
        if self._recorder is not None:
            self._recorder.write(encoded(line_entry(facts, item.data, cut=cut)))
        if self._pipeline.knows(key):
            self._pipeline.take_line(key, item.ns, text_behind_stamp(item.data), cut=cut)
        else:
            self._pipeline.feed(line_entry(facts, item.data, cut=cut))

    def _forget(self, key: str) -> None:
        self._logs.forget(key)
        self._cursors.pop(key, None)

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
            self._take(batch)
            while len(self._pipeline.outbox) >= self._limits.block_records:
                yield self._block()
            if self._collator.fault is not None:
                raise _plain(self._collator.fault) from self._collator.fault
            if not batch:
                if is_over():
                    return
                self._collator.wait(_LOOK_S)

    def _rest(self) -> Iterator[SampleBlock]:
        while self._pipeline.outbox:
            yield self._block()

    def _block(self) -> SampleBlock:
        block = self._pipeline.outbox.block(self._limits.block_records, self._given)
        self._given += len(block)
        return block


def _gap(facts: PodFacts, why: str) -> GapEntry:
    return GapEntry(facts.pod, facts.container, facts.uid, why[:_LONGEST_WHY])


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
