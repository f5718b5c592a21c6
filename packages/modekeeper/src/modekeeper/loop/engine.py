"""Samples in, decisions out: the detectors, the state machine and the policy along one stream."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
import numpy as np

from modekeeper.detect.panel import Panel
from modekeeper.loop.settings import LoopSettings
from modekeeper.loop.tick import LoopState, TickInput, tick
from modekeeper.model.block import SampleBlock
from modekeeper.model.decision import CurrentValueSource
from modekeeper.model.signal import Environment, Signal
from modekeeper.model.trace import TickTrigger, TraceEvent
from modekeeper.modes.machine import Instant, due_index
from modekeeper.policy.situation import KnownValue

__all__ = ["Engine"]


class Engine:
    """Runs ticks where they are due: at a signal, a waiting time run out, a heartbeat, or the end of the input.

    What comes out depends on the samples and the settings alone, not on how the stream is cut into blocks, nor on
    a ``snapshot`` taken and restored between two of them.
    """

    def __init__(self, settings: LoopSettings) -> None:
        self._settings = settings
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
        announced = _announced_knobs(block)
        appearing = _appearing_metrics(block, self._watched.difference(self._state.metrics_seen))
        speaking = iter([*sorted(said), None])
        next_said = next(speaking)
        first, last = block.first_index, block.first_index + len(block) - 1
        index = first - 1
        while True:
            index, trigger = self._next_tick(index, next_said)
            if index > last:
                break
            position = index - first
            at = Instant(index=index, step=block.step_at(position), ts_ms=int(block.ts_ms[position]))
            while announced and announced[0][0] <= index:
                self._state = _told(self._state, announced.pop(0)[1])
            while appearing and appearing[0][0] <= index:
                self._state = _seen(self._state, appearing.pop(0)[1])
            yield self._tick(TickInput(at=at, trigger=trigger, said=tuple(said.get(index, ()))))
            if index == next_said:
                next_said = next(speaking)
        for _, knobs in announced:
            self._state = _told(self._state, knobs)
        for _, metric in appearing:
            self._state = _seen(self._state, metric)
        self._last = Instant(index=last, step=block.step_at(len(block) - 1), ts_ms=int(block.ts_ms[-1]))

    def finish(self) -> TraceEvent:
        """The last tick: the input is over."""
        said = tuple(self._panel.conclude()) if self._last.index >= 0 else ()
        return self._tick(TickInput(at=self._last, trigger=TickTrigger.END_OF_INPUT, said=said))

    def no_data(self) -> TraceEvent:
        """A tick for an interval that passed without a sample."""
        return self._tick(TickInput(at=self._last, trigger=TickTrigger.NO_DATA))

    def snapshot(self) -> dict[str, Any]:
        """Everything remembered, as plain JSON values."""
        return {
            "panel": self._panel.snapshot(),
            "state": msgspec.to_builtins(self._state),
            "last": msgspec.to_builtins(self._last),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on from the ``snapshot`` of an engine with the same settings.

        Raises:
            msgspec.ValidationError: it is not one.
            KeyError: a part of it is missing.
        """
        self._panel.restore(snapshot["panel"])
        self._state = msgspec.convert(snapshot["state"], LoopState)
        self._last = msgspec.convert(snapshot["last"], Instant)

    def _tick(self, given: TickInput) -> TraceEvent:
        self._state, event = tick(self._state, given, self._settings)
        return event

    def _next_tick(self, after: int, next_said: int | None) -> tuple[int, TickTrigger]:
        """The next sample after ``after`` at which there is something to decide, and why there."""
        every = self._settings.heartbeat_samples
        heartbeat = ((after + 1) // every + 1) * every - 1
        due = due_index(self._state.modes)
        index = heartbeat if due is None else min(heartbeat, max(due, after + 1))
        if next_said is not None and next_said <= index:
            return next_said, TickTrigger.SIGNAL
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
