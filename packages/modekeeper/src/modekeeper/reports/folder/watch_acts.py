"""The acting half of an iteration of ``watch --apply``: what to ask the actuator for, and what its answer means.

Apply what stands in the plan, take back what did harm, give pods made later the values again. Every write is the
actuator's; nothing here can make one.
"""

from collections.abc import Callable
from dataclasses import dataclass

from modekeeper.artifacts.canonical import document
from modekeeper.artifacts.contracts.k8s_apply import K8sApplyReport
from modekeeper.artifacts.contracts.watch_apply import PlanFate, WatchApplyPart
from modekeeper.artifacts.explain import ExplainLog
from modekeeper.cluster.carrying import carrying
from modekeeper.gates.kill_switch import KillSwitch
from modekeeper.loop.engine import Engine
from modekeeper.loop.tick import NOTHING_PLANNED
from modekeeper.model.decision import LICENCE_REASONS, BlockReason, Plan
from modekeeper.model.errors import ModeKeeperError
from modekeeper.model.outcome import Outcome, OutcomeState
from modekeeper.model.trace import TraceEvent
from modekeeper.planning.undo import RollbackPlan
from modekeeper.policy.chord_spec import RELOCK_CHORD
from modekeeper.policy.wording import shown
from modekeeper.ports.clock import Clock
from modekeeper.reports.folder.acting import (
    APPLIED_PLAN,
    APPLIED_UNDO,
    NOTHING_TO_APPLY,
    Acted,
    ActingPlace,
    Hands,
    PlanToAct,
    acted,
    apply_plan,
    licence_refusal,
    take_back,
)
from modekeeper.reports.folder.acts_state import AGAIN, FORWARD, WAY_BACK, ActsMemory, ActsState, BegunPlan, HeldPlan
from modekeeper.reports.folder.publishing import path_in
from modekeeper.reports.folder.run_folder import DecidedPlan

__all__ = ["EFFECT_PENDING", "GIVEN_UP", "UNRECEIPTED", "Audit", "Iteration", "WatchActs"]

Audit = Callable[[], tuple[str, ...]]
"""Looks for changes under our field manager that have no receipt; gives a line for each."""

EFFECT_PENDING = "effect_pending"
"""A change is still being measured: one at a time."""
UNRECEIPTED = "unreceipted_change"
GIVEN_UP = "rollback_given_up"
_MOST_WAYS_BACK = 12
_MOST_FORWARD = 5
"""Attempts to finish a plan that was begun; then what was written of it is taken back."""
_OPEN = (OutcomeState.PENDING, OutcomeState.WORSE)


@dataclass(frozen=True, kw_only=True)
class Iteration:
    """Where an iteration stands when it comes to acting."""

    number: int
    decided: DecidedPlan
    switch: KillSwitch
    place: ActingPlace


