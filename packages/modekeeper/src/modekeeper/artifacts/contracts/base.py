"""What every report carries, for those that need no other word of the reports."""

import msgspec

__all__ = ["Report"]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What every report carries."""

    started_at: str
    finished_at: str
    duration_s: int
    """Whole seconds, rounded down."""
