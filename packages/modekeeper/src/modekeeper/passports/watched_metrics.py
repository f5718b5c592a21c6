"""Metrics a passport may watch, and whether a change made one of them worse than it allows."""

import math
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from modekeeper.passports.passport import MetricGuard
from modekeeper.policy.promises import HIGHER_IS_BETTER

__all__ = ["LOWER_IS_BETTER", "BrokenInvariant", "broken_invariants"]

LOWER_IS_BETTER = frozenset({"step_time_ms", "loss", "data_wait_ms"})


class BrokenInvariant(msgspec.Struct, frozen=True, kw_only=True):
    """One metric that does not stand as the passport asks."""

    metric: str
    worse_rel: float | None
    """By how much it got worse; ``None``: it could not be measured, which counts as worse."""
    not_worse_rel: float


def broken_invariants(
    guards: Iterable[MetricGuard], before: Mapping[str, float], after: Mapping[str, float]
) -> tuple[BrokenInvariant, ...]:
    """The invariants of a passport that a change broke.

    Args:
        guards: the invariants of the passport in force.
        before: level of each metric before the change, in its own unit.
        after: level of each metric since the change reached the job.

    What is missing, not finite, or was not above 0 before cannot be judged, and what cannot be judged is broken.
    """
    return tuple(_broken(guards, before, after))


def _broken(
    guards: Iterable[MetricGuard], before: Mapping[str, float], after: Mapping[str, float]
) -> Iterator[BrokenInvariant]:
    for guard in guards:
        old, new = before.get(guard.metric, math.nan), after.get(guard.metric, math.nan)
        worse = None
        if math.isfinite(old) and math.isfinite(new) and old > 0:
            # Rounded, so that one percent is one percent.
            worse = round((old - new if guard.metric in HIGHER_IS_BETTER else new - old) / old, 9)
        if worse is None or worse > guard.not_worse_rel:
            yield BrokenInvariant(metric=guard.metric, worse_rel=worse, not_worse_rel=guard.not_worse_rel)
