"""Stragglers: workers that are slow against their own peers, step after step.

A worker is slow in a step when it is ``straggler_effect_rel`` above the tight majority of its group (see ``peers.py``),
and farther than chance carries it: by its own variation from step to step, and by what sets healthy peers apart for
good, both learned from every tenth window. It is a straggler when it is slow in most steps of a
window. That the peers must be of the same pipeline stage, and that 10 % is a straggler, follows J. Lin et al.,
Understanding Stragglers in Large Model Training Using What-if Analysis, OSDI 2025.
"""

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modekeeper.detect.base import cleared, signal_from_json, signal_to_json, undecided
from modekeeper.detect.chunks import LastSample
from modekeeper.detect.history import Position
from modekeeper.detect.peer_layout import Layout, LayoutWatch, WorkerRows
from modekeeper.detect.peer_window import Counts, PeerSteps, PeerWindow, Place, WorkerRow
from modekeeper.detect.peers import FEWEST_PEERS, PeerGroups, is_stage_like
from modekeeper.detect.robust import LARGEST, clamp
from modekeeper.detect.settings import DetectorSettings
from modekeeper.detect.straggler_evidence import METRIC, Judgement, begun_with, farewell, possible_stage, straggling
from modekeeper.model.block import FloatColumn, SampleBlock
from modekeeper.model.signal import Phase, Signal, SignalKind

__all__ = ["StragglerDetector"]

JOIN_SHORTFALL = 2
"""Workers that lack so many slow steps join a finding that is being confirmed: they began together."""
SUSPECT_HITS = 5
STAGE_TIGHTNESS = 0.25
"""Workers of one stage differ by less than this share of what sets them apart from the others."""
WORKER_STEPS_AT_ONCE = 16_384
"""As many rows are judged at once as have so many worker times."""


