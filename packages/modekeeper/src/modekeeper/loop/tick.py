"""One tick: what was said becomes a mode, a mode a proposal, a proposal a decision. Pure."""

from collections.abc import Sequence

import msgspec

from modekeeper.gates.base import first_reason, judge
from modekeeper.gates.case import GateCase
from modekeeper.gates.proposal import PROPOSAL_GATES
from modekeeper.loop.settings import LoopSettings
from modekeeper.model.decision import Plan, Proposal
from modekeeper.model.mode import Mode
from modekeeper.model.outcome import Outcome, OutcomeState
from modekeeper.model.signal import Signal
from modekeeper.model.trace import Decision, DecisionStatus, TickTrigger, TraceEvent
from modekeeper.modes.machine import Instant, ModeState, step
from modekeeper.planning.plan import ApprovedChange, build_plan
from modekeeper.policy.choose import propose
from modekeeper.policy.chord_spec import RELOCK_CHORD
from modekeeper.policy.chords.normal_hold import healthy_values
from modekeeper.policy.situation import KnownValue, Situation

__all__ = ["LoopState", "TickInput", "tick"]

NOTHING_PLANNED = build_plan(())
_QUIET_MODES = (Mode.NORMAL, Mode.RECOVER)
_OPEN = (OutcomeState.PENDING, OutcomeState.WORSE)
"""A change that is still being judged, or must be taken back."""


class TickInput(msgspec.Struct, frozen=True, kw_only=True):
    """What a tick is about."""

    at: Instant
    trigger: TickTrigger
    said: tuple[Signal, ...] = ()


class LoopState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the loop remembers from tick to tick. Plain values."""

    ticks: int = 0
    modes: ModeState = ModeState()
    known: dict[str, KnownValue] = {}
    """Current knob values, as far as somebody named them."""
    last_good: dict[str, float] = {}
    """Knob values the job ran with when it was last in NORMAL."""
    planned_at_ms: dict[str, tuple[int, ...]] = {}
    """When each chord's changes entered the plan, newest last, in telemetry time."""
    standing: tuple[Decision, ...] = ()
    """The decisions that stand: in trouble the last ones that were let into the plan, else the last ones."""
    plan: Plan = NOTHING_PLANNED
    outcome: Outcome | None = None
    """What became of the last change that was applied. Once the job is in NORMAL and it is judged, it is forgotten:
    the next trouble is another one."""
    cooldown_factor: dict[str, int] = {}
    """By chord, how many times its cooldown counts: doubled each time a change of it was taken back."""


def tick(state: LoopState, given: TickInput, settings: LoopSettings) -> tuple[LoopState, TraceEvent]:
    """Decide once.

    1. the state machine takes in the signals; 2. the policy proposes; 3. every gate judges every proposal;
    4. what passed stands in the plan until the trouble is over or a newer decision replaces it; 5. the event is
    everything that led here.
    """
    modes, transition = step(state.modes, given.said, given.at)
    crowd = modes.crowd if modes.mode is Mode.BURST else ()
    situation = Situation(
        transition=transition,
        signals=(*modes.standing, *crowd),
        known=state.known,
        last_good=state.last_good,
        outcome=state.outcome,
    )
    proposals = propose(situation, settings.catalog, settings.limits, policy=settings.policy)
    decisions = tuple(_decide(proposal, state, given.at, settings) for proposal in proposals)
    standing = _standing(state.standing, decisions, settled=modes.mode in _QUIET_MODES)
    planned = [decision.proposal for decision in standing if decision.status is DecisionStatus.PLANNED]
    changes = [ApprovedChange(target=settings.target, proposal=proposal) for proposal in planned]
    plan = build_plan(changes) if changes else NOTHING_PLANNED
    judging = state.outcome is not None and state.outcome.state in _OPEN
    after = LoopState(
        ticks=state.ticks + 1,
        modes=modes,
        known=state.known,
        last_good=healthy_values(situation) if modes.mode is Mode.NORMAL and not judging else state.last_good,
        planned_at_ms=_planned_at(state.planned_at_ms, decisions, given.at),
        standing=standing,
        plan=plan,
        outcome=state.outcome if judging or modes.mode is not Mode.NORMAL else None,
        cooldown_factor=state.cooldown_factor,
    )
    event = TraceEvent(
        tick=after.ticks,
        trigger=given.trigger,
        at_index=given.at.index,
        at_step=given.at.step,
        at_ts_ms=given.at.ts_ms,
        mode=modes.mode,
        transition=transition,
        signals=given.said,
        active_signal_ids=tuple(signal.id for signal in modes.standing),
        chord_id=decisions[0].proposal.chord_id,
        decisions=decisions,
        plan_digest=plan.digest if plan.items else None,
        outcome=msgspec.UNSET if state.outcome is None else state.outcome,
    )
    return after, event


def _decide(proposal: Proposal, state: LoopState, at: Instant, settings: LoopSettings) -> Decision:
    if not proposal.actions:
        return Decision(proposal=proposal, status=DecisionStatus.HOLD)
    case = GateCase(
        proposal=proposal,
        catalog=settings.catalog,
        target=settings.target,
        now_ms=at.ts_ms,
        planned_at_ms=state.planned_at_ms.get(proposal.chord_id, ()),
        relocked_at_ms=state.planned_at_ms.get(RELOCK_CHORD, ()),
        cooldown_s=settings.cooldown_s,
        cooldown_factor=state.cooldown_factor.get(proposal.chord_id, 1),
        approve_advanced=settings.approve_advanced,
        limits=settings.limits,
        last_good=state.last_good,
    )
    verdicts = judge(PROPOSAL_GATES, case)
    reasons = tuple(verdict.reason for verdict in verdicts if verdict.reason is not None)
    if reasons:
        first = first_reason(verdicts)
        return Decision(
            proposal=proposal,
            verdicts=verdicts,
            status=DecisionStatus.BLOCKED,
            blocked_reason=first,
            block_reasons=reasons,
        )
    return Decision(
        proposal=proposal,
        verdicts=verdicts,
        status=DecisionStatus.PLANNED,
        changed_knobs=tuple(sorted(action.knob for action in proposal.actions)),
    )


def _standing(before: Sequence[Decision], now: tuple[Decision, ...], *, settled: bool) -> tuple[Decision, ...]:
    """The decisions that stand after this tick.

    While the trouble lasts, a change that was let into the plan stays there: a later tick that repeats it is
    only held back by the cooldown, and does not take it out again.
    """
    if settled:
        return now
    stays = {decision.proposal.chord_id: decision for decision in before if decision.status is DecisionStatus.PLANNED}
    return tuple(
        stays.get(decision.proposal.chord_id, decision) if decision.status is DecisionStatus.BLOCKED else decision
        for decision in now
    )


def _planned_at(
    before: dict[str, tuple[int, ...]], decisions: Sequence[Decision], at: Instant
) -> dict[str, tuple[int, ...]]:
    if at.ts_ms is None:
        return before
    after = dict(before)
    for decision in decisions:
        if decision.status is DecisionStatus.PLANNED:
            chord_id = decision.proposal.chord_id
            after[chord_id] = (*after.get(chord_id, ()), at.ts_ms)[-64:]
    return after
