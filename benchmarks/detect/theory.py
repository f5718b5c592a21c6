"""Delay against theory, and false alarms against the setting.

Gaussian step times with a relative standard deviation of 5 %. No procedure whose mean time between false alarms is T
has a shorter worst-case mean delay than about ln(T) / I, where I = d²/2 is the Kullback-Leibler divergence of a change
by d standard deviations (G. Lorden, Procedures for reacting to a change in distribution, Annals of Mathematical
Statistics 42, 1971). T is measured: samples without a change over the suspicions raised on them. Where none was
raised, T is the lower 90 % limit. Delays count from 1 for the first changed sample, so the bound is never put
below 1. The change comes after 600 samples; streams in which a suspicion stands at that moment are left out, and a
change that is not seen within 400 samples counts as 400.

Then step times of AR(1) noise of the same spread and no change at all: confirmed drifts a day against the setting.
"""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from benchmarks.detect.columns import alarms_per_day, signals_of, step_times
from benchmarks.detect.protocol import drift_alarms, merged
from benchmarks.detect.tables import Bar, Section, Table

from modekeeper.detect.settings import DetectorSettings
from modekeeper.model.block import FloatColumn, SampleBlock
from modekeeper.model.signal import Phase, SignalKind

__all__ = ["TheorySize", "theory_section"]

SPREAD = 0.05
SHIFTS_SD = (1.0, 2.0, 4.0)
PHIS = (0.0, 0.3, 0.6, 0.8, 0.9, 0.95)
BEFORE, AFTER = 600, 400
STREAM_SAMPLES = 10_000
DAY_MS = 86_400_000
WITHIN_BOUND = 1.5
WITHIN_SETTING = 2.0
Z_90 = 1.2816


class TheorySize(NamedTuple):
    """How much is simulated."""

    null_samples: int = 4_000_000
    trials: int = 400
    ar_samples: int = 400_000
    step_ms: float = 10_000.0
    """Mean step time of the AR(1) streams: it tells the samples a day."""
    seed: int = 1


class Delays(NamedTuple):
    """Of one size of change, from 1 for the first changed sample."""

    suspected: list[int]
    confirmed: list[int]
    left_out: int


def gaussian(samples: int, rng: np.random.Generator, level_ms: float = 1000.0) -> FloatColumn:
    """White noise around a level."""
    return level_ms * (1.0 + SPREAD * rng.standard_normal(samples))


def autoregressive(samples: int, phi: float, rng: np.random.Generator, level_ms: float) -> FloatColumn:
    """Stationary AR(1) noise with the spread of :func:`gaussian`, whatever ``phi``."""
    shocks = rng.standard_normal(samples) * math.sqrt(1.0 - phi * phi)
    values = np.empty(samples)
    last = float(rng.standard_normal())
    for place, shock in enumerate(shocks.tolist()):
        last = phi * last + shock
        values[place] = last
    return level_ms * np.maximum(1.0 + SPREAD * values, 0.01)


def poisson_limits(count: int) -> tuple[float, float]:
    """A 90 % interval (5 % on a side is cut) for the mean behind ``count`` events, after Wilson and Hilferty."""
    low = count * (1 - 1 / (9 * count) - 1.645 / (3 * math.sqrt(count))) ** 3 if count else 0.0
    more = count + 1
    return low, more * (1 - 1 / (9 * more) + 1.645 / (3 * math.sqrt(more))) ** 3


def false_alarms(streams: Sequence[FloatColumn], settings: DetectorSettings) -> tuple[int, int]:
    """Confirmed and suspected drifts on streams without a change."""
    confirmed = suspected = 0
    for values in streams:
        alarms = drift_alarms(signals_of(step_times(values), settings))
        confirmed += len(merged(alarms.confirmed))
        suspected += len(merged(alarms.suspected))
    return confirmed, suspected


def delays(shift_sd: float, size: TheorySize, settings: DetectorSettings) -> Delays:
    """Delays over ``size.trials`` streams, up and down in turn."""
    rng = np.random.Generator(np.random.PCG64([size.seed, round(100 * shift_sd)]))
    result = Delays([], [], 0)
    left_out = 0
    for trial in range(size.trials):
        values = gaussian(BEFORE + AFTER, rng)
        values[BEFORE:] += 1000.0 * SPREAD * shift_sd * (1 if trial % 2 else -1)
        first = first_words(step_times(values), settings)
        if first is None:
            left_out += 1
            continue
        result.suspected.append(first[0])
        result.confirmed.append(first[1])
    return result._replace(left_out=left_out)


def first_words(block: SampleBlock, settings: DetectorSettings) -> tuple[int, int] | None:
    """Delays of the suspicion and of the confirmation, or ``None`` where the stream was not quiet at the change."""
    drifts = [s for s in signals_of(block, settings) if s.kind is SignalKind.DRIFT and s.phase is not Phase.UNDECIDED]
    before = {s.id for s in drifts if s.at_index < BEFORE and s.phase is Phase.SUSPECTED}
    spoken = [s for s in drifts if s.at_index >= BEFORE and s.phase is not Phase.CLEARED]
    if any(s.at_index < BEFORE and s.phase is Phase.CONFIRMED for s in drifts) or any(s.id in before for s in spoken):
        return None
    confirmed = [s.at_index for s in spoken if s.phase is Phase.CONFIRMED]
    suspected = min((s.at_index for s in spoken), default=BEFORE + AFTER - 1)
    return suspected - BEFORE + 1, min(confirmed, default=BEFORE + AFTER - 1) - BEFORE + 1


