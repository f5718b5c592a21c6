"""How fast the panel is, all detectors in it.

    python -m benchmarks.detect.speed

Samples a second of one panel in blocks, microseconds for a block of one, and the seconds it takes to give one sample to
each of 10,000 panels: at one sample a second each, that is the share of a core they need. All in processor time, which
other work on the machine disturbs less; medians of several repeats, on panels that have seen 1,500 samples. The streams
are steady step times with 3 % noise and a spike now and then; "all fields" adds loss, throughput, waiting time, the GPU
figures, batch size, node and GPU model, "workers" the step times of eight workers as well. Beside them river's ADWIN on
the step times alone, one value after the other: a peer that does one of the things the panel does.
"""

import argparse
import gc
import importlib.util
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from benchmarks.detect.columns import block_of, cut
from benchmarks.detect.tables import Bar, Section, Table, bars_table

from modekeeper.detect.panel import Panel
from modekeeper.model.block import SampleBlock

__all__ = ["SpeedSize", "main", "speed_section"]

BLOCKS = (1000, 4096)
WORKERS = 8
WARM_SAMPLES = 1500
SPIKE_EVERY = 397
STREAMS = 10_000
POLLED = 10
"""Samples a panel gets at a time where they are collected for ten seconds."""
SAMPLES_A_SECOND = 700_000
MICROSECONDS_OF_ONE = 30.0
CORE_SHARE = 0.25
PAGE = "speed.md"
INTRODUCTION = """# Speed of the detectors, measured

Written by the command below. The numbers are those of one run on one machine with other work on it; what carries over
to another machine is the ratio to the peer that ran beside it.
"""
KINDS = ("step time alone", "all fields", "all fields and workers")


class SpeedSize(NamedTuple):
    """How much is measured."""

    samples: int
    """Of a stream for the blocks."""
    ones: int
    """Blocks of one."""
    panels: int
    """Side by side."""
    repeats: int
    """Of everything."""


def stream(kind: str, samples: int) -> SampleBlock:
    """A steady stream with the columns of ``kind``."""
    rng = np.random.Generator(np.random.PCG64(1))

    def noisy(level: float, noise: float = 0.03) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.asarray(level * (1.0 + noise * rng.standard_normal(samples)))

    values = noisy(900.0)
    values[SPIKE_EVERY::SPIKE_EVERY] *= 3.0
    metrics: dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]] = {"step_time_ms": values}
    if kind == KINDS[0]:
        return block_of(samples, metrics)
    metrics |= {
        "loss": 2.0 + 2.0 / np.sqrt(np.arange(samples) + 1.0) + 0.02 * rng.standard_normal(samples),
        "throughput": 524_288_000.0 / values,
        "data_wait_ms": noisy(25.0, 0.2),
        "gpu_util_pct": np.clip(noisy(82.0), 0.0, 100.0),
        "gpu_mem_used_mb": noisy(61_000.0, 0.001),
        "gpu_mem_total_mb": np.full(samples, 81_920.0),
        "gpu_power_w": noisy(560.0),
        "gpu_temp_c": noisy(64.0),
        "batch_size": np.full(samples, 512.0),
    }
    workers = 880.0 * (1.0 + 0.03 * rng.standard_normal((samples, WORKERS))) if kind == KINDS[2] else None
    nodes, models = ["node-a"] * samples, ["NVIDIA H100 80GB HBM3"] * samples
    return block_of(samples, metrics, workers=workers, node=nodes, gpu_model=models)


def in_blocks(block: SampleBlock, size: int) -> float:
    """Samples a second of a warm panel, the blocks cut beforehand."""
    panel = Panel()
    panel.update(block.part(0, WARM_SAMPLES))
    rest = list(cut(block.part(WARM_SAMPLES, len(block)), size))
    begin = time.process_time()
    for piece in rest:
        panel.update(piece)
    return (len(block) - WARM_SAMPLES) / (time.process_time() - begin)


def one_at_a_time(block: SampleBlock, ones: int) -> float:
    """Microseconds of a block of one, on a warm panel."""
    panel = Panel()
    panel.update(block.part(0, WARM_SAMPLES))
    rest = list(cut(block.part(WARM_SAMPLES, WARM_SAMPLES + ones), 1))
    begin = time.process_time()
    for piece in rest:
        panel.update(piece)
    return 1e6 * (time.process_time() - begin) / ones


def side_by_side(block: SampleBlock, panels: int, rounds: int) -> dict[int, list[float]]:
    """Processor seconds for each sample that all panels get, in ``rounds`` rounds of 1 and of ``POLLED`` samples."""
    first = Panel()
    first.update(block.part(0, WARM_SAMPLES))
    warm, kept = first.snapshot(), []
    for _ in range(panels):
        panel = Panel()
        panel.restore(warm)
        kept.append(panel)
    spent: dict[int, list[float]] = {}
    place = WARM_SAMPLES
    for size in (1, POLLED):
        for _ in range(rounds):
            piece = block.part(place, place + size)
            begin = time.process_time()
            for panel in kept:
                panel.update(piece)
            spent.setdefault(size, []).append((time.process_time() - begin) / size)
            place += size
    return spent


