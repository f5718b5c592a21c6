"""What was seen before: the latest time that is known to have passed, and the newest issuer keyset.

A small file beside the user's other state. Who may write it may also remove it: it catches a clock that was set
back and an old keyset that is offered again, not an owner of the machine who wants to be fooled.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from modekeeper.artifacts.canonical import document
from modekeeper.artifacts.store import FolderStore
from modekeeper.model.errors import ModeKeeperError
from modekeeper.model.untrusted import visible
from modekeeper.trust.check import LicenseVerdict
from modekeeper.trust.faults import TrustStateError
from modekeeper.trust.files import read_guarded_file

__all__ = ["TrustState", "TrustStateFile", "merged", "state_after", "state_path"]

_LONGEST_BYTES = 64 * 1024
_UNTIMELY = frozenset({"clock_set_back", "issued_in_the_future"})


class TrustState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``trust_state.v1``. Every field only ever grows."""

    schema_version: Literal["trust_state.v1"] = "trust_state.v1"
    newest_issued_at: datetime | None = None
    """Of the licences whose signature was verified."""
    newest_verified_at: datetime | None = None
    """When the last of them was verified."""
    keyset_version: int = 0
    """Of the newest issuer keyset whose signature was verified; 0 where there was none."""
    keyset_digest: str | None = None

    @property
    def newest_seen(self) -> datetime | None:
        """The latest time that is known to have passed."""
        return _later(self.newest_issued_at, self.newest_verified_at)


def merged(one: TrustState, other: TrustState) -> TrustState:
    """The newer of everything."""
    newer = other if other.keyset_version > one.keyset_version else one
    return TrustState(
        newest_issued_at=_later(one.newest_issued_at, other.newest_issued_at),
        newest_verified_at=_later(one.newest_verified_at, other.newest_verified_at),
        keyset_version=newer.keyset_version,
        keyset_digest=newer.keyset_digest,
    )


def state_after(state: TrustState, verdict: LicenseVerdict, now: datetime) -> TrustState:
    """What is known after ``verdict``: more only where a signature was verified at a time that may be right."""
    if verdict.issued_at is None or verdict.failure_code in _UNTIMELY:
        return state
    return merged(state, TrustState(newest_issued_at=verdict.issued_at, newest_verified_at=now))


def state_path(environment: Mapping[str, str]) -> Path | None:
    """``$XDG_STATE_HOME/modekeeper/trust_state.json``, else below ``~/.local/state``; ``None`` without a home."""
    base = environment.get("XDG_STATE_HOME")
    if base and Path(base).is_absolute():
        return Path(base) / "modekeeper" / "trust_state.json"
    home = environment.get("HOME")
    return Path(home) / ".local" / "state" / "modekeeper" / "trust_state.json" if home else None


class TrustStateFile:
    """The state on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> TrustState:
        """The state; a fresh one where there is no file yet.

        Raises:
            TrustStateError: there is one that cannot be read. It is not taken for a fresh one.
        """
        if not self._path.exists() and not self._path.is_symlink():
            return TrustState()
        data = read_guarded_file(self._path, what="trust_state_file", longest=_LONGEST_BYTES, error=TrustStateError)
        try:
            state = msgspec.json.decode(data, type=TrustState)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._broken() from error
        moments = (state.newest_issued_at, state.newest_verified_at)
        if state.keyset_version < 0 or any(moment is not None and moment.tzinfo is None for moment in moments):
            raise self._broken()
        return state

    def save(self, state: TrustState) -> None:
        """Write the state, whole or not at all; what another process wrote in the meantime is not lost.

        Raises:
            TrustStateError: the disk did not take it, and what was on it before is still there; or that is damaged.
        """
        state = merged(self.load(), state)
        try:
            FolderStore(self._path.parent).write_bytes(self._path.name, document(state))
        except ModeKeeperError as error:
            text = (
                f"what was seen cannot be kept in {visible(str(self._path), 300)!r}, so a clock set back goes "
                "unnoticed: give --trust-state a file that can be written"
            )
            raise TrustStateError("trust_state_file_unwritable", text) from error

    def _broken(self) -> TrustStateError:
        text = f"the trust state file {visible(str(self._path), 300)!r} is damaged: remove it once you know why"
        return TrustStateError("trust_state_file_damaged", text)


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((moment for moment in (one, other) if moment is not None), default=None)
