"""What a session of ``watch --apply`` remembers of its changes, from iteration to iteration and from process to process."""

from datetime import datetime, timedelta

import msgspec

from modekeeper.artifacts.contracts.watch_apply import AppliedPlan, LastAct, WaitingAct
from modekeeper.artifacts.times import iso_utc, parse_iso
from modekeeper.loop.effect import AppliedChange
from modekeeper.model.decision import BlockReason, Plan
from modekeeper.model.trace import Decision
from modekeeper.planning.undo import RollbackPlan

__all__ = ["ActsState", "BegunPlan", "HeldPlan", "due", "waiting_after"]

_KILL_SWITCH = BlockReason.KILL_SWITCH_ACTIVE.value


class BegunPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A plan that is being applied: on the disk before the actuator is asked."""

    plan: Plan
    undo: RollbackPlan
    decisions: tuple[Decision, ...]
    giving_up: bool = False
    """It could not be finished, and what was written of it is taken back."""


class HeldPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A plan that was applied and stands."""

    plan: Plan
    undo: RollbackPlan
    change: AppliedChange | None


class ActsState(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. Plain values."""

    begun: BegunPlan | None = None
    held: tuple[HeldPlan, ...] = ()
    """In the order they were applied."""
    plans: tuple[AppliedPlan, ...] = ()
    applied_total: int = 0
    taken_back_total: int = 0
    given_again_total: int = 0
    last: LastAct | None = None
    waiting: dict[str, WaitingAct] = {}
    """By what is waited with."""
    stopped: str | None = None
    stopped_detail: str = ""
    judged: str | None = None
    """Digest of the plan whose outcome was told last."""


def waiting_after(
    before: WaitingAct | None,
    what: str,
    plan_digest: str,
    *,
    reasons: tuple[str, ...],
    detail: str,
    now: datetime,
    waits_s: tuple[float, float],
) -> WaitingAct:
    """When to try again: after the first of ``waits_s``, twice that, and so on up to the second.

    A kill-switch is no attempt: whoever looks at it anyway sees when it goes.
    """
    mine = before is not None and before.plan_digest == plan_digest
    attempts = before.attempts if mine and before is not None else 0
    if reasons[:1] == (_KILL_SWITCH,):
        next_at = None
    else:
        first_s, most_s = waits_s
        next_at = iso_utc(now + timedelta(seconds=min(first_s * 2 ** min(attempts, 30), most_s)))
        attempts += 1
    return WaitingAct(
        what=what, plan_digest=plan_digest, reasons=reasons, detail=detail, attempts=attempts, next_at=next_at
    )


def due(waiting: WaitingAct | None, plan_digest: str, now: datetime) -> bool:
    """Whether a plan may be tried now."""
    if waiting is None or waiting.plan_digest != plan_digest or waiting.next_at is None:
        return True
    return now >= parse_iso(waiting.next_at)
