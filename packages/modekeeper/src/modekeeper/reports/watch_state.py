"""The checkpoint of a watch session: what a killed process left, for the next one to go on from."""

from typing import Any, Literal

import msgspec

from modekeeper.artifacts.canonical import document
from modekeeper.artifacts.store import FolderStore
from modekeeper.model.errors import BadInputError

__all__ = ["STATE_NAME", "WatchState", "load_state", "save_state"]

STATE_NAME = "watch_state.json"
_LARGEST_BYTES = 64 * 1024 * 1024


class WatchState(msgspec.Struct, frozen=True, kw_only=True):
    """``watch_state.json``: written last, after everything of an iteration is on disk."""

    schema_version: Literal["watch_state.v0"] = "watch_state.v0"
    session: str
    """Digest of what the session watches and how: a checkpoint of another session is not gone on from."""
    started_at: str
    iteration: int
    kept: tuple[str, ...]
    intervals_skipped: int
    no_data_iterations: int
    position: dict[str, Any]
    engine: dict[str, Any]
    recorder: dict[str, Any]


def save_state(store: FolderStore, state: WatchState) -> None:
    """Write the checkpoint, whole or not at all."""
    store.write_bytes(STATE_NAME, document(state))


def load_state(store: FolderStore, session: str) -> WatchState | None:
    """The checkpoint of ``session``; ``None`` where there is none at all.

    Raises:
        BadInputError: there is one of another session, or it cannot be read.
    """
    data = store.read_bytes(STATE_NAME)
    if data is None:
        return None
    where = (store.root / STATE_NAME).as_posix()
    try:
        if len(data) > _LARGEST_BYTES:
            raise msgspec.ValidationError("too large")
        state = msgspec.json.decode(data, type=WatchState)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInputError(
            f"cannot go on from {where}: it is damaged. Give --fresh to start anew, or another --out."
        ) from error
    if state.session != session:
        raise BadInputError(
            f"{where} belongs to a session with other telemetry or settings. "
            "Give --fresh to start anew, or another --out."
        )
    return state
