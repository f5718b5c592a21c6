"""The passphrase of a private key: from a file, the environment or a prompt, never from the command line."""

import getpass
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

from modekeeper.model.errors import BadInputError
from modekeeper.model.untrusted import visible

__all__ = ["Passphrase", "find_passphrase"]

SHORTEST = 12
_LONGEST = 1024
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Passphrase:
    """A secret that shows itself to nobody who prints, formats or logs it."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def reveal(self) -> bytes:
        """The secret, for the cipher alone."""
        return self._secret

    def __repr__(self) -> str:
        return "<a passphrase>"

    def __reduce__(self) -> str:
        raise TypeError("a passphrase is not written anywhere")


def find_passphrase(file: Path | None, environment: Mapping[str, str], *, variable: str, new: bool) -> Passphrase:
    """The passphrase: of ``file``, else of the variable, else asked for on the terminal.

    Args:
        file: may be read by its owner alone; one final newline does not count.
        environment: of the process.
        variable: which one of it holds a passphrase.
        new: it will protect a new key: at least 12 bytes, and typed twice.

    Raises:
        BadInputError: there is none, or it is too short, or others can read the file.
    """
    if file is not None:
        secret, source = _of_file(file), "the passphrase file"
    elif variable in environment:
        secret, source = os.fsencode(environment[variable]), variable
    elif sys.stdin.isatty():
        secret, source = _asked(new=new), "what was typed"
    else:
        raise BadInputError(f"no passphrase for the key: give --passphrase-file, or set {variable}, or use a terminal")
    if not secret:
        raise BadInputError(f"the passphrase is empty: {source} holds nothing")
    if len(secret) > _LONGEST:
        raise BadInputError(f"the passphrase is longer than {_LONGEST} bytes")
    if new and len(secret) < SHORTEST:
        raise BadInputError(f"the passphrase is too short to protect a key: give at least {SHORTEST} bytes")
    return Passphrase(secret)


def _of_file(path: Path) -> bytes:
    name = visible(str(path), 300)
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            mode = os.fstat(handle).st_mode
            if not stat.S_ISREG(mode):
                raise BadInputError(f"the passphrase file {name!r} is no regular file")
            if mode & _OTHERS:
                raise BadInputError(f"the passphrase file {name!r} is open to others: chmod 600 it")
            return file.read(_LONGEST + 2).removesuffix(b"\n")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not a path"
        raise BadInputError(f"the passphrase file {name!r} cannot be read: {why.lower()}") from error


def _asked(*, new: bool) -> bytes:
    try:
        secret = getpass.getpass("Passphrase of the private key: ")
        if new and getpass.getpass("The same again: ") != secret:
            raise BadInputError("the two passphrases are not the same: nothing was made")
    except EOFError as error:
        raise BadInputError("no passphrase was typed") from error
    return os.fsencode(secret)
