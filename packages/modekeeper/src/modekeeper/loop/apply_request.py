"""What stands in the way of an apply that was asked for."""

from collections.abc import Callable

import msgspec

from modekeeper.gates.apply import APPLY_GATES
from modekeeper.gates.approval_required import ApprovalRequired
from modekeeper.gates.base import judge
from modekeeper.gates.case import GateCase
from modekeeper.gates.kill_switch import KillSwitch
from modekeeper.loop.settings import LoopSettings
from modekeeper.loop.tick import LoopState
from modekeeper.model.decision import BlockReason

__all__ = ["NO_APPLY", "ApplyRequest", "KillSwitchLook", "apply_block_reasons"]

_ORDER = {reason: rank for rank, reason in enumerate(BlockReason)}


class ApplyRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Whether an apply was asked for, and the facts its gates look at."""

    requested: bool = False
    kill_switch: KillSwitch = KillSwitch(active=False)
    pro_installed: bool = False


KillSwitchLook = Callable[[], KillSwitch]
"""Looks at the kill-switch as it is now."""

NO_APPLY = ApplyRequest()
"""Nobody asked for an apply."""


def apply_block_reasons(request: ApplyRequest, state: LoopState, settings: LoopSettings) -> tuple[BlockReason, ...]:
    """Every reason against applying what stands at the end of a run, in the order of precedence.

    Empty when no apply was asked for. Never empty otherwise: this package verifies nothing, and what is not
    verified is not applied.
    """
    if not request.requested:
        return ()
    # A passport's own wish for approval does not keep a change out of the plan: it is asked for here.
    gates = (*APPLY_GATES, ApprovalRequired())
    reasons = {BlockReason(reason) for decision in state.standing for reason in decision.block_reasons}
    for decision in state.standing:
        case = GateCase(
            proposal=decision.proposal,
            catalog=settings.catalog,
            limits=settings.limits,
            target=settings.target,
            passport=settings.passport,
            approve_advanced=settings.approve_advanced,
            now_ms=None,
            planned_at_ms=None,
            kill_switch=request.kill_switch,
            pro_installed=request.pro_installed,
            verify_ok=None,
        )
        reasons.update(verdict.reason for verdict in judge(gates, case) if verdict.reason is not None)
    return tuple(sorted(reasons, key=_ORDER.__getitem__))
