"""Telemetry for tests of the loop."""

from itertools import pairwise

import numpy as np

from modekeeper.model.block import SampleBlock
from modekeeper.model.sample import Sample

KNOBS = {"dataloader_prefetch_factor": 2.0, "concurrency": 4.0, "timeout_ms": 30000.0}


def slow_input(
    samples: int = 900, *, onset: int = 300, end: int | None = None, knobs: dict[str, float] | None = KNOBS
) -> list[Sample]:
    """A job whose loader falls behind between ``onset`` and ``end``."""
    rng = np.random.default_rng(7)
    noise = rng.normal(0, 2, samples)
    out = []
    for index in range(samples):
        slow = onset <= index < (samples if end is None else end)
        wait = 60.0 if slow else 10.0
        out.append(
            Sample(
                ts_ms=1_700_000_000_000 + index * 1000,
                step=index + 1,
                step_time_ms=float(round(200 + wait + noise[index], 3)),
                data_wait_ms=wait,
                node="node-a",
                gpu_model="H100",
                knobs=knobs,
            )
        )
    return out


def block(samples: list[Sample], first_index: int = 0) -> SampleBlock:
    return SampleBlock.from_samples(samples, first_index)


def cut(samples: list[Sample], cuts: list[int]) -> list[SampleBlock]:
    """The samples as blocks that end at ``cuts``."""
    borders = [0, *sorted({c for c in cuts if 0 < c < len(samples)}), len(samples)]
    return [block(samples[start:stop], start) for start, stop in pairwise(borders) if stop > start]
