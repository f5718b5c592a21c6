"""Reads the files trust rests on: from the folder they are in, and only where nobody else may change them."""

import os
import stat
from pathlib import Path

from modekeeper.model.untrusted import visible
from modekeeper.trust.faults import TrustError

__all__ = ["read_guarded_file"]


def read_guarded_file(
    path: Path, *, what: str, longest: int, error: type[TrustError], guard_folder: bool = False
) -> bytes:
    """The bytes of a regular file of at most ``longest`` bytes that not everybody may write.

    A link is followed inside its own folder only, as Kubernetes mounts ConfigMaps and Secrets.

    Args:
        path: the file.
        what: what codes begin with, and, its underscores as blanks, what the person reads: ``license_file``.
        longest: bytes.
        error: the kind of error.
        guard_folder: refuse a file in a folder where everybody may replace it, too.

    Raises:
        TrustError: as ``error``; the code is ``what`` and one of ``_unreadable``, ``_is_link``, ``_not_regular``,
            ``_world_writable``, ``_folder_world_writable``, ``_too_large``.
    """
    name = f"the {what.replace('_', ' ')} {visible(str(path), 300)!r}"

    def refuse(code: str, text: str) -> TrustError:
        return error(f"{what}_{code}", f"{name} {text}")

    try:
        folder, real = path.parent.resolve(strict=True), path.resolve(strict=True)
        if not real.is_relative_to(folder):
            raise refuse("is_link", "is a link to another folder: name the file itself")
        handle = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                raise refuse("not_regular", "is no regular file")
            if found.st_mode & stat.S_IWOTH:
                raise refuse("world_writable", "may be written by everybody: chmod o-w it")
            if guard_folder and _anybody_may_replace(real.parent):
                raise refuse("folder_world_writable", "is in a folder everybody may write: chmod o-w the folder")
            with os.fdopen(handle, "rb", closefd=False) as file:
                data = file.read(longest + 1)
        finally:
            os.close(handle)
    except (OSError, ValueError, RuntimeError) as cause:  # RuntimeError: a loop of links, before Python 3.13
        why = getattr(cause, "strerror", None) or str(cause)
        raise refuse("unreadable", f"cannot be read: {visible(why).lower()}") from cause
    if len(data) > longest:
        raise refuse("too_large", f"is larger than {longest} bytes")
    return data


def _anybody_may_replace(folder: Path) -> bool:
    mode = folder.stat().st_mode
    return bool(mode & stat.S_IWOTH) and not mode & stat.S_ISVTX
