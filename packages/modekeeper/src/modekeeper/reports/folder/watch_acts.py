"""The acting half of an iteration of ``watch --apply``: apply what stands in the plan, take back what did harm, give
pods made later the values again. Every write goes through the installed actuator; here is only decided what to ask.
"""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from modekeeper.artifacts.canonical import document
from modekeeper.artifacts.contracts.k8s_apply import K8sApplyReport
from modekeeper.artifacts.contracts.watch_apply import AppliedPlan, LastAct, PlanFate, WaitingAct, WatchApplyPart
from modekeeper.artifacts.explain import ExplainLog
from modekeeper.artifacts.times import iso_utc
from modekeeper.cluster.carrying import carrying
from modekeeper.gates.kill_switch import KillSwitch
from modekeeper.loop.engine import Engine
from modekeeper.model.decision import BlockReason, Plan
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
    take_back,
)
from modekeeper.reports.folder.acts_state import ActsState, BegunPlan, HeldPlan, due, waiting_after
from modekeeper.reports.folder.apply_run import UNDO
from modekeeper.reports.folder.publishing import path_in
from modekeeper.reports.folder.run_folder import DecidedPlan

__all__ = ["Audit", "Iteration", "WatchActs"]

Audit = Callable[[], tuple[str, ...]]
"""Looks for changes under our field manager that have no receipt; gives a line for each."""

_LICENCE_REASONS = frozenset(
    {
        BlockReason.LICENSE_MISSING,
        BlockReason.LICENSE_INVALID,
        BlockReason.LICENSE_EXPIRED,
        BlockReason.BINDING_MISMATCH,
        BlockReason.ENTITLEMENT_MISSING,
    }
)
"""They do not become good while the process runs."""
UNRECEIPTED = "unreceipted_change"
GIVEN_UP = "rollback_given_up"
_APPLY, _AGAIN, _ROLLBACK = "apply", "give_again", "rollback"
_WAITS_S = {_APPLY: (60.0, 900.0), _AGAIN: (20.0, 900.0), _ROLLBACK: (10.0, 300.0)}
_MOST_ROLLBACKS = 12
_MOST_APPLIES = 5
"""Attempts to finish a plan that was begun; then what was written of it is taken back."""
_PLANS_TOLD = 20


@dataclass(frozen=True, kw_only=True)
class Iteration:
    """Where an iteration stands when it comes to acting."""

    number: int
    decided: DecidedPlan
    switch: KillSwitch
    place: ActingPlace


