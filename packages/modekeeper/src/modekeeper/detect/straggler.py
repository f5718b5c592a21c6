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

from modekeeper.detect.base import (
    BEFORE_FIRST,
    cleared,
    is_pause,
    percent,
    position_at,
    signal_from_json,
    signal_to_json,
    undecided,
)
from modekeeper.detect.history import Position, floats_from_json, floats_to_json
from modekeeper.detect.peers import FEWEST_PEERS, is_stage_like, row_latencies, slowdowns
from modekeeper.detect.robust import run_start
from modekeeper.detect.settings import DetectorSettings
from modekeeper.model.block import FloatColumn, SampleBlock
from modekeeper.model.signal import Direction, Phase, Signal, SignalKind

__all__ = ["StragglerDetector"]

METRIC = "worker_latencies_ms"
MIN_SCALE_REL = 0.01
"""Smallest relative scale of a group: identical peers must not make rounding significant."""
JOIN_SHORTFALL = 2
"""Workers that lack so many slow steps join a finding that is being confirmed: they began together."""
SUSPECT_HITS = 5
STAGE_TIGHTNESS = 0.25
"""Workers of one stage differ by less than this share of what sets them apart from the others."""
INTERVAL_90 = 1.645
NAMED = 8


class _Row(msgspec.Struct):
    position: Position
    excess: list[float | None]
    scale: list[float | None]
    location: list[float | None]
    node: str | None
    gpu_model: str | None


class _Hits(msgspec.Struct):
    """Slow steps of each worker in the window, by the entering and by the clearing threshold."""

    slow: list[int]
    still: list[int]
    rows: list[list[bool]]


