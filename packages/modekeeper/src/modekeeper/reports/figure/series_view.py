"""The curve of a run: which metric, in which unit, between which limits, with the spikes beyond them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from modekeeper.artifacts.contracts.parts import SeriesPoint
from modekeeper.model.wording import count, level
from modekeeper.reports.figure.ruler import Ruler

__all__ = ["SeriesView", "Spike", "series_view"]

_MOST_POINTS = 2400
_MOST_SPIKES = 80
_LARGEST = 1e15
_LOG_FROM_RATIO = 60.0
_REACH = 0.6
"""A spike is shown in full when it adds no more than this share to the height of the curve."""
_METRICS = ("step_time_ms", "throughput", "loss")
_NAMES = {"step_time_ms": "step time", "throughput": "throughput, units a second", "loss": "loss"}
_TIME_UNITS = ((1000.0, 1.0, "ms"), (120_000.0, 1000.0, "s"), (7_200_000.0, 60_000.0, "min"))
_HOUR_MS = 3_600_000.0


@dataclass(frozen=True, slots=True)
class Spike:
    """Values beyond the limits, drawn at the edge."""

    x: float
    above: bool


@dataclass(frozen=True, slots=True)
class SeriesView:
    """A curve and its min-max band, in ``unit``. ``None`` where nothing was measured.

    Attributes:
        label: name and unit of the metric; empty when there is no curve.
        x, mean, low, high: one entry a point.
        bottom, top: limits of the y axis; a few wild values do not widen them.
        log: whether the y axis is logarithmic.
        spikes: where values lie beyond the limits.
        banded: whether any point stands for more than one value.
        notes: what lies beyond the limits, and what is missing, with how to make it known.
    """

    label: str
    x: tuple[float, ...]
    mean: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    bottom: float
    top: float
    log: bool
    spikes: tuple[Spike, ...]
    banded: bool
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Value:
    x: float
    samples: int
    mean: float | None
    low: float | None
    high: float | None


def series_view(points: Sequence[SeriesPoint], ruler: Ruler, levels_ms: Sequence[float]) -> SeriesView:
    """The curve of ``points``.

    Args:
        points: the recorded series.
        ruler: the x axis.
        levels_ms: step times the findings speak of; they stay inside the limits.
    """
    metric = next((m for m in _METRICS if any(getattr(p, m) is not None for p in points)), None)
    notes = _missing(points, metric)
    values = _values(points, ruler, metric) if metric else []
    values = _thinned(values)
    known = [v for v in values if v.mean is not None]
    if metric is None or not known:
        return _nothing(notes)
    marks = [_bounded(mark) for mark in levels_ms] if metric == "step_time_ms" else []
    bottom, top, log = _limits(known, marks)
    divisor, unit = _unit(metric, math.sqrt(bottom * top) if log else top)
    spikes, spike_notes = _spikes(known, ruler, bottom, top, metric)
    return SeriesView(
        label=f"{_NAMES[metric]}{f' ({unit})' if unit else ''}",
        x=tuple(v.x for v in values),
        mean=tuple(_scaled(v.mean, divisor) for v in values),
        low=tuple(_scaled(v.low, divisor) for v in values),
        high=tuple(_scaled(v.high, divisor) for v in values),
        bottom=bottom / divisor,
        top=top / divisor,
        log=log,
        spikes=spikes,
        banded=any(v.low != v.high for v in known),
        notes=(*notes, *spike_notes),
    )


def _nothing(notes: tuple[str, ...]) -> SeriesView:
    return SeriesView(
        label="", x=(), mean=(), low=(), high=(), bottom=0.0, top=1.0, log=False,
        spikes=(), banded=False, notes=notes,
    )  # fmt: skip


def _missing(points: Sequence[SeriesPoint], metric: str | None) -> tuple[str, ...]:
    if not points:
        return ("no series was recorded: not one usable sample was read",)
    if metric == "step_time_ms":
        return ()
    instead = f"; {_NAMES[metric]} is drawn instead" if metric else ""
    return (f'no step time in the telemetry: emit "step_time_ms"{instead}',)


def _values(points: Sequence[SeriesPoint], ruler: Ruler, metric: str) -> list[_Value]:
    values = []
    for point in points:
        x = ruler.at(point.index, point.step, point.ts_ms)
        if x is None:
            continue
        mean = _bounded(getattr(point, metric))
        low, high = mean, mean
        if metric == "step_time_ms":
            low, high = _bounded(point.step_time_min_ms), _bounded(point.step_time_max_ms)
            low, high = (mean if low is None else low), (mean if high is None else high)
        values.append(_Value(x, max(point.samples, 1), mean, low, high))
    return values


def _bounded(value: float | None) -> float | None:
    return None if value is None else min(max(value, -_LARGEST), _LARGEST)


def _thinned(values: list[_Value]) -> list[_Value]:
    """Neighbours joined until the curve is small enough to draw; the extremes stay."""
    size = -(-len(values) // _MOST_POINTS)
    if size <= 1:
        return values
    return [_joined(values[start : start + size]) for start in range(0, len(values), size)]


def _joined(run: list[_Value]) -> _Value:
    known = [v for v in run if v.mean is not None]
    samples = sum(v.samples for v in known)
    return _Value(
        x=run[0].x,
        samples=max(samples, 1),
        mean=sum(v.mean * (v.samples / samples) for v in known if v.mean is not None) if known else None,
        low=min((v.low for v in known if v.low is not None), default=None),
        high=max((v.high for v in known if v.high is not None), default=None),
    )


def _limits(values: Sequence[_Value], marks: Sequence[float | None]) -> tuple[float, float, bool]:
    """Limits that show the run: a curve flattened by one wild value shows nothing."""
    means = sorted(v.mean for v in values if v.mean is not None)
    lows = sorted(v.low for v in values if v.low is not None)
    highs = sorted(v.high for v in values if v.high is not None)
    inside = [mark for mark in marks if mark is not None]
    top = max(_quantile(highs, 0.97), _quantile(means, 0.99), *inside)
    bottom = min(_quantile(lows, 0.03), _quantile(means, 0.01), *inside)
    reach = top - bottom
    top = max(value for value in (top, *highs) if value <= top + _REACH * reach)
    bottom = min(value for value in (bottom, *lows) if value >= bottom - _REACH * reach)
    if bottom > 0 and top / bottom > _LOG_FROM_RATIO:
        return bottom / 1.2, top * 1.2, True
    room = 0.08 * (top - bottom) or 0.1 * abs(top) or 1.0
    # From zero where that costs little: then the heights compare as the numbers do.
    from_zero = 0 <= bottom <= 0.6 * top
    return (0.0 if from_zero else bottom - room), top + room, False


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def _unit(metric: str, typical: float) -> tuple[float, str]:
    if metric != "step_time_ms":
        return 1.0, ""
    for limit, divisor, unit in _TIME_UNITS:
        if typical < limit:
            return divisor, unit
    return _HOUR_MS, "h"


def _scaled(value: float | None, divisor: float) -> float | None:
    return None if value is None else value / divisor


def _spikes(
    values: Sequence[_Value], ruler: Ruler, bottom: float, top: float, metric: str
) -> tuple[tuple[Spike, ...], list[str]]:
    over = [v for v in values if v.high is not None and v.high > top]
    under = [v for v in values if v.low is not None and v.low < bottom]
    spikes: dict[tuple[bool, int], Spike] = {}
    for above, beyond in ((True, over), (False, under)):
        for value in beyond:
            column = ruler.column(value.x, _MOST_SPIKES)
            spikes.setdefault((above, column), Spike(value.x, above))
    notes = []
    if over:
        highest = max(v.high for v in over if v.high is not None)
        notes.append(f"arrows at the top: spikes in {count(len(over), 'place')}, up to {level(metric, highest)}")
    if under:
        lowest = min(v.low for v in under if v.low is not None)
        notes.append(
            f"arrows at the bottom: lower values in {count(len(under), 'place')}, down to {level(metric, lowest)}"
        )
    return tuple(spikes[key] for key in sorted(spikes)), notes
