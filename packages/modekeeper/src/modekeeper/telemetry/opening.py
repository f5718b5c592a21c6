"""What a path stands for, and whether it is worth more than one process."""

import contextlib
import glob
import os
import stat
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from modekeeper.telemetry.inputs import InputFile, InputStream, RawInput, cannot_read, fault

__all__ = ["expanded", "opened", "worthwhile_jobs"]

_STREAM_WAIT_S = 0.2
_LARGE_BYTES = 64 << 20
"""From here on starting another process takes less time than it saves."""
_MOST_JOBS = 3
"""More than two beside this one would wait for it: it puts all records in order, and hands them on."""


def expanded(path: str) -> list[str]:
    """The names a path stands for: itself, or what a pattern matches, in sorted order.

    Raises:
        BadInputError: a pattern matches nothing.
    """
    if path == "-" or not glob.has_magic(path) or os.path.lexists(path):
        return [path]
    # Not Path.glob: it takes no absolute patterns.
    found = glob.glob(path, recursive=True)  # noqa: PTH207
    matches = sorted(name for name in found if not Path(name).is_dir())
    if not matches:
        raise cannot_read(path, "no file matches")
    return matches


def opened(path: str, stdin: BinaryIO | None) -> RawInput:
    """The input of one name; ``-`` is ``stdin``, by default that of the process.

    Raises:
        BadInputError: it cannot be read.
    """
    if path == "-":
        given = stdin or getattr(sys.stdin, "buffer", None)
        if given is None:
            raise cannot_read(path, "it is closed")
        return InputStream(path, given, _STREAM_WAIT_S)
    try:
        mode = Path(path).stat().st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(21, "Is a directory")
        if not stat.S_ISREG(mode):
            return InputStream(path, None, _STREAM_WAIT_S)
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except (OSError, ValueError) as error:
        raise cannot_read(path, fault(error)) from error
    return InputFile(path)


def worthwhile_jobs(inputs: Iterable[RawInput]) -> int:
    """One process for a little, else a few: what they give has to go through this one again."""
    size = 0
    for raw in inputs:
        with contextlib.suppress(OSError):
            size += Path(raw.path).stat().st_size if isinstance(raw, InputFile) else 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(_MOST_JOBS, cores) if size >= _LARGE_BYTES else 1
