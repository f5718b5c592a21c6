"""What was read of a cluster, entry by entry, as JSON lines: replayed, it gives the same samples to the byte.

The first line is a header. Each further line is one entry, in the order in which it was taken: a pod that was met,
a line of its log exactly as the API gave it (the node's time in front), a place where lines may be missing, the end
of a log.
"""

from typing import Annotated, Literal

import msgspec

from modekeeper.telemetry.pods.facts import PodFacts

__all__ = [
    "RECORDING_SCHEMA",
    "Entry",
    "GapEntry",
    "GoneEntry",
    "Header",
    "LeavingEntry",
    "LineEntry",
    "PodEntry",
    "decoded",
    "encoded",
    "is_header",
    "line_entry",
]

RECORDING_SCHEMA: Literal["pod_log_recording.v0"] = "pod_log_recording.v0"

_Text = Annotated[str, msgspec.Meta(max_length=512)]


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line."""

    schema: Literal["pod_log_recording.v0"] = RECORDING_SCHEMA
    namespace: _Text
    workload: _Text
    """Kind and name."""


class PodEntry(msgspec.Struct, frozen=True, tag_field="entry", tag="pods"):
    """Containers whose logs are read from here on; together, because only together have they an order."""

    pods: list[PodFacts]


class LineEntry(msgspec.Struct, frozen=True, tag_field="entry", tag="line", omit_defaults=True):
    """One line. Exactly one of ``log`` and ``log_b64`` is there."""

    pod: _Text
    container: _Text
    uid: _Text
    node: _Text | None = None
    log: str | None = None
    log_b64: bytes | None = None
    """Where it is no UTF-8."""
    cut: bool = False
    """It was too long to keep: this is how it begins."""

    @property
    def key(self) -> str:
        """Of the container."""
        return f"{self.uid}/{self.container}"

    @property
    def data(self) -> bytes:
        """The line as it came."""
        return self.log.encode(errors="surrogatepass") if self.log is not None else self.log_b64 or b""


class GapEntry(msgspec.Struct, frozen=True, tag_field="entry", tag="gap"):
    """Lines may be missing here."""

    pod: _Text
    container: _Text
    uid: _Text
    why: _Text

    @property
    def key(self) -> str:
        """Of the container."""
        return f"{self.uid}/{self.container}"


class LeavingEntry(msgspec.Struct, frozen=True, tag_field="entry", tag="leaving"):
    """A pod is about to end: another one may take its place, while its last lines still come."""

    pod: _Text
    container: _Text
    uid: _Text

    @property
    def key(self) -> str:
        """Of the container."""
        return f"{self.uid}/{self.container}"


class GoneEntry(msgspec.Struct, frozen=True, tag_field="entry", tag="end"):
    """Nothing more comes of a container."""

    pod: _Text
    container: _Text
    uid: _Text

    @property
    def key(self) -> str:
        """Of the container."""
        return f"{self.uid}/{self.container}"


Entry = PodEntry | LineEntry | GapEntry | LeavingEntry | GoneEntry

_encoder = msgspec.json.Encoder()
_header_decoder = msgspec.json.Decoder(Header)
_entry_decoder: msgspec.json.Decoder[Entry] = msgspec.json.Decoder(Entry)


def line_entry(facts: PodFacts, line: bytes, *, cut: bool) -> LineEntry:
    """The entry of one line."""
    try:
        return LineEntry(facts.pod, facts.container, facts.uid, facts.node, log=line.decode(), cut=cut)
    except UnicodeDecodeError:
        return LineEntry(facts.pod, facts.container, facts.uid, facts.node, log_b64=line, cut=cut)


def encoded(entry: Header | Entry) -> bytes:
    """One line of a recording, with its line feed."""
    return _encoder.encode(entry) + b"\n"


def decoded(line: bytes) -> Entry | None:
    """The entry in a line; ``None`` where there is none."""
    try:
        return _entry_decoder.decode(line)
    except (msgspec.MsgspecError, ValueError):
        return None


def is_header(line: bytes) -> bool:
    """Whether a file that begins with this line is a recording."""
    if RECORDING_SCHEMA.encode() not in line[:200]:
        return False
    try:
        _header_decoder.decode(line)
    except (msgspec.MsgspecError, ValueError):
        return False
    return True
