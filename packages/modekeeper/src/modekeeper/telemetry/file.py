"""Telemetry from files and pipes: JSON lines and CSV, plain or compressed, finished or still growing."""

import base64
import binascii
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec

from modekeeper.model.block import SampleBlock
from modekeeper.model.errors import BadInputError, FailedError
from modekeeper.model.ingest import IngestCounters
from modekeeper.model.sample import Sample
from modekeeper.ports.clock import Clock, StopSignal
from modekeeper.telemetry.ingest import IngestPipeline, PipelineState
from modekeeper.telemetry.inputs import InputFile, RawInput
from modekeeper.telemetry.limits import IngestLimits
from modekeeper.telemetry.lines import Cut
from modekeeper.telemetry.opening import expanded, opened, worthwhile_jobs
from modekeeper.telemetry.range_readers import RangeReaders
from modekeeper.telemetry.recorder import RawRecorder, RecorderPosition
from modekeeper.telemetry.text_input import InputPosition, TextInput

__all__ = ["FileSource", "open_files"]


class _Position(msgspec.Struct, frozen=True, kw_only=True):
    source: Literal["file"]
    version: Literal[1]
    given: int
    files: list[InputPosition]
    notes: list[str]
    state: str
    recorder: RecorderPosition | None = None


class _State(msgspec.Struct, frozen=True, kw_only=True):
    pipeline: PipelineState
    ready: list[Sample]


