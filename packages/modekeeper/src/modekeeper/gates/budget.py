"""How many changes a chord, and under a passport a workload, may have in a window of time."""

from modekeeper.gates.base import block, let_pass
from modekeeper.gates.case import GateCase
from modekeeper.model.decision import BlockReason, Verdict
from modekeeper.policy.chord_spec import RELOCK_CHORD, find_chord
from modekeeper.policy.wording import shown

__all__ = ["BudgetGate"]


class BudgetGate:
    """Stops a chord that has spent its changes, and a workload that has had those its passport allows."""

    name = "budget"
    reason = BlockReason.BUDGET_EXHAUSTED

    def check(self, case: GateCase) -> Verdict:
        """See :class:`modekeeper.gates.base.Gate`."""
        if not case.proposal.actions:
            return let_pass(self, "nothing is asked for")
        spec = find_chord(case.catalog, case.proposal.chord_id)
        if spec is None or case.now_ms is None or case.planned_at_ms is None:
            return block(self, "how often the chord acted is not known")
        why = _why_not_the_workload(case, case.now_ms)
        budget = spec.budget
        if budget is None:
            return let_pass(self, "the catalog sets no budget") if why is None else block(self, why)
        spent = _spent(case.planned_at_ms, case.now_ms, budget.window_ms)
        if spent >= budget.max_changes:
            return block(self, f"{spent} of {budget.max_changes} changes in {budget.window_ms / 1000:g} s are spent")
        if why is not None:
            return block(self, why)
        return let_pass(self, f"{spent} of {budget.max_changes} changes are spent")


def _why_not_the_workload(case: GateCase, now_ms: int) -> str | None:
    """What the passport asks for, whichever chord acts; the way back is not counted, and is always left."""
    budget = case.passport.budget if case.passport is not None else None
    if case.passport is None or budget is None or case.proposal.chord_id == RELOCK_CHORD:
        return None
    if case.workload_changed_at_ms is None:
        return "how often the workload was changed is not known"
    spent = _spent(case.workload_changed_at_ms, now_ms, budget.window_s * 1000)
    if spent < budget.max_changes:
        return None
    of = f"{spent} of {budget.max_changes} changes of the workload in {budget.window_s:g} s"
    return f"{of} are spent under passport {shown(case.passport.name)!r}"


def _spent(times_ms: tuple[int, ...], now_ms: int, window_ms: float) -> int:
    """Changes in the window that ends now; those of the future count too."""
    return sum(1 for when_ms in times_ms if when_ms > now_ms - window_ms)
