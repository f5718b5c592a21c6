"""Which workers a row of worker times tells of, and in which groups.

The columns of a block are padded, so a row that ends early may be one whose last ranks were silent, or one of a job
with fewer workers. Fewer workers are believed after some rows in a row; more workers, or other groups, at once.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from modekeeper.detect.peers import FEWEST_PEERS
from modekeeper.model.block import SampleBlock

__all__ = ["Groups", "Layout", "LayoutWatch", "WorkerRows"]

Groups = tuple[str, ...] | None
SHRINK_ROWS = 5
"""Rows in a row without the last ranks after which the job is said to have fewer workers."""


class Layout(NamedTuple):
    """Number of workers, and the group of each where the job names them."""

    workers: int
    groups: Groups


class WorkerRows(NamedTuple):
    """The rows of a block that tell of workers in training."""

    rows: NDArray[np.intp]
    widths: NDArray[np.intp]
    """One more than the last rank with a time."""
    groups: Sequence[Groups]

    @classmethod
    def of(cls, block: SampleBlock) -> "WorkerRows":
        """Rows with any worker time that are no evaluation or checkpoint."""
        there = ~np.isnan(block.workers)
        width = there.shape[1]
        widths = np.where(there.any(axis=1), width - np.argmax(there[:, ::-1], axis=1), 0)
        paused = block.pauses()
        if paused:
            widths[[phase in paused for phase in block.phase]] = 0
        if widths.all():
            return cls(np.arange(len(widths)), widths, block.worker_groups)
        rows = np.flatnonzero(widths)
        return cls(rows, widths[rows], [block.worker_groups[row] for row in rows.tolist()])

    def are_alike(self) -> bool:
        """Whether all rows name the same workers and groups."""
        return bool((self.widths == self.widths[0]).all()) and self.groups.count(self.groups[0]) == len(self.groups)


class LayoutWatch:
    """The present layout, and whether rows still belong to it."""

    def __init__(self) -> None:
        self.layout = Layout(0, None)
        self._short_rows = 0
        self._short_width = 0

    def take(self, width: int, groups: Groups) -> Layout | None:
        """The layout that the next row begins; ``None`` if it belongs to the present one."""
        now = self.layout
        if max(width, now.workers) < FEWEST_PEERS:
            return None
        if groups is not None and len(groups) >= width:
            wanted = Layout(len(groups), groups)
        elif now.groups is not None and width <= now.workers:
            wanted = now
        else:
            wanted = Layout(width, None)
        if wanted.groups is None and now.groups is None and wanted.workers < now.workers:
            self._short_rows += 1
            self._short_width = max(self._short_width, width)
            if self._short_rows < SHRINK_ROWS:
                return None
            wanted = Layout(self._short_width, None)
        self._short_rows = self._short_width = 0
        if wanted == now:
            return None
        self.layout = wanted
        return wanted

    def stretch(self, rows: WorkerRows, start: int, *, alike: bool) -> tuple[int, Layout | None]:
        """Up to which row, from ``start`` on, rows belong to the present layout, and the layout the next one begins."""
        for row in range(start, len(rows.rows)):
            begun = self.take(int(rows.widths[row]), rows.groups[row])
            if begun is not None:
                return row, begun
            if alike and self._short_rows == 0:
                break
        return len(rows.rows), None

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON values."""
        groups = self.layout.groups
        return {
            "workers": self.layout.workers,
            "groups": None if groups is None else list(groups),
            "short_rows": self._short_rows,
            "short_width": self._short_width,
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take over a :meth:`snapshot`."""
        groups = snapshot["groups"]
        self.layout = Layout(snapshot["workers"], None if groups is None else tuple(groups))
        self._short_rows, self._short_width = snapshot["short_rows"], snapshot["short_width"]
