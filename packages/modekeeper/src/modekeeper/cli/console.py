"""What a person sees: a box and colours on a terminal, plain lines in a pipe."""

import math
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # A noun of signals and findings, that the commands which print no answer start faster without.
    from modekeeper.artifacts.contracts.parts import Answer

__all__ = ["Progress", "print_answer", "print_json", "say", "table", "warn"]

_WIDTH = 80
_LABEL = 8


def say(line: str = "") -> None:
    """One line of the result, on standard output."""
    sys.stdout.write(f"{_printable(line)}\n")


def warn(line: str) -> None:
    """One line beside the result, on standard error."""
    sys.stderr.write(f"{_printable(line)}\n")


def print_json(report: Any) -> None:
    """The whole report on standard output."""
    from modekeeper.artifacts.canonical import document  # noqa: PLC0415 - most calls print no JSON

    sys.stdout.write(document(report).decode())


def print_answer(answer: "Answer") -> None:
    """Verdict, why, cost and next: boxed on a terminal, plain lines in a pipe."""
    rows = [("VERDICT", answer.verdict), *(("WHY" if i == 0 else "", line) for i, line in enumerate(answer.why))]
    rows.append(("COST", answer.cost))
    rows += [("NEXT" if i == 0 else "", line) for i, line in enumerate(answer.next)]
    rows += [("UNKNOWN" if i == 0 else "", line) for i, line in enumerate(answer.unknown)]
    if _rich_terminal():
        _boxed(answer.title, rows)
        return
    say(answer.title)
    for label, text in rows:
        say(f"{label:<{_LABEL}} {text}")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows under a header: aligned columns on a terminal, tabs in a pipe."""
    cells = [[_printable(cell) for cell in row] for row in (header, *rows)]
    if not sys.stdout.isatty():
        for row in cells:
            sys.stdout.write("\t".join(row) + "\n")
        return
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    for row in cells:
        sys.stdout.write("  ".join(f"{cell:<{widths[i]}}" for i, cell in enumerate(row)).rstrip() + "\n")


class Progress:
    """How far a long read has come, on a terminal's standard error only, once it takes over a second.

    Args:
        clock_s: seconds since an arbitrary moment.
        noun: what is counted.
    """

    def __init__(self, clock_s: Any, noun: str = "samples") -> None:
        self._clock_s = clock_s
        self._noun = noun
        self._started_s: float = clock_s()
        self._shown_s = self._started_s
        self._count = 0
        self._on = sys.stderr.isatty()
        self._shown = False

    def advance(self, count: int, share: Callable[[], float | None] = lambda: None) -> None:
        """``count`` more are done, and with them the ``share`` of everything, from 0 to 1, where that is known."""
        self._count += count
        now_s = self._clock_s()
        if not self._on or now_s - self._started_s < 1 or now_s - self._shown_s < 0.2:  # noqa: PLR2004
            return
        self._shown_s = now_s
        self._shown = True
        passed_s = now_s - self._started_s
        done = share()
        left = f", {done:.0%}, {_to_wait(passed_s / done - passed_s)} left" if done else ""
        rate = self._count / passed_s
        sys.stderr.write(f"\r\x1b[K{self._count:,} {self._noun} read, {rate:,.0f} a second{left}")
        sys.stderr.flush()

    def done(self) -> None:
        """Take the line away."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _to_wait(seconds: float) -> str:
    """Rounded up: a wait that is not over is no wait of nothing."""
    from modekeeper.reports.wording import duration  # noqa: PLC0415 - most calls show no progress

    whole = math.ceil(seconds)
    return duration(whole) if whole > 0 else "0 s"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def _rich_terminal() -> bool:
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def _boxed(title: str, rows: Sequence[tuple[str, str]]) -> None:
    from rich.box import ROUNDED, Box  # noqa: PLC0415 - slow to import, and only a terminal needs it
    from rich.console import Console  # noqa: PLC0415
    from rich.panel import Panel  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False)
    grid = Table.grid(padding=(0, 1))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, text in rows:
        grid.add_row(label, Text(_printable(text)))
    box: Box = ROUNDED
    width = min(console.width, 100)
    console.print(Panel(grid, title=Text(_printable(title)), title_align="left", box=box, width=width))
