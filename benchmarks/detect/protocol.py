"""What counts as found, and what as a false alarm.

Everything is causal. A change counts as found when alarmed within 100 samples after it; further alarms in that
window do not count; alarms within 25 samples of each other merge. Delays are sample numbers: the alarm's less the
change's, so an alarm at the first changed sample has the delay 0 (against theory it is 1, as the theory counts).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from benchmarks.detect.columns import signals_of

from modekeeper.detect.settings import DetectorSettings
from modekeeper.model.block import SampleBlock
from modekeeper.model.signal import Phase, Signal, SignalKind

__all__ = [
    "FOUND_WITHIN",
    "PROTOCOL_TEXT",
    "SUSPECTED_WITHIN",
    "Alarms",
    "Detector",
    "Match",
    "drift_alarms",
    "match",
    "merged",
    "our_detector",
]

PROTOCOL_TEXT = (__doc__ or "").partition("\n\n")[2].strip()
FOUND_WITHIN = 100
MERGE_WITHIN = 25
SUSPECTED_WITHIN = 8


class Alarms(NamedTuple):
    """Samples at which a detector spoke of a change, in order. A peer that has but one word says it in both."""

    confirmed: Sequence[int]
    suspected: Sequence[int]
    """First words: suspicions, and confirmations that none preceded."""


Detector = Callable[[SampleBlock], Alarms]


@dataclass(slots=True)
class Match:
    """Alarms against the changes of one stream."""

    delays: list[int] = field(default_factory=list)
    """Of the changes that were found."""
    missed: int = 0
    false: list[int] = field(default_factory=list)
    """Alarms that no change explains, merged."""


def merged(alarms: Iterable[int]) -> list[int]:
    """Alarms without those that follow another within ``MERGE_WITHIN`` samples."""
    kept: list[int] = []
    last: int | None = None
    for alarm in alarms:
        if last is None or alarm - last > MERGE_WITHIN:
            kept.append(alarm)
        last = alarm
    return kept


def match(alarms: Sequence[int], changes: Sequence[int], early: int = 0) -> Match:
    """Pair alarms with changes; ``early`` samples before a change are still of it (for offline peers)."""
    result = Match()
    rest = list(alarms)
    for change in changes:
        inside = [alarm for alarm in rest if change - early <= alarm <= change + FOUND_WITHIN]
        if inside:
            result.delays.append(max(0, inside[0] - change))
        else:
            result.missed += 1
        rest = [alarm for alarm in rest if alarm not in inside]
    result.false = merged(rest)
    return result


def drift_alarms(signals: Iterable[Signal]) -> Alarms:
    """The drifts among ``signals``, of any metric and direction."""
    drifts = [s for s in signals if s.kind is SignalKind.DRIFT]
    early = {s.id for s in drifts if s.phase is Phase.SUSPECTED}
    confirmed = [s for s in drifts if s.phase is Phase.CONFIRMED]
    first = [s for s in drifts if s.phase is Phase.SUSPECTED or (s.phase is Phase.CONFIRMED and s.id not in early)]
    return Alarms(sorted({s.at_index for s in confirmed}), sorted({s.at_index for s in first}))


def our_detector(settings: DetectorSettings) -> Detector:
    """The panel, as a detector of drifts."""
    return lambda block: drift_alarms(signals_of(block, settings))