class WatchActs:
    """Asks the actuator, and takes in what became of it."""

    def __init__(
        self,
        hands: Hands | None,
        engine: Engine,
        explain: ExplainLog,
        clock: Clock,
        *,
        audit: Audit | None,
        save: Callable[[], None],
    ) -> None:
        """``save`` puts the state on the disk, before the actuator is asked for a plan it was not asked for yet."""
        self._hands = hands
        self._engine = engine
        self._memory = ActsMemory(explain, clock)
        self._audit = audit
        self._save = save
        self._refusal: K8sApplyReport | None = None
        self._unsettled = False
        """An earlier process may have died in the middle of a write: the actuator finds out, once it is asked."""
        self._licence_looked_at = False

    @property
    def state(self) -> ActsState:
        """As it is kept in the checkpoint."""
        return self._memory.state

    def restore(self, state: ActsState) -> None:
        """Go on from the checkpoint of an earlier process."""
        self._memory.state = state
        held = state.held if self._hands is not None else ()
        self._unsettled = bool(state.begun is not None or held or self._to_take_back())

    @property
    def refusal(self) -> K8sApplyReport | None:
        """The refusal that no later try in this process can turn: the session ends with it."""
        return self._refusal

    def part(self) -> WatchApplyPart:
        """As the report of the session carries it."""
        return self._memory.part(self._engine.state)

    def heard(self, event: TraceEvent) -> None:
        """Take in one line of the decision trace: what became of a change is told once."""
        if isinstance(event.outcome, Outcome):
            self._memory.judged(event.outcome)

    def begin(self, iteration: int) -> None:
        """An iteration begins."""
        self._memory.iteration = iteration

    def idle(self) -> Acted | None:
        """Nothing is done; ``None`` where nothing could be."""
        return None if self._hands is None else NOTHING_TO_APPLY

    def act(self, now: Iteration) -> Acted:
        """Do what is to be done in this iteration: at most one new plan, or one way back."""
        if not self._unsettled:
            self._look_for_unreceipted()
        if self._hands is None:
            return NOTHING_TO_APPLY
        wrong = self._to_take_back()
        if now.switch.active:
            return self._held_by_switch(now, wrong)
        if wrong is not None:
            return self._take_back(self._hands, now, wrong)
        if self.state.begun is not None:
            return self._go_on(self._hands, now, self.state.begun)
        refusal = self._licence_refusal(self._hands, now)
        if refusal is not None:
            return acted(refusal)
        again = self._look_after_held(self._hands, now)
        new = self._new_plan(self._hands, now)
        return again if again is not None and new is NOTHING_TO_APPLY else new

    def _licence_refusal(self, hands: Hands, now: Iteration) -> K8sApplyReport | None:
        """Once in a process, and before there is anything to apply: hours later is no time to learn of it.

        The actuator also finds out how a killed run ended, whatever it is asked.
        """
        if self._licence_looked_at or (now.decided.plan.items and not self._unsettled):
            return None
        self._licence_looked_at, self._unsettled = True, False
        self._refusal = licence_refusal(hands, now.place, NOTHING_PLANNED, now.decided.plan_path)
        if self._refusal is not None:
            self._asked(self._refusal)
        return self._refusal

    def _asked(self, report: K8sApplyReport) -> None:
        self._unsettled = False
        self._memory.asked(report)

    def _look_for_unreceipted(self) -> None:
        """The one place where the audit after the fact is asked; what it finds stops applying in this session."""
        memory = self._memory
        if self._audit is None or self.state.stopped == UNRECEIPTED:
            return
        try:
            found = self._audit()
        except ModeKeeperError as error:
            memory.tell("audit_failed", detail=shown(str(error), 300))
            return
        if found:
            memory.tell("unreceipted_change", found=list(found[:20]), count=len(found))
            memory.set(stopped=UNRECEIPTED, stopped_detail=shown("; ".join(found), 600))

    # What stands.

    def _look_after_held(self, hands: Hands, now: Iteration) -> Acted | None:
        """Give pods made later the values again; a plan that somebody else took back stands no more."""
        said: Acted | None = None
        held = self.state.held
        for place, each in enumerate(held):
            if any(_overlap(each.plan, later.plan) for later in held[place + 1 :]):
                continue  # the later one says what pods should carry
            try:
                with hands.reader() as reader:
                    found = carrying(reader, each.plan)
            except ModeKeeperError:
                return said  # a later iteration will see
            if found.gone:
                self._gone(each, found.gone)
            elif found.pods_without and self.state.stopped is None:
                said = self._give_again(hands, now, each, found.pods_without) or said
        return said

    def _gone(self, held: HeldPlan, why: str) -> None:
        digest, outcome = held.plan.digest, self._engine.state.outcome
        self._memory.tell("plan_gone", plan_digest=digest, detail=why)
        self._memory.stands_no_more(digest, PlanFate.GONE)
        if outcome is None or outcome.plan_digest != digest:
            return
        if outcome.state is OutcomeState.WORSE and held.change is not None:
            self._engine.taken_back(held.change)
        elif outcome.state is OutcomeState.PENDING:
            judged = self._engine.cannot_measure(why)
            if judged is not None:
                self._memory.judged(judged)

    def _give_again(self, hands: Hands, now: Iteration, held: HeldPlan, pods: tuple[str, ...]) -> Acted | None:
        digest, memory = held.plan.digest, self._memory
        if not memory.may_try(AGAIN, digest):
            return None
        report = apply_plan(hands, _to_act(now, held.plan, held.undo), now.place, now.switch)
        self._asked(report)
        if report.apply_ok:
            memory.given_again(digest, pods)
        else:
            memory.wait(AGAIN, digest, tuple(report.block_reasons), report.detail)
        return acted(report)

    # A new plan.

    def _new_plan(self, hands: Hands, now: Iteration) -> Acted:
        plan, undo, memory = now.decided.plan, now.decided.undo, self._memory
        outcome = self._engine.state.outcome
        if undo is None or any(RELOCK_CHORD in item.chord_id.split(",") for item in plan.items):
            # What RECOVER-RELOCK plans is no new change: the actuator takes back what it wrote.
            memory.wait_no_more(FORWARD)
            return NOTHING_TO_APPLY
        if any(held.plan.digest == plan.digest for held in self.state.held):
            return NOTHING_TO_APPLY
        if self.state.stopped is not None:
            return Acted(ok=False, reasons=(self.state.stopped,))
        if outcome is not None and outcome.state in _OPEN:
            return Acted(ok=False, reasons=(EFFECT_PENDING,))
        prepared = self._engine.prepared(plan, self._engine.state.standing)
        return self._apply(hands, now, BegunPlan(plan=plan, undo=undo, prepared=prepared))

    def _go_on(self, hands: Hands, now: Iteration, begun: BegunPlan) -> Acted:
        """With a plan that was not finished."""
        if self.state.stopped is not None:
            return Acted(ok=False, reasons=(self.state.stopped,))
        return self._apply(hands, now, begun)

    def _apply(self, hands: Hands, now: Iteration, begun: BegunPlan) -> Acted:
        """Apply a plan that is new, or go on with one that an earlier try or process has begun."""
        memory, digest = self._memory, begun.plan.digest
        if not memory.may_try(FORWARD, digest):
            return Acted(ok=False, reasons=self.state.waiting[FORWARD].reasons)
        was_begun = self.state.begun is not None
        if not was_begun:
            memory.set(begun=begun)
            self._save()
        report = apply_plan(hands, _to_act(now, begun.plan, begun.undo), now.place, now.switch)
        self._asked(report)
        if report.apply_ok or (was_begun and not report.apply_attempted and self._is_there(hands, begun.plan)):
            if begun.prepared is not None:
                self._engine.applied(begun.prepared)
            memory.applied(begun)
        else:
            self._not_applied(begun, report, may_be_written=was_begun or report.apply_attempted)
        return acted(report)

    @staticmethod
    def _is_there(hands: Hands, plan: Plan) -> bool:
        """Whether a plan that was begun was made to its end before: then no verification of it can be good any more."""
        try:
            with hands.reader() as reader:
                found = carrying(reader, plan)
        except ModeKeeperError:
            return False
        return not (found.gone or found.pods_without)

    def _not_applied(self, begun: BegunPlan, report: K8sApplyReport, *, may_be_written: bool) -> None:
        memory = self._memory
        if report.block_reason in LICENCE_REASONS and not may_be_written:
            self._refusal = report
        waiting = memory.wait(FORWARD, begun.plan.digest, tuple(report.block_reasons), report.detail)
        if not may_be_written:
            memory.set(begun=None)
        elif waiting.attempts >= _MOST_FORWARD:
            memory.wait_no_more(FORWARD)
            memory.set(begun=BegunPlan(plan=begun.plan, undo=begun.undo, prepared=begun.prepared, giving_up=True))

    # The way back.

    def _to_take_back(self) -> HeldPlan | None:
        """What must be taken back: the change that did harm, or the rest of one that could not be finished."""
        begun, outcome = self.state.begun, self._engine.state.outcome
        if self.state.stopped == GIVEN_UP:
            return None
        if begun is not None and begun.giving_up:
            return HeldPlan(plan=begun.plan, undo=begun.undo, change=None)
        if outcome is None or outcome.state is not OutcomeState.WORSE:
            return None
        return next((held for held in self.state.held if held.plan.digest == outcome.plan_digest), None)

    def _take_back(self, hands: Hands, now: Iteration, wrong: HeldPlan) -> Acted:
        digest, memory = wrong.plan.digest, self._memory
        if not memory.may_try(WAY_BACK, digest):
            return Acted(ok=False, reasons=self.state.waiting[WAY_BACK].reasons)
        report = take_back(hands, _to_act(now, wrong.plan, wrong.undo), now.place, now.switch)
        self._asked(report)
        if report.apply_ok:
            self._taken_back(wrong)
            return acted(report)
        waiting = memory.wait(WAY_BACK, digest, tuple(report.block_reasons), report.detail)
        if waiting.attempts >= _MOST_WAYS_BACK:
            memory.wait_no_more(WAY_BACK)
            memory.tell("rollback_given_up", plan_digest=digest, attempts=waiting.attempts, detail=report.detail)
            text = f"what was applied could not be taken back: {report.detail}"
            memory.set(stopped=GIVEN_UP, stopped_detail=shown(text, 600))
        return acted(report)

    def _taken_back(self, wrong: HeldPlan) -> None:
        digest, outcome = wrong.plan.digest, self._engine.state.outcome
        mine = outcome if outcome is not None and outcome.plan_digest == digest else None
        if wrong.change is not None:
            self._engine.taken_back(wrong.change)
        factors = self._engine.state.cooldown_factor
        self._memory.wait_no_more(WAY_BACK)
        self._memory.stands_no_more(digest, PlanFate.TAKEN_BACK)
        self._memory.tell(
            "rolled_back",
            plan_digest=digest,
            metric=mine.metric if mine is not None else None,
            before=mine.before if mine is not None else None,
            after=mine.after if mine is not None else None,
            improvement=mine.improvement if mine is not None else None,
            cooldown_factor={chord: factors[chord] for chord in (wrong.change.chords if wrong.change else ())},
            reason=mine.detail if mine is not None else "the plan could not be finished",
        )

    def _held_by_switch(self, now: Iteration, wrong: HeldPlan | None) -> Acted:
        """Nothing is asked while a kill-switch is on; what waits for it is tried as soon as it is off."""
        reasons = (BlockReason.KILL_SWITCH_ACTIVE.value,)
        plan, begun = now.decided.plan, self.state.begun
        held = {each.plan.digest for each in self.state.held}
        if wrong is not None:
            what, digest = WAY_BACK, wrong.plan.digest
        elif begun is not None:
            what, digest = FORWARD, begun.plan.digest
        elif plan.items and plan.digest not in held:
            what, digest = FORWARD, plan.digest
        else:
            return NOTHING_TO_APPLY
        self._memory.wait(what, digest, reasons, f"{now.switch.signal} is on: nothing is changed", seen=True)
        return Acted(ok=False, reasons=reasons)


def _to_act(now: Iteration, plan: Plan, undo: RollbackPlan) -> PlanToAct:
    """The plan as a file of this iteration, whichever iteration decided it."""
    own, folder = now.decided.to_act, now.place.folder
    if own is not None and (plan.digest, undo) == (own.plan.digest, own.undo):
        return own
    folder.write_bytes(APPLIED_PLAN, document(plan))
    folder.write_bytes(APPLIED_UNDO, document(undo))
    return PlanToAct(
        plan=plan, plan_path=path_in(folder, APPLIED_PLAN), undo=undo, undo_path=path_in(folder, APPLIED_UNDO)
    )


def _overlap(one: Plan, other: Plan) -> bool:
    def keys(plan: Plan) -> set[tuple[str, str, str, str]]:
        return {(item.namespace, item.kind, item.name, knob) for item in plan.items for knob in item.knobs}

    return bool(keys(one) & keys(other))