class StragglerDetector:
    """One finding names all stragglers; when the set changes, it is cleared and a new one confirmed.

    Without ``worker_groups`` all workers are peers. A set that was slow from the first sample and lies in ranks
    as pipeline stages do is not blamed: the signal is ``undecided`` with the cause
    ``possible_stage_imbalance``, and each side of the split is judged by itself from then on.
    """

    def __init__(self, settings: DetectorSettings) -> None:
        self._settings = settings
        self._rows: list[_Row] = []
        self._groups: tuple[str, ...] | None = None
        self._inferred: tuple[str, ...] | None = None
        self._seen_healthy: list[bool] = []
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
        if groups is not None and len(groups) != len(latencies):
            groups = None
        at = position_at(block, row)
        signals = self._begin_layout(len(latencies), groups, at)
        excess, scale, location = slowdowns(latencies, self._inferred or groups)
        if not np.isfinite(excess).any():
            return signals
        self._judged += 1
        self._rows.append(
            _Row(
                position=at,
                excess=floats_to_json(excess.tolist()),
                scale=floats_to_json(scale.tolist()),
                location=floats_to_json(location.tolist()),
                node=block.node[row],
                gpu_model=block.gpu_model[row],
            )
        )
        del self._rows[: -self._settings.straggler_window_samples]
        hits = self._count()
        return [*signals, *self._decide(hits, at)]

    def _begin_layout(self, workers: int, groups: tuple[str, ...] | None, at: Position) -> list[Signal]:
        """Another number of workers or other groups: ranks mean something else now."""
        if workers == len(self._seen_healthy) and groups == self._groups:
            return []
        signals = []
        if self._active is not None:
            signals.append(cleared(self._active, at, f"the layout changed: {workers} workers now"))
        self._rows, self._groups, self._inferred = [], groups, None
        self._seen_healthy = [False] * workers
        self._active = self._suspect = None
        return signals

    def _count(self) -> _Hits:
        settings = self._settings
        excess = np.array([floats_from_json(row.excess) for row in self._rows])
        scale = np.array([floats_from_json(row.scale) for row in self._rows])
        pooled = np.maximum(_column_medians(scale), MIN_SCALE_REL)
        beyond_noise = excess > settings.straggler_z * pooled
        slow = beyond_noise & (excess > settings.straggler_effect_rel)
        still = excess > np.maximum(settings.straggler_clear_effect_rel, 0.5 * settings.straggler_z * pooled)
        return _Hits(slow.sum(axis=0).tolist(), still.sum(axis=0).tolist(), slow.T.tolist())

    def _decide(self, hits: _Hits, at: Position) -> list[Signal]:
        settings = self._settings
        if len(self._rows) < settings.straggler_window_samples:
            return []
        for worker, count in enumerate(hits.slow):
            judged = self._rows[-1].excess[worker] is not None
            self._seen_healthy[worker] |= judged and count <= settings.straggler_clear_hits
        standing = set(self._active.workers) if self._active is not None else set()
        stay = {w for w in standing if hits.still[w] > settings.straggler_clear_hits}
        new = {w for w, count in enumerate(hits.slow) if count >= settings.straggler_hits} - standing
        if new:
            new |= {w for w, n in enumerate(hits.slow) if n >= settings.straggler_hits - JOIN_SHORTFALL} - standing
            if self._is_stage(new):
                return self._stage_split(new, at)
        if (now := stay | new) != standing:
            return self._change(sorted(now), hits, at)
        return self._suspicion(hits, standing, at)

    def _change(self, workers: list[int], hits: _Hits, at: Position) -> list[Signal]:
        before, self._active = self._active, None
        signals: list[Signal] = []
        if workers:
            if self._suspect is None:
                self._findings += 1
            self._active = self._signal(workers, hits, Phase.CONFIRMED, at)
            if before is not None and set(workers) & set(before.workers):
                self._active = _since(before, self._active)
            signals.append(self._active)
        self._suspect = None
        if before is not None:
            gone = sorted(set(before.workers) - set(workers))
            text = f"{_name(gone)} back with the peers" if gone else f"superseded by {signals[0].id}"
            signals.insert(0, cleared(before, at, text))
        return signals

    def _suspicion(self, hits: _Hits, standing: set[int], at: Position) -> list[Signal]:
        suspects = [w for w, count in enumerate(hits.slow) if count >= SUSPECT_HITS and w not in standing]
        if not suspects:
            self._suspect = None
            return []
        if self._suspect is not None:
            return []
        self._findings += 1
        signal = self._signal(suspects, hits, Phase.SUSPECTED, at)
        self._suspect = signal.id
        return [signal]

    def _is_stage(self, workers: set[int]) -> bool:
        """Slow from the first sample on, placed as a stage is, and alike among themselves."""
        if self._groups is not None or self._inferred is not None or any(self._seen_healthy[w] for w in workers):
            return False
        if not is_stage_like(sorted(workers), len(self._seen_healthy)):
            return False
        effects = [self._median(w, "excess") for w in workers]
        return max(effects) - min(effects) <= STAGE_TIGHTNESS * min(effects)

    def _stage_split(self, workers: set[int], at: Position) -> list[Signal]:
        total = len(self._seen_healthy)
        effect = min(self._median(w, "excess") for w in workers)
        names = sorted(workers)
        text = (
            f"{_name(names)} of {total} are {percent(effect)} slower, alike, and were so from the first sample:"
            " a long pipeline stage looks like this, and so do slow machines; give worker_groups to tell"
        )
        self._inferred = tuple("slow" if worker in workers else "rest" for worker in range(total))
        self._rows = []
        self._suspect = None
        signal = undecided(SignalKind.STRAGGLER, METRIC, at, text, self._judged)
        return [
            msgspec.structs.replace(signal, workers=tuple(names), effect=effect, cause="possible_stage_imbalance")
        ]

    def _median(self, worker: int, field: str) -> float:
        values = [getattr(row, field)[worker] for row in self._rows]
        return float(np.median([v for v in values if v is not None]))

    def _signal(self, workers: list[int], hits: _Hits, phase: Phase, at: Position) -> Signal:
        settings = self._settings
        start = self._rows[run_start(np.any([hits.rows[w] for w in workers], axis=0))].position
        baseline = float(np.median([self._median(w, "location") for w in workers]))
        effects = [self._median(w, "excess") for w in workers]
        effect = float(np.median(effects))
        spread = [row.excess[w] for row in self._rows for w in workers]
        known = np.array([v for v in spread if v is not None])
        half = INTERVAL_90 * 1.2533 * float(known.std()) / math.sqrt(len(self._rows))
        total, least = len(self._seen_healthy), min(hits.slow[w] for w in workers)
        text = (
            f"{_name(workers)} of {total}: {baseline * (1 + effect):.4g} ms a step against {baseline:.4g} ms"
            f" of the peers ({percent(effect)} more) in at least {least} of the last {len(self._rows)} samples"
        )
        return Signal(
            id=f"{SignalKind.STRAGGLER.value}-{METRIC}-{self._findings}",
            kind=SignalKind.STRAGGLER,
            phase=phase,
            metric=METRIC,
            direction=Direction.WORSE,
            at_index=at.index,
            at_step=at.step,
            at_ts_ms=at.ts_ms,
            since_index=start.index,
            since_step=start.step,
            since_ts_ms=start.ts_ms,
            baseline=baseline,
            level=baseline * (1.0 + effect),
            effect=effect,
            effect_low=effect - half,
            effect_high=effect + half,
            healthy_level=baseline,
            confidence=_confidence(len(workers), total, least, settings.straggler_window_samples),
            samples_used=len(self._rows),
            workers=tuple(workers),
            nodes=tuple(sorted({row.node for row in self._rows if row.node is not None})),
            gpu_models=tuple(sorted({row.gpu_model for row in self._rows if row.gpu_model is not None})),
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
            "rows": msgspec.to_builtins(self._rows),
            "groups": None if self._groups is None else list(self._groups),
            "inferred": None if self._inferred is None else list(self._inferred),
            "seen_healthy": list(self._seen_healthy),
            "active": signal_to_json([self._active] if self._active else []),
            "suspect": self._suspect,
            "findings": self._findings,
            "samples": self._samples,
            "judged": self._judged,
            "last": self._last.to_json(),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take over a :meth:`snapshot`."""
        self._rows = msgspec.convert(snapshot["rows"], list[_Row])
        self._groups = None if snapshot["groups"] is None else tuple(snapshot["groups"])
        self._inferred = None if snapshot["inferred"] is None else tuple(snapshot["inferred"])
        self._seen_healthy = list(snapshot["seen_healthy"])
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


def _column_medians(values: FloatColumn) -> FloatColumn:
    """Median of each column over its finite values; ``NaN`` where it has none."""
    medians = np.full(values.shape[1], np.nan)
    filled = np.isfinite(values).any(axis=0)
    medians[filled] = np.nanmedian(values[:, filled], axis=0)
    return medians


def _confidence(slow: int, total: int, hits: int, window: int) -> float:
    """One minus the chance that alike peers put one worker among the slowest so often (Bonferroni)."""
    share = slow / total
    tail = math.fsum(
        math.comb(window, k) * share**k * (1 - share) ** (window - k) for k in range(hits, window + 1)
    )
    return max(0.0, 1.0 - total * tail)


def _name(workers: list[int]) -> str:
    names = ", ".join(str(worker) for worker in workers[:NAMED])
    more = f" and {len(workers) - NAMED} more" if len(workers) > NAMED else ""
    return f"worker{'s' if len(workers) > 1 else ''} {names}{more}"
