"""One input as lines: decompression, whole lines, and a place to come back to."""

import hashlib
import os
from collections.abc import Iterator
from typing import Annotated

import msgspec

from modekeeper.telemetry.bulk import BulkDecoder
from modekeeper.telemetry.compressed import CompressedReader, PlainReader, StreamReader, compression_of
from modekeeper.telemetry.decode import LineDecoder
from modekeeper.telemetry.inputs import HEAD_BYTES, InputFile, RawInput, display_name
from modekeeper.telemetry.limits import IngestLimits
from modekeeper.telemetry.lines import Cut, LineSplitter, SplitterState

__all__ = ["InputPosition", "TextInput"]


_Count = Annotated[int, msgspec.Meta(ge=0)]


class InputPosition(msgspec.Struct, frozen=True, kw_only=True):
    """A place in one input, and what the input looked like from its beginning."""

    path: str
    device: int
    inode: int
    raw_bytes: _Count
    """Bytes read of what lies there."""
    text_bytes: _Count
    """Bytes of whole lines taken, after decompression."""
    compression: str | None
    head_bytes: Annotated[int, msgspec.Meta(ge=0, le=HEAD_BYTES)]
    head_sha256: str
    lines: _Count
    skipping: bool
    """Whether the place is inside a line that is too long."""
    skipped_head: bytes
    """How that line begins."""
    header: str | None
    """The CSV header in force."""
    finished: bool


class TextInput:
    """Lines of one file or pipe, with the decoder and the line count that belong to it."""

    def __init__(self, raw: RawInput, limits: IngestLimits) -> None:
        self.raw = raw
        self.name = display_name(raw.path)
        self.key = os.fsencode(raw.path).decode(errors="backslashreplace")
        """Its name in a position: always encodable."""
        self.finished = False
        """Whether it has been read to its end for good."""
        self.is_table = raw.path.lower().endswith(_TABLE_ENDINGS)
        """Whether its name says that it is CSV."""
        self.at_end = False
        """Whether the last read came to the end of what there is."""
        self._limits = limits
        self._begin()

    def _begin(self) -> None:
        self.decoder = LineDecoder(self._limits, table=self.is_table)
        self.bulk = BulkDecoder(self._limits, self.decoder)
        self.splitter = LineSplitter(self._limits.max_line_bytes)
        self.text_bytes = 0
        self._compression: str | None = None
        self._reader: StreamReader = PlainReader()
        self._prefix = b""
        self._texts: Iterator[bytes] | None = None
        self._to_skip = 0
        self._expected_head: tuple[int, str] | None = None

    @property
    def broken(self) -> str | None:
        """What is wrong with a compressed stream."""
        return self._reader.broken

    @property
    def unfinished(self) -> bool:
        """Whether a compressed stream stops before its end."""
        return self._reader.unfinished

    @property
    def compressed(self) -> bool:
        """Whether it is known to be compressed."""
        return self._compression in {"gzip", "zstd"}

    @property
    def last_line_looks_whole(self) -> bool:
        """Whether the line that no line feed has ended may be taken as it is, or there is none."""
        return not self.splitter.has_rest or self.splitter.rest_looks_whole

    @property
    def stands_before_a_line(self) -> bool:
        """Whether all that was read of it has been taken, and no line has begun."""
        return not (self.splitter.has_rest or self._prefix or self._to_skip or self._texts is not None)

    def skip_lines(self, end: int, lines: int, header: str | None) -> None:
        """Count lines up to the byte ``end`` of a plain file as read, and go on there."""
        assert isinstance(self.raw, InputFile)  # noqa: S101 - only such a file is read in ranges
        self._compression = "plain"
        self.text_bytes += end - self.raw.offset
        self.raw.skip_to(end)
        self.splitter.lines += lines
        self.decoder.header = header

    def next_cut(self) -> Cut | None:
        """The lines of the next piece; an empty cut at the end of what there is.

        ``None`` where a pipe has nothing yet.
        """
        while True:
            text = self._next_text()
            if not text:
                return None if text is None else self.splitter.feed(b"")
            if self._to_skip:
                skipped = min(self._to_skip, len(text))
                self._to_skip -= skipped
                text = text[skipped:]
            cut = self.splitter.feed(text)
            self.text_bytes += len(cut.taken)
            if not cut.is_empty:
                return cut

    def finish(self) -> Cut:
        """The last line, if no line feed ended it: nothing more comes."""
        if self._compression is None and self._prefix:
            # Too few bytes to tell what they are, and no line feed among them.
            self._compression = "plain"
            self.splitter.feed(self._prefix)
            self._prefix = b""
        cut = self.splitter.finish()
        self.text_bytes += len(cut.taken)
        return cut

    def restart(self) -> None:
        """Begin again with what lies there now."""
        self.raw.restart()
        self._begin()

    # Coming back

    def position(self) -> InputPosition:
        """The place behind the last line taken."""
        head = self.raw.head
        splitter = self.splitter.state()
        return InputPosition(
            path=self.key,
            device=self.raw.device,
            inode=self.raw.inode,
            raw_bytes=self.raw.offset,
            text_bytes=self.text_bytes,
            compression=self._compression,
            head_bytes=len(head),
            head_sha256=hashlib.sha256(head).hexdigest(),
            lines=splitter.lines,
            skipping=splitter.skipping,
            skipped_head=splitter.head,
            header=self.decoder.header,
            finished=self.finished,
        )

    def resume(self, position: InputPosition) -> bool:
        """Go on from ``position``; false, at the beginning, where another file lies there now."""
        if isinstance(self.raw, InputFile):
            head = self.raw.beginning(position.head_bytes)
            same = self.raw.size >= position.raw_bytes
            if not same or hashlib.sha256(head).hexdigest() != position.head_sha256:
                self.raw.close()
                return False
            self.raw.head = head[: position.text_bytes]
        self.splitter.restore(
            SplitterState(skipping=position.skipping, head=position.skipped_head, lines=position.lines)
        )
        self.decoder.header = position.header
        self.text_bytes = position.text_bytes
        self.finished = position.finished
        if position.compression == "plain" and self.raw.seek(position.text_bytes):
            self._compression = "plain"
        else:
            self.raw.head = b""
            self.raw.close()
            self._to_skip = position.text_bytes
        return True

    # Text

    def _next_text(self) -> bytes | None:
        while True:
            if self._texts is not None:
                text = next(self._texts, None)
                if text:
                    return text
                self._texts = None
                if self._reader.broken is not None:
                    return b""
            data = self.raw.read(self._limits.read_bytes)
            if data is None:
                return None
            self.at_end = not data
            if data:
                self._texts = self._fed(data)
            else:
                self._texts = self._reader.drain()
                return next(self._texts, b"")

    def _fed(self, data: bytes) -> Iterator[bytes]:
        if self._compression is None:
            self._prefix += data
            self._compression = compression_of(self._prefix)
            if self._compression is None:
                return iter(())
            if self.compressed:
                self._reader = CompressedReader()
            data, self._prefix = self._prefix, b""
        return self._reader.feed(data)


_TABLE_ENDINGS = tuple(f".{kind}{packed}" for kind in ("csv", "tsv") for packed in ("", ".gz", ".zst", ".zstd"))
