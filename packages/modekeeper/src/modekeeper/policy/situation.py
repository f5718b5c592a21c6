"""What a policy decides on: one frozen picture of the workload."""

from collections.abc import Mapping

import msgspec

from modekeeper.model.decision import CurrentValueSource
from modekeeper.model.mode import Mode, Transition
from modekeeper.model.outcome import Outcome, OutcomeState
from modekeeper.model.signal import Phase, Signal, SignalKind
from modekeeper.policy.knobs import Knob

__all__ = ["KnownValue", "Outcome", "OutcomeState", "Situation", "confirmed", "current_value", "stands"]

_IMPLIED_BY_MODE = {
    Mode.DRIFT: SignalKind.DRIFT,
    Mode.BURST: SignalKind.BURST,
    Mode.STRAGGLER: SignalKind.STRAGGLER,
}


class KnownValue(msgspec.Struct, frozen=True, kw_only=True):
    """What a knob is set to now, and who says so."""

    value: float
    source: CurrentValueSource


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a chord may look at. The same situation always gives the same proposal."""

    transition: Transition
    signals: tuple[Signal, ...] = ()
    """Confirmed findings that stand. A burst is over when it is reported: in mode BURST, those of the crowd."""
    known: Mapping[str, KnownValue] = {}
    """Current knob values under any of their names, as far as somebody named them."""
    last_good: Mapping[str, float] = {}
    """Values the job ran with when it was last seen healthy, by knob name."""
    outcome: Outcome | None = None


def confirmed(situation: Situation, kind: SignalKind) -> tuple[Signal, ...]:
    """The confirmed findings of one kind, sorted by id."""
    found = [s for s in situation.signals if s.kind is kind and s.phase is Phase.CONFIRMED]
    return tuple(sorted(found, key=lambda signal: signal.id))


def stands(situation: Situation, kind: SignalKind) -> bool:
    """Whether a finding of this kind is confirmed, or the mode itself says so."""
    return _IMPLIED_BY_MODE.get(situation.transition.to_mode) is kind or bool(confirmed(situation, kind))


def current_value(situation: Situation, knob: Knob) -> KnownValue | None:
    """The current value of ``knob``; ``None`` where nobody named one, or its names contradict each other."""
    named = [situation.known[name] for name in (knob.name, *knob.aliases) if name in situation.known]
    if not named or any(other.value != named[0].value for other in named[1:]):
        return None
    return named[0]
