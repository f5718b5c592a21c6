"""Results as Markdown: tables, and one line for each bar."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["Bar", "Section", "Table", "bars_table", "median_of", "median_text", "rate_text"]


@dataclass(frozen=True, slots=True)
class Table:
    """A Markdown table; ``left`` columns are text, the rest numbers."""

    header: Sequence[str]
    rows: Sequence[Sequence[object]]
    left: int = 1

    def markdown(self) -> str:
        """The table, one line a row."""
        marks = ["---"] * self.left + ["--:"] * (len(self.header) - self.left)
        lines = [self.header, marks, *self.rows]
        return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


@dataclass(frozen=True, slots=True)
class Bar:
    """One thing that is wanted, and what was measured. ``held`` is ``None`` where it could not be told."""

    name: str
    measured: str
    wanted: str
    held: bool | None


@dataclass(frozen=True, slots=True)
class Section:
    """What one part of the bench found."""

    title: str
    text: str
    tables: Sequence[Table]
    bars: Sequence[Bar] = field(default=())

    def markdown(self) -> str:
        """Heading, explanation, tables."""
        return "\n\n".join([f"## {self.title}", self.text, *(table.markdown() for table in self.tables)])


def bars_table(bars: Sequence[Bar]) -> Table:
    """Bar, measured, wanted, whether it held."""
    words = {True: "yes", False: "**no**", None: "?"}
    return Table(
        ("bar", "measured", "wanted", "ok"), [(b.name, b.measured, b.wanted, words[b.held]) for b in bars], left=4
    )


def median_of(values: Sequence[float]) -> float:
    """The median; infinite where there is none."""
    return float(statistics.median(values)) if values else float("inf")


def median_text(values: Sequence[float], digits: int = 0) -> str:
    """The median, or a dash where there is none."""
    return f"{statistics.median(values):.{digits}f}" if values else "-"


def rate_text(count: float, of: float, per: float = 1000.0, digits: int = 3) -> str:
    """``count`` per ``per`` of ``of``, or a dash of nothing."""
    return f"{per * count / of:.{digits}f}" if of else "-"
