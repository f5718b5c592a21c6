"""The effect of a change that was applied: did the job do what was promised. Pure, along the stream."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from modekeeper.loop.levels import Level, RecentRows, judged_columns, level_of, tail_level
from modekeeper.model.block import FloatColumn, SampleBlock
from modekeeper.model.decision import Promise
from modekeeper.model.outcome import Outcome, OutcomeState
from modekeeper.modes.machine import Instant
from modekeeper.passports.passport import MetricGuard
from modekeeper.passports.watched_metrics import broken_invariants
from modekeeper.policy.knobs import find_knob
from modekeeper.policy.promises import judge_promise, promise_no_worse
from modekeeper.policy.situation import KnownValue

__all__ = ["AppliedChange", "EffectMeter", "PreparedChange"]

SETTLE_MS = 120_000
"""A job that does not name its knobs has them so long after the apply: the kubelet brings annotations within about
a minute and a half."""
SHOWN_WITHIN_MS = 600_000
SHOWN_WITHIN_SAMPLES = 30
"""A job that names its knobs must show the new values within so long and so many samples, or nothing is measured."""
_SHOWN_IN_A_ROW = 3
_BEFORE_SAMPLES = 64
_LOOK_EVERY = 10
"""Samples between two looks at a change that is being measured."""
_PATIENCE = 3
"""So many windows of samples may pass until the metric was seen often enough."""
_ERRORS = 3.0
"""Levels that differ by fewer standard errors are the same level."""
_MOST_MEMORY = 0.97
"""Of the GPU's memory: beyond it the next larger batch of activations ends the job."""
_TAIL_CHORDS = frozenset({"BURST-ABSORB"})
"""Chords whose promise is about the longest steps, not the usual one."""
_GUARDS = (("step_time_ms", "lower"), ("throughput", "higher"), ("loss", "lower"))


class AppliedChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change that was applied, and what is needed to judge it and to forget it."""

    plan_digest: str
    chord_id: str
    """The chord whose promise counts: the first of the plan."""
    chords: tuple[str, ...]
    targets: dict[str, float]
    """Knob to its new value."""
    previous: dict[str, KnownValue]
    """What was known of these knobs before."""
    promise: Promise
    invariants: tuple[str, ...]
    watched: tuple[MetricGuard, ...] = ()
    """What the passport in force wants no change to make worse."""
    since_index: int
    """Sample at which the trouble began: the level before is that of the trouble, not of the healthy job."""


class PreparedChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change that is about to be applied, and where the job stands without it."""

    change: AppliedChange
    before: dict[str, Level]
    """By metric; one is left out where its level is not known."""


class _Measured(msgspec.Struct, kw_only=True):
    """A change under measurement. Plain values."""

    change: AppliedChange
    told: Instant
    speaks: bool
    """The job names the knobs it runs with."""
    before: dict[str, Level]
    after: dict[str, list[float]] = {}
    rows_since_told: int = 0
    in_a_row: int = 0
    shows: bool = False
    """The job runs with the new values, as far as can be told now."""
    reached_index: int | None = None
    rows: int = 0
    """Samples since the change reached the job, those with other values left out."""
    rows_in_all: int = 0
    """The same with them."""
    diverged: bool = False


