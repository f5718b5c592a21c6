"""Time between two changes, so that each can be judged."""

from modekeeper.gates.base import block, let_pass
from modekeeper.gates.case import GateCase
from modekeeper.model.decision import BlockReason, Verdict
from modekeeper.policy.chord_spec import RELOCK_CHORD, find_chord

__all__ = ["Cooldown"]


class Cooldown:
    """Stops a chord that acted too short a time ago, and every other chord after a change was taken back."""

    name = "cooldown"
    reason = BlockReason.COOLDOWN_ACTIVE

    def check(self, case: GateCase) -> Verdict:
        """See :class:`modekeeper.gates.base.Gate`."""
        why = _why_not(case)
        return let_pass(self) if why is None else block(self, why)


def _why_not(case: GateCase) -> str | None:
    if not case.proposal.actions:
        return None
    spec, now_ms = find_chord(case.catalog, case.proposal.chord_id), case.now_ms
    if spec is None or spec.cooldown_ms is None or now_ms is None or case.planned_at_ms is None:
        return "when the chord last acted, or its cooldown, is not known"
    asked_ms = 0.0 if case.cooldown_s is None else case.cooldown_s * 1000
    left_ms = _left_ms(case.planned_at_ms, now_ms, max(spec.cooldown_ms, asked_ms) * max(case.cooldown_factor, 1))
    if left_ms > 0:
        return f"{spec.id} acted a short time ago: {left_ms / 1000:g} s left"
    if spec.id == RELOCK_CHORD or not case.relocked_at_ms:
        return None
    lock = find_chord(case.catalog, RELOCK_CHORD)
    if lock is None or lock.cooldown_ms is None:
        return "how long the lock after a step back lasts is not known"
    left_ms = _left_ms(case.relocked_at_ms, now_ms, lock.cooldown_ms)
    return f"locked after a change was taken back: {left_ms / 1000:g} s left" if left_ms > 0 else None


def _left_ms(times_ms: tuple[int, ...], now_ms: int, cooldown_ms: float) -> float:
    """Milliseconds until ``cooldown_ms`` have passed since the newest time; one in the future counts in full."""
    return max(times_ms) + cooldown_ms - now_ms if times_ms else 0
