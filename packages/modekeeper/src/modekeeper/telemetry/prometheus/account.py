"""What happened to the points of one window: counts by reason, and the first few of each as examples."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modekeeper.model.block import FloatColumn
from modekeeper.model.ingest import DropReason, RepairReason
from modekeeper.telemetry.counting import EXCERPT_BYTES, IngestTally

__all__ = ["Account", "Place"]

_EXAMPLES_EACH = 3


class Place(NamedTuple):
    """Where a series stands: which question, which of its series, and what a person calls it."""

    query: int
    series: int
    metric: str
    of: str


class _Example(NamedTuple):
    """One point. Sorts by time, then as the questions are asked, so that windows may be cut anywhere."""

    point: int
    place: Place
    value: float


class Account:
    """The fate of every point of a window. It is only told to the tally once the whole window is known."""

    def __init__(self) -> None:
        self._accepted = 0
        self._counts: Counter[DropReason | RepairReason] = Counter()
        self._examples: dict[DropReason | RepairReason, list[_Example]] = {}
        self.blanks = 0
        """How many of the dropped points said that DCGM has no value."""

    def accept(self, count: int) -> None:
        """Points taken as they were."""
        self._accepted += count

    def note(
        self, reason: DropReason | RepairReason, place: Place, points: NDArray[np.int64], values: FloatColumn
    ) -> None:
        """Points of one series that were dropped or repaired.

        Args:
            reason: why.
            place: the series.
            points: their grid points in the window; -1 where they lie on none.
            values: what the server said.
        """
        if not len(points):
            return
        self._counts[reason] += len(points)
        first = np.argsort(points, kind="stable")[:_EXAMPLES_EACH]
        known = self._examples.setdefault(reason, [])
        known.extend(_Example(int(points[at]), place, float(values[at])) for at in first)
        known.sort(key=lambda each: (each.point, each.place))
        del known[_EXAMPLES_EACH:]

    def tell(self, tally: IngestTally, first_line: int) -> None:
        """Count everything.

        Args:
            tally: the account of the whole stream.
            first_line: number of the window's first grid point in the stream, from 1.
        """
        tally.accept(self._accepted)
        for reason, count in self._counts.items():
            for example in _repeated(self._examples[reason], count):
                source, line = example.place.metric, first_line + max(0, example.point)
                # The value comes first: an excerpt is cut, and names may be long.
                excerpt = f"{example.value:.17g} {example.place.of}".encode("utf-8", "replace")[:EXCERPT_BYTES]
                if isinstance(reason, DropReason):
                    tally.drop(reason, source, line, excerpt)
                else:
                    tally.repair((reason,), source, line, excerpt)


def _repeated(examples: list[_Example], count: int) -> Iterator[_Example]:
    yield from examples
    for _ in range(count - len(examples)):
        yield examples[-1]
