"""The part of ``watch_latest.json`` that says what ``watch --apply`` did."""

from enum import StrEnum

import msgspec

from modekeeper.artifacts.contracts.k8s_apply import Operation
from modekeeper.model.outcome import Outcome

__all__ = ["AppliedPlan", "LastAct", "PlanFate", "WaitingAct", "WatchApplyPart"]


class PlanFate(StrEnum):
    """Where a plan stands that was applied."""

    STANDING = "standing"
    TAKEN_BACK = "taken_back"
    """Undone by RECOVER-RELOCK, because the job got worse, or because it could not be finished."""
    GONE = "gone"
    """Somebody else changed or took back what it wrote."""


class AppliedPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One plan that was applied in this session."""

    plan_digest: str
    chords: tuple[str, ...]
    knobs: dict[str, str]
    """Knob to the text that was written."""
    applied_at: str
    iteration: int
    fate: PlanFate = PlanFate.STANDING
    fate_at: str | None = None
    """When it was taken back or seen to be gone."""
    given_again: int = 0
    """So many pods made later were given its values."""
    outcome: Outcome | None = None
    """What became of its promise; ``None`` while that is measured."""


class LastAct(msgspec.Struct, frozen=True, kw_only=True):
    """The last time the actuator was asked."""

    operation: Operation
    plan_digest: str
    at: str
    iteration: int
    apply_attempted: bool
    apply_ok: bool
    block_reasons: tuple[str, ...]
    detail: str


class WaitingAct(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was refused or failed, and is tried again."""

    what: str
    """``new_plan``, ``give_again`` or ``way_back``."""
    plan_digest: str
    reasons: tuple[str, ...]
    detail: str
    attempts: int
    """So many were made; a kill-switch counts as none."""
    next_at: str | None
    """Not before this; ``None``: as soon as the kill-switch is off."""


class WatchApplyPart(msgspec.Struct, frozen=True, kw_only=True):
    """What ``watch --apply`` did, and what it waits for."""

    applied_total: int
    taken_back_total: int
    given_again_total: int
    """Pods that were given values again."""
    plans: tuple[AppliedPlan, ...]
    """The newest 20, the oldest of them first."""
    measuring: Outcome | None
    """The change whose effect is being measured, or that is to be taken back."""
    cooldown_factor: dict[str, int]
    """Chord to how many times its cooldown counts, where that is more than once."""
    last: LastAct | None
    waiting: tuple[WaitingAct, ...]
    stopped: str | None
    """Why nothing is applied any more in this session: ``unreceipted_change`` or ``rollback_given_up``; ``None`` while
    it goes on."""
    stopped_detail: str
