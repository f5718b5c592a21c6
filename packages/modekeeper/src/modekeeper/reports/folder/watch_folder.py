"""The folder of a session of ``watch``: one writer at a time, the folders of iterations, and starting anew."""

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from modekeeper.artifacts.store import FolderStore
from modekeeper.model.errors import BadInputError, FailedError
from modekeeper.reports.folder.trace_file import TRACE_NAME
from modekeeper.reports.folder.watch_state import STATE_NAME

__all__ = ["OF_AN_APPLY", "forget", "iteration_folders", "joined_traces", "one_writer"]

_LOCK_NAME = ".watch.lock"
_FOLDER = re.compile(r"iter_\d{4,}")
OF_AN_APPLY = ("k8s_apply_latest.json", "k8s_verify_latest.json")
"""Of the newest iteration that acted, in the folder of the session too."""
_OF_A_SESSION = re.compile(
    r"watch_(\d{8}T\d{9}Z|latest)\.json|watch_summary\.md|explain\.jsonl|decision_trace_latest\.jsonl"
    r"|k8s_(apply|verify)_latest\.json"
)
"""What ``--fresh`` takes away, beside the checkpoint and the iterations. Never ``door/``: it is the way back."""


@contextmanager
def one_writer(store: FolderStore) -> Iterator[None]:
    """Hold the folder: two sessions that write to one would take each other's files away.

    Raises:
        BadInputError: another process holds it, or it cannot be held.
    """
    place = store.root / _LOCK_NAME
    try:
        handle = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise BadInputError(
            f"cannot hold {place.as_posix()}: {(error.strerror or type(error).__name__).lower()}. "
            "Give --out a folder that can be written."
        ) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BadInputError(
                f"another mk watch is writing to {store.root.as_posix()}. Stop it, or give another --out."
            ) from error
        yield
    finally:
        os.close(handle)


def iteration_folders(store: FolderStore) -> list[str]:
    """Names of the folders of iterations that are there, sorted."""
    return sorted(path.name for path in store.root.iterdir() if _FOLDER.fullmatch(path.name))


def joined_traces(store: FolderStore, folders: tuple[str, ...]) -> bytes:
    """The decision traces of iterations, one after the other."""
    parts = [store.read_bytes(f"{name}/{TRACE_NAME}") for name in folders]
    return b"".join(part for part in parts if part is not None)


def forget(store: FolderStore) -> None:
    """Start anew: the checkpoint goes first, so that a crash in between leaves no half session."""
    try:
        (store.root / STATE_NAME).unlink(missing_ok=True)
        for path in sorted(store.root.iterdir()):
            if _OF_A_SESSION.fullmatch(path.name):
                path.unlink()
        for folder in iteration_folders(store):
            shutil.rmtree(store.root / folder)
    except OSError as error:
        raise FailedError(f"cannot clear {store.root.as_posix()}: {error.strerror}.") from error
