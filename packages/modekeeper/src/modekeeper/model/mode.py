"""The state of a workload, and the move from one to the next."""

from enum import StrEnum

import msgspec

__all__ = ["Mode", "Transition"]


class Mode(StrEnum):
    """The state of the workload."""

    NORMAL = "NORMAL"
    DRIFT = "DRIFT"
    BURST = "BURST"
    STRAGGLER = "STRAGGLER"
    RECOVER = "RECOVER"


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """What the state machine made of the signals of one tick; ``from_mode == to_mode`` when it stayed."""

    from_mode: Mode
    to_mode: Mode
    since_index: int
    """Sample at which ``to_mode`` was entered."""
    since_step: int | None
    since_ts_ms: int | None
    reason: str
    """Machine-readable name of the edge taken, or of why it stayed."""
    signal_ids: tuple[str, ...] = ()
    """The findings that decided it."""

    @property
    def changed(self) -> bool:
        """Whether the mode moved."""
        return self.from_mode is not self.to_mode
