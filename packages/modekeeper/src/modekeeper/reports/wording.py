"""Times as people say them."""

from modekeeper.artifacts.times import from_ms

__all__ = ["duration", "moment"]

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


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


def moment(step: int | None, ts_ms: int | None) -> str:
    """Where in the run: ``step 708``, or the time where the telemetry names no steps."""
    if step is not None:
        return f"step {step:,}"
    when = None if ts_ms is None else from_ms(ts_ms)
    return "the start" if when is None else f"{when:%Y-%m-%d %H:%M:%S} UTC"
