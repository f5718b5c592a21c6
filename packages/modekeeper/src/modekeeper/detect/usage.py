"""Findings about a share that stays high or low: the machinery of the GPU and input detectors.

A Schmitt trigger (O. H. Schmitt, A thermionic trigger, 1938) on the median of a window: one threshold to confirm,
another to clear.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from modekeeper.detect.base import cleared, placed, signal_from_json, signal_to_json
from modekeeper.detect.history import History, Position
from modekeeper.detect.robust import run_start
from modekeeper.model.signal import Direction, Phase, Signal, SignalKind

__all__ = ["LOOK_EVERY", "NO_SIGN", "UsageTrigger"]

LOOK_EVERY = 10
"""Samples between two looks."""
NO_SIGN = 0.0
"""Added to what may be minus zero, which one path of the arithmetic keeps and the other does not."""


class UsageTrigger:
    """Confirms when the median of a full window passes ``enter``, clears when it passes ``leave`` back.

    ``enter > leave`` looks for high values, ``enter < leave`` for low ones.
    """

    def __init__(
        self, kind: SignalKind, metric: str, direction: Direction, *, window: int, enter: float, leave: float
    ) -> None:
        self._kind = kind
        self._metric = metric
        self._direction = direction
        self._window = window
        self._enter = enter
        self._leave = leave
        self._sign = 1.0 if enter > leave else -1.0
        self._first_look = -(-window // LOOK_EVERY) * LOOK_EVERY
        self._active: Signal | None = None
        self._findings = 0

    def judge(self, history: History, since: int, explain: Callable[[float, int], str]) -> list[Signal]:
        """Look at the window before every ``LOOK_EVERY``-th value from number ``since`` on.

        ``explain`` makes a sentence of a median and of the number of values that had come when it was taken.
        """
        signals: list[Signal] = []
        look = max(since + LOOK_EVERY - since % LOOK_EVERY, self._first_look)
        while look <= history.count:
            candidate = self._next_candidate(history, look)
            if candidate is None:
                break
            signals.extend(self._look(history, candidate, explain))
            look = candidate + LOOK_EVERY
        return signals

    def _next_candidate(self, history: History, look: int) -> int | None:
        """The next look whose median may pass the threshold: half of the window lies beyond it."""
        window = self._window
        values = history.values(look - window, history.count)
        if self._active is None:
            beyond = self._sign * values >= self._sign * self._enter
        else:
            beyond = self._sign * values < self._sign * self._leave
        half = window // 2
        if history.count < look + LOOK_EVERY:
            return look if np.count_nonzero(beyond[:window]) >= half else None
        sums = np.concatenate(((0,), np.cumsum(beyond)))
        inside = sums[window::LOOK_EVERY] - sums[:-window:LOOK_EVERY]
        place = int(np.argmax(inside >= half))
        return look + place * LOOK_EVERY if inside[place] >= half else None

    def _look(self, history: History, look: int, explain: Callable[[float, int], str]) -> list[Signal]:
        values = history.values(look - self._window, look)
        level = float(np.median(values))
        at = history.position(look - 1)
        if self._active is None and self._sign * level >= self._sign * self._enter:
            self._findings += 1
            start = run_start(self._sign * values > self._sign * self._leave)
            since = history.position(look - self._window + start)
            beyond = self._sign * values >= self._sign * self._enter
            begun = float(np.median(values[start:]))
            self._active = self._signal(at, since, begun, float(beyond.mean()), explain(begun, look))
            return [self._active]
        if self._active is not None and self._sign * level < self._sign * self._leave:
            ended, self._active = self._active, None
            return [cleared(ended, at, explain(level, look), level)]
        return []

    def _signal(self, at: Position, since: Position, level: float, share: float, explanation: str) -> Signal:
        return Signal(
            id=f"{self._kind.value}-{self._metric}-{self._findings}",
            kind=self._kind,
            phase=Phase.CONFIRMED,
            metric=self._metric,
            direction=self._direction,
            **placed(at, since),
            level=level,
            confidence=share,
            samples_used=self._window,
            explanation=explanation,
        )

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"active": signal_to_json([self._active] if self._active else []), "findings": self._findings}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take over a :meth:`snapshot`."""
        self._active = next(iter(signal_from_json(snapshot["active"])), None)
        self._findings = snapshot["findings"]
