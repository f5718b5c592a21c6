"""Changes of known place and size, made from steady runs.

Two ways: a stretch of a steady run, slower or faster by a given share from a random sample on; or the beginning of
one run and another run of the same suite behind it, scaled to the wanted ratio of their medians. Between 150 and 600
samples lie before the change and 150 to 400 after it (shorter runs: what they have). Everything is drawn from the
seeds, so other seeds give other pieces; nothing can be tuned to one draw. Stretches with a listed schedule change of
1 % or more are not used.

F1 counts a change as found when a drift is confirmed within 100 samples after it, and every other merged alarm on the
same pieces as false. All changes are abrupt, of 3 to 34 %, as often up as down.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from benchmarks.detect.columns import step_times
from benchmarks.detect.protocol import SUSPECTED_WITHIN, Detector, match
from benchmarks.detect.tables import Bar, Section, Table, median_of, median_text
from benchmarks.detect.traces import Trace, TraceFolder, steady_stretch

from modekeeper.model.block import FloatColumn, SampleBlock

__all__ = ["BANDS", "BandScore", "Piece", "pieces", "score_pieces", "splices_section"]

BANDS = ((0.03, 0.05), (0.05, 0.10), (0.10, 0.20), (0.20, 0.34))
SMALL, LARGE = 0.10, 0.20
SOURCES = ("nanogpt_flat", "mlperf_gnn_iter", "mlperf_llm")
LEAST_SAMPLES = 150
MOST_BEFORE, MOST_AFTER = 600, 400
TWO_RUNS_SHARE = 1 / 3
F1_ALL, F1_SMALL, DELAY, LARGE_SUSPECTED = 0.98, 0.97, 20, 8


class Piece(NamedTuple):
    """One stream with one change."""

    block: SampleBlock
    onset: int
    effect: float
    """Relative: -0.1 is a tenth faster."""
    suite: str


@dataclass(slots=True)
class BandScore:
    """Counts of one detector on pieces of one band of sizes."""

    pieces: int = 0
    false: int = 0
    false_suspected: int = 0
    delays: list[int] = field(default_factory=list)
    suspected_delays: list[int] = field(default_factory=list)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        found = len(self.delays)
        return 2 * found / (found + self.pieces + self.false) if self.pieces else 0.0

    def add(self, other: "BandScore") -> "BandScore":
        """The counts of both."""
        return BandScore(
            self.pieces + other.pieces,
            self.false + other.false,
            self.false_suspected + other.false_suspected,
            self.delays + other.delays,
            self.suspected_delays + other.suspected_delays,
        )


def pieces(traces: TraceFolder, seed: int, each: int) -> list[Piece]:
    """``each`` pieces for every band and direction."""
    rng = np.random.Generator(np.random.PCG64(seed))
    made = []
    for low, high in BANDS:
        for sign in (1.0, -1.0):
            for place in range(each):
                effect = sign * float(rng.uniform(low, high))
                made.append(_piece(traces.suite(SOURCES[place % len(SOURCES)]), effect, rng))
    return made


def _piece(runs: Sequence[Trace], effect: float, rng: np.random.Generator) -> Piece:
    long_enough = [run for run in runs if len(run.settled_ms) >= 2 * LEAST_SAMPLES]
    if not long_enough or rng.random() < TWO_RUNS_SHARE:
        values, onset = _two_runs(runs, effect, rng)
    else:
        values, onset = _one_run(long_enough, effect, rng)
    return Piece(step_times(values), onset, effect, runs[0].suite)


def _one_run(runs: Sequence[Trace], effect: float, rng: np.random.Generator) -> tuple[FloatColumn, int]:
    while True:
        run = runs[int(rng.integers(len(runs)))]
        stretch = steady_stretch(run, 2 * LEAST_SAMPLES, MOST_BEFORE + MOST_AFTER, rng)
        if stretch is None:
            continue
        low, high = max(LEAST_SAMPLES, len(stretch) - MOST_AFTER), min(MOST_BEFORE, len(stretch) - LEAST_SAMPLES)
        onset = int(rng.integers(low, high + 1))
        return np.concatenate((stretch[:onset], stretch[onset:] * (1.0 + effect))), onset


def _two_runs(runs: Sequence[Trace], effect: float, rng: np.random.Generator) -> tuple[FloatColumn, int]:
    usable = [run for run in runs if len(run.settled_ms) >= LEAST_SAMPLES]
    while True:
        first, second = rng.choice(len(usable), size=2, replace=False)
        before = steady_stretch(usable[first], LEAST_SAMPLES, MOST_BEFORE, rng)
        after = steady_stretch(usable[second], LEAST_SAMPLES, MOST_AFTER, rng)
        if before is None or after is None:
            continue
        ratio = (1.0 + effect) * float(np.median(before)) / float(np.median(after))
        return np.concatenate((before, after * ratio)), len(before)


def score_pieces(
    made: Sequence[Piece], detector: Detector, early: int = 0
) -> tuple[dict[tuple[float, float], BandScore], dict[str, BandScore]]:
    """Counts by band of sizes, and by suite the pieces were made from."""
    by_band = {band: BandScore() for band in BANDS}
    by_suite = {suite: BandScore() for suite in SOURCES}
    for piece in made:
        alarms = detector(piece.block)
        confirmed = match(alarms.confirmed, [piece.onset], early)
        suspected = match(alarms.suspected, [piece.onset], early)
        one = BandScore(1, len(confirmed.false), len(suspected.false), confirmed.delays, suspected.delays)
        band = next(band for band in BANDS if band[0] <= abs(piece.effect) <= band[1])
        by_band[band] = by_band[band].add(one)
        by_suite[piece.suite] = by_suite[piece.suite].add(one)
    return by_band, by_suite


def _total(scores: Mapping[tuple[float, float], BandScore], low: float = 0.0, high: float = 1.0) -> BandScore:
    total = BandScore()
    for band, score in scores.items():
        if low <= band[0] and band[1] <= high:
            total = total.add(score)
    return total


@dataclass(slots=True)
class SeedScores:
    """One detector on the pieces of every seed."""

    by_band: list[dict[tuple[float, float], BandScore]] = field(default_factory=list)
    by_suite: list[dict[str, BandScore]] = field(default_factory=list)


def splices_section(
    traces: TraceFolder, detectors: Mapping[str, Detector], *, seeds: Sequence[int], each: int, early: Mapping[str, int]
) -> tuple[Section, dict[str, dict[tuple[float, float], BandScore]]]:
    """Score the detectors on the pieces of every seed; the first one is ours, and the bars are for it.

    Returns:
        The section, and for each detector its counts by band over all seeds.
    """
    made = [pieces(traces, seed, each) for seed in seeds]
    scores = {name: SeedScores() for name in detectors}
    for name, detector in detectors.items():
        for of_seed in made:
            by_band, by_suite = score_pieces(of_seed, detector, early.get(name, 0))
            scores[name].by_band.append(by_band)
            scores[name].by_suite.append(by_suite)
    pooled = {name: {band: _pool(of[band] for of in score.by_band) for band in BANDS} for name, score in scores.items()}
    header = (
        "detector", "change", "pieces", "found", "false", "F1", "delay", "90th percentile",
        "suspected delay", "suspected within 8", "false suspected",
    )  # fmt: skip
    rows = [row for name in detectors for row in _rows(name, pooled[name], scores[name])]
    ours = next(iter(scores.values()))
    text = (__doc__ or "").partition("\n\n")[2].strip()
    text += f"\n\nSeeds {', '.join(map(str, seeds))}; {len(made[0])} pieces each."
    return Section("Splices", text, [Table(header, rows, left=2)], _bars(ours)), pooled


def _pool(scores: Iterable[BandScore]) -> BandScore:
    total = BandScore()
    for score in scores:
        total = total.add(score)
    return total


def _rows(name: str, pooled: Mapping[tuple[float, float], BandScore], scores: SeedScores) -> list[Sequence[object]]:
    parts = [(f"{low:.0%} to {high:.0%}", score) for (low, high), score in pooled.items()]
    parts += [("3% to 10%", _total(pooled, 0.0, SMALL)), ("**all**", _total(pooled))]
    parts += [(f"all of {suite}", _pool([of[suite] for of in scores.by_suite])) for suite in SOURCES]
    return [
        (
            name,
            change,
            score.pieces,
            len(score.delays),
            score.false,
            f"{score.f1:.3f}",
            median_text(score.delays),
            f"{np.quantile(score.delays, 0.9):.0f}" if score.delays else "-",
            median_text(score.suspected_delays),
            f"{_within(score):.1%}",
            score.false_suspected,
        )
        for change, score in parts
    ]


def _within(score: BandScore) -> float:
    return sum(delay <= SUSPECTED_WITHIN for delay in score.suspected_delays) / score.pieces if score.pieces else 0.0


def _bars(scores: SeedScores) -> list[Bar]:
    every = [_total(of) for of in scores.by_band]
    small = [_total(of, 0.0, SMALL) for of in scores.by_band]
    large = _pool([_total(of, LARGE) for of in scores.by_band])
    delay = statistics.median(median_of(score.delays) for score in every)
    suspected = median_of(large.suspected_delays) if len(large.suspected_delays) > large.pieces / 2 else float("inf")
    return [
        _f1_bar("splices, F1 over all", [score.f1 for score in every], F1_ALL),
        _f1_bar("splices, F1 on 3-10 %", [score.f1 for score in small], F1_SMALL),
        Bar("splices, median delay confirmed", f"{delay:g}", f"<= {DELAY}", delay <= DELAY),
        Bar(
            "splices of 20 % or more, median delay suspected",
            f"{suspected:g} ({_within(large):.0%} within {SUSPECTED_WITHIN})",
            f"<= {LARGE_SUSPECTED}",
            suspected <= LARGE_SUSPECTED,
        ),
    ]


def _f1_bar(name: str, by_seed: Sequence[float], wanted: float) -> Bar:
    middle = statistics.median(by_seed)
    return Bar(name, f"{middle:.3f} (seeds {min(by_seed):.3f} to {max(by_seed):.3f})", f">= {wanted}", middle >= wanted)
