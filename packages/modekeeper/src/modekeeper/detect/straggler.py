"""Stragglers: workers that are slow against their own peers, step after step.

A worker is slow in a step when it is ``straggler_z`` robust standard deviations and ``straggler_effect_rel``
above the tight majority of its group (see ``peers.py``); it is a straggler when it is slow in most steps of a
window. That the peers must be of the same pipeline stage, and that 10 % is a straggler, follows J. Lin et al.,
Understanding Stragglers in Large Model Training Using What-if Analysis, OSDI 2025.
"""

import math
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from modekeeper.detect.base import (
    BEFORE_FIRST,
    cleared,
    placed,
    position_at,
    share,
    signal_from_json,
    signal_to_json,
    undecided,
)
from modekeeper.detect.history import Position
from modekeeper.detect.peer_window import PeerWindow, SlowSteps, worker_row
from modekeeper.detect.peers import FEWEST_PEERS, is_stage_like, row_latencies
from modekeeper.detect.robust import run_start
from modekeeper.detect.settings import DetectorSettings
from modekeeper.model import wording
from modekeeper.model.block import SampleBlock, is_pause
from modekeeper.model.signal import Direction, Phase, Signal, SignalKind

__all__ = ["StragglerDetector"]

METRIC = "worker_latencies_ms"
JOIN_SHORTFALL = 2
"""Workers that lack so many slow steps join a finding that is being confirmed: they began together."""
SUSPECT_HITS = 5
STAGE_TIGHTNESS = 0.25
"""Workers of one stage differ by less than this share of what sets them apart from the others."""
INTERVAL_90 = 1.645
MEDIAN_ERROR = 1.2533
"""Standard error of a median in those of a mean."""
NAMED = 8