class FileSource:
    """Samples from files and pipes, one behind the other. Made by ``open_files``.

    Input that is not the last is over once its end has been reached, unless ``follow`` is set: only the last one
    may still be growing. A line that no line feed has ended waits for the rest, and counts as it is at ``flush``.

    A compressed stream that is cut off or damaged gives what can be had before the defect, and a note; if that is
    nothing at all, reading has failed.
    """

    def __init__(
        self,
        inputs: Sequence[RawInput],
        *,
        follow: bool,
        may_grow: bool,
        poll_s: float,
        clock: Clock,
        recorder: RawRecorder | None,
        limits: IngestLimits,
        jobs: int,
    ) -> None:
        self._inputs = [TextInput(raw, limits) for raw in inputs]
        self._follow = follow
        self._may_grow = may_grow
        self._poll_s = poll_s
        self._clock = clock
        self._recorder = recorder
        self._recorded: TextInput | None = None
        self._limits = limits
        self._pipeline = IngestPipeline(limits)
        # What is followed, or grows while it is read, is read by one.
        self._jobs = 1 if follow or may_grow else jobs
        self._readers: RangeReaders | None = None
        self._given = 0
        self._notes: list[str] = []

    @property
    def describe(self) -> str:
        """What is read, for a person."""
        names = [item.name for item in self._inputs]
        return names[0] if len(names) == 1 else f"{len(names)} files, {names[0]} to {names[-1]}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know about the input: damage, rotation, a file that was replaced."""
        return tuple(self._notes)

    @property
    def share_read(self) -> float | None:
        """How much of the files has been read, from 0 to 1; ``None`` where nobody knows how much there is."""
        if self._follow or not all(isinstance(item.raw, InputFile) for item in self._inputs):
            return None
        sizes = [_size(item) for item in self._inputs]
        read = sum(min(item.raw.offset, size) for item, size in zip(self._inputs, sizes, strict=True))
        return read / sum(sizes) if any(sizes) else None

    def blocks(self, stop: StopSignal) -> Iterator[SampleBlock]:
        """Everything there is to read now; with ``follow``, everything that is added until ``stop`` is set.

        Raises:
            BadInputError: a file has gone.
            FailedError: reading broke off, or nothing could be had from a damaged stream.
        """
        if self._jobs > 1 and self._readers is None:
            self._readers = RangeReaders(self._inputs, self._jobs, self._limits)
        while True:
            for item in self._inputs:
                if not item.finished:
                    yield from self._read(item, stop)
                if stop.is_set():
                    return
                if not self._follow and item is not self._inputs[-1]:
                    self._finish(item)
            yield from self._rest()
            if not self._follow:
                self._check_something_was_read()
                return
            if all(item.finished or item.raw.ended for item in self._inputs):
                return
            if self._clock.sleep(self._poll_s, stop):
                return

    def flush(self) -> Iterator[SampleBlock]:
        """Count lines that were not ended, and give every record that still waits.

        Where reading was stopped before the end, or where the file may still grow, a line that is there only in part
        is left for another time.
        """
        for item in self._inputs:
            if not item.finished:
                if item.at_end and (not self._may_grow or item.last_line_looks_whole):
                    self._end_lines(item)
                item.raw.close()
        self._pipeline.flush()
        yield from self._rest()

    def counters(self) -> IngestCounters:
        """What happened to the records so far; one that still waits has not been counted as read."""
        return self._pipeline.counters()

    def close(self) -> None:
        """Let go of all files. The recorder belongs to whoever made it."""
        for item in self._inputs:
            item.raw.close()
        if self._readers is not None:
            self._readers.close()

    def position(self) -> dict[str, Any]:
        """Everything needed to go on from here in another process, as plain JSON values."""
        state = _State(pipeline=self._pipeline.state(), ready=self._pipeline.outbox.samples())
        position = _Position(
            source="file",
            version=1,
            given=self._given,
            files=[item.position() for item in self._inputs],
            notes=self._notes,
            state=base64.b64encode(msgspec.msgpack.encode(state)).decode("ascii"),
            recorder=self._recorder.position() if self._recorder else None,
        )
        plain: dict[str, Any] = msgspec.to_builtins(position)
        return plain

    def resume(self, position: dict[str, Any]) -> None:
        """Go on from a ``position`` of an earlier process.

        Raises:
            BadInputError: the position is not one of this source.
        """
        try:
            saved = msgspec.convert(position, _Position)
            state = msgspec.msgpack.decode(base64.b64decode(saved.state, validate=True), type=_State)
            self._pipeline.restore(state.pipeline)
        except (msgspec.MsgspecError, ValueError, KeyError, TypeError, binascii.Error) as error:
            raise _not_ours("it is damaged, or of another version") from error
        places = {place.path: place for place in saved.files}
        if places.keys().isdisjoint(item.key for item in self._inputs):
            raise _not_ours("it is of other files")
        self._pipeline.outbox.refill(state.ready)
        self._given, self._notes = saved.given, saved.notes
        for item in self._inputs:
            place = places.get(item.key)
            if place is not None and not item.resume(place):
                self._notes.append(f"'{item.name}' is another file than before: read from its beginning")
        if self._recorder is not None and saved.recorder is not None:
            self._recorder.resume(saved.recorder)

    # Reading

    def _read(self, item: TextInput, stop: StopSignal) -> Iterator[SampleBlock]:
        if item.raw.changed() == "truncated":
            # What lies behind the old place now is no continuation of what was read.
            self._begin_anew(item, "truncated")
        if self._readers is not None:
            yield from self._read_apart(item, stop)
        while not stop.is_set():
            cut = item.next_cut()
            if cut is None:
                yield from self._rest()
            elif not cut.is_empty:
                self._take(item, cut)
                yield from self._full()
            elif item.broken is not None or item.raw.ended:
                self._finish(item)
                return
            else:
                change = item.raw.changed()
                if change is None:
                    return
                self._begin_anew(item, change)

    def _read_apart(self, item: TextInput, stop: StopSignal) -> Iterator[SampleBlock]:
        """What several processes read of a file together."""
        assert self._readers is not None  # noqa: S101 - who calls has looked
        for part in self._readers.parts(item):
            if self._recorder is not None:
                begin, end = part.range
                self._record(item, part.read.batch.text[0 : end - begin])
            item.skip_lines(part.range.end, part.lines, part.header)
            self._pipeline.feed_read(part.read)
            yield from self._full()
            if stop.is_set():
                return

    def _begin_anew(self, item: TextInput, change: str) -> None:
        self._end_lines(item)
        self._notes.append(f"'{item.name}' was {change}: read on from its new beginning")
        item.restart()

    def _take(self, item: TextInput, cut: Cut) -> None:
        self._record(item, cut.taken)
        first_line = item.splitter.lines - cut.count + 1
        # A line that is not ended, or ends what was given up, comes alone or before few others.
        if len(cut.ends) >= self._limits.bulk_lines and cut.head is None:
            self._pipeline.feed_read(item.bulk.read(cut.text, cut.ends, item.name, first_line))
        else:
            self._pipeline.feed(cut.lines, item.decoder, item.name, first_line)

    def _record(self, item: TextInput, data: bytes) -> None:
        if self._recorder is None or not data:
            return
        if self._recorded is not item:
            self._recorder.end_line()
            self._recorded = item
        self._recorder.write(data)

    def _finish(self, item: TextInput) -> None:
        if not item.finished:
            self._end_lines(item)
            item.finished = True
            item.raw.close()

    def _end_lines(self, item: TextInput) -> None:
        """Take the line that was not ended, and say what is wrong with a compressed stream."""
        self._take(item, item.finish())
        if item.broken is not None:
            self._note(f"'{item.name}' is damaged ({item.broken}): read up to the defect, {item.text_bytes} bytes")
        elif item.unfinished:
            self._note(f"'{item.name}' is cut off: read up to there, {item.text_bytes} bytes")

    def _note(self, text: str) -> None:
        if text not in self._notes:
            self._notes.append(text)

    def _check_something_was_read(self) -> None:
        if any(item.text_bytes or item.splitter.has_rest for item in self._inputs):
            return
        for item in self._inputs:
            if item.broken is not None or item.unfinished:
                raise FailedError(
                    f"nothing could be read of telemetry '{item.name}': the compressed stream is damaged or cut "
                    f"off at its beginning ({item.broken or 'it ends too early'}). Copy the file again."
                )

    # Giving

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


