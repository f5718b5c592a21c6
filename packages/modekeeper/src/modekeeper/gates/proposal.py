"""The gates between a proposal and the plan: a constant, never configuration."""

from modekeeper.gates.approval_required import ApprovalRequired
from modekeeper.gates.base import Gate
from modekeeper.gates.budget import BudgetGate
from modekeeper.gates.chord_unknown import ChordUnknown
from modekeeper.gates.cooldown import Cooldown
from modekeeper.gates.invariants import Invariants
from modekeeper.gates.limit_exceeded import LimitExceeded
from modekeeper.gates.passport_denied import PassportDenied

__all__ = ["PROPOSAL_GATES"]

PROPOSAL_GATES: tuple[Gate, ...] = (
    ChordUnknown(),
    PassportDenied(),
    Invariants(),
    LimitExceeded(),
    ApprovalRequired(),
    Cooldown(),
    BudgetGate(),
)
"""In the order of precedence of their reasons."""
