"""The findings of a run from what the detectors said. Bounded, whatever the run."""

from typing import Any

import msgspec

from modekeeper.artifacts.contracts.parts import Finding, Findings
from modekeeper.model.signal import Phase, Signal

__all__ = ["FindingsRegister"]

_KEPT = 100
"""So many ended findings are kept; older ones are counted."""


class _State(msgspec.Struct, kw_only=True):
    """All a register remembers. Plain values."""

    standing: dict[str, Finding] = {}
    ended: list[Finding] = []
    left_out: int = 0
    undecided: dict[str, Signal] = {}
    confirmed_by_kind: dict[str, int] = {}
    suspected: int = 0


class FindingsRegister:
    """Pairs the confirmation of each finding with its end."""

    def __init__(self) -> None:
        self._state = _State()

    def add(self, signal: Signal) -> None:
        """Take in the next thing a detector said."""
        state = self._state
        if signal.phase is Phase.CONFIRMED:
            state.confirmed_by_kind[signal.kind] = state.confirmed_by_kind.get(signal.kind, 0) + 1
            state.standing[signal.id] = Finding(signal=signal)
            state.undecided.pop(_about(signal), None)
        elif signal.phase is Phase.CLEARED:
            finding = state.standing.pop(signal.id, None)
            if finding is not None:
                self._end(finding, signal)
        elif signal.phase is Phase.SUSPECTED:
            state.suspected += 1
        else:
            state.undecided[_about(signal)] = signal

    def findings(self) -> Findings:
        """What was found so far."""
        state = self._state
        return Findings(
            standing=tuple(state.standing[key] for key in sorted(state.standing)),
            ended=tuple(state.ended),
            confirmed_total=sum(state.confirmed_by_kind.values()),
            suspected_total=state.suspected,
            confirmed_by_kind=dict(sorted(state.confirmed_by_kind.items())),
            undecided=tuple(state.undecided[key] for key in sorted(state.undecided)),
            left_out=state.left_out,
        )

    def next_part(self) -> "FindingsRegister":
        """A register for the next part of the same run: it starts with what still stands."""
        part = FindingsRegister()
        part._state.standing = dict(self._state.standing)
        return part

    def snapshot(self) -> Any:
        """Everything remembered, as plain JSON values."""
        return msgspec.to_builtins(self._state)

    def restore(self, snapshot: Any) -> None:
        """Go on from a ``snapshot``.

        Raises:
            msgspec.ValidationError: it is not one.
        """
        self._state = msgspec.convert(snapshot, _State)

    def _end(self, finding: Finding, cleared: Signal) -> None:
        ended = msgspec.structs.replace(
            finding, ended_index=cleared.at_index, ended_step=cleared.at_step, ended_ts_ms=cleared.at_ts_ms
        )
        self._state.ended.append(ended)
        if len(self._state.ended) > _KEPT:
            del self._state.ended[0]
            self._state.left_out += 1


def _about(signal: Signal) -> str:
    return f"{signal.kind}:{signal.metric}"