def open_files(
    paths: Sequence[str],
    *,
    clock: Clock,
    follow: bool = False,
    may_grow: bool = False,
    poll_s: float = 1.0,
    stdin: BinaryIO | None = None,
    recorder: RawRecorder | None = None,
    limits: IngestLimits | None = None,
    jobs: int | None = 1,
) -> FileSource:
    """A source over files, patterns (``run-*.jsonl``, matches in sorted order) and ``-``, standard input.

    Args:
        paths: what to read, in this order; a path named twice is read once.
        clock: used to wait for more with ``follow``.
        follow: go on reading what is added, as ``tail -F`` does.
        may_grow: somebody may be writing: at ``flush`` half a line is left for a later process to read whole.
        poll_s: seconds between two looks with ``follow``.
        stdin: what ``-`` stands for; the process's standard input by default.
        recorder: gets every byte that was read, after decompression.
        limits: bounds on what is tolerated.
        jobs: processes that read plain files together, this one included; ``None`` for as many as are worth starting.
            What is read is the same for any number.

    Raises:
        BadInputError: a path cannot be read, or a pattern matches nothing.
    """
    if not paths:
        raise BadInputError("no telemetry named. Give the path of a JSON-lines or CSV file, or '-' for standard input.")
    inputs: dict[str, RawInput] = {}
    for path in paths:
        for name in expanded(path):
            if name not in inputs:
                inputs[name] = opened(name, stdin)
    if jobs is None:
        jobs = worthwhile_jobs(inputs.values())
    return FileSource(
        list(inputs.values()),
        follow=follow,
        may_grow=may_grow,
        poll_s=poll_s,
        clock=clock,
        recorder=recorder,
        limits=limits or IngestLimits(),
        jobs=jobs,
    )


def _size(item: TextInput) -> int:
    try:
        return Path(item.raw.path).stat().st_size
    except OSError:
        return 0


def _not_ours(why: str) -> BadInputError:
    return BadInputError(f"cannot go on from the saved position: {why}. Start without it.")
