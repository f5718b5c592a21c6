"""Streams for the tests: samples from columns, panels fed in any cut, real traces."""

import gzip
import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modekeeper.detect.panel import Panel
from modekeeper.model.block import SampleBlock
from modekeeper.model.sample import Sample
from modekeeper.model.signal import Phase, Signal, SignalKind

__all__ = ["confirmed", "feed", "noisy", "of_kind", "read_trace", "run", "stream"]

DATA = Path(__file__).parent / "data"
Column = Sequence[Any] | NDArray[Any]


def noisy(level: float, samples: int, *, noise: float = 0.01, seed: int = 0) -> NDArray[np.float64]:
    """A steady series: ``level`` with a relative standard deviation of ``noise``."""
    return level * (1.0 + noise * np.random.default_rng(seed).standard_normal(samples))


def stream(**columns: Column) -> list[Sample]:
    """Samples a second apart; ``None`` and NaN mean that the record did not carry the field."""
    length = len(next(iter(columns.values())))
    rows = []
    for i in range(length):
        values = {name: column[i] for name, column in columns.items()}
        known = {name: v for name, v in values.items() if not (v is None or (isinstance(v, float) and np.isnan(v)))}
        rows.append(Sample(**{"ts_ms": 1000 * i, "step": i + 100, **known}))
    return rows


def feed(panel: Panel, samples: Sequence[Sample], first: int = 0, cuts: Iterable[int] = ()) -> list[Signal]:
    """Signals of ``samples``, cut into blocks at the positions ``cuts``."""
    edges = [0, *sorted(c for c in set(cuts) if 0 < c < len(samples)), len(samples)]
    signals: list[Signal] = []
    for start, stop in pairwise(edges):
        signals += panel.update(SampleBlock.from_samples(samples[start:stop], first + start))
    return signals


def run(samples: Sequence[Sample]) -> list[Signal]:
    """All signals of a stream, the concluding ones last."""
    panel = Panel()
    return feed(panel, samples) + panel.conclude()


def of_kind(signals: Iterable[Signal], kind: SignalKind, metric: str | None = None) -> list[Signal]:
    return [s for s in signals if s.kind is kind and metric in (None, s.metric)]


def confirmed(signals: Iterable[Signal], kind: SignalKind) -> list[Signal]:
    return [s for s in of_kind(signals, kind) if s.phase is Phase.CONFIRMED]


def read_trace(name: str, groups: tuple[str, ...] | None = None) -> list[Sample]:
    """A cut of a real trace; see ``data/README.md``."""
    samples = []
    with gzip.open(DATA / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            workers = row.get("worker_latencies_ms")
            samples.append(
                Sample(
                    ts_ms=int(datetime.fromisoformat(row["ts"]).timestamp() * 1000),
                    step=row.get("step"),
                    step_time_ms=row.get("step_time_ms"),
                    loss=row.get("loss"),
                    throughput=row.get("throughput"),
                    node=row.get("node"),
                    gpu_model=row.get("gpu_model"),
                    worker_latencies_ms=None if workers is None else tuple(workers),
                    worker_groups=groups,
                )
            )
    return samples
