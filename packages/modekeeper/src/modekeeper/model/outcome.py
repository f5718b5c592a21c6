"""What became of a change that was applied."""

from enum import StrEnum

import msgspec

from modekeeper.model.decision import Promise

__all__ = ["Outcome", "OutcomeState"]


class OutcomeState(StrEnum):
    """What became of a promise."""

    PENDING = "pending"
    """Its window is not over; nothing else may be changed meanwhile."""
    KEPT = "kept"
    MISSED = "missed"
    """Neither better enough nor worse: the change did not address the cause."""
    WORSE = "worse"
    """The job got worse than before the change."""
    NOT_MEASURED = "not_measured"
    """Its effect could not be told from the telemetry. That is no success."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The last change that was applied, and what became of its promise. A dry run has none."""

    chord_id: str
    knobs: tuple[str, ...]
    """Names of the knobs it changed."""
    promise: Promise
    state: OutcomeState
    improvement: float | None = None
    """Relative, for the better where positive (0.25 = a quarter better); ``None`` while not measured."""
    metric: str | None = None
    """What ``before``, ``after`` and ``improvement`` are about: the promise's metric, or the guard that fell."""
    before: float | None = None
    """Level before the change, in the unit of ``metric``."""
    after: float | None = None
    """Level since it reached the job."""
    samples: int = 0
    """Samples since it reached the job."""
    plan_digest: str | None = None
    """The plan that made it."""
    detail: str = ""
    """One sentence for a person, once it is judged."""
