"""What every detector offers, and how its findings are written down."""

from collections.abc import Iterable
from typing import Any, Protocol

import msgspec

from modekeeper.detect.history import Position
from modekeeper.model import wording
from modekeeper.model.block import SampleBlock
from modekeeper.model.signal import Direction, Phase, Signal, SignalKind

__all__ = [
    "BEFORE_FIRST",
    "Detector",
    "cleared",
    "placed",
    "position_at",
    "share",
    "signal_from_json",
    "signal_to_json",
    "undecided",
]

BEFORE_FIRST = Position(-1, None, 0)


class Detector(Protocol):
    """One kind of finding. Signals do not depend on how the stream is cut into blocks."""

    def update(self, block: SampleBlock) -> list[Signal]:
        """Signals decided by the samples of ``block``, oldest first."""
        ...

    def conclude(self) -> list[Signal]:
        """What cannot be decided, at the end of the input."""
        ...

    def snapshot(self) -> dict[str, Any]:
        """Everything remembered, as plain JSON values."""
        ...

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take over a :meth:`snapshot` of a detector with the same settings."""
        ...


def position_at(block: SampleBlock, row: int) -> Position:
    """Position of one sample of a block."""
    return Position(block.first_index + row, block.step_at(row), int(block.ts_ms[row]))


def share(effect: float | None) -> str:
    """``0.256`` as ``26 %``."""
    return "by an unknown share" if effect is None else wording.percent(effect)


def placed(at: Position, since: Position) -> dict[str, Any]:
    """The fields of a signal that say where it was decided and where it began."""
    return {
        "at_index": at.index,
        "at_step": at.step,
        "at_ts_ms": at.ts_ms,
        "since_index": since.index,
        "since_step": since.step,
        "since_ts_ms": since.ts_ms,
    }


def cleared(signal: Signal, at: Position, explanation: str, level: float | None = None) -> Signal:
    """The end of a confirmed finding."""
    return msgspec.structs.replace(
        signal,
        phase=Phase.CLEARED,
        at_index=at.index,
        at_step=at.step,
        at_ts_ms=at.ts_ms,
        level=signal.level if level is None else level,
        explanation=explanation,
    )


def undecided(kind: SignalKind, metric: str, at: Position, explanation: str, samples_used: int = 0) -> Signal:
    """The detector cannot tell, and says why."""
    return Signal(
        id=f"{kind.value}-{metric}-undecided",
        kind=kind,
        phase=Phase.UNDECIDED,
        metric=metric,
        direction=Direction.NEUTRAL,
        **placed(at, at),
        samples_used=samples_used,
        explanation=explanation,
    )


def signal_to_json(signals: Iterable[Signal]) -> list[Any]:
    """Signals as plain JSON values."""
    return [msgspec.to_builtins(signal) for signal in signals]


def signal_from_json(values: list[Any]) -> list[Signal]:
    """Inverse of :func:`signal_to_json`."""
    return msgspec.convert(values, list[Signal])