def theory_section(size: TheorySize, settings: DetectorSettings) -> Section:
    """Delays over Lorden's bound, and false alarms on correlated noise."""
    rng = np.random.Generator(np.random.PCG64([size.seed, 0]))
    streams = [gaussian(STREAM_SAMPLES, rng) for _ in range(max(1, size.null_samples // STREAM_SAMPLES))]
    samples = STREAM_SAMPLES * len(streams)
    confirmed, suspected = false_alarms(streams, settings)
    between = samples / (suspected or math.log(10.0))
    rows: list[Sequence[object]] = []
    bars: list[Bar] = []
    for shift in SHIFTS_SD:
        found = delays(shift, size, settings)
        bound = max(1.0, math.log(between) / (0.5 * shift * shift))
        row, more = _delay_row(shift, found, bound, settings)
        rows.append(row)
        bars += more
    header = ("change", "bound", "suspected delay", "ratio", "confirmed delay", "confirmed after suspected", "left out")
    note = Table(
        ("samples without a change", "false suspected", "mean time between them", "false confirmed"),
        [(f"{samples:,}", suspected, f"{'' if suspected else '> '}{between:,.0f}", confirmed)],
        left=0,
    )
    ar_table, ar_bar = _correlated(size, settings)
    text = (__doc__ or "").partition("\n\n")[2].strip()
    return Section("Theory", text, [note, Table(header, rows), ar_table], [*bars, ar_bar])


def _delay_row(
    shift: float, found: Delays, bound: float, settings: DetectorSettings
) -> tuple[Sequence[object], list[Bar]]:
    if not found.suspected:
        return (f"{shift:g} sd", f"{bound:.2f}", "-", "-", "-", "-", found.left_out), []
    suspected, confirmed = statistics.fmean(found.suspected), statistics.fmean(found.confirmed)
    added = confirmed - suspected
    run = settings.min_run_samples
    row = (
        f"{shift:g} sd",
        f"{bound:.2f}",
        f"{suspected:.2f} ± {_error(found.suspected):.2f}",
        f"{suspected / bound:.2f}",
        f"{confirmed:.2f} ± {_error(found.confirmed):.2f}",
        f"{added:.2f}",
        found.left_out,
    )
    return row, [
        Bar(
            f"theory, {shift:g} sd, suspected over the bound",
            f"{suspected / bound:.2f} ({suspected:.1f} / {bound:.1f})",
            f"<= {WITHIN_BOUND}",
            suspected <= WITHIN_BOUND * bound,
        ),
        Bar(
            f"theory, {shift:g} sd, confirmed after suspected",
            f"{added:.1f}",
            f"<= {run} (run that outlasts a burst)",
            added <= run,
        ),
    ]


def _error(values: Sequence[int]) -> float:
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.inf


def _correlated(size: TheorySize, settings: DetectorSettings) -> tuple[Table, Bar]:
    setting = alarms_per_day(settings)
    rows: list[Sequence[object]] = []
    rates: list[float] = []
    surely: list[float] = []
    for phi in PHIS:
        rng = np.random.Generator(np.random.PCG64([size.seed, 1, round(100 * phi)]))
        count = max(1, size.ar_samples // STREAM_SAMPLES)
        streams = [autoregressive(STREAM_SAMPLES, phi, rng, size.step_ms) for _ in range(count)]
        days = sum(float(values.sum()) for values in streams) / DAY_MS
        confirmed, suspected = false_alarms(streams, settings)
        low, high = (limit / days for limit in poisson_limits(confirmed))
        rates.append(confirmed / days)
        surely.append(low)
        rows.append((
            f"{phi:g}", f"{count * STREAM_SAMPLES:,}", f"{days:.1f}", confirmed, f"{confirmed / days:.2f}",
            f"{low:.2f} to {high:.2f}", "-" if setting is None else f"{setting:g}", suspected,
        ))  # fmt: skip
    header = ("φ", "samples", "days", "false confirmed", "a day", "90 % interval", "setting", "false suspected")
    return Table(header, rows), _setting_bar(max(rates), max(surely), setting)


def _setting_bar(rate: float, surely: float, setting: float | None) -> Bar:
    """``surely``: the lower limit of the rate; above the bar by chance alone is "cannot tell"."""
    name = "AR(1), worst false alarms a day"
    if setting is None:
        return Bar(name, f"{rate:.2f}", "the detectors have no such setting", None)
    most = WITHIN_SETTING * setting
    held = True if rate <= most else (False if surely > most else None)
    return Bar(name, f"{rate:.2f} (surely {surely:.2f})", f"<= {most:g} (twice the setting)", held)