class StragglerDetector:
    """One finding names all stragglers; when the set changes, it is cleared and a new one confirmed.

    Without ``worker_groups`` all workers are peers. A set that was slow from the first sample and lies in ranks
    as pipeline stages do is not blamed: the signal is ``undecided`` with the cause
    ``possible_stage_imbalance``, and each side of the split is judged by itself from then on.
    """

    def __init__(self, settings: DetectorSettings) -> None:
        self._settings = settings
        self._window = PeerWindow(settings)
        self._watch = LayoutWatch()
        self._layout = self._watch.layout
        """That of the rows being judged; the watch may be ahead of it."""
        self._inferred: tuple[str, ...] | None = None
        self._seen_healthy: NDArray[np.bool_] = np.zeros(0, dtype=np.bool_)
        self._all_healthy = False
        self._active: Signal | None = None
        self._suspect: str | None = None
        self._findings = 0
        self._is_reported = False
        self._judged = 0
        self._last = LastSample()

    def update(self, block: SampleBlock) -> list[Signal]:
        """See :class:`modekeeper.detect.base.Detector`."""
        self._last.see(block)
        workers = block.workers
        if workers.size == 0:
            return []
        if workers.shape[1] < FEWEST_PEERS and self._layout.workers < FEWEST_PEERS:
            self._is_reported = self._is_reported or not bool(np.isnan(workers).all())
            return []
        if len(block) == 1:
            return self._judge_one(block)
        rows = WorkerRows.of(block)
        self._is_reported = self._is_reported or len(rows.rows) > 0
        signals: list[Signal] = []
        alike = len(rows.rows) > 0 and rows.are_alike()
        start = 0
        while start < len(rows.rows):
            stop, begun = self._watch.stretch(rows, start, alike=alike)
            signals += self._judge_rows(block, rows.rows[start:stop])
            if begun is not None:
                signals += self._begin_layout(begun, Place.of(block, int(rows.rows[stop])).position)
                signals += self._judge_rows(block, rows.rows[stop : stop + 1])
                stop += 1
            start = stop
        return signals

    def _judge_one(self, block: SampleBlock) -> list[Signal]:
        """The same for a block of one sample, without columns where nothing can be found."""
        latencies = block.workers[0].tolist()
        while latencies and math.isnan(latencies[-1]):
            del latencies[-1]
        self._is_reported = self._is_reported or len(latencies) > 0
        width = len(latencies)
        if not latencies or block.only().paused or max(width, self._layout.workers) < FEWEST_PEERS:
            return []
        begun = self._watch.take(width, block.worker_groups[0])
        place = Place.of(block, 0)
        signals = [] if begun is None else self._begin_layout(begun, place.position)
        latencies = [value if -LARGEST <= value <= LARGEST else clamp(value) for value in latencies]
        latencies += [math.nan] * (self._layout.workers - width)
        row = self._window.compare(place, latencies)
        if row is None:
            return signals
        self._window.append(row)
        self._judged += 1
        if not self._window.is_full or self._is_quiet(row):
            return signals
        window = self._window
        found, split = self._walk(window.newest(), lambda step: window.rows[step].place)
        if split is not None:
            self._begin_window()
        return signals + found

    def _is_quiet(self, newest: WorkerRow) -> bool:
        """Whether the last steps can change nothing of what is said, by counts alone; notes who is healthy."""
        if self._suspect is not None:
            return False
        standing = self._active.workers if self._active is not None else ()
        over = [worker for row in self._window.rows for worker in row.over]
        hits = Counter(over) if over else {}
        if not self._all_healthy:
            peers, least = self._window.peers, self._settings.straggler_clear_hits
            present = ~np.isnan(peers.slowdowns(np.array([newest.latencies]), np.array([newest.location]))[0])
            present[[worker for worker in hits if hits[worker] > least]] = False
            self._note_healthy(present)
        if any(count >= SUSPECT_HITS and worker not in standing for worker, count in hits.items()):
            return False
        return all(self._window.still(worker) > self._settings.straggler_clear_hits for worker in standing)

    def _note_healthy(self, workers: NDArray[np.bool_]) -> None:
        self._seen_healthy |= workers
        self._all_healthy = bool(self._seen_healthy.all())

    def _judge_rows(self, block: SampleBlock, rows: NDArray[np.intp]) -> list[Signal]:
        """Judge rows that belong to the present layout."""
        signals: list[Signal] = []
        size = max(WORKER_STEPS_AT_ONCE // max(self._layout.workers, 1), self._settings.straggler_window_samples)
        start = 0
        while start < len(rows):
            part = rows[start : start + size]
            found, taken = self._judge_part(block, part)
            signals += found
            start += taken
        return signals

    def _judge_part(self, block: SampleBlock, rows: NDArray[np.intp]) -> tuple[list[Signal], int]:
        """The signals, and how many of the rows were judged before the workers turned out to be in other groups."""
        window, size = self._window, self._settings.straggler_window_samples
        table = _table(block, rows, window.peers.workers)
        location = window.peers.compare_rows(table)
        judged = np.flatnonzero(~np.isnan(location).all(axis=1))
        if len(judged) == 0:
            return [], len(rows)
        kept = window.rows[max(len(window.rows) - size + 1, 0) :]
        old = (column[len(window.rows) - len(kept) :] for column in window.columns())
        latencies, location = (
            np.concatenate((before, after[judged])) for before, after in zip(old, (table, location), strict=True)
        )
        steps = window.steps(latencies, location, len(judged))

        def place(step: int) -> Place:
            return kept[step].place if step < len(kept) else Place.of(block, int(rows[judged[step - len(kept)]]))

        over = steps.over()
        newest = range(max(len(over) - size, len(kept)), len(over))
        window.extend(
            [
                WorkerRow(place(at), latencies[at].tolist(), location[at].tolist(), np.flatnonzero(over[at]).tolist())
                for at in newest
            ],
            steps,
            len(judged),
        )
        self._judged += len(judged)
        if len(over) < size:
            return [], len(rows)
        signals, split = self._walk(steps, place)
        if split is None:
            return signals, len(rows)
        last = split + size - 1 - len(kept)
        self._judged -= len(judged) - 1 - last
        self._begin_window()
        return signals, int(judged[last]) + 1

    def _walk(self, steps: PeerSteps, place: Callable[[int], Place]) -> tuple[list[Signal], int | None]:
        """Judge every window of ``steps``, the last of which is the newest.

        Returns:
            The signals, and the window at which the workers turned out to be in other groups.
        """
        size, least = self._settings.straggler_window_samples, self._settings.straggler_clear_hits
        over = np.cumsum(steps.over(), axis=0, dtype=np.int32)
        over[size:] -= over[:-size].copy()
        over = over[size - 1 :]
        healthy = ~np.isnan(steps.excess[size - 1 :]) & (over <= least)
        if self._active is None and self._suspect is None and over.max() < SUSPECT_HITS:
            self._note_healthy(np.any(healthy, axis=0))
            return [], None
        slow, still = steps.hits()
        ready = steps.ready(slow)
        signals: list[Signal] = []
        number = self._next_event(slow, still, ready, 0)
        while number is not None:
            seen = self._seen_healthy | healthy[: number + 1].any(axis=0)
            judged = self._judged - len(slow) + number + 1
            groups = self._inferred
            here = steps.window(number), slow[number], still[number], ready[number]
            now = Judgement(*here, seen, judged, place, number)
            signals += self._decide(now)
            if self._inferred is not groups:
                self._note_healthy(seen)
                return signals, number
            number = self._next_event(slow, still, ready, number + 1)
        self._note_healthy(np.any(healthy, axis=0))
        return signals, None

    def _next_event(self, slow: Counts, still: Counts, ready: NDArray[np.bool_], start: int) -> int | None:
        """The next window, from ``start`` on, that may change what stands or is suspected."""
        standing = list(self._active.workers) if self._active is not None else []
        others = np.ones(slow.shape[1], dtype=np.bool_)
        others[standing] = False
        suspicious = (slow[start:, others] >= SUSPECT_HITS).any(axis=1)
        if self._suspect is not None:
            suspicious = ~suspicious | ready[start:, others].any(axis=1)
        ended = (still[start:, standing] <= self._settings.straggler_clear_hits).any(axis=1)
        events = np.flatnonzero(suspicious | ended)
        return start + int(events[0]) if len(events) else None

    def _begin_layout(self, layout: Layout, at: Position) -> list[Signal]:
        """Another number of workers or other groups: ranks mean something else now."""
        self._layout = layout
        signals = []
        if self._active is not None:
            signals.append(cleared(self._active, at, f"the layout changed: {layout.workers} workers now"))
        self._inferred = None
        self._seen_healthy = np.zeros(layout.workers, dtype=np.bool_)
        self._all_healthy = False
        self._active = self._suspect = None
        self._begin_window()
        return signals

    def _begin_window(self) -> None:
        layout = self._layout
        self._window.begin(PeerGroups(layout.workers, self._inferred or layout.groups))

    def _decide(self, now: Judgement) -> list[Signal]:
        settings = self._settings
        if self._active is None and now.slow.max() < SUSPECT_HITS:
            self._suspect = None
            return []
        standing = set(self._active.workers) if self._active is not None else set()
        stay = {worker for worker in standing if now.still[worker] > settings.straggler_clear_hits}
        new = set(np.flatnonzero(now.ready).tolist()) - standing
        if new:
            new |= now.at_least(settings.straggler_hits - JOIN_SHORTFALL) - standing
            if self._is_stage(new, now):
                self._inferred = tuple("slow" if worker in new else "rest" for worker in range(len(now.healthy)))
                self._suspect = None
                return [possible_stage(sorted(new), now)]
        if (workers := stay | new) != standing:
            return self._change(sorted(workers), now)
        return self._suspicion(standing, now)

    def _change(self, workers: list[int], now: Judgement) -> list[Signal]:
        before, self._active = self._active, None
        signals: list[Signal] = []
        if workers:
            if self._suspect is None:
                self._findings += 1
            self._active = straggling(workers, now, Phase.CONFIRMED, self._findings)
            if before is not None and set(workers) & set(before.workers):
                self._active = begun_with(before, self._active)
            signals.append(self._active)
        self._suspect = None
        if before is not None:
            gone = sorted(set(before.workers) - set(workers))
            text = farewell(gone, now.steps) if gone else f"superseded by {signals[0].id}"
            signals.insert(0, cleared(before, now.at, text))
        return signals

    def _suspicion(self, standing: set[int], now: Judgement) -> list[Signal]:
        suspects = sorted(now.at_least(SUSPECT_HITS) - standing)
        if not suspects:
            self._suspect = None
            return []
        if self._suspect is not None:
            return []
        self._findings += 1
        signal = straggling(suspects, now, Phase.SUSPECTED, self._findings)
        self._suspect = signal.id
        return [signal]

    def _is_stage(self, workers: set[int], now: Judgement) -> bool:
        """Slow from the first sample on, placed as a stage is, and alike among themselves."""
        if self._layout.groups is not None or self._inferred is not None or now.healthy[sorted(workers)].any():
            return False
        if not is_stage_like(sorted(workers), len(now.healthy)):
            return False
        effects = now.steps.effects(sorted(workers))
        return bool(np.ptp(effects) <= STAGE_TIGHTNESS * effects.min())

    def conclude(self) -> list[Signal]:
        """Undecided without worker times, with too few workers in a group, or with too few samples."""
        if not self._is_reported:
            text = f"no {METRIC} in the telemetry: stragglers are not judged; emit {METRIC!r}"
        elif self._judged == 0:
            text = f"fewer than {FEWEST_PEERS} workers in each group: nobody can say which one is slow"
        elif self._judged < self._settings.straggler_window_samples:
            wanted = self._settings.straggler_window_samples
            text = f"only {self._judged} samples with worker times; at least {wanted} are needed"
        else:
            return []
        return [undecided(SignalKind.STRAGGLER, METRIC, self._last.position, text, self._judged)]

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "rows": self._window.snapshot(),
            "layout": self._watch.snapshot(),
            "inferred": None if self._inferred is None else list(self._inferred),
            "seen_healthy": self._seen_healthy.tolist(),
            "active": signal_to_json([self._active] if self._active else []),
            "suspect": self._suspect,
            "findings": self._findings,
            "reported": self._is_reported,
            "judged": self._judged,
            "last": self._last.snapshot(),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take over a :meth:`snapshot`."""
        self._watch.restore(snapshot["layout"])
        self._layout = self._watch.layout
        self._inferred = None if snapshot["inferred"] is None else tuple(snapshot["inferred"])
        self._begin_window()
        self._window.restore(snapshot["rows"])
        self._seen_healthy = np.array(snapshot["seen_healthy"], dtype=np.bool_)
        self._note_healthy(self._seen_healthy)
        self._active = next(iter(signal_from_json(snapshot["active"])), None)
        self._suspect = snapshot["suspect"]
        self._findings = snapshot["findings"]
        self._is_reported = snapshot["reported"]
        self._judged = snapshot["judged"]
        self._last.restore(snapshot["last"])


def _table(block: SampleBlock, rows: NDArray[np.intp], workers: int) -> FloatColumn:
    """Latencies of some rows in so many columns, cut to sane magnitudes."""
    table = block.workers[rows]
    if table.shape[1] < workers:
        table = np.concatenate((table, np.full((len(table), workers - table.shape[1]), np.nan)), axis=1)
    return np.minimum(np.maximum(table[:, :workers], -LARGEST), LARGEST)
