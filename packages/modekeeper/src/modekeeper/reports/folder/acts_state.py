"""What a session of ``watch --apply`` remembers of its changes, from iteration to iteration and process to process."""

from datetime import timedelta

import msgspec

from modekeeper.artifacts.contracts.k8s_apply import K8sApplyReport
from modekeeper.artifacts.contracts.watch_apply import AppliedPlan, LastAct, PlanFate, WaitingAct, WatchApplyPart
from modekeeper.artifacts.explain import ExplainLog
from modekeeper.artifacts.times import iso_utc, parse_iso
from modekeeper.loop.effect import AppliedChange, PreparedChange
from modekeeper.loop.tick import LoopState
from modekeeper.model.decision import BlockReason, Plan
from modekeeper.model.outcome import Outcome, OutcomeState
from modekeeper.planning.undo import RollbackPlan
from modekeeper.ports.clock import Clock

__all__ = ["AGAIN", "FORWARD", "WAY_BACK", "ActsMemory", "ActsState", "BegunPlan", "HeldPlan"]

FORWARD, AGAIN, WAY_BACK = "new_plan", "give_again", "way_back"
"""What may have to wait."""
_WAITS_S = {FORWARD: (60.0, 900.0), AGAIN: (20.0, 900.0), WAY_BACK: (10.0, 300.0)}
"""After a refusal so long, then twice that, and so on up to the second."""
_SWITCH_WAIT_S = 60.0
"""Before the actuator is asked again whether a kill-switch is off that only it looks at."""
_KILL_SWITCH = BlockReason.KILL_SWITCH_ACTIVE.value
_KEPT = 20
_MOST_NAMED = 50


class BegunPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A plan that is being applied: on the disk before the actuator is asked."""

    plan: Plan
    undo: RollbackPlan
    prepared: PreparedChange | None
    """Where the job stood before; ``None`` where nothing of the change can be measured."""
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


class ActsMemory:
    """The state, and the log of the session that tells how it came about."""

    def __init__(self, explain: ExplainLog, clock: Clock) -> None:
        self._explain = explain
        self._clock = clock
        self.state = ActsState()
        """As it is kept in the checkpoint."""
        self.iteration = 0
        """The one that goes on now."""

    def tell(self, event: str, **payload: object) -> None:
        """Write an event of this iteration into the log of the session."""
        self._explain.add(event, **payload, iteration=self.iteration)

    def set(self, **changes: object) -> None:
        """Change fields of the state."""
        self.state = msgspec.structs.replace(self.state, **changes)

    def asked(self, report: K8sApplyReport) -> None:
        """The actuator was asked."""
        last = LastAct(
            operation=report.operation,
            plan_digest=report.plan_digest or "",
            at=iso_utc(self._clock.now()),
            iteration=self.iteration,
            apply_attempted=report.apply_attempted,
            apply_ok=report.apply_ok,
            block_reasons=tuple(report.block_reasons),
            detail=report.detail,
        )
        self.set(last=last)

    def applied(self, begun: BegunPlan) -> None:
        """A plan is applied, every item of it."""
        plan, change = begun.plan, None if begun.prepared is None else begun.prepared.change
        told = AppliedPlan(
            plan_digest=plan.digest,
            chords=tuple(dict.fromkeys(chord for item in plan.items for chord in item.chord_id.split(","))),
            knobs={name: text for item in plan.items for name, text in item.knobs.items()},
            applied_at=iso_utc(self._clock.now()),
            iteration=self.iteration,
        )
        self.wait_no_more(FORWARD)
        self.set(
            begun=None,
            held=(*self.state.held, HeldPlan(plan=plan, undo=begun.undo, change=change))[-_KEPT:],
            plans=(*self.state.plans, told)[-_KEPT:],
            applied_total=self.state.applied_total + 1,
            judged=None,
        )
        self.tell("plan_applied", plan_digest=plan.digest, chords=list(told.chords), knobs=told.knobs)

    def judged(self, outcome: Outcome) -> None:
        """What became of a change, each time once."""
        if outcome.state is OutcomeState.PENDING or outcome.plan_digest == self.state.judged:
            return
        self.set(judged=outcome.plan_digest)
        self._replace_plan(outcome.plan_digest, outcome=outcome)
        self.tell(
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

    def given_again(self, plan_digest: str, pods: tuple[str, ...]) -> None:
        """Pods made later were given the values of a plan."""
        self.wait_no_more(AGAIN)
        before = next((each.given_again for each in reversed(self.state.plans) if each.plan_digest == plan_digest), 0)
        self._replace_plan(plan_digest, given_again=before + len(pods))
        self.set(given_again_total=self.state.given_again_total + len(pods))
        self.tell("pod_given_again", plan_digest=plan_digest, pods=list(pods[:_MOST_NAMED]), count=len(pods))

    def stands_no_more(self, plan_digest: str, fate: PlanFate) -> None:
        """A plan was taken back, by us or by somebody else."""
        begun = self.state.begun
        self.set(
            held=tuple(held for held in self.state.held if held.plan.digest != plan_digest),
            begun=None if begun is not None and begun.plan.digest == plan_digest else begun,
            taken_back_total=self.state.taken_back_total + (fate is PlanFate.TAKEN_BACK),
        )
        self._replace_plan(plan_digest, fate=fate, fate_at=iso_utc(self._clock.now()))

    def may_try(self, what: str, plan_digest: str) -> bool:
        """Whether a plan may be tried now, or must wait."""
        waiting = self.state.waiting.get(what)
        if waiting is None or waiting.plan_digest != plan_digest or waiting.next_at is None:
            return True
        return self._clock.now() >= parse_iso(waiting.next_at)

    def wait(
        self, what: str, plan_digest: str, reasons: tuple[str, ...], detail: str, *, seen: bool = False
    ) -> WaitingAct:
        """It was refused, or failed: try again later. A kill-switch is no attempt.

        ``seen``: it is one that each iteration looks at anyway, and so sees when it goes.
        """
        before = self.state.waiting.get(what)
        attempts = before.attempts if before is not None and before.plan_digest == plan_digest else 0
        first_s, most_s = _WAITS_S[what]
        if reasons[:1] == (_KILL_SWITCH,):
            next_at = None if seen else self._later(_SWITCH_WAIT_S)
        else:
            next_at = self._later(min(first_s * 2.0 ** min(attempts, 30), most_s))
            attempts += 1
        waiting = WaitingAct(
            what=what, plan_digest=plan_digest, reasons=reasons, detail=detail, attempts=attempts, next_at=next_at
        )
        self.set(waiting=self.state.waiting | {what: waiting})
        if waiting != before:
            self.tell("act_waits", **msgspec.structs.asdict(waiting))
        return waiting

    def wait_no_more(self, what: str) -> None:
        """There is nothing to wait with."""
        if what in self.state.waiting:
            self.set(waiting={each: waiting for each, waiting in self.state.waiting.items() if each != what})

    def part(self, loop: LoopState) -> WatchApplyPart:
        """As the report of the session carries it."""
        state, outcome, factors = self.state, loop.outcome, loop.cooldown_factor
        judging = outcome is not None and outcome.state in (OutcomeState.PENDING, OutcomeState.WORSE)
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

    def _later(self, wait_s: float) -> str:
        return iso_utc(self._clock.now() + timedelta(seconds=wait_s))

    def _replace_plan(self, plan_digest: str | None, **changes: object) -> None:
        """Change what is told of the newest application of a plan."""
        plans = list(self.state.plans)
        for place in reversed(range(len(plans))):
            if plans[place].plan_digest == plan_digest:
                plans[place] = msgspec.structs.replace(plans[place], **changes)
                break
        self.set(plans=tuple(plans))
