"""The labelled traces, each read once and kept as columns."""

import gzip
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from benchmarks.detect.columns import block_of

from modekeeper.model.block import FloatColumn, SampleBlock
from modekeeper.model.sample import METRIC_COLUMNS

__all__ = ["HELD_OUT", "OPEN", "STEADY", "Trace", "TraceFolder", "steady_stretch"]

STEADY = ("nanogpt_flat", "mlperf_gnn_iter", "mlperf_gnn_wall", "mlperf_llm")
"""Without changes: every drift is a false alarm."""
OPEN = ("nanogpt_step", "nanogpt_ramp", *STEADY)
HELD_OUT = ("sap_hana", "nab")
"""Nothing was chosen by looking at them, and they are no training jobs: a database's nightly tests, and the
Numenta anomaly benchmark."""


LISTED_CHANGE = 0.01


class Row(msgspec.Struct):
    """One line of a trace file."""

    ts: datetime
    step: int | None = None
    step_time_ms: float | None = None
    loss: float | None = None
    throughput: float | None = None
    worker_latencies_ms: list[float] | None = None
    node: str | None = None
    gpu_model: str | None = None


class Trace(msgspec.Struct, frozen=True):
    """One labelled trace."""

    suite: str
    name: str
    block: SampleBlock
    label: dict[str, Any]

    @property
    def changes(self) -> list[int]:
        """Sample numbers of the labelled changes."""
        return [change["i"] for change in self.label.get("change_points") or []]

    @property
    def small_changes(self) -> list[int]:
        """Sample numbers of changes that are listed but too small to be demanded (mostly 1 to 3 %)."""
        return [change["i"] for change in self.label.get("weak_changes") or []]

    @property
    def step_time_ms(self) -> FloatColumn:
        """``float64[n]``, NaN where the record had none."""
        return self.block.metrics["step_time_ms"]

    @property
    def settled_ms(self) -> FloatColumn:
        """The step times after the warm-up that the label names."""
        return self.step_time_ms[self.label.get("warmup", 0) :]


class TraceFolder:
    """The folder of the traces; ``labels.json`` in it says what each of them is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._labels: dict[str, dict[str, Any]] = msgspec.json.decode((folder / "labels.json").read_bytes())
        self._kept: dict[str, tuple[Trace, ...]] = {}
        self._lines = msgspec.json.Decoder(Row)

    def suite(self, suite: str) -> Sequence[Trace]:
        """All traces of one suite, in the order of their names."""
        if suite not in self._kept:
            names = sorted(name for name, label in self._labels.items() if label["suite"] == suite)
            self._kept[suite] = tuple(self._read(name) for name in names)
        return self._kept[suite]

    def _read(self, name: str) -> Trace:
        with gzip.open(self._folder / "traces" / f"{name}.jsonl.gz") as lines:
            rows = self._lines.decode_lines(lines.read())
        label = self._labels[name]
        return Trace(label["suite"], name, _columns(rows), label)


def _columns(rows: Sequence[Row]) -> SampleBlock:
    measured = [name for name in METRIC_COLUMNS if hasattr(Row, name)]
    metrics = {
        name: np.array([np.nan if (value := getattr(row, name)) is None else value for row in rows])
        for name in measured
    }
    has_workers = rows[0].worker_latencies_ms is not None
    return block_of(
        len(rows),
        metrics,
        ts_ms=np.array([round(row.ts.timestamp() * 1000) for row in rows], dtype=np.int64),
        step=np.array([-1 if row.step is None else row.step for row in rows], dtype=np.int64),
        workers=np.array([row.worker_latencies_ms for row in rows]) if has_workers else None,
        node=[row.node for row in rows],
        gpu_model=[row.gpu_model for row in rows],
    )


def steady_stretch(run: Trace, least: int, most: int, rng: np.random.Generator) -> FloatColumn | None:
    """A random stretch after the warm-up, of random length; ``None`` where it holds a listed change of 1 % or more."""
    values = run.settled_ms
    samples = int(rng.integers(least, min(most, len(values)) + 1))
    start = int(rng.integers(0, len(values) - samples + 1))
    skipped = len(run.step_time_ms) - len(values)
    listed = [c["i"] - skipped for c in run.label.get("weak_changes") or [] if abs(c["shift"]) >= LISTED_CHANGE]
    return None if any(start < change < start + samples for change in listed) else values[start : start + samples]
