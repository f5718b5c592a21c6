"""Small files a user names: read whole, with a bound."""

from pathlib import Path

from modekeeper.model.errors import BadInputError

__all__ = ["read_small_file"]

_LARGEST_BYTES = 4 * 1024 * 1024


def read_small_file(path: str, what: str, largest_bytes: int = _LARGEST_BYTES) -> bytes:
    """The bytes of ``path``.

    Raises:
        BadInputError: it cannot be read, or is far larger than ``what`` ever is.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(largest_bytes + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise BadInputError(f"cannot read {path!r} as {what}: {why.lower()}. Give a readable file.") from error
    if len(data) > largest_bytes:
        raise BadInputError(f"{path!r} is larger than {largest_bytes // 1024 // 1024} MiB: not {what}.")
    return data
