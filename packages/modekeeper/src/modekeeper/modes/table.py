"""States and edges. This table is the machine: the documentation's diagram is drawn from it."""

from enum import StrEnum

import msgspec

from modekeeper.model.mode import Mode

__all__ = ["BURSTS_IN_A_CROWD", "CROWD_WINDOW_SAMPLES", "EDGES", "Edge", "Guard", "edges_from"]

BURSTS_IN_A_CROWD = 3
"""So many unexplained bursts within the window are an episode; fewer are the ordinary noise of a cluster."""

CROWD_WINDOW_SAMPLES = 200


class Guard(StrEnum):
    """A condition of an edge."""

    STRAGGLER_STANDS = "straggler_stands"
    """A straggler is confirmed and not cleared."""
    DRIFT_STANDS = "drift_stands"
    """A change for the worse, or data starvation, is confirmed and not cleared."""
    DRIFT_WITHOUT_STRAGGLER = "drift_without_straggler"
    """No straggler is left, and a drift is."""
    BURSTS_CROWD = "bursts_crowd"
    """An episode of unexplained bursts; pauses the job takes regularly or announces are not counted."""
    CALM = "calm"
    """No straggler, no drift, and no unexplained burst."""


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """A move the machine may make."""

    from_mode: Mode
    to_mode: Mode
    guard: Guard
    hold_samples: int
    """The guard must have been true for so many samples without a break."""
    dwell_samples: int
    """The machine must have been in ``from_mode`` for so many samples."""
    meaning: str

    @property
    def name(self) -> str:
        """``drift_to_recover`` and the like: what the decision trace records as the reason of a move."""
        return f"{self.from_mode}_to_{self.to_mode}".lower()


def _worse(from_mode: Mode, to_mode: Mode, guard: Guard, meaning: str) -> Edge:
    """Trouble is acted upon at once: the detector has already waited until it was sure."""
    return Edge(from_mode=from_mode, to_mode=to_mode, guard=guard, hold_samples=0, dwell_samples=0, meaning=meaning)


def _better(from_mode: Mode, to_mode: Mode, guard: Guard, wait_samples: int, meaning: str) -> Edge:
    """Relief is believed only after a while: a mode left too early is entered again, and the job is shaken."""
    return Edge(
        from_mode=from_mode,
        to_mode=to_mode,
        guard=guard,
        hold_samples=wait_samples,
        dwell_samples=wait_samples,
        meaning=meaning,
    )


EDGES: tuple[Edge, ...] = (
    _worse(Mode.NORMAL, Mode.STRAGGLER, Guard.STRAGGLER_STANDS, "a worker falls behind its peers"),
    _worse(Mode.NORMAL, Mode.DRIFT, Guard.DRIFT_STANDS, "the job gets slower and stays so"),
    _worse(Mode.NORMAL, Mode.BURST, Guard.BURSTS_CROWD, "unexplained pauses come in a crowd"),
    _worse(Mode.DRIFT, Mode.STRAGGLER, Guard.STRAGGLER_STANDS, "one worker explains the slow-down"),
    _worse(Mode.BURST, Mode.STRAGGLER, Guard.STRAGGLER_STANDS, "one worker explains the pauses"),
    _worse(Mode.BURST, Mode.DRIFT, Guard.DRIFT_STANDS, "the pauses became a lasting slow-down"),
    _better(Mode.STRAGGLER, Mode.DRIFT, Guard.DRIFT_WITHOUT_STRAGGLER, 20, "the worker recovered, the job not"),
    _better(Mode.STRAGGLER, Mode.RECOVER, Guard.CALM, 20, "the worker keeps up again"),
    _better(Mode.DRIFT, Mode.RECOVER, Guard.CALM, 20, "the job is back at its healthy pace"),
    _better(Mode.BURST, Mode.RECOVER, Guard.CALM, 100, "no more pauses"),
    _worse(Mode.RECOVER, Mode.STRAGGLER, Guard.STRAGGLER_STANDS, "a worker fell behind again"),
    _worse(Mode.RECOVER, Mode.DRIFT, Guard.DRIFT_STANDS, "the job got slower again"),
    _worse(Mode.RECOVER, Mode.BURST, Guard.BURSTS_CROWD, "the pauses came back"),
    _better(Mode.RECOVER, Mode.NORMAL, Guard.CALM, 60, "healthy for long enough"),
)
"""In the order of precedence: of several edges that could be taken, the first one is."""


def edges_from(mode: Mode) -> tuple[Edge, ...]:
    """The edges that leave ``mode``, in the order of precedence."""
    return tuple(edge for edge in EDGES if edge.from_mode is mode)
