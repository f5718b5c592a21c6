"""Files that appear whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import IO

from modekeeper.model.errors import BadInputError, FailedError

__all__ = ["FolderStore"]

_UNFINISHED = ".unfinished-"


class FolderStore:
    """An ``ArtifactStore`` in a folder of the file system.

    A file is written beside its place under a name of its own, flushed to the disk and renamed over it, so a
    reader and a crash see the old file or the new one, never a part. Unfinished files of a process that was
    killed are removed when the folder is opened again.
    """

    def __init__(self, root: Path) -> None:
        """Open ``root``, making it where it is missing.

        Raises:
            BadInputError: ``root`` is a file, or cannot be made or written.
        """
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInputError(
                f"cannot use {str(root)!r} as the output folder: {_why(error)}. "
                "Give --out a folder that can be written."
            ) from error
        self._root = root
        self._sweep(root)

    @property
    def root(self) -> Path:
        """The folder."""
        return self._root

    def write_bytes(self, name: str, data: bytes) -> Path:
        """Write one file, atomically; ``name`` is a relative path without ``..``.

        Raises:
            FailedError: the disk did not take it; no part of the file is left behind.
        """
        with self.stream(name) as file:
            file.write(data)
        return self._root / name

    @contextmanager
    def stream(self, name: str) -> Iterator[IO[bytes]]:
        """A file to write piece by piece; it appears under ``name`` when the block ends without an error."""
        place = self._place(name)
        unfinished: str | None = None
        try:
            name_of_its_own = f"{_UNFINISHED}{os.getpid()}-{os.urandom(8).hex()}"
            handle = _opened(place.parent / name_of_its_own)
            unfinished = str(place.parent / name_of_its_own)
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fchmod(file.fileno(), 0o644)
                os.fsync(file.fileno())
            Path(unfinished).replace(place)
            unfinished = None
        except OSError as error:
            raise FailedError(
                f"cannot write {str(place)!r}: {_why(error)}. "
                "Nothing of it was kept; free some space or choose another --out."
            ) from error
        finally:
            if unfinished is not None:
                with suppress(OSError):
                    Path(unfinished).unlink()

    def read_bytes(self, name: str) -> bytes | None:
        """The bytes of one file, ``None`` where there is none.

        Raises:
            FailedError: it is there and cannot be read.
        """
        place = self._place(name)
        try:
            return place.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise FailedError(f"cannot read {str(place)!r}: {_why(error)}.") from error

    def also_as(self, name: str, other: str) -> None:
        """Let the file ``name`` appear under ``other`` too, without a second copy where the disk can do that.

        Raises:
            FailedError: the disk did not take it.
        """
        place, link = self._place(name), self._place(f"{_UNFINISHED}{os.getpid()}-link")
        try:
            with suppress(FileNotFoundError):
                link.unlink()
            link.hardlink_to(place)
            link.replace(self._place(other))
        except OSError:
            data = self.read_bytes(name)
            if data is not None:
                self.write_bytes(other, data)

    def folder(self, name: str) -> "FolderStore":
        """A store in a folder below this one."""
        return FolderStore(self._place(name))

    def _place(self, name: str) -> Path:
        parts = PurePosixPath(name)
        if parts.is_absolute() or ".." in parts.parts or not parts.parts:
            raise ValueError(f"not a name inside the store: {name!r}")
        return self._root.joinpath(*parts.parts)

    @staticmethod
    def _sweep(folder: Path) -> None:
        for left_over in folder.glob(f"{_UNFINISHED}*"):
            owner = left_over.name.removeprefix(_UNFINISHED).partition("-")[0]
            if not owner.isdecimal() or int(owner) == os.getpid() or not _runs(int(owner)):
                with suppress(OSError):
                    left_over.unlink()


def _opened(path: Path) -> int:
    """A new file to write, and its folder where that is missing."""
    # As ``mkstemp`` opens it, without the modules that choosing a name takes there.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, flags, 0o600)


def _runs(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _why(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
