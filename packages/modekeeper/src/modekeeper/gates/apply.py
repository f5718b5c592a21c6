"""The gates before an apply, on top of those of the proposal: a constant, never configuration."""

from modekeeper.gates.base import Gate
from modekeeper.gates.kill_switch_active import KillSwitchActive
from modekeeper.gates.pro_not_installed import ProNotInstalled
from modekeeper.gates.proposal import PROPOSAL_GATES
from modekeeper.gates.verified import Verified

__all__ = ["APPLY_GATES", "mandatory_gates"]

APPLY_GATES: tuple[Gate, ...] = (KillSwitchActive(), ProNotInstalled(), Verified())
"""In the order of precedence of their reasons. They know no dry run: who plans only does not ask them."""


def mandatory_gates(*, apply_requested: bool) -> tuple[Gate, ...]:
    """Every gate a change must pass, in the order of precedence."""
    return (*APPLY_GATES, *PROPOSAL_GATES) if apply_requested else PROPOSAL_GATES
