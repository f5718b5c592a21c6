"""Rows of a table to columns, many at once: rows of plain cells; any other row is read on its own."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modekeeper.model.block import MISSING_STEP
from modekeeper.model.sample import METRIC_COLUMNS
from modekeeper.telemetry.batch import Integers
from modekeeper.telemetry.fields import KNOB_PREFIXES, LOOKUP, FieldKind, Target
from modekeeper.telemetry.moments import UNDECIDED, iso_column, number_column, whole_column
from modekeeper.telemetry.record_columns import Columns
from modekeeper.telemetry.scan import places_of
from modekeeper.telemetry.table import TableReader

__all__ = ["is_simple", "may_be_headers", "plain_rows", "table_columns"]

_DIGITS = re.compile(r"[0-9]*")
_NUMBERS = re.compile(r"[0-9.\-]*")
_NUMBER = re.compile(r"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)|")
_EXACT_DIGITS = 18
_SPACES = np.frombuffer(b" \t\v\f", np.uint8)


def is_simple(table: TableReader) -> bool:
    """Whether each column that is read holds one value, and no two the same one."""
    targets = [LOOKUP[name] for name in table.columns if name in LOOKUP]
    fields = [target.field.name for target in targets]
    single = {FieldKind.TIME, FieldKind.COUNTER, FieldKind.NUMBER, FieldKind.TEXT}
    return (
        all(target.field.kind in single for target in targets)
        and len(set(fields)) == len(fields)
        and "ts_ms" in fields
        and not any(name.startswith(KNOB_PREFIXES) for name in table.columns)
    )


def plain_rows(text: bytes, begins: Integers, ends: Integers, table: TableReader) -> NDArray[np.bool_]:
    """Lines with as many cells as the header has, and nothing but plain ASCII in them."""
    view = np.frombuffer(text, np.uint8)
    firsts, lasts = view[begins], view[ends - 1]
    lasts = np.where(lasts == ord("\r"), view[np.maximum(ends - 2, 0)], lasts)
    cells = np.diff(np.searchsorted(places_of(table.delimiter, text), np.append(begins, len(text)))) + 1
    plain: NDArray[np.bool_] = (cells == len(table.columns)) & (ends > begins) & (firsts != ord("{"))
    plain &= ~np.isin(firsts, _SPACES) & ~np.isin(lasts, _SPACES) & (lasts != ord("\r"))
    if b'"' in text:
        plain[np.searchsorted(ends, places_of('"', text))] = False
    if not text.isascii():
        plain[np.searchsorted(ends, np.flatnonzero(view >= 0x80))] = False  # noqa: PLR2004 - beyond ASCII
    if b"\r" in text:
        # In the middle of a line it is part of a cell.
        returns = places_of("\r", text)
        within = returns[view[returns + 1] != ord("\n")]
        plain[np.searchsorted(ends, within)] = False
    return plain


def may_be_headers(text: bytes, begins: Integers, plain: NDArray[np.bool_], table: TableReader) -> list[int]:
    """Lines that may be another header: all that are not plain, and those that begin as a header does."""
    firsts = np.frombuffer(text, np.uint8)[begins]
    letters = ((firsts >= ord("A")) & (firsts <= ord("Z"))) | ((firsts >= ord("a")) & (firsts <= ord("z")))
    begins_so = firsts == (table.header or " ").encode("utf-8", "replace")[0]
    found: list[int] = np.flatnonzero(~plain | letters | begins_so).tolist()
    return found


def table_columns(
    rows: Sequence[bytes], table: TableReader, known_name: Callable[[str], str | None]
) -> tuple[Columns, set[int]]:
    """Plain rows as columns, and those of them in which a cell needs a second look."""
    width, count = len(table.columns), len(rows)
    cells = b"\n".join(rows).decode("ascii").replace("\r", "").replace("\n", table.delimiter).split(table.delimiter)
    doubtful: set[int] = set()
    ts_ms = np.full(count, UNDECIDED)
    step = np.full(count, MISSING_STEP)
    metrics = np.full((len(METRIC_COLUMNS), count), np.nan)
    names: dict[str, Sequence[Any]] = {}
    for place, name in enumerate(table.columns):
        target = LOOKUP.get(name)
        if target is None:
            continue
        column = cells[place::width]
        field = target.field
        if field.kind is FieldKind.TIME:
            ts_ms = _times(column, target)
        elif field.kind is FieldKind.COUNTER:
            step = _steps(column, doubtful)
        elif field.kind is FieldKind.NUMBER:
            with np.errstate(over="ignore"):
                scaled = _numbers(column, doubtful) * (target.scale or 1.0)
            metrics[METRIC_COLUMNS.index(field.name)] = scaled + 0.0
        else:
            known = {cell: known_name(cell) for cell in set(column)}
            names[field.name] = [known[cell] for cell in column]
    return {"ts_ms": ts_ms, "step": step, "metrics": metrics, "workers": None, "names": names}, doubtful


def _times(column: list[str], target: Target) -> Integers:
    joined = "".join(column)
    if _DIGITS.fullmatch(joined) and all(map(_is_short, column)):
        return whole_column(np.array(list(map(int, column)), np.int64), target.scale)
    if _NUMBERS.fullmatch(joined) and "-" not in joined:
        # With a point in it, it was read as a number with a fraction.
        times = number_column(_numbers(column, set()), target.scale)
        times[["." not in cell for cell in column]] = UNDECIDED
        return times
    return iso_column("\n".join(column) + "\n", target.scale)


def _is_short(cell: str) -> bool:
    return 0 < len(cell) <= _EXACT_DIGITS


def _steps(column: list[str], doubtful: set[int]) -> Integers:
    if not (_DIGITS.fullmatch("".join(column)) and all(map(_is_short, column))):
        column = list(column)
        for at, cell in enumerate(column):
            if not cell or len(cell) > _EXACT_DIGITS or not cell.isdigit():
                if cell:
                    doubtful.add(at)
                column[at] = "-1"
    return np.array(list(map(int, column)), np.int64)


def _numbers(column: list[str], doubtful: set[int]) -> NDArray[np.float64]:
    """Cells as numbers, ``NaN`` where one is empty."""
    if _NUMBERS.fullmatch("".join(column)) and "" not in column:
        try:
            return np.array(list(map(float, column)))
        except ValueError:
            pass
    numbers: list[float] = []
    for at, cell in enumerate(column):
        if not _NUMBER.fullmatch(cell):
            doubtful.add(at)
        numbers.append(float(cell) if cell and at not in doubtful else np.nan)
    return np.array(numbers)
