"""Times as artifacts carry them: UTC, ISO 8601, milliseconds."""

from datetime import UTC, datetime, timedelta

__all__ = ["file_stamp", "from_ms", "iso_ms", "iso_utc", "parse_iso"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def iso_utc(when: datetime) -> str:
    """``2026-01-31T09:08:07.006Z``."""
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def file_stamp(when: datetime) -> str:
    """``20260131T090807006Z``: as ``iso_utc``, fit for a file name, sorting by time."""
    utc = when.astimezone(UTC)
    return f"{utc:%Y%m%dT%H%M%S}{utc.microsecond // 1000:03d}Z"


def from_ms(ts_ms: int) -> datetime | None:
    """A Unix time in milliseconds as a datetime; ``None`` outside the years 1 to 9999."""
    try:
        return _EPOCH + timedelta(milliseconds=ts_ms)
    except OverflowError:
        return None


def iso_ms(ts_ms: int | None) -> str | None:
    """A Unix time in milliseconds as ``iso_utc`` writes it; ``None`` where there is none."""
    when = None if ts_ms is None else from_ms(ts_ms)
    return None if when is None else iso_utc(when)


def parse_iso(text: str) -> datetime:
    """The moment ``text`` names; UTC where it names no zone.

    Raises:
        ValueError: it is not ISO 8601.
    """
    when = datetime.fromisoformat(text)
    return when if when.tzinfo else when.replace(tzinfo=UTC)
