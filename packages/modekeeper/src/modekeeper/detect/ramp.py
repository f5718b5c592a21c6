"""Slow ramps of one level: the newest window against the first one, in standard errors of the difference.

A chart follows a lagged reference, and a slow ramp takes the reference along; the first window of the level stays
where it was. That the comparison needs such an anchor is known of control charts with estimated parameters (W. A.
Jensen et al., Effects of parameter estimation on control chart properties, Journal of Quality Technology 38, 2006).
"""

from collections.abc import Callable

import msgspec
import numpy as np

from modekeeper.detect.history import History, Position
from modekeeper.detect.reference import Reference, learn_reference, locations
from modekeeper.detect.settings import DetectorSettings

__all__ = ["LOOK", "RampState", "RampWatch"]

LOOK = 50
"""Ramps are looked for every so many values."""
STANDING = 0.5
"""Each part of the newest window must show at least this share of the shift."""
STILL_HERE = 0.2
"""A ramp begins where no more than this share of its shift had been reached."""
MOST_MEANS = 128


class RampState(msgspec.Struct, kw_only=True):
    """What is remembered of one level. Plain values."""

    since: int
    """Number of the first value of the level."""
    learn_from: int
    """Number of the first value of the first window."""
    anchor: Reference | None = None
    """The first window of the level."""
    means: list[float] = msgspec.field(default_factory=list)
    """Of the newest stretches of ``LOOK`` values, for the onset."""
    places: list[list[int]] = msgspec.field(default_factory=list)
    """Where each begins: sample, step and time."""


class RampWatch:
    """Looks for ramps in the values of ``history`` as they are judged."""

    def __init__(self, settings: DetectorSettings, history: History, state: RampState) -> None:
        self._window = settings.slow_window_samples
        self._effect_rel = settings.slow_effect_rel
        self._z = settings.drift_z
        self._history = history
        self.state = state

    def no_farther(self, judged: int, limit: int) -> int:
        """``limit``, or where the anchor is due before it: ramps are sought from there on."""
        anchored = self._anchored_at()
        return anchored if self.state.anchor is None and judged < anchored < limit else limit

    def move_on(self, judged: int, upto: int) -> None:
        """Remember what came between two numbers of judged values."""
        state, history = self.state, self._history
        ends = [c for c in range(_next_look(judged), upto + 1, LOOK) if c - LOOK >= state.since]
        if ends:
            means = locations(history.windows(ends, LOOK), 0.0)
            places = history.places(range(ends[0] - LOOK, ends[-1], LOOK))
            state.means = [*state.means, *means.tolist()][-MOST_MEANS:]
            state.places = [*state.places, *places][-MOST_MEANS:]
        if state.anchor is None and upto == self._anchored_at():
            first = state.learn_from
            state.anchor = learn_reference(history.values(first, first + self._window))

    def find(self, judged: int, limit: int, slow_sd: Callable[[int], float]) -> tuple[int, float] | None:
        """The first ramp seen after ``judged`` values and after no more than ``limit``.

        Args:
            judged: number of values judged so far.
            limit: most values to look at.
            slow_sd: noise of the latest reference before so many values were judged: the first window alone is too
                short to know how much samples lean on each other.

        Returns:
            The number of values judged then, and the shift.
        """
        anchor = self.state.anchor
        counts = range(max(_next_look(judged), self._anchored_at()), limit + 1, LOOK)
        if anchor is None or not counts:
            return None
        shifts = locations(self._history.windows(counts, self._window), anchor.clip) - anchor.level
        least = self._effect_rel * anchor.scale
        for place in np.flatnonzero(np.abs(shifts) > least).tolist():
            count, shift = counts[place], float(shifts[place])
            noisier = max(slow_sd(count) / anchor.slow_sd, 1.0)
            certain = self._z * noisier * anchor.standard_error(self._window)
            if abs(shift) > certain and self._is_borne_out(anchor, count, shift):
                return count, shift
        return None

    def _is_borne_out(self, anchor: Reference, count: int, shift: float) -> bool:
        """Whether the first half and the end of the window show the shift too."""
        window = self._history.values(count - self._window, count)
        parts = window[: self._window // 2], window[-(LOOK // 2) :]
        return all((anchor.location(part) - anchor.level) * shift >= STANDING * shift * shift for part in parts)

    def onset(self, anchor: Reference, shift: float) -> Position:
        """Start of the stretch after the last one that was still near the level."""
        state = self.state
        place = state.places[0]
        for mean, start in zip(state.means, state.places, strict=True):
            if (mean - anchor.level) * shift <= STILL_HERE * shift * shift:
                place = start
        return Position.at(*place)

    def _anchored_at(self) -> int:
        """Number of values judged at which the first window of the level is taken."""
        return _next_look(self.state.learn_from + 2 * self._window - 1)


def _next_look(judged: int) -> int:
    return (judged // LOOK + 1) * LOOK