class WatchActs:
    """Asks the actuator, and remembers what became of it."""

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
        self._explain = explain
        self._clock = clock
        self._audit = audit
        self._save = save
        self._refusal: K8sApplyReport | None = None
        self._iteration = 0
        self.state = ActsState()
        """As it is kept in the checkpoint."""

    @property
    def refusal(self) -> K8sApplyReport | None:
        """The refusal that no later try in this process can turn: the session ends with it."""
        return self._refusal

    def heard(self, event: TraceEvent) -> None:
        """Take in one line of the decision trace: what became of a change is told once."""
        if isinstance(event.outcome, Outcome):
            self._judged(event.outcome)

    def act(self, now: Iteration) -> Acted:
        """Do what is to be done in this iteration, at most one new plan or one way back."""
        self._iteration = now.number
        self._look_for_unreceipted()
        if self._hands is None:
            return NOTHING_TO_APPLY
        wrong = self._to_take_back()
        if now.switch.active:
            return self._held_by_switch(now, wrong)
        if wrong is not None:
            return self._take_back(self._hands, now, wrong)
        if self.state.begun is not None:
            return self._apply(self._hands, now, self.state.begun)
        again = self._look_after_held(self._hands, now)
        new = self._new_plan(self._hands, now)
        return again if again is not None and new is NOTHING_TO_APPLY else new

    def part(self) -> WatchApplyPart:
        """As the report of the session carries it."""
        state, outcome = self.state, self._engine.state.outcome
        judging = outcome is not None and outcome.state in (OutcomeState.PENDING, OutcomeState.WORSE)
        factors = self._engine.state.cooldown_factor
        return WatchApplyPart(
            applied_total=state.applied_total,
            taken_back_total=state.taken_back_total,
            given_again_total=state.given_again_total,
            plans=state.plans,
            measuring=outcome if judging else None,
            cooldown_factor={chord: factors[chord] for chord in sorted(factors) if factors[chord] > 1},
            last=state.last,
            waiting=tuple(state.waiting[what] for what in sorted(state.waiting)),
            stopped=state.stopped,
            stopped_detail=state.stopped_detail,
        )

    # What was measured, and what somebody else did.

    def _judged(self, outcome: Outcome) -> None:
        if outcome.state is OutcomeState.PENDING or outcome.plan_digest == self.state.judged:
            return
        self._set(judged=outcome.plan_digest)
        self._replace_plan(outcome.plan_digest, outcome=outcome)
        self._explain.add(
            "effect_measured",
            plan_digest=outcome.plan_digest,
            chord=outcome.chord_id,
            state=outcome.state,
            metric=outcome.metric,
            before=outcome.before,
            after=outcome.after,
            improvement=outcome.improvement,
            samples=outcome.samples,
            detail=outcome.detail,
        )

    def _look_for_unreceipted(self) -> None:
        """The one place where the audit after the fact is asked; what it finds stops applying in this session."""
        if self._audit is None or self.state.stopped == UNRECEIPTED:
            return
        try:
            found = self._audit()
        except ModeKeeperError as error:
            self._explain.add("audit_failed", detail=shown(str(error), 300), iteration=self._iteration)
            return
        if found:
            self._explain.add("unreceipted_change", found=list(found[:20]), iteration=self._iteration)
            self._set(stopped=UNRECEIPTED, stopped_detail=shown("; ".join(found), 600))

    # What stands.

    def _look_after_held(self, hands: Hands, now: Iteration) -> Acted | None:
        """Give pods made later the values again; a plan that somebody else took back stands no more."""
        said: Acted | None = None
        for held in self.state.held:
            if any(_overlap(held.plan, later.plan) for later in self.state.held[self.state.held.index(held) + 1 :]):
                continue  # the later one says what its pods should carry
            try:
                with hands.reader() as reader:
                    found = carrying(reader, held.plan)
            except ModeKeeperError:
                return said  # another iteration will see
            if found.gone:
                self._gone(held, found.gone)
            elif found.pods_without and self.state.stopped is None:
                said = self._give_again(hands, now, held, found.pods_without) or said
        return said

    def _gone(self, held: HeldPlan, why: str) -> None:
        digest, outcome = held.plan.digest, self._engine.state.outcome
        self._explain.add("plan_gone", plan_digest=digest, detail=why, iteration=self._iteration)
        self._set(held=tuple(each for each in self.state.held if each is not held))
        self._replace_plan(digest, fate=PlanFate.GONE, fate_at=iso_utc(self._clock.now()))
        if outcome is None or outcome.plan_digest != digest:
            return
        if outcome.state is OutcomeState.WORSE and held.change is not None:
            self._engine.taken_back(held.change)
        elif outcome.state is OutcomeState.PENDING:
            self._engine.cannot_measure(why)
            judged = self._engine.state.outcome
            if judged is not None:
                self._judged(judged)

    def _give_again(self, hands: Hands, now: Iteration, held: HeldPlan, pods: tuple[str, ...]) -> Acted | None:
        digest = held.plan.digest
        if not due(self.state.waiting.get(_AGAIN), digest, self._clock.now()):
            return None
        report = apply_plan(hands, self._to_act(now, held.plan, held.undo), now.place, now.switch)
        self._done(report)
        if not report.apply_ok:
            self._wait(_AGAIN, digest, report)
            return acted(report)
        self._no_wait(_AGAIN)
        plan = next((each for each in self.state.plans if each.plan_digest == digest), None)
        self._replace_plan(digest, given_again=len(pods) + (plan.given_again if plan is not None else 0))
        self._set(given_again_total=self.state.given_again_total + len(pods))
        self._explain.add("pod_given_again", plan_digest=digest, pods=list(pods[:50]), iteration=self._iteration)
        return acted(report)

    # A new plan.

    def _new_plan(self, hands: Hands, now: Iteration) -> Acted:
        plan, undo, state = now.decided.plan, now.decided.undo, self.state
        outcome = self._engine.state.outcome
        waiting = state.waiting.get(_APPLY)
        if undo is None or any(RELOCK_CHORD in item.chord_id.split(",") for item in plan.items):
            # The way back is not planned forward: the actuator takes back what it wrote.
            self._no_wait(_APPLY)
            return NOTHING_TO_APPLY
        if any(held.plan.digest == plan.digest for held in state.held):
            return NOTHING_TO_APPLY
        if state.stopped is not None:
            return Acted(ok=False, reasons=(state.stopped,))
        if outcome is not None and outcome.state in (OutcomeState.PENDING, OutcomeState.WORSE):
            return Acted(ok=False)
        if waiting is not None and not due(waiting, plan.digest, self._clock.now()):
            return Acted(ok=False, reasons=waiting.reasons)
        begun = BegunPlan(plan=plan, undo=undo, decisions=self._engine.state.standing)
        return self._apply(hands, now, begun)

    def _apply(self, hands: Hands, now: Iteration, begun: BegunPlan) -> Acted:
        """Apply a plan that is new, or go on with one that an earlier try or process has begun."""
        digest, waiting = begun.plan.digest, self.state.waiting.get(_APPLY)
        if waiting is not None and not due(waiting, digest, self._clock.now()):
            return Acted(ok=False, reasons=waiting.reasons)
        was_begun = self.state.begun is not None
        if not was_begun:
            self._set(begun=begun)
            now.place.door.write_bytes(UNDO, document(begun.undo))
            self._save()
        report = apply_plan(hands, self._to_act(now, begun.plan, begun.undo), now.place, now.switch)
        self._done(report)
        if report.apply_ok:
            self._applied(begun)
        else:
            self._not_applied(begun, report, may_be_written=was_begun or report.apply_attempted)
        return acted(report)

    def _applied(self, begun: BegunPlan) -> None:
        plan, at = begun.plan, iso_utc(self._clock.now())
        change = self._engine.applied(plan, begun.decisions)
        chords = tuple(dict.fromkeys(chord for item in plan.items for chord in item.chord_id.split(",")))
        knobs = {name: text for item in plan.items for name, text in item.knobs.items()}
        told = AppliedPlan(
            plan_digest=plan.digest, chords=chords, knobs=knobs, applied_at=at, iteration=self._iteration
        )
        self._no_wait(_APPLY)
        self._set(
            begun=None,
            held=(*self.state.held, HeldPlan(plan=plan, undo=begun.undo, change=change)),
            plans=(*self.state.plans, told)[-_PLANS_TOLD:],
            applied_total=self.state.applied_total + 1,
            judged=None,
        )
        self._explain.add(
            "plan_applied", plan_digest=plan.digest, chords=list(chords), knobs=knobs, iteration=self._iteration
        )

    def _not_applied(self, begun: BegunPlan, report: K8sApplyReport, *, may_be_written: bool) -> None:
        if report.block_reason in _LICENCE_REASONS and not report.apply_attempted:
            self._refusal = report
        waiting = self._wait(_APPLY, begun.plan.digest, report)
        if not may_be_written:
            begun_now = None
        elif waiting.attempts >= _MOST_APPLIES:
            begun_now = msgspec.structs.replace(begun, giving_up=True)
            self._no_wait(_APPLY)
        else:
            begun_now = begun
        self._set(begun=begun_now)

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
        digest, waiting = wrong.plan.digest, self.state.waiting.get(_ROLLBACK)
        if waiting is not None and not due(waiting, digest, self._clock.now()):
            return Acted(ok=False, reasons=waiting.reasons)
        report = take_back(hands, self._to_act(now, wrong.plan, wrong.undo), now.place, now.switch)
        self._done(report)
        if report.apply_ok:
            self._taken_back(wrong)
            return acted(report)
        waiting = self._wait(_ROLLBACK, digest, report)
        if waiting.attempts >= _MOST_ROLLBACKS:
            self._explain.add("rollback_given_up", plan_digest=digest, attempts=waiting.attempts, detail=report.detail)
            self._no_wait(_ROLLBACK)
            text = f"what was applied could not be taken back: {report.detail}"
            self._set(stopped=GIVEN_UP, stopped_detail=shown(text, 600))
        return acted(report)

    def _taken_back(self, wrong: HeldPlan) -> None:
        digest, outcome = wrong.plan.digest, self._engine.state.outcome
        mine = outcome if outcome is not None and outcome.plan_digest == digest else None
        if wrong.change is not None:
            self._engine.taken_back(wrong.change)
        begun = self.state.begun
        self._no_wait(_ROLLBACK)
        self._set(
            held=tuple(held for held in self.state.held if held.plan.digest != digest),
            begun=None if begun is not None and begun.plan.digest == digest else begun,
            taken_back_total=self.state.taken_back_total + 1,
        )
        self._replace_plan(digest, fate=PlanFate.TAKEN_BACK, fate_at=iso_utc(self._clock.now()))
        factors = self._engine.state.cooldown_factor
        chords = wrong.change.chords if wrong.change is not None else ()
        self._explain.add(
            "rolled_back",
            plan_digest=digest,
            metric=mine.metric if mine is not None else None,
            before=mine.before if mine is not None else None,
            after=mine.after if mine is not None else None,
            improvement=mine.improvement if mine is not None else None,
            cooldown_factor={chord: factors.get(chord, 1) for chord in chords},
            reason=mine.detail if mine is not None else "the plan could not be finished",
            iteration=self._iteration,
        )

    # Waiting.

    def _held_by_switch(self, now: Iteration, wrong: HeldPlan | None) -> Acted:
        """Nothing is asked while a kill-switch is on; whatever waits for it is tried as soon as it is off."""
        held = {each.plan.digest for each in self.state.held}
        plan = now.decided.plan
        reason = BlockReason.KILL_SWITCH_ACTIVE.value
        detail = f"{now.switch.signal} is on: nothing is changed"
        if wrong is not None:
            self._waits(_ROLLBACK, wrong.plan.digest, (reason,), detail)
        elif self.state.begun is not None:
            self._waits(_APPLY, self.state.begun.plan.digest, (reason,), detail)
        elif plan.items and plan.digest not in held:
            self._waits(_APPLY, plan.digest, (reason,), detail)
        else:
            return NOTHING_TO_APPLY
        return Acted(ok=False, reasons=(reason,))

    def _wait(self, what: str, plan_digest: str, report: K8sApplyReport) -> WaitingAct:
        return self._waits(what, plan_digest, tuple(report.block_reasons), report.detail)

    def _waits(self, what: str, plan_digest: str, reasons: tuple[str, ...], detail: str) -> WaitingAct:
        before = self.state.waiting.get(what)
        waiting = waiting_after(
            before,
            what,
            plan_digest,
            reasons=reasons,
            detail=detail,
            now=self._clock.now(),
            waits_s=_WAITS_S[what],
        )
        self._set(waiting=self.state.waiting | {what: waiting})
        if waiting != before:
            fields = msgspec.structs.asdict(waiting)
            self._explain.add("act_waits", **fields, iteration=self._iteration)
        return waiting

    def _no_wait(self, what: str) -> None:
        if what in self.state.waiting:
            self._set(waiting={each: w for each, w in self.state.waiting.items() if each != what})

    def _done(self, report: K8sApplyReport) -> None:
        self._set(
            last=LastAct(
                operation=report.operation,
                plan_digest=report.plan_digest or "",
                at=iso_utc(self._clock.now()),
                iteration=self._iteration,
                apply_attempted=report.apply_attempted,
                apply_ok=report.apply_ok,
                block_reasons=tuple(report.block_reasons),
                detail=report.detail,
            )
        )

    # The state.

    def _to_act(self, now: Iteration, plan: Plan, undo: RollbackPlan) -> PlanToAct:
        """The plan as a file of this iteration, whichever iteration decided it."""
        own, folder = now.decided.to_act, now.place.folder
        if own is not None and (plan.digest, undo) == (own.plan.digest, own.undo):
            return own
        folder.write_bytes(APPLIED_PLAN, document(plan))
        folder.write_bytes(APPLIED_UNDO, document(undo))
        paths = {"plan_path": path_in(folder, APPLIED_PLAN), "undo_path": path_in(folder, APPLIED_UNDO)}
        return PlanToAct(plan=plan, undo=undo, **paths)

    def _set(self, **changes: object) -> None:
        self.state = msgspec.structs.replace(self.state, **changes)

    def _replace_plan(self, digest: str | None, **changes: object) -> None:
        """Change what is told of the newest application of a plan."""
        plans = list(self.state.plans)
        for place in reversed(range(len(plans))):
            if plans[place].plan_digest == digest:
                plans[place] = msgspec.structs.replace(plans[place], **changes)
                break
        self._set(plans=tuple(plans))


def _overlap(one: Plan, other: Plan) -> bool:
    def keys(plan: Plan) -> set[tuple[str, str, str, str]]:
        return {(item.namespace, item.kind, item.name, knob) for item in plan.items for knob in item.knobs}

    return bool(keys(one) & keys(other))