def adwin(values: Sequence[float]) -> tuple[float, float] | None:
    """Samples a second and microseconds a sample of river's ADWIN; ``None`` where river is not installed."""
    if importlib.util.find_spec("river") is None:
        return None
    from river import drift  # noqa: PLC0415 - an optional peer, slow to import

    detector = drift.ADWIN()
    begin = time.process_time()
    for value in values:
        detector.update(value)
    spent = time.process_time() - begin
    return len(values) / spent, 1e6 * spent / len(values)


class Measured(NamedTuple):
    """Of one contender."""

    name: str
    rates: tuple[float, ...]
    """Samples a second for each size of ``BLOCKS``."""
    microseconds: float
    """Of a block of one."""


def speed_section(size: SpeedSize) -> Section:
    """Everything measured; the rate bars are for the slower of the two block sizes, of every kind of stream."""
    measured = [_one_panel(kind, size) for kind in KINDS]
    bars = [bar for one in measured for bar in _bars(one)]
    plain = stream(KINDS[0], size.samples).metrics["step_time_ms"].tolist()
    peers = [found for _ in range(size.repeats) if (found := adwin(plain)) is not None]
    rate, microseconds = (statistics.median(column) for column in zip(*peers, strict=True)) if peers else (0.0, 0.0)
    if peers:
        measured.append(Measured("river ADWIN, step time alone", (rate,) * len(BLOCKS), microseconds))
    rows = [
        (
            one.name,
            *(f"{value:,.0f}" for value in one.rates),
            f"{min(one.rates) / rate:.3f}" if rate else "-",
            f"{one.microseconds:.2f}",
        )
        for one in measured
    ]
    table, bar = _many_panels(size)
    header = ("what", *(f"samples/s, blocks of {n:,}" for n in BLOCKS), "slower rate to ADWIN's", "µs, block of one")
    text = (__doc__ or "").partition("speed\n\n")[2].strip()
    return Section("Speed", text, [Table(header, rows), table], [*bars, bar])


def _one_panel(kind: str, size: SpeedSize) -> Measured:
    block = stream(kind, size.samples)
    rates = tuple(_median(size.repeats, partial(in_blocks, block, samples)) for samples in BLOCKS)
    return Measured(f"panel, {kind}", rates, _median(size.repeats, partial(one_at_a_time, block, size.ones)))


def _bars(one: Measured) -> list[Bar]:
    rate, least = min(one.rates), SAMPLES_A_SECOND
    micros, most = one.microseconds, MICROSECONDS_OF_ONE
    return [
        Bar(f"speed, {one.name}, samples/s", f"{rate:,.0f}", f">= {least:,}", rate >= least),
        Bar(f"speed, {one.name}, block of one", f"{micros:.1f} µs", f"< {most:g} µs", micros < most),
    ]


def _many_panels(size: SpeedSize) -> tuple[Table, Bar]:
    block = stream(KINDS[1], WARM_SAMPLES + (1 + POLLED) * size.repeats)
    spent = side_by_side(block, size.panels, size.repeats)
    rows = [
        (
            f"{size.panels:,} panels, all fields, {'one sample' if samples == 1 else f'{samples} samples'} at a time",
            f"{statistics.median(seconds):.3f}",
            f"{min(seconds):.3f}",
            f"{max(seconds):.3f}",
        )
        for samples, seconds in spent.items()
    ]
    share = statistics.median(spent[1]) * STREAMS / size.panels
    name = f"speed, {STREAMS:,} streams at one sample a second"
    header = ("side by side", "processor s for a sample each, median", "least", "most")
    return Table(header, rows), Bar(name, f"{share:.2f} cores", f"< {CORE_SHARE:g}", share < CORE_SHARE)


def _median(repeats: int, measure: Callable[[], float]) -> float:
    gc.collect()
    return statistics.median(measure() for _ in range(repeats))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="How fast the panel of detectors is.")
    parser.add_argument("--samples", type=int, default=100_000, help="of a stream for the blocks")
    parser.add_argument("--panels", type=int, default=10_000, help="side by side")
    parser.add_argument("--repeats", type=int, default=5, help="of everything; the median counts")
    parser.add_argument("--out", type=Path, help=f"folder for {PAGE}")
    options = parser.parse_args(arguments)
    if options.samples < 2 * WARM_SAMPLES or min(options.panels, options.repeats) < 1:
        sys.stderr.write(f"ERROR: give at least {2 * WARM_SAMPLES} samples, 1 panel and 1 repeat.\n")
        return 2
    ones = min(3000, options.samples - WARM_SAMPLES)
    section = speed_section(SpeedSize(options.samples, ones, options.panels, options.repeats))
    text = bars_table(section.bars).markdown() + "\n\n" + section.markdown()
    print(text)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        command = " ".join(["python -m benchmarks.detect.speed", *(sys.argv[1:] if arguments is None else arguments)])
        page = f"{INTRODUCTION.strip()}\n\n```sh\n{command}\n```\n\n## Bars\n\n{text}\n"
        (options.out / PAGE).write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