class EffectMeter:
    """Measures one change at a time.

    What comes out depends on the samples, and on the sample after which the change was told, alone: not on how the
    stream is cut, nor on a snapshot taken and restored between two samples.
    """

    def __init__(self) -> None:
        self._recent = RecentRows()
        self._under: _Measured | None = None

    @property
    def change(self) -> AppliedChange | None:
        """The change under measurement."""
        return self._under.change if self._under is not None else None

    def prepare(self, change: AppliedChange) -> PreparedChange:
        """Note where the job stands, before anything is written: what comes after may already be the effect."""
        names = {change.promise.metric, "gpu_mem_share", *(name for name, _ in _GUARDS)}
        names.update(guard.metric for guard in change.watched)
        before = {}
        for name in sorted(names):
            level = level_of(self._recent.values(name, change.since_index, _BEFORE_SAMPLES))
            if name == change.promise.metric and change.chord_id in _TAIL_CHORDS:
                level = tail_level(self._recent.values(name, 0, change.promise.within_samples))
            if level is not None:
                before[name] = level
        return PreparedChange(change=change, before=before)

    def begin(self, prepared: PreparedChange, at: Instant, *, speaks: bool) -> Outcome:
        """The change was applied after the sample ``at``; gives what is known of its outcome: nothing yet."""
        self._under = _Measured(change=prepared.change, told=at, speaks=speaks, before=prepared.before)
        return _outcome(self._under, OutcomeState.PENDING)

    def give_up(self, why: str) -> Outcome | None:
        """Stop measuring; ``None`` where nothing was measured."""
        under, self._under = self._under, None
        return None if under is None else _outcome(under, OutcomeState.NOT_MEASURED, detail=why)

    def forget(self) -> None:
        """The change is not there any more."""
        self._under = None

    def update(self, block: SampleBlock) -> list[tuple[int, Outcome]]:
        """Take in samples; gives the sample at which the change was judged, and what became of it."""
        said = self._measure(block) if self._under is not None else []
        self._recent.add(block)
        return said

    def _measure(self, block: SampleBlock) -> list[tuple[int, Outcome]]:
        under = self._under
        assert under is not None  # noqa: S101 - the caller looked
        rows, columns = judged_columns(block)
        place = {row: number for number, row in enumerate(rows)}
        for row in range(len(block)):
            _listen(under, block.knobs[row], int(block.ts_ms[row]), block.first_index + row)
            if row not in place:
                continue
            under.rows_since_told += 1
            _take(under, columns, place[row])
            outcome = _judged(under, int(block.ts_ms[row]))
            if outcome is not None:
                self._under = None
                return [(block.first_index + row, outcome)]
        return []

    def snapshot(self) -> dict[str, Any]:
        """Everything remembered, as plain JSON values."""
        return {"recent": self._recent.snapshot(), "under": msgspec.to_builtins(self._under)}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a ``snapshot``.

        Raises:
            msgspec.ValidationError, KeyError, TypeError, ValueError: it is not one.
        """
        self._recent.restore(snapshot["recent"])
        self._under = msgspec.convert(snapshot["under"], _Measured | None)


def _listen(under: _Measured, knobs: Mapping[str, float] | None, ts_ms: int, index: int) -> None:
    """What the job says of its knobs at one sample, or how long it has had them where it says nothing."""
    said = _said(knobs, under.change.targets) if knobs is not None else None
    if said is not None:
        under.speaks = True
        under.in_a_row = under.in_a_row + 1 if said else 0
        under.shows = said if under.reached_index is not None else under.in_a_row >= _SHOWN_IN_A_ROW
    elif not under.speaks:
        under.shows = under.told.ts_ms is None or ts_ms >= under.told.ts_ms + SETTLE_MS
    if under.shows and under.reached_index is None:
        under.reached_index = index


def _said(knobs: Mapping[str, float], targets: Mapping[str, float]) -> bool | None:
    """Whether the job runs with all of ``targets``; ``None`` where it names none of them."""
    named = {name: value for name, target in targets.items() if (value := _named(knobs, name)) is not None}
    if not named:
        return None
    return all(named.get(name) == target for name, target in targets.items())


def _named(knobs: Mapping[str, float], name: str) -> float | None:
    knob = find_knob(name)
    names = (name,) if knob is None else (knob.name, *knob.aliases)
    return next((knobs[each] for each in names if each in knobs), None)


def _take(under: _Measured, columns: Mapping[str, FloatColumn], place: int) -> None:
    if under.reached_index is None:
        return
    under.rows_in_all += 1
    if not under.shows:
        return
    under.rows += 1
    for name in under.before:
        value = float(columns[name][place]) if name in columns else math.nan
        if math.isfinite(value):
            under.after.setdefault(name, []).append(value)
        elif name == "loss" and math.isinf(value):
            under.diverged = True


def _judged(under: _Measured, ts_ms: int) -> Outcome | None:
    """What became of the change, where that can be told at this sample."""
    change, window = under.change, under.change.promise.within_samples
    if under.reached_index is None:
        return _never_shown(under, ts_ms)
    if under.diverged and "loss_not_worse" in change.invariants:
        return _outcome(under, OutcomeState.WORSE, metric="loss", detail="the loss is no finite number any more")
    over = under.rows_in_all >= _PATIENCE * window
    if under.rows % _LOOK_EVERY and not over:
        return None
    seen = len(under.after.get(change.promise.metric, ()))
    why = _unmeasurable(under, seen, over=over)
    if why:
        return _outcome(under, OutcomeState.NOT_MEASURED, detail=why)
    samples = window if over else seen
    return _guarded(under, samples) or _watched(under, samples) or _promised(under, samples)


def _never_shown(under: _Measured, ts_ms: int) -> Outcome | None:
    late = under.told.ts_ms is not None and ts_ms >= under.told.ts_ms + SHOWN_WITHIN_MS
    if under.speaks and late and under.rows_since_told >= SHOWN_WITHIN_SAMPLES:
        return _outcome(under, OutcomeState.NOT_MEASURED, detail="the job never showed the new values")
    return None


def _unmeasurable(under: _Measured, seen: int, *, over: bool) -> str:
    """Why nothing can be told, now that enough has passed; empty where it may still be."""
    promise = under.change.promise
    if promise.metric not in under.before:
        early = under.rows < promise.within_samples and not over
        return "" if early else f"the level of {promise.metric} before the change is not known"
    few = over and seen * 4 < promise.within_samples
    return f"{promise.metric} was seen in {seen} samples only" if few else ""


def _promised(under: _Measured, seen: int) -> Outcome | None:
    """What became of the promise itself; ``None`` while that is open."""
    change = under.change
    promise, tail = change.promise, change.chord_id in _TAIL_CHORDS
    before = under.before.get(promise.metric)
    values = under.after.get(promise.metric, [])
    after = tail_level(values) if tail else level_of(values)
    # The longest steps are few: only a whole window of them says anything.
    if before is None or after is None or (tail and seen < promise.within_samples):
        return None
    state, gain = judge_promise(promise, before=before.value, after=after.value, samples=seen)
    if state is OutcomeState.PENDING:
        return None
    if not _differ(before, after) and state is not OutcomeState.MISSED:
        if seen < promise.within_samples:
            return None
        state = OutcomeState.MISSED
    return _outcome(under, state, levels=(before, after), gain=gain)


def _guarded(under: _Measured, seen: int) -> Outcome | None:
    """A metric that got worse though nobody promised anything of it; ``None`` while none did."""
    change = under.change
    for metric, direction in _GUARDS:
        if metric == change.promise.metric or (metric == "loss" and "loss_not_worse" not in change.invariants):
            continue
        before, after = under.before.get(metric), level_of(under.after.get(metric, []))
        if before is None or after is None or not _differ(before, after):
            continue
        promise = promise_no_worse(metric, direction)
        promise = msgspec.structs.replace(promise, within_samples=change.promise.within_samples)
        state, gain = judge_promise(promise, before=before.value, after=after.value, samples=seen)
        if state is OutcomeState.WORSE:
            return _outcome(under, state, metric=metric, levels=(before, after), gain=gain)
    return _memory(under) if "memory_ceiling" in change.invariants else None


def _watched(under: _Measured, seen: int) -> Outcome | None:
    """A metric the passport watches that stands worse than it allows, or cannot be judged, after a whole window."""
    change = under.change
    if not change.watched or seen < change.promise.within_samples:
        return None
    after = {name: level for name in under.before if (level := level_of(under.after.get(name, []))) is not None}
    # Levels that cannot be told apart are one level.
    stood = {name: level.value for name, level in under.before.items()}
    stands = {n: level.value if _differ(under.before[n], level) else stood[n] for n, level in after.items()}
    for broken in broken_invariants(change.watched, stood, stands):
        name = broken.metric
        if broken.worse_rel is None:
            text = f"the passport watches {name}, and where it stands cannot be told"
            return _outcome(under, OutcomeState.WORSE, metric=name, detail=text)
        allowed = f"{broken.worse_rel:.1%} worse, and the passport allows {broken.not_worse_rel:.1%}"
        text = f"{name} was {stood[name]:g} and is {stands[name]:g}: {allowed}"
        levels, gain = (under.before[name], after[name]), -broken.worse_rel
        return _outcome(under, OutcomeState.WORSE, metric=name, levels=levels, gain=gain, detail=text)
    return None


def _memory(under: _Measured) -> Outcome | None:
    name = "gpu_mem_share"
    before, after = under.before.get(name), level_of(under.after.get(name, []))
    if before is None or after is None or not before.value <= _MOST_MEMORY < after.value:
        return None
    text = f"the GPU's memory is {after.value:.1%} full, {before.value:.1%} before"
    return _outcome(under, OutcomeState.WORSE, metric=name, levels=(before, after), detail=text)


def _differ(before: Level, after: Level) -> bool:
    return abs(after.value - before.value) > _ERRORS * math.hypot(before.error, after.error)


def _outcome(
    under: _Measured,
    state: OutcomeState,
    *,
    metric: str | None = None,
    levels: Sequence[Level] = (),
    gain: float | None = None,
    detail: str = "",
) -> Outcome:
    change, name = under.change, metric or under.change.promise.metric
    before, after = (level.value for level in levels) if levels else (None, None)
    if not detail and before is not None and after is not None and gain is not None:
        word = "better" if gain >= 0 else "worse"
        detail = f"{name} was {before:g} and is {after:g}: {abs(gain):.1%} {word}, over {under.rows} samples"
    return Outcome(
        chord_id=change.chord_id,
        knobs=tuple(sorted(change.targets)),
        promise=change.promise,
        state=state,
        improvement=None if gain is None else round(gain, 6),
        metric=name,
        before=before,
        after=after,
        samples=under.rows,
        plan_digest=change.plan_digest,
        detail=detail,
    )