class StragglerDetector:
    """One finding names all stragglers; when the set changes, it is cleared and a new one confirmed.

    Without ``worker_groups`` all workers are peers. A set that was slow from the first sample and lies in ranks
    as pipeline stages do is not blamed: the signal is ``undecided`` with the cause
    ``possible_stage_imbalance``, and each side of the split is judged by itself from then on.
    """

    def __init__(self, settings: DetectorSettings) -> None:
        self._settings = settings
        self._window = PeerWindow(settings)
        self._groups: tuple[str, ...] | None = None
        self._inferred: tuple[str, ...] | None = None
        self._seen_healthy: NDArray[np.bool_] = np.zeros(0, dtype=np.bool_)
        self._active: Signal | None = None
        self._suspect: str | None = None
        self._findings = 0
        self._samples = 0
        self._judged = 0
        self._last = BEFORE_FIRST

    def update(self, block: SampleBlock) -> list[Signal]:
        """See :class:`modekeeper.detect.base.Detector`."""
        signals: list[Signal] = []
        for row in np.flatnonzero(np.isfinite(block.workers).any(axis=1)).tolist():
            if not is_pause(block.phase[row]):
                signals.extend(self._judge(block, row))
        if len(block):
            self._last = position_at(block, len(block) - 1)
        return signals

    def _judge(self, block: SampleBlock, row: int) -> list[Signal]:
        self._samples += 1
        latencies = row_latencies(block.workers[row])
        groups = block.worker_groups[row]
        if groups is None or len(groups) != len(latencies):
            known = self._groups if self._groups is not None and len(self._groups) == len(latencies) else None
            groups = known
        at = position_at(block, row)
        signals = self._begin_layout(len(latencies), groups, at)
        kept = worker_row(at, latencies, block.node[row], block.gpu_model[row])
        if not self._window.append(kept, latencies, self._inferred or groups):
            return signals
        self._judged += 1
        return [*signals, *self._decide(at)] if self._window.is_full else signals

    def _begin_layout(self, workers: int, groups: tuple[str, ...] | None, at: Position) -> list[Signal]:
        """Another number of workers or other groups: ranks mean something else now."""
        if workers == len(self._seen_healthy) and groups == self._groups:
            return []
        signals = []
        if self._active is not None:
            signals.append(cleared(self._active, at, f"the layout changed: {workers} workers now"))
        self._window.clear()
        self._groups, self._inferred = groups, None
        self._seen_healthy = np.zeros(workers, dtype=np.bool_)
        self._active = self._suspect = None
        return signals

    def _decide(self, at: Position) -> list[Signal]:
        settings = self._settings
        steps = self._window.slow_steps()
        self._seen_healthy |= self._window.judged() & (steps.slow <= settings.straggler_clear_hits)
        if self._active is None and steps.slow.max() < SUSPECT_HITS:
            self._suspect = None
            return []
        standing = set(self._active.workers) if self._active is not None else set()
        stay = {w for w in standing if steps.still[w] > settings.straggler_clear_hits}
        new = _at_least(steps, settings.straggler_hits) - standing
        if new:
            new |= _at_least(steps, settings.straggler_hits - JOIN_SHORTFALL) - standing
            if self._is_stage(new):
                return self._stage_split(new, at)
        if (now := stay | new) != standing:
            return self._change(sorted(now), steps, at)
        return self._suspicion(steps, standing, at)

    def _change(self, workers: list[int], steps: SlowSteps, at: Position) -> list[Signal]:
        before, self._active = self._active, None
        signals: list[Signal] = []
        if workers:
            if self._suspect is None:
                self._findings += 1
            self._active = self._signal(workers, steps, Phase.CONFIRMED, at)
            if before is not None and set(workers) & set(before.workers):
                self._active = _since(before, self._active)
            signals.append(self._active)
        self._suspect = None
        if before is not None:
            gone = sorted(set(before.workers) - set(workers))
            text = f"{_name(gone)} back with the peers" if gone else f"superseded by {signals[0].id}"
            signals.insert(0, cleared(before, at, text))
        return signals

    def _suspicion(self, steps: SlowSteps, standing: set[int], at: Position) -> list[Signal]:
        suspects = sorted(_at_least(steps, SUSPECT_HITS) - standing)
        if not suspects:
            self._suspect = None
            return []
        if self._suspect is not None:
            return []
        self._findings += 1
        signal = self._signal(suspects, steps, Phase.SUSPECTED, at)
        self._suspect = signal.id
        return [signal]

    def _is_stage(self, workers: set[int]) -> bool:
        """Slow from the first sample on, placed as a stage is, and alike among themselves."""
        if self._groups is not None or self._inferred is not None or any(self._seen_healthy[w] for w in workers):
            return False
        if not is_stage_like(sorted(workers), len(self._seen_healthy)):
            return False
        effects = self._window.effects(sorted(workers))
        return bool(np.ptp(effects) <= STAGE_TIGHTNESS * effects.min())

    def _stage_split(self, workers: set[int], at: Position) -> list[Signal]:
        total = len(self._seen_healthy)
        names = sorted(workers)
        effect = float(self._window.effects(names).min())
        text = (
            f"{_name(names)} of {total} are {share(effect)} slower, alike, and were so from the first sample:"
            " a long pipeline stage looks like this, and so do slow machines; give worker_groups to tell"
        )
        self._inferred = tuple("slow" if worker in workers else "rest" for worker in range(total))
        self._window.clear()
        self._suspect = None
        signal = undecided(SignalKind.STRAGGLER, METRIC, at, text, self._judged)
        return [msgspec.structs.replace(signal, workers=tuple(names), effect=effect, cause="possible_stage_imbalance")]

    def _signal(self, workers: list[int], steps: SlowSteps, phase: Phase, at: Position) -> Signal:
        window, rows = self._window, self._window.rows
        start = rows[run_start(steps.rows[:, workers].sum(axis=1) > 0)].position
        baseline = window.baseline(workers)
        effect = float(np.median(window.effects(workers)))
        half = INTERVAL_90 * MEDIAN_ERROR * window.spread(workers) / math.sqrt(len(rows))
        total, least = len(self._seen_healthy), int(steps.slow[workers].min())
        text = (
            f"{_name(workers)} of {total}: {wording.level(METRIC, baseline * (1 + effect))} a step against"
            f" {wording.level(METRIC, baseline)} of the peers ({share(effect)} more) in at least {least} of the last"
            f" {len(rows)} samples"
        )
        return Signal(
            id=f"{SignalKind.STRAGGLER.value}-{METRIC}-{self._findings}",
            kind=SignalKind.STRAGGLER,
            phase=phase,
            metric=METRIC,
            direction=Direction.WORSE,
            **placed(at, start),
            baseline=baseline,
            level=baseline * (1.0 + effect),
            effect=effect,
            effect_low=effect - half,
            effect_high=effect + half,
            healthy_level=baseline,
            confidence=_confidence(len(workers), total, least, len(rows)),
            samples_used=len(rows),
            workers=tuple(workers),
            nodes=tuple(sorted({row.node for row in rows if row.node is not None})),
            gpu_models=tuple(sorted({row.gpu_model for row in rows if row.gpu_model is not None})),
            explanation=text,
        )

    def conclude(self) -> list[Signal]:
        """Undecided without worker times, with too few workers in a group, or with too few samples."""
        if self._samples == 0:
            text = f"no {METRIC} in the telemetry: stragglers are not judged; emit {METRIC!r}"
        elif self._judged == 0:
            text = f"fewer than {FEWEST_PEERS} workers in each group: nobody can say which one is slow"
        elif self._judged < self._settings.straggler_window_samples:
            wanted = self._settings.straggler_window_samples
            text = f"only {self._judged} samples with worker times; at least {wanted} are needed"
        else:
            return []
        return [undecided(SignalKind.STRAGGLER, METRIC, self._last, text, self._judged)]

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "rows": self._window.snapshot(),
            "groups": None if self._groups is None else list(self._groups),
            "inferred": None if self._inferred is None else list(self._inferred),
            "seen_healthy": self._seen_healthy.tolist(),
            "active": signal_to_json([self._active] if self._active else []),
            "suspect": self._suspect,
            "findings": self._findings,
            "samples": self._samples,
            "judged": self._judged,
            "last": self._last.to_json(),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take over a :meth:`snapshot`."""
        self._groups = None if snapshot["groups"] is None else tuple(snapshot["groups"])
        self._inferred = None if snapshot["inferred"] is None else tuple(snapshot["inferred"])
        self._window.restore(snapshot["rows"], self._inferred or self._groups)
        self._seen_healthy = np.array(snapshot["seen_healthy"], dtype=np.bool_)
        self._active = next(iter(signal_from_json(snapshot["active"])), None)
        self._suspect = snapshot["suspect"]
        self._findings = snapshot["findings"]
        self._samples = snapshot["samples"]
        self._judged = snapshot["judged"]
        self._last = Position(*snapshot["last"])


def _since(earlier: Signal, signal: Signal) -> Signal:
    """``signal``, begun when ``earlier`` did."""
    return msgspec.structs.replace(
        signal,
        since_index=earlier.since_index,
        since_step=earlier.since_step,
        since_ts_ms=earlier.since_ts_ms,
    )


def _at_least(steps: SlowSteps, hits: int) -> set[int]:
    """Workers with so many slow steps."""
    return set(np.flatnonzero(steps.slow >= hits).tolist())


def _confidence(slow: int, total: int, hits: int, window: int) -> float:
    """One minus the chance that alike peers put one worker among the slowest so often (Bonferroni)."""
    share = slow / total
    tail = math.fsum(math.comb(window, k) * share**k * (1 - share) ** (window - k) for k in range(hits, window + 1))
    return max(0.0, 1.0 - total * tail)


def _name(workers: list[int]) -> str:
    names = ", ".join(str(worker) for worker in workers[:NAMED])
    more = f" and {len(workers) - NAMED} more" if len(workers) > NAMED else ""
    return f"worker{'s' if len(workers) > 1 else ''} {names}{more}"
