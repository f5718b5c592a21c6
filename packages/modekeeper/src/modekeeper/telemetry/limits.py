"""How much of hostile or merely untidy input is tolerated."""

from dataclasses import dataclass

__all__ = ["IngestLimits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestLimits:
    """Bounds that keep memory constant and decisions local. Each default says why it is what it is."""

    max_line_bytes: int = 1 << 20
    """A longer line is dropped as ``too_long``: 16,000 workers at 20 bytes each still fit three times."""
    max_depth: int = 64
    """Deeper nesting is dropped as ``wrong_shape``: no telemetry nests, and parsers recurse."""
    max_workers: int = 65_536
    """A longer list of worker latencies is ignored."""
    max_knobs: int = 64
    """Further knobs of one record are ignored."""
    max_text_chars: int = 253
    """Names are cut here: the longest name Kubernetes gives a node."""
    reorder_records: int = 32
    """Most records that wait to be put in order."""
    reorder_lateness_s: float = 5.0
    """A record is released once telemetry time is this much ahead of it."""
    duplicate_records: int = 256
    """How many of the latest records are remembered to recognise a repeated one: eight reorder windows."""
    max_skew_s: float = 3600.0
    """A jump of telemetry time beyond this is questioned: time zones and clocks reset at boot start there."""
    block_records: int = 4096
    """Most samples in one block."""
    read_bytes: int = 1 << 21
    """Most bytes asked for in one read."""
    bulk_lines: int = 64
    """So many lines at least are read together; fewer are read one by one, which takes less time then."""
    range_bytes: int = 1 << 20
    """Bytes of a file that are read apart from the others, where several processes read it."""
