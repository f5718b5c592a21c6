"""Samples in, decisions out: the detectors, the state machine and the policy along one stream."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from modekeeper.detect.panel import Panel
from modekeeper.loop.effect import AppliedChange, EffectMeter, PreparedChange
from modekeeper.loop.settings import LoopSettings
from modekeeper.loop.tick import NOTHING_PLANNED, LoopState, TickInput, tick
from modekeeper.model.block import SampleBlock
from modekeeper.model.decision import CurrentValueSource, Plan, Promise
from modekeeper.model.outcome import Outcome
from modekeeper.model.signal import Environment, Signal
from modekeeper.model.trace import Decision, DecisionStatus, TickTrigger, TraceEvent
from modekeeper.modes.machine import Instant, due_index
from modekeeper.policy.chord_spec import RELOCK_CHORD
from modekeeper.policy.knobs import find_knob
from modekeeper.policy.situation import KnownValue

__all__ = ["Engine"]

_LARGEST_FACTOR = 2**16


class Engine:
    """Runs ticks where they are due: at a signal, a waiting time run out, a heartbeat, or the end of the input.

    What comes out depends on the samples and the settings alone, not on how the stream is cut into blocks, nor on
    a ``snapshot`` taken and restored between two of them.
    """

    def __init__(self, settings: LoopSettings, *, measuring: bool = False) -> None:
        """``measuring``: changes may be applied, and their effect is to be measured."""
        self._settings = settings
        self._meter = EffectMeter() if measuring else None
        self._panel = Panel(settings.detectors)
        self._state = LoopState(known=_known_at_start(settings))
        self._watched = frozenset(guard.metric for guard in settings.passport.invariants)
        self._last = Instant(index=-1, step=None, ts_ms=None)

    @property
    def state(self) -> LoopState:
        """Everything decided so far that still matters."""
        return self._state

    def environment(self) -> Environment:
        """Fingerprint of where the samples so far came from."""
        return self._panel.environment()

    def feed(self, block: SampleBlock) -> Iterator[TraceEvent]:
        """Take in the next samples; gives the ticks that fall into them, in order."""
        if not len(block):
            return
        said: dict[int, list[Signal]] = {}
        for signal in self._panel.update(block):
            said.setdefault(signal.at_index, []).append(signal)
        judged = dict(self._meter.update(block)) if self._meter is not None else {}
        announced = _announced_knobs(block)
        appearing = _appearing_metrics(block, self._watched.difference(self._state.metrics_seen))
        speaking = iter([*sorted({*said, *judged}), None])
        next_said = next(speaking)
        first, last = block.first_index, block.first_index + len(block) - 1
        index = first - 1
        while True:
            index, trigger = self._next_tick(index, next_said, said)
            if index > last:
                break
            position = index - first
            at = Instant(index=index, step=block.step_at(position), ts_ms=int(block.ts_ms[position]))
            self._take_in(announced, appearing, index)
            if index in judged:
                self._state = msgspec.structs.replace(self._state, outcome=judged[index])
            yield self._tick(TickInput(at=at, trigger=trigger, said=tuple(said.get(index, ()))))
            if index == next_said:
                next_said = next(speaking)
        self._take_in(announced, appearing, last)
        self._last = Instant(index=last, step=block.step_at(len(block) - 1), ts_ms=int(block.ts_ms[-1]))

    def _take_in(
        self, announced: list[tuple[int, dict[str, float]]], appearing: list[tuple[int, str]], upto: int
    ) -> None:
        """What the job has said of its knobs up to a sample, and which watched metrics have shown up by then."""
        while announced and announced[0][0] <= upto:
            self._state = _told(self._state, announced.pop(0)[1])
        while appearing and appearing[0][0] <= upto:
            self._state = _seen(self._state, appearing.pop(0)[1])

    def finish(self) -> TraceEvent:
        """The last tick: the input is over."""
        said = tuple(self._panel.conclude()) if self._last.index >= 0 else ()
        return self._tick(TickInput(at=self._last, trigger=TickTrigger.END_OF_INPUT, said=said))

    def no_data(self) -> TraceEvent:
        """A tick for an interval that passed without a sample."""
        return self._tick(TickInput(at=self._last, trigger=TickTrigger.NO_DATA))

    def snapshot(self) -> dict[str, Any]:
        """Everything remembered, as plain JSON values."""
        kept = {
            "panel": self._panel.snapshot(),
            "state": msgspec.to_builtins(self._state),
            "last": msgspec.to_builtins(self._last),
        }
        return kept if self._meter is None else kept | {"effect": self._meter.snapshot()}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on from the ``snapshot`` of an engine with the same settings.

        Raises:
            msgspec.ValidationError: it is not one.
            KeyError: a part of it is missing.
        """
        self._panel.restore(snapshot["panel"])
        self._state = msgspec.convert(snapshot["state"], LoopState)
        self._last = msgspec.convert(snapshot["last"], Instant)
        if "effect" in snapshot:
            # What was applied is measured to its end, by a process that applies nothing too.
            self._meter = self._meter or EffectMeter()
            self._meter.restore(snapshot["effect"])

    def prepared(self, plan: Plan, decisions: Sequence[Decision]) -> PreparedChange | None:
        """What must be known of the plan that ``decisions`` made before it is applied.

        ``None`` where nothing of it can be measured.
        """
        actions = {a.knob: a for d in decisions if d.status is DecisionStatus.PLANNED for a in d.proposal.actions}
        change = self._change(plan, decisions, {name: action.target for name, action in sorted(actions.items())})
        return None if self._meter is None or change is None else self._meter.prepare(change)

    def applied(self, prepared: PreparedChange) -> None:
        """The change was applied after the last sample: its effect is measured from now on."""
        if self._meter is None:
            return
        change = prepared.change
        said = [_known_of(self._state.known, name) for name in change.targets]
        speaks = any(known is not None and known.source is CurrentValueSource.TELEMETRY for known in said)
        outcome = self._meter.begin(prepared, self._last, speaks=speaks)
        told = {n: KnownValue(value=v, source=CurrentValueSource.CLUSTER) for n, v in change.targets.items()}
        self._state = msgspec.structs.replace(self._state, outcome=outcome, known=_replaced(self._state.known, told))

    def taken_back(self, change: AppliedChange) -> None:
        """The change was taken back after the last sample.

        The cooldown of its chords doubles, RECOVER-RELOCK's lock begins, and nothing stands in the plan any more.
        """
        state, now_ms = self._state, self._last.ts_ms
        relocked = (*state.planned_at_ms.get(RELOCK_CHORD, ()), *(() if now_ms is None else (now_ms,)))
        factors = {chord: min(2 * state.cooldown_factor.get(chord, 1), _LARGEST_FACTOR) for chord in change.chords}
        mine = state.outcome is not None and state.outcome.plan_digest == change.plan_digest
        if self._meter is not None and self._meter.change == change:
            self._meter.forget()
        self._state = msgspec.structs.replace(
            state,
            outcome=None if mine else state.outcome,
            known=_replaced(state.known, change.previous),
            planned_at_ms=state.planned_at_ms | {RELOCK_CHORD: relocked[-64:]},
            cooldown_factor=state.cooldown_factor | factors,
            standing=(),
            plan=NOTHING_PLANNED,
        )

    def cannot_measure(self, why: str) -> Outcome | None:
        """The change under measurement is not there any more, by somebody else's hand; gives what that makes of it."""
        outcome = self._meter.give_up(why) if self._meter is not None else None
        if outcome is not None:
            self._state = msgspec.structs.replace(self._state, outcome=outcome)
        return outcome

    def _change(self, plan: Plan, decisions: Sequence[Decision], targets: dict[str, float]) -> AppliedChange | None:
        planned = [d.proposal for d in decisions if d.status is DecisionStatus.PLANNED and d.proposal.actions]
        promise: Promise | None = next((proposal.promise for proposal in planned if proposal.promise), None)
        if promise is None:
            return None
        modes = self._state.modes
        began = [signal.since_index for signal in modes.standing if signal.metric == promise.metric]
        known = {name: _known_of(self._state.known, name) for name in targets}
        return AppliedChange(
            plan_digest=plan.digest,
            chord_id=planned[0].chord_id,
            chords=tuple(proposal.chord_id for proposal in planned),
            targets=targets,
            previous={name: value for name, value in known.items() if value is not None},
            promise=promise,
            invariants=tuple(sorted({name for proposal in planned for name in proposal.invariants})),
            watched=self._settings.passport.invariants,
            since_index=max(began, default=modes.since.index),
        )

    def _tick(self, given: TickInput) -> TraceEvent:
        self._state, event = tick(self._state, given, self._settings)
        return event

    def _next_tick(self, after: int, next_said: int | None, said: Mapping[int, object]) -> tuple[int, TickTrigger]:
        """The next sample after ``after`` at which there is something to decide, and why there."""
        every = self._settings.heartbeat_samples
        heartbeat = ((after + 1) // every + 1) * every - 1
        due = due_index(self._state.modes)
        index = heartbeat if due is None else min(heartbeat, max(due, after + 1))
        if next_said is not None and next_said <= index:
            return next_said, TickTrigger.SIGNAL if next_said in said else TickTrigger.EFFECT
        return index, TickTrigger.HEARTBEAT if index == heartbeat else TickTrigger.DWELL


def _announced_knobs(block: SampleBlock) -> list[tuple[int, dict[str, float]]]:
    """Samples at which the job named knob values other than the ones it named just before."""
    if block.knobs.count(None) == len(block):
        return []
    announced: list[tuple[int, dict[str, float]]] = []
    before: dict[str, float] | None = None
    last: Mapping[str, float] | None = None
    for position, knobs in enumerate(block.knobs):
        # Neighbours that say the same mostly share one copy.
        if knobs is None or knobs is last:
            continue
        last = knobs
        if before is None or dict(knobs) != before:
            before = dict(knobs)
            announced.append((block.first_index + position, before))
    return announced


def _appearing_metrics(block: SampleBlock, wanted: Iterable[str]) -> list[tuple[int, str]]:
    """Samples at which a metric nobody saw so far is there for the first time, in their order."""
    appearing: list[tuple[int, str]] = []
    for metric in wanted:
        there = np.isfinite(block.metrics[metric])
        if there.any():
            appearing.append((block.first_index + int(there.argmax()), metric))
    return sorted(appearing)


def _seen(state: LoopState, metric: str) -> LoopState:
    return msgspec.structs.replace(state, metrics_seen=tuple(sorted({*state.metrics_seen, metric})))


def _known_at_start(settings: LoopSettings) -> dict[str, KnownValue]:
    """What the pods were last told outranks what a person believes they run with."""
    known = {
        name: KnownValue(value=value, source=source)
        for source, knobs in (
            (CurrentValueSource.OPERATOR, settings.operator_knobs),
            (CurrentValueSource.CLUSTER, settings.cluster_knobs),
        )
        for name, value in knobs.items()
    }
    return dict(sorted(known.items()))


def _told(state: LoopState, knobs: dict[str, float]) -> LoopState:
    """What the job says of itself outranks what the operator said before it spoke."""
    named = {name: KnownValue(value=value, source=CurrentValueSource.TELEMETRY) for name, value in knobs.items()}
    return msgspec.structs.replace(state, known=dict(sorted({**state.known, **named}.items())))


def _known_of(known: Mapping[str, KnownValue], name: str) -> KnownValue | None:
    knob = find_knob(name)
    names = (name,) if knob is None else (knob.name, *knob.aliases)
    return next((known[each] for each in names if each in known), None)


def _replaced(known: Mapping[str, KnownValue], told: Mapping[str, KnownValue]) -> dict[str, KnownValue]:
    """``known`` with the values of ``told``, under the names that are in use."""
    after = dict(known)
    for name, value in told.items():
        knob = find_knob(name)
        names = (name,) if knob is None else (knob.name, *knob.aliases)
        for each in [n for n in names if n in after] or [name]:
            after[each] = value
    return dict(sorted(after.items()))
