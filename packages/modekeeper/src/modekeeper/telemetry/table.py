"""Comma-separated telemetry: which line is a header, and what a row holds (RFC 4180, one line a record)."""

import csv

from modekeeper.model.ingest import DropReason
from modekeeper.telemetry.fields import KNOB_PREFIXES, LOOKUP, FieldKind

__all__ = ["NOT_A_TABLE", "TableReader"]

NOT_A_TABLE = "not a table"
"""There is no header yet, and the line is none."""

_DELIMITERS = ",;\t|"


class TableReader:
    """Reads rows under the header met last. Files put one behind the other may each bring their own.

    Args:
        expected: the input is known to be CSV, so its first line is the header whatever it says.
    """

    def __init__(self, *, expected: bool) -> None:
        self._expected = expected
        self._header: str | None = None
        self._columns: list[str] = []
        self._delimiter = ","

    @property
    def header(self) -> str | None:
        """The header met last, as it was written."""
        return self._header

    @header.setter
    def header(self, text: str | None) -> None:
        self._header = text
        self._delimiter = _delimiter_of(text or "")
        self._columns = [_column_name(cell) for cell in self._cells(text or "") or []]

    @property
    def columns(self) -> list[str]:
        """Names of the columns, as a record would call them."""
        return self._columns

    @property
    def delimiter(self) -> str:
        """What stands between two cells."""
        return self._delimiter

    def is_header(self, text: str) -> bool:
        """Whether a line, stripped, would be taken for a header where there is one already."""
        return text == self._header or (text[:1].isalpha() and _is_header(text))

    def read(self, text: str) -> dict[str, object] | DropReason | str | None:
        """A row by column name, a reason to drop it, ``None`` for a header, or ``NOT_A_TABLE``."""
        if self._header is None:
            if not (self._expected or _is_header(text)):
                return NOT_A_TABLE
            self.header = text
            return None
        if self.is_header(text):
            self.header = text
            return None
        cells = self._cells(text)
        if cells is None:
            return DropReason.WRONG_SHAPE
        width = len(self._columns)
        if len(cells) != width and (len(cells) < width or any(cells[width:])):
            return DropReason.WRONG_SHAPE
        return dict(zip(self._columns, cells, strict=False))

    def _cells(self, text: str) -> list[str] | None:
        if '"' not in text:
            return text.split(self._delimiter)
        try:
            return next(csv.reader([text], delimiter=self._delimiter, strict=True), [])
        except csv.Error:
            return None


def _is_header(text: str) -> bool:
    """Whether a line names a time and something to go with it."""
    delimiter = _delimiter_of(text)
    names = [_column_name(cell.strip('"')) for cell in text.split(delimiter)]
    targets = [LOOKUP[name].field.kind for name in names if name in LOOKUP]
    knobs = sum(name.startswith(KNOB_PREFIXES) for name in names)
    return FieldKind.TIME in targets and len(targets) + knobs > 1


def _delimiter_of(text: str) -> str:
    return max(_DELIMITERS, key=text.count)


def _column_name(cell: str) -> str:
    """The name a record would use: ``Step Time ms`` is ``step_time_ms``; an unknown name stays as it is."""
    name = cell.strip()
    usual = name.lower().replace(" ", "_")
    return usual if usual in LOOKUP or usual.startswith(KNOB_PREFIXES) else name
