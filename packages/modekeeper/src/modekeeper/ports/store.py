"""Where artifacts go."""

from pathlib import Path
from typing import Protocol

__all__ = ["ArtifactStore"]


class ArtifactStore(Protocol):
    """Files that appear whole or not at all, below one folder."""

    @property
    def root(self) -> Path:
        """The folder."""
        ...

    def write_bytes(self, name: str, data: bytes) -> Path:
        """Write one file, atomically; ``name`` is a relative path without ``..``.

        Raises:
            FailedError: the disk did not take it; no part of the file is left behind.
        """
        ...
