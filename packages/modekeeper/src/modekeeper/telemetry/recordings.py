"""Which files are recordings of something that ran, and not telemetry themselves."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

import msgspec

from modekeeper.model.errors import BadInputError, ModeKeeperError
from modekeeper.telemetry.inputs import InputFile
from modekeeper.telemetry.limits import IngestLimits
from modekeeper.telemetry.opening import expanded
from modekeeper.telemetry.text_input import TextInput

__all__ = ["RecordingKind", "recording_among"]

_HEAD_BYTES = 4096


class RecordingKind(StrEnum):
    """What was recorded; the value begins the file, in ``kind`` or ``schema`` of its first line."""

    POD_LOGS = "pod_log_recording"
    PROMETHEUS = "prometheus_recording"


class _Head(msgspec.Struct):
    kind: str = ""
    schema: str = ""


def recording_among(paths: Sequence[str]) -> RecordingKind | None:
    """What kind of recording the only path is; ``None`` for telemetry.

    Raises:
        BadInputError: a path cannot be read, or a recording is named beside other files.
    """
    names = [name for path in paths for name in expanded(path)]
    kinds = {name: kind for name in names if (kind := _kind(name)) is not None}
    if kinds and len(names) > 1:
        raise BadInputError(f"{next(iter(kinds))!r} is a recording, which is read alone. Leave out the other files.")
    return next(iter(kinds.values()), None)


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
    said = {first.kind, first.schema.partition(".")[0]}
    return next((kind for kind in RecordingKind if kind in said), None)
