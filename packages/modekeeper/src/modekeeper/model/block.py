"""Samples as columns: what telemetry hands to the detectors."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modekeeper.model.sample import METRIC_COLUMNS, Sample

__all__ = ["MISSING_STEP", "PAUSE_PHASES", "FloatColumn", "OneSample", "Rows", "SampleBlock", "is_pause"]

FloatColumn = NDArray[np.float64]
Rows = slice | NDArray[np.intp]
"""Rows of a block in order: a slice where they are all or one run of them, which copies nothing."""
MISSING_STEP = -1
PAUSE_PHASES = frozenset(
    {"eval", "evaluate", "evaluation", "valid", "validate", "validation", "val", "test", "checkpoint", "save"}
)
"""What a job calls the samples that are no training steps."""


def is_pause(phase: str | None) -> bool:
    """Whether the job says that this sample is an evaluation or a checkpoint."""
    return phase is not None and phase.strip().lower() in PAUSE_PHASES


class OneSample(NamedTuple):
    """The only sample of a block, as plain numbers."""

    at_index: int
    step: int
    """``-1`` where the record named none."""
    ts_ms: int
    paused: bool
    """Whether the job says that it is an evaluation or a checkpoint."""
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True)
class SampleBlock:
    """``n`` samples in their final order, stored as columns.

    How a stream is cut into blocks carries no meaning: consumers must give the same result for any cut.

    Attributes:
        first_index: position of the first sample among all accepted samples of the stream, from 0.
        ts_ms: ``int64[n]``, Unix milliseconds, never decreasing.
        step: ``int64[n]``; ``-1`` where the record named no step.
        metrics: one ``float64[n]`` for each name of ``METRIC_COLUMNS``; ``NaN`` where missing, and ``+inf`` in
            ``loss`` where the trainer printed a loss that is not finite.
        workers: ``float64[n, w]`` milliseconds, ``w`` the largest worker count in the block (0 if none), padded
            with ``NaN``.
        worker_groups, node, gpu_model, phase, knobs: one entry a sample, ``None`` where missing.
    """

    first_index: int
    ts_ms: NDArray[np.int64]
    step: NDArray[np.int64]
    metrics: Mapping[str, FloatColumn]
    workers: FloatColumn
    worker_groups: Sequence[tuple[str, ...] | None]
    node: Sequence[str | None]
    gpu_model: Sequence[str | None]
    phase: Sequence[str | None]
    knobs: Sequence[Mapping[str, float] | None] = field(repr=False)
    _judged: dict[str, Rows] = field(default_factory=dict, init=False, repr=False, compare=False)
    _paused: list[frozenset[str | None]] = field(default_factory=list, init=False, repr=False, compare=False)
    _only: list[OneSample] = field(default_factory=list, init=False, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.ts_ms)

    @classmethod
    def from_samples(cls, samples: Sequence[Sample], first_index: int) -> "SampleBlock":
        """Columns of ``samples``, whose first one is sample number ``first_index`` of the stream."""
        return cls(
            first_index=first_index,
            ts_ms=np.array([s.ts_ms for s in samples], dtype=np.int64),
            step=np.array([MISSING_STEP if s.step is None else s.step for s in samples], dtype=np.int64),
            metrics={name: _column(getattr(s, name) for s in samples) for name in METRIC_COLUMNS},
            workers=_padded([s.worker_latencies_ms for s in samples]),
            worker_groups=[s.worker_groups for s in samples],
            node=[s.node for s in samples],
            gpu_model=[s.gpu_model for s in samples],
            phase=[s.phase for s in samples],
            knobs=[s.knobs for s in samples],
        )

    def part(self, start: int, stop: int) -> "SampleBlock":
        """Samples ``start`` up to ``stop`` of this block (positions in the block, from 0)."""
        return SampleBlock(
            first_index=self.first_index + start,
            ts_ms=self.ts_ms[start:stop],
            step=self.step[start:stop],
            metrics={name: column[start:stop] for name, column in self.metrics.items()},
            workers=self.workers[start:stop],
            worker_groups=self.worker_groups[start:stop],
            node=self.node[start:stop],
            gpu_model=self.gpu_model[start:stop],
            phase=self.phase[start:stop],
            knobs=self.knobs[start:stop],
        )

    def only(self) -> OneSample:
        """The sample of a block of one; numbers that were read once are cheaper than columns."""
        if not self._only:
            metrics = {name: column.item(0) for name, column in self.metrics.items()}
            step, ts_ms = self.step.item(0), self.ts_ms.item(0)
            self._only.append(OneSample(self.first_index, step, ts_ms, is_pause(self.phase[0]), metrics))
        return self._only[0]

    def training_rows(self, name: str) -> Rows:
        """Rows that hold a finite number of one metric and are no evaluation or checkpoint."""
        rows = self._judged.get(name)
        if rows is None:
            rows = self._judged[name] = self._find_training_rows(name)
        return rows

    def _find_training_rows(self, name: str) -> Rows:
        column = self.metrics[name]
        usable = np.isfinite(column)
        paused = self.pauses()
        if paused:
            usable &= np.fromiter((phase not in paused for phase in self.phase), np.bool_, len(column))
        count = int(np.count_nonzero(usable))
        return slice(0, count) if count in (0, len(column)) else np.flatnonzero(usable)

    def pauses(self) -> frozenset[str | None]:
        """The phases of this block that are an evaluation or a checkpoint, as the job spells them."""
        if not self._paused:
            self._paused.append(frozenset(phase for phase in set(self.phase) if is_pause(phase)))
        return self._paused[0]

    def step_at(self, position: int) -> int | None:
        """The step of one sample, ``None`` where its record named none."""
        step = int(self.step[position])
        return None if step == MISSING_STEP else step


def _column(values: Iterable[float | None]) -> FloatColumn:
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)


def _padded(rows: Sequence[tuple[float, ...] | None]) -> FloatColumn:
    width = max((len(row) for row in rows if row), default=0)
    table = np.full((len(rows), width), np.nan)
    for position, row in enumerate(rows):
        if row:
            table[position, : len(row)] = row
    return table
