"""What is remembered of the present level of a series."""

import msgspec

from modekeeper.detect.charts import Bank
from modekeeper.detect.level_change import LevelChange
from modekeeper.detect.ramp import RampState
from modekeeper.detect.reference import Reference

__all__ = ["LevelState", "Suspicion"]


class Suspicion(msgspec.Struct, frozen=True):
    """An excursion of a chart that is being looked into; the charts rest meanwhile."""

    since: int
    upwards: bool
    check_at: int
    """Number of values judged at which to look next."""
    before: Reference
    """The level just before it."""
    announced: bool = False


class LevelState(msgspec.Struct, kw_only=True):
    """All numbers of a core besides its history of values."""

    since: int
    """Number of the first value of the present level."""
    learn_from: int
    """Number of the first value the level is learned from."""
    ramp: RampState
    reference: Reference | None = None
    bank: Bank | None = None
    suspicion: Suspicion | None = None
    reported: LevelChange | None = None
    """The change that led to the present level, until that is learned."""
    certain_z: float = 0.0
    """Standard errors by which a change must be away from none to be confirmed."""
