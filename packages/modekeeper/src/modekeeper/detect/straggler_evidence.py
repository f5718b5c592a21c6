"""What is said of stragglers: one window of steps as judged, and the signals made of it."""

import math
from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from modekeeper.detect.base import placed, share, undecided
from modekeeper.detect.history import Position
from modekeeper.detect.peer_window import Counts, PeerSteps, Place
from modekeeper.detect.robust import run_start
from modekeeper.model import wording
from modekeeper.model.signal import Direction, Phase, Signal, SignalKind

__all__ = ["METRIC", "Judgement", "begun_with", "farewell", "possible_stage", "straggling"]

METRIC = "worker_latencies_ms"
INTERVAL_90 = 1.645
MEDIAN_ERROR = 1.2533
"""Standard error of a median in those of a mean."""
NAMED = 8


class Judgement(msgspec.Struct, frozen=True):
    """One window, ending at the step being judged."""

    steps: PeerSteps
    slow: Counts
    """Per worker: in how many steps it was slow …"""
    still: Counts
    """… and by the lower threshold."""
    ready: NDArray[np.bool_]
    """Whether that is often enough to name it."""
    healthy: NDArray[np.bool_]
    """Workers seen healthy so far."""
    judged: int
    """Steps compared with peers so far."""
    place_of: Callable[[int], Place]
    first: int
    """Where the window begins among the steps that ``place_of`` knows."""

    @property
    def at(self) -> Position:
        """The step being judged."""
        return self.places[-1].position

    @property
    def places(self) -> list[Place]:
        """Where each step was measured."""
        return [self.place_of(self.first + row) for row in range(len(self.steps.excess))]

    def at_least(self, hits: int) -> set[int]:
        """Workers with so many slow steps."""
        return set(np.flatnonzero(self.slow >= hits).tolist())


def straggling(workers: list[int], now: Judgement, phase: Phase, number: int) -> Signal:
    """Finding ``number``: ``workers`` are slow, with the evidence."""
    steps = now.steps
    rows = len(steps.excess)
    places = now.places
    start = places[run_start(steps.slow_rows(workers))].position
    baseline = steps.baseline(workers)
    effect = float(np.median(steps.effects(workers)))
    half = INTERVAL_90 * MEDIAN_ERROR * steps.spread(workers) / math.sqrt(rows)
    total, least = len(now.healthy), int(now.slow[workers].min())
    text = (
        f"{_name(workers)} of {total}: {wording.level(METRIC, baseline * (1 + effect))} a step against"
        f" {wording.level(METRIC, baseline)} of the peers ({share(effect)} more) in at least {least} of the last"
        f" {rows} samples"
    )
    return Signal(
        id=f"{SignalKind.STRAGGLER.value}-{METRIC}-{number}",
        kind=SignalKind.STRAGGLER,
        phase=phase,
        metric=METRIC,
        direction=Direction.WORSE,
        **placed(now.at, start),
        baseline=baseline,
        level=baseline * (1.0 + effect),
        effect=effect,
        effect_low=effect - half,
        effect_high=effect + half,
        healthy_level=baseline,
        confidence=_confidence(len(workers), total, least, rows),
        samples_used=rows,
        workers=tuple(workers),
        nodes=tuple(sorted({place.node for place in places if place.node is not None})),
        gpu_models=tuple(sorted({place.gpu_model for place in places if place.gpu_model is not None})),
        explanation=text,
    )


def possible_stage(names: list[int], now: Judgement) -> Signal:
    """Undecided: workers ``names`` may be a long pipeline stage."""
    total = len(now.healthy)
    effect = float(now.steps.effects(names).min())
    text = (
        f"{_name(names)} of {total} are {share(effect)} slower, alike, and were so from the first sample:"
        " a long pipeline stage looks like this, and so do slow machines; give worker_groups to tell"
    )
    signal = undecided(SignalKind.STRAGGLER, METRIC, now.at, text, now.judged)
    return msgspec.structs.replace(signal, workers=tuple(names), effect=effect, cause="possible_stage_imbalance")


def begun_with(earlier: Signal, signal: Signal) -> Signal:
    """``signal``, begun when ``earlier`` did."""
    return msgspec.structs.replace(
        signal,
        since_index=earlier.since_index,
        since_step=earlier.since_step,
        since_ts_ms=earlier.since_ts_ms,
    )


def farewell(workers: list[int], steps: PeerSteps) -> str:
    """Why ``workers`` are not slow any more."""
    silent = [worker for worker in workers if math.isnan(steps.excess[-1, worker])]
    back = [worker for worker in workers if worker not in silent]
    parts = [f"{_name(back)} back with the peers"] if back else []
    return "; ".join([*parts, f"{_name(silent)} silent"] if silent else parts)


def _confidence(slow: int, total: int, hits: int, window: int) -> float:
    """One minus the chance that alike peers put one worker among the slowest so often (Bonferroni)."""
    share = slow / total
    tail = math.fsum(math.comb(window, k) * share**k * (1 - share) ** (window - k) for k in range(hits, window + 1))
    return max(0.0, 1.0 - total * tail)


def _name(workers: list[int]) -> str:
    names = ", ".join(str(worker) for worker in workers[:NAMED])
    more = f" and {len(workers) - NAMED} more" if len(workers) > NAMED else ""
    return f"worker{'s' if len(workers) > 1 else ''} {names}{more}"
