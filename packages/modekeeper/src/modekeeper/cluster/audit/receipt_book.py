"""The receipts on disk, as a book: what we wrote last, for each key of each object."""

import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from modekeeper.artifacts.canonical import plain
from modekeeper.artifacts.contracts.k8s_apply import Receipt, receipt_digest
from modekeeper.model.errors import BadInputError
from modekeeper.policy.strict_json import read_strict
from modekeeper.policy.wording import shown

__all__ = ["Book", "Slot", "has_receipts", "no_receipts", "read_book", "runs_in"]

RUNS = "door"
"""Where an apply keeps its runs, below the folder of its artifacts: ``door/0001/receipts/0001.json``."""
_RUN = re.compile(r"[0-9]{4,9}")
_RECEIPT = re.compile(r"([0-9]{4,9})\.json")
_LONGEST_BYTES = 4 * 2**20
_MOST_RECEIPTS = 1_000_000


class Slot(NamedTuple):
    """One annotation of one object, wherever its name leads today."""

    uid: str
    place: tuple[str, ...]
    """``("metadata", "annotations")``, or those of the pod template."""
    key: str


class Book(NamedTuple):
    """What the newest receipt says of each slot. ``None``: that the key was removed."""

    written: Mapping[Slot, str | None]
    receipts: int


def no_receipts() -> Book:
    """The book of a folder in which nothing was applied yet."""
    return Book({}, 0)


def has_receipts(folder: Path) -> bool:
    """Whether something was applied in the folder."""
    return (folder / RUNS).is_dir()


def runs_in(folder: Path) -> int:
    """So many runs of an apply or a rollback have been begun in the folder."""
    runs = folder / RUNS
    return sum(1 for each in runs.iterdir() if _RUN.fullmatch(each.name)) if runs.is_dir() else 0


def read_book(folder: Path) -> Book:
    """Every receipt below ``folder``, which is the ``--out`` of the applies; none are there before the first one.

    Raises:
        BadInputError: there is no such folder; a receipt cannot be read, or is not what its digest was made from.
    """
    if not folder.is_dir():
        raise BadInputError(f"there is no folder {shown(str(folder), 200)!r} with receipts. Name the --out of applies.")
    written: dict[Slot, str | None] = {}
    count = 0
    try:
        for path in _paths(folder / RUNS):
            receipt = _receipt(path)
            count += 1
            if count > _MOST_RECEIPTS:
                raise BadInputError(f"{shown(str(folder), 200)!r} holds too many receipts.")
            for key, value in receipt.after.items():
                written[Slot(receipt.uid, receipt.place, key)] = value
    except OSError as error:
        why = (error.strerror or type(error).__name__).lower()
        raise BadInputError(f"the receipts in {shown(str(folder), 200)!r} cannot be read: {why}.") from error
    return Book(written, count)


def _paths(runs: Path) -> Iterator[Path]:
    """In the order they were written."""
    if not runs.is_dir():
        return
    for run in sorted((each for each in runs.iterdir() if _RUN.fullmatch(each.name)), key=lambda each: int(each.name)):
        folder = run / "receipts"
        if folder.is_dir():
            found = [each for each in folder.iterdir() if _RECEIPT.fullmatch(each.name)]
            yield from sorted(found, key=lambda each: int(each.stem))


def _receipt(path: Path) -> Receipt:
    found, faults = read_strict(_bytes(path), longest=_LONGEST_BYTES)
    try:
        receipt = msgspec.convert(found, Receipt, strict=True)
    except msgspec.ValidationError as error:
        raise _damaged(path, shown(str(error), 160)) from None
    if faults or plain(receipt) != found:
        raise _damaged(path, faults[0].message if faults else "it holds more or less than a receipt of this release")
    if receipt.digest != receipt_digest(receipt):
        raise _damaged(path, "it is not what its digest was made from: it was changed")
    return receipt


def _bytes(path: Path) -> bytes:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise _damaged(path, "it is no file")
        return file.read(_LONGEST_BYTES + 1)


def _damaged(path: Path, why: str) -> BadInputError:
    name = "/".join(path.parts[-4:])
    return BadInputError(f"the receipt {shown(name, 200)!r} cannot be relied on: {why}. Restore it from a backup.")
