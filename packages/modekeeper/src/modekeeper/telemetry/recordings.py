"""Which files are recordings of something that ran, and not telemetry themselves."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import msgspec

from modekeeper.model.errors import BadInputError, ModeKeeperError
from modekeeper.telemetry.inputs import InputFile
from modekeeper.telemetry.limits import IngestLimits
from modekeeper.telemetry.opening import expanded
from modekeeper.telemetry.text_input import TextInput

__all__ = ["Recording", "RecordingKind", "recording_among"]

_HEAD_BYTES = 4096


class RecordingKind(StrEnum):
    """What was recorded."""

    POD_LOGS = "pod_log_recording"
    PROMETHEUS = "prometheus_recording"


class Recording(NamedTuple):
    """A file that is one."""

    path: str
    kind: RecordingKind


class _Head(msgspec.Struct):
    """What the first line may say of itself."""

    kind: str = ""
    version: int = 0
    schema: str = ""


_KNOWN = {
    ("", "pod_log_recording.v0", 0): RecordingKind.POD_LOGS,
    ("prometheus_recording", "", 1): RecordingKind.PROMETHEUS,
}


def recording_among(paths: Sequence[str]) -> Recording | None:
    """The only path, where it is a recording; ``None`` for telemetry.

    Raises:
        BadInputError: a path cannot be read, a recording is of another version, or is named beside other files.
    """
    names = list(dict.fromkeys(name for path in paths for name in expanded(path)))
    found = [Recording(name, kind) for name in names if (kind := _kind(name)) is not None]
    if found and len(names) > 1:
        raise BadInputError(f"{found[0].path!r} is a recording, which is read alone. Leave out the other files.")
    return found[0] if found else None


def _kind(path: str) -> RecordingKind | None:
    """What a regular file begins as; a pipe cannot be looked into without taking from it."""
    if path == "-" or not Path(path).is_file():
        return None
    head = TextInput(InputFile(path), IngestLimits(max_line_bytes=_HEAD_BYTES, read_bytes=_HEAD_BYTES))
    try:
        cut = head.next_cut()
        if cut is None or not cut.lines:
            return None
        first = msgspec.json.decode(bytes(cut.lines[0]), type=_Head)
    except (ModeKeeperError, msgspec.MsgspecError):
        return None
    finally:
        head.raw.close()
    known = _KNOWN.get((first.kind, first.schema, first.version))
    said = {first.kind, first.schema.partition(".")[0]}
    if known is None and said & set(RecordingKind):
        raise BadInputError(f"{path!r} is a recording of a version that this release does not read. Record it again.")
    return known
