"""Numbers as people say them: one voice for explanations, answers and pages."""

__all__ = ["count", "level", "metric_name", "percent", "place", "signed_percent"]

_MS_PER_S = 1000.0
_NAMES = {
    "step_time_ms": "step time",
    "worker_latencies_ms": "worker step time",
    "data_wait_share": "share of the step spent waiting for input",
    "gpu_util_pct": "GPU utilisation",
}


def metric_name(metric: str) -> str:
    """``step time`` for ``step_time_ms``; a metric without a name of its own is called what it is."""
    return _NAMES.get(metric, metric)


def count(number: int, noun: str, plural: str | None = None) -> str:
    """``1 step``, ``4,280 steps``."""
    word = noun if number == 1 else (plural or f"{noun}s")
    return f"{number:,} {word}"


def level(metric: str, value: float) -> str:
    """A level of ``metric`` with its unit: ``44.8 s``, ``61.0 ms``, ``2.76``."""
    if metric.endswith("_ms"):
        return f"{_digits(value / _MS_PER_S)} s" if abs(value) >= _MS_PER_S else f"{_digits(value)} ms"
    if metric.endswith("_pct"):
        return percent(value / 100)
    if metric == "throughput":
        return f"{_digits(value)} a second"
    return _digits(value)


def percent(share: float) -> str:
    """A share as a percentage: ``0.8 %``, ``79 %``."""
    value = abs(share) * 100
    if value >= 1e6:  # noqa: PLR2004 - where plain digits stop being readable
        return f"{value:.3g} %"
    return f"{value:.1f} %" if value < 10 else f"{value:,.0f} %"  # noqa: PLR2004


def signed_percent(effect: float) -> str:
    """A relative change: ``+79 %``, ``-3.1 %``."""
    return f"{'+' if effect >= 0 else '-'}{percent(effect)}"


def place(step: int | None, index: int) -> str:
    """Where in the run: ``step 708``, or the number of the sample where the telemetry names no steps."""
    return f"sample {index:,}" if step is None else f"step {step:,}"


def _digits(value: float) -> str:
    """Three digits that mean something."""
    size = abs(value)
    if size >= 1e15 or 0 < size < 1e-3:  # noqa: PLR2004 - where plain digits stop being readable
        return f"{value:.3g}"
    if size >= 100:  # noqa: PLR2004
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}"  # noqa: PLR2004
