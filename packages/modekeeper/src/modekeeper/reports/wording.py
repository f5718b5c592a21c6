"""Numbers and times as people say them."""

from modekeeper.artifacts.times import from_ms

__all__ = ["count", "duration", "level", "moment", "percent", "signed_percent"]

_MS_PER_S = 1000.0
_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def count(number: int, noun: str, plural: str | None = None) -> str:
    """``1 step``, ``4,280 steps``."""
    word = noun if number == 1 else (plural or f"{noun}s")
    return f"{number:,} {word}"


def duration(seconds: float) -> str:
    """``1 h 11 min``: the two largest units that matter."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    left = round(seconds)
    parts: list[str] = []
    for name, size in _UNITS:
        amount, left = divmod(left, size)
        if amount:
            parts.append(f"{amount} {name}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0 s"


def level(metric: str, value: float) -> str:
    """A level of ``metric`` with its unit: ``44.8 s``, ``61.0 ms``, ``2.76``."""
    if metric.endswith("_ms"):
        return f"{_digits(value / _MS_PER_S)} s" if abs(value) >= _MS_PER_S else f"{_digits(value)} ms"
    if metric.endswith("_pct"):
        return percent(value / 100)
    if metric == "throughput":
        return f"{_digits(value)} a second"
    return _digits(value)


def _digits(value: float) -> str:
    """Three digits that mean something."""
    size = abs(value)
    if size >= 1e15 or 0 < size < 1e-3:  # noqa: PLR2004 - where plain digits stop being readable
        return f"{value:.3g}"
    if size >= 100:  # noqa: PLR2004
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}"  # noqa: PLR2004


def percent(share: float) -> str:
    """A share as a percentage: ``0.8 %``."""
    value = abs(share) * 100
    if value >= 1e6:  # noqa: PLR2004 - where plain digits stop being readable
        return f"{value:.3g} %"
    return f"{value:.1f} %" if value < 10 else f"{value:,.0f} %"  # noqa: PLR2004


def signed_percent(effect: float) -> str:
    """A relative change: ``+79 %``, ``-3.1 %``."""
    return f"{'+' if effect >= 0 else '-'}{percent(effect)}"


def moment(step: int | None, ts_ms: int | None) -> str:
    """Where in the run: ``step 708``, or the time where the telemetry names no steps."""
    if step is not None:
        return f"step {step:,}"
    when = None if ts_ms is None else from_ms(ts_ms)
    return "the start" if when is None else f"{when:%Y-%m-%d %H:%M:%S} UTC"
