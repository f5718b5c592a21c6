"""How many changes a chord may make in a window of time."""

from modekeeper.gates.base import block, let_pass
from modekeeper.gates.case import GateCase
from modekeeper.model.decision import BlockReason, Verdict
from modekeeper.policy.chord_spec import find_chord

__all__ = ["BudgetGate"]


class BudgetGate:
    """Stops a chord that has spent its changes."""

    name = "budget"
    reason = BlockReason.BUDGET_EXHAUSTED

    def check(self, case: GateCase) -> Verdict:
        """See :class:`modekeeper.gates.base.Gate`."""
        if not case.proposal.actions:
            return let_pass(self, "nothing is asked for")
        spec = find_chord(case.catalog, case.proposal.chord_id)
        if spec is None or case.now_ms is None or case.planned_at_ms is None:
            return block(self, "how often the chord acted is not known")
        budget = spec.budget
        if budget is None:
            return let_pass(self, "the catalog sets no budget")
        spent = sum(1 for when_ms in case.planned_at_ms if when_ms > case.now_ms - budget.window_ms)
        if spent >= budget.max_changes:
            return block(self, f"{spent} of {budget.max_changes} changes in {budget.window_ms / 1000:g} s are spent")
        return let_pass(self, f"{spent} of {budget.max_changes} changes are spent")
