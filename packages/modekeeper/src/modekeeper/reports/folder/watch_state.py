"""The checkpoint of a watch session: what a killed process left, for the next one to go on from."""

import hashlib
from typing import Annotated, Any, Literal

import msgspec

from modekeeper.artifacts.canonical import json_line
from modekeeper.artifacts.store import FolderStore
from modekeeper.model.errors import BadInputError
from modekeeper.reports.folder.acts_state import ActsState

__all__ = ["STATE_NAME", "WatchState", "damaged", "load_state", "save_state"]

STATE_NAME = "watch_state.json"
_LARGEST_BYTES = 64 * 1024 * 1024
_BLANK = "0" * 64

_LARGEST_COUNT = 2**53
_Count = Annotated[int, msgspec.Meta(ge=0, le=_LARGEST_COUNT)]
_Folder = Annotated[str, msgspec.Meta(pattern="^iter_[0-9]{4,}$")]


class WatchState(msgspec.Struct, frozen=True, kw_only=True):
    """``watch_state.json``: written last, after everything of an iteration is on disk."""

    schema_version: Literal["watch_state.v0"] = "watch_state.v0"
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")] = _BLANK
    """Over the bytes of this file, with 64 zeros in this place: what was damaged is not gone on from."""
    session: str
    """Digest of what the session watches and how: a checkpoint of another session is not gone on from."""
    started_at: str
    iteration: _Count
    """0: a plan was handed to the actuator in the first one, which was not finished."""
    kept: tuple[_Folder, ...]
    intervals_skipped: _Count
    no_data_iterations: _Count
    no_data_in_a_row: _Count
    """Of the last iterations, how many in a row saw nothing."""
    position: dict[str, Any]
    engine: dict[str, Any]
    recorder: dict[str, Any]
    acts: ActsState | None = None
    """What ``--apply`` did; ``None`` where nothing was ever applied."""


def save_state(store: FolderStore, state: WatchState) -> None:
    """Write the checkpoint, whole or not at all."""
    data = json_line(msgspec.structs.replace(state, sha256=_BLANK))
    digest = hashlib.sha256(data).hexdigest()
    store.write_bytes(STATE_NAME, _with_digest(data, _BLANK, digest))


def load_state(store: FolderStore, session: str) -> WatchState | None:
    """The checkpoint of ``session``; ``None`` where there is none at all.

    Raises:
        BadInputError: there is one of another session, or it cannot be read.
    """
    data = store.read_bytes(STATE_NAME)
    if data is None:
        return None
    if len(data) > _LARGEST_BYTES:
        raise damaged(store)
    try:
        state = msgspec.json.decode(data, type=WatchState)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise damaged(store) from error
    if hashlib.sha256(_with_digest(data, state.sha256, _BLANK)).hexdigest() != state.sha256:
        raise damaged(store)
    if state.iteration == 0 and (state.acts is None or state.acts.begun is None):
        raise damaged(store)
    if state.session != session:
        raise BadInputError(
            f"{_where(store)} belongs to a session with other telemetry or settings. "
            "Give --fresh to start anew, or another --out."
        )
    return state


def damaged(store: FolderStore) -> BadInputError:
    """The one line for a checkpoint that cannot be gone on from."""
    return BadInputError(
        f"cannot go on from {_where(store)}: it is damaged. Give --fresh to start anew, or another --out."
    )


def _with_digest(data: bytes, before: str, after: str) -> bytes:
    """The bytes with another digest. Keys are sorted: in the last place that looks like it, it is the field itself."""
    start, _, end = data.rpartition(f'"sha256":"{before}"'.encode())
    return start + f'"sha256":"{after}"'.encode() + end


def _where(store: FolderStore) -> str:
    return (store.root / STATE_NAME).as_posix()
