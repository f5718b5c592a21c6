"""A decoded record on its way through ordering, and its fate."""

import msgspec

from modekeeper.model.ingest import RepairReason
from modekeeper.model.sample import Sample

__all__ = ["Arrival", "moved_to"]


class Arrival(msgspec.Struct, array_like=True, gc=False):
    """One decoded record, where it came from and what was done to it so far."""

    sample: Sample
    rank: str | None
    source: str
    line: int
    excerpt: bytes
    repairs: tuple[RepairReason, ...] = ()
    records: int = 1
    """How many records went into it: more than one where those of single ranks were merged."""


def moved_to(arrival: Arrival, ts_ms: int, reason: RepairReason) -> Arrival:
    """The same record at another time, with the repair that says so."""
    sample = arrival.sample
    if ts_ms != sample.ts_ms:
        sample = msgspec.structs.replace(sample, ts_ms=ts_ms)
    repairs = arrival.repairs if reason in arrival.repairs else (*arrival.repairs, reason)
    return msgspec.structs.replace(arrival, sample=sample, repairs=repairs)
