"""A recording of pod logs, read again: the same samples, to the byte."""

import base64
import binascii
import dataclasses
from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from modekeeper.model.block import SampleBlock
from modekeeper.model.errors import BadInputError
from modekeeper.model.ingest import IngestCounters
from modekeeper.model.sample import Sample
from modekeeper.ports.clock import StopSignal
from modekeeper.telemetry.inputs import cannot_read
from modekeeper.telemetry.limits import IngestLimits
from modekeeper.telemetry.lines import Cut
from modekeeper.telemetry.merge_limits import MergeLimits
from modekeeper.telemetry.opening import opened
from modekeeper.telemetry.pods.pipeline import PodPipeline, PodPipelineState
from modekeeper.telemetry.pods.recording import decoded, is_header
from modekeeper.telemetry.recorder import RawRecorder, RecorderPosition
from modekeeper.telemetry.recordings import RecordingKind, recording_among
from modekeeper.telemetry.text_input import InputPosition, TextInput

__all__ = ["PodRecordingSource", "open_recording"]

_LONGEST_ENTRY = 16
"""An entry may be so many times longer than the longest line: escapes, and a list of thousands of pods."""


class _Position(msgspec.Struct, frozen=True, kw_only=True):
    source: Literal["pod_log_recording"]
    version: Literal[1]
    given: int
    file: InputPosition
    damaged: int
    state: str
    recorder: RecorderPosition | None = None


class _State(msgspec.Struct, frozen=True, kw_only=True):
    pipeline: PodPipelineState
    ready: list[Sample]


class PodRecordingSource:
    """Samples of a recording; it may still be growing. Made by ``open_recording``."""

    def __init__(
        self, item: TextInput, limits: IngestLimits, merging: MergeLimits, recorder: RawRecorder | None
    ) -> None:
        self._item = item
        self._limits = limits
        self._recorder = recorder
        self._pipeline = PodPipeline(limits, merging)
        self._given = 0
        self._damaged = 0

    @property
    def describe(self) -> str:
        """What is read, for a person."""
        return self._item.name

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know."""
        damaged = (f"{self._damaged} lines of the recording are damaged: left out",) if self._damaged else ()
        broken = (f"'{self._item.name}' is damaged ({self._item.broken})",) if self._item.broken else ()
        return (*self._pipeline.notes, *damaged, *broken)

    @property
    def gaps(self) -> int:
        """How often lines may have been missed when it was recorded."""
        return self._pipeline.gaps

    def blocks(self, stop: StopSignal) -> Iterator[SampleBlock]:
        """See ``TelemetrySource``."""
        while not stop.is_set():
            cut = self._item.next_cut()
            if cut is None or cut.is_empty:
                break
            self._take(cut)
            while len(self._pipeline.outbox) >= self._limits.block_records:
                yield self._block()
        yield from self._rest()

    def flush(self) -> Iterator[SampleBlock]:
        """See ``TelemetrySource``."""
        if self._item.at_end and self._item.last_line_looks_whole:
            self._take(self._item.finish())
        self._item.raw.close()
        self._pipeline.flush()
        yield from self._rest()

    def counters(self) -> IngestCounters:
        """What happened to the lines so far."""
        return self._pipeline.counters()

    def close(self) -> None:
        """Let go of the file. The recorder belongs to whoever made it."""
        self._item.raw.close()

    def position(self) -> dict[str, Any]:
        """See ``TelemetrySource``."""
        state = _State(pipeline=self._pipeline.state(), ready=self._pipeline.outbox.samples())
        position = _Position(
            source="pod_log_recording",
            version=1,
            given=self._given,
            file=self._item.position(),
            damaged=self._damaged,
            state=base64.b64encode(msgspec.msgpack.encode(state)).decode("ascii"),
            recorder=self._recorder.position() if self._recorder else None,
        )
        plain: dict[str, Any] = msgspec.to_builtins(position)
        return plain

    def resume(self, position: dict[str, Any]) -> None:
        """See ``TelemetrySource``."""
        try:
            saved = msgspec.convert(position, _Position)
            state = msgspec.msgpack.decode(base64.b64decode(saved.state, validate=True), type=_State)
            self._pipeline.restore(state.pipeline)
        except (msgspec.MsgspecError, ValueError, KeyError, TypeError, binascii.Error) as error:
            raise _not_ours() from error
        if saved.file.path != self._item.key or not self._item.resume(saved.file):
            raise _not_ours()
        self._pipeline.outbox.refill(state.ready)
        self._given, self._damaged = saved.given, saved.damaged
        if self._recorder is not None and saved.recorder is not None:
            self._recorder.resume(saved.recorder)

    def _take(self, cut: Cut) -> None:
        if self._recorder is not None and cut.taken:
            self._recorder.write(cut.taken)
        for line in cut.lines:
            entry = decoded(line)
            if entry is not None:
                self._pipeline.feed(entry)
            elif line.strip() and not is_header(line):
                self._damaged += 1

    def _rest(self) -> Iterator[SampleBlock]:
        while self._pipeline.outbox:
            yield self._block()

    def _block(self) -> SampleBlock:
        block = self._pipeline.outbox.block(self._limits.block_records, self._given)
        self._given += len(block)
        return block


def open_recording(
    path: str,
    *,
    recorder: RawRecorder | None = None,
    limits: IngestLimits | None = None,
    merging: MergeLimits | None = None,
) -> PodRecordingSource:
    """The samples of a recording of pod logs, plain or compressed.

    Raises:
        BadInputError: it cannot be read, or is no such recording.
    """
    limits = limits or IngestLimits()
    found = recording_among([path])
    if found is None or found.kind is not RecordingKind.POD_LOGS:
        raise cannot_read(path, "it is no recording of pod logs")
    entries = dataclasses.replace(limits, max_line_bytes=limits.max_line_bytes * _LONGEST_ENTRY)
    return PodRecordingSource(TextInput(opened(found.path, None), entries), limits, merging or MergeLimits(), recorder)


def _not_ours() -> BadInputError:
    return BadInputError(
        "cannot go on from the saved position: it is damaged, or of another recording. Start without it."
    )
