"""Stragglers against their own peers."""

from collections.abc import Collection, Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.detect.streams import confirmed, feed, of_kind, run, stream

from modekeeper.detect.panel import Panel
from modekeeper.detect.peers import is_stage_like, shortest_half, shortest_halves
from modekeeper.model.sample import Sample
from modekeeper.model.signal import Direction, Phase, Signal, SignalKind

STRAGGLER = SignalKind.STRAGGLER


def crew(
    workers: int,
    samples: int = 100,
    *,
    slow: Mapping[int, tuple[int, int]] | None = None,
    factor: float = 1.5,
    noise: float = 0.02,
    seed: int = 0,
    groups: tuple[str, ...] | None = None,
) -> list[Sample]:
    """Latencies around 50 ms; ``slow`` maps a worker to the samples from which and up to which it is slow."""
    table = 50.0 * (1.0 + noise * np.random.default_rng(seed).standard_normal((samples, workers)))
    for worker, (start, stop) in (slow or {}).items():
        table[start:stop, worker] *= factor
    rows = [tuple(row) for row in table.tolist()]
    return stream(worker_latencies_ms=rows, worker_groups=[groups] * samples, node=["n1"] * samples)


def found(samples: list[Sample]) -> list[Signal]:
    return of_kind(feed(Panel(), samples), STRAGGLER)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(3, 40), st.data(), st.sampled_from([0.0, 0.02, 0.05]), st.integers(0, 1000))
def test_one_slow_worker_is_named_with_evidence(workers: int, data: st.DataObject, noise: float, seed: int) -> None:
    worker = data.draw(st.integers(0, workers - 1))
    signals = found(crew(workers, slow={worker: (40, 100)}, factor=2.0, noise=noise, seed=seed))
    (signal,) = [s for s in signals if s.phase is Phase.CONFIRMED]
    assert signal.workers == (worker,)
    assert signal.nodes == ("n1",)
    assert signal.direction is Direction.WORSE
    assert 45 <= signal.at_index <= 52
    assert 36 <= signal.since_index <= 40
    assert signal.baseline == pytest.approx(50.0, rel=0.1)
    assert signal.effect == pytest.approx(1.0, abs=0.2)
    assert signal.effect_low is not None
    assert signal.effect_high is not None
    assert signal.effect is not None
    assert signal.effect_low <= signal.effect <= signal.effect_high
    assert signal.confidence is not None
    assert signal.confidence > 0.5
    assert f"worker {worker} of {workers}" in signal.explanation


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(3, 32), st.sampled_from([0.0, 0.01, 0.05, 0.2]), st.integers(0, 1000))
def test_workers_alike_are_not_blamed(workers: int, noise: float, seed: int) -> None:
    assert confirmed(found(crew(workers, 300, noise=noise, seed=seed)), STRAGGLER) == []


@pytest.mark.parametrize("start", [0, 40])
@pytest.mark.parametrize("slow", [(0, 1, 2, 3), (1, 4, 6, 7)])
def test_four_slow_of_ten_are_found(start: int, slow: tuple[int, ...]) -> None:
    signals = found(crew(10, slow=dict.fromkeys(slow, (start, 100)), factor=1.4))
    assert [s.workers for s in signals if s.phase is Phase.CONFIRMED] == [slow]


def test_two_slow_steps_make_no_straggler() -> None:
    assert found(crew(8, slow={3: (40, 42)}, factor=5.0)) == []


def test_a_worker_a_little_slow_is_no_straggler() -> None:
    assert found(crew(8, slow={3: (40, 100)}, factor=1.06, noise=0.001)) == []


def test_a_straggler_is_suspected_then_confirmed_then_cleared() -> None:
    signals = found(crew(8, slow={3: (40, 60)}))
    assert [s.phase for s in signals] == [Phase.SUSPECTED, Phase.CONFIRMED, Phase.CLEARED]
    assert len({s.id for s in signals}) == 1
    assert 65 <= signals[-1].at_index <= 70


def test_a_worker_between_the_thresholds_stays_blamed() -> None:
    samples = crew(8, 40, slow={3: (0, 40)}, noise=0.001) + crew(8, 60, slow={3: (0, 60)}, factor=1.08, noise=0.001)
    signals = found([Sample(ts_ms=i, worker_latencies_ms=s.worker_latencies_ms) for i, s in enumerate(samples)])
    assert [s.phase for s in signals if s.phase is not Phase.SUSPECTED] == [Phase.CONFIRMED]


def test_another_straggler_replaces_the_finding_by_one_that_names_both() -> None:
    signals = [s for s in found(crew(9, slow={3: (20, 100), 5: (60, 100)})) if s.phase is not Phase.SUSPECTED]
    first, ended, second = signals
    assert (first.workers, second.workers) == ((3,), (3, 5))
    assert (ended.id, ended.at_index, ended.phase) == (first.id, second.at_index, Phase.CLEARED)


def test_a_long_stage_is_not_blamed_when_groups_are_given() -> None:
    groups = tuple(str(rank % 4) for rank in range(16))
    samples = crew(16, slow=dict.fromkeys((3, 7, 11, 15), (0, 100)), groups=groups)
    assert found(samples) == []


def test_a_straggler_inside_its_stage_is_found() -> None:
    groups = tuple(str(rank % 4) for rank in range(16))
    slow = dict.fromkeys((3, 7, 11, 15), (0, 100))
    samples = crew(16, slow=slow, groups=groups)
    table = [list(s.worker_latencies_ms or ()) for s in samples]
    for row in table[50:]:
        row[7] *= 1.4
    rows = [tuple(row) for row in table]
    signals = found(stream(worker_latencies_ms=rows, worker_groups=[groups] * 100))
    assert [s.workers for s in signals if s.phase is Phase.CONFIRMED] == [(7,)]


@pytest.mark.parametrize("stage", [(3, 7), (6, 7), (2, 6)])
def test_without_groups_a_stage_like_split_is_undecided(stage: tuple[int, ...]) -> None:
    (signal,) = found(crew(8, slow=dict.fromkeys(stage, (0, 100)), factor=1.6))
    assert (signal.phase, signal.cause, signal.workers) == (Phase.UNDECIDED, "possible_stage_imbalance", stage)
    assert "worker_groups" in signal.explanation


def test_workers_that_were_healthy_once_are_blamed_even_where_a_stage_would_lie() -> None:
    signals = found(crew(8, slow={3: (40, 100), 7: (40, 100)}, factor=1.6))
    assert [s.workers for s in signals if s.phase is Phase.CONFIRMED] == [(3, 7)]


def test_a_straggler_beside_a_stage_like_split_is_found() -> None:
    table = 50.0 * (1.0 + 0.01 * np.random.default_rng(0).standard_normal((100, 8)))
    table[:, [3, 7]] *= 1.6
    table[50:, 1] *= 1.5
    signals = found(stream(worker_latencies_ms=[tuple(row) for row in table.tolist()]))
    assert [s.workers for s in signals if s.phase is Phase.CONFIRMED] == [(1,)]


def test_another_number_of_workers_clears_and_starts_anew() -> None:
    before, after = crew(8, 40, slow={3: (0, 40)}), crew(6, 60)
    samples = [Sample(ts_ms=i, worker_latencies_ms=s.worker_latencies_ms) for i, s in enumerate([*before, *after])]
    signals = [s for s in found(samples) if s.phase is not Phase.SUSPECTED]
    assert [(s.phase, s.at_index) for s in signals] == [(Phase.CONFIRMED, 9), (Phase.CLEARED, 44)]


@pytest.mark.parametrize(
    ("samples", "word"),
    [
        (crew(2), "fewer than 3 workers"),
        (crew(8, groups=("a", "a", "b", "b", "c", "c", "d", "d")), "fewer than 3 workers"),
        (crew(8, 4), "only 4 samples"),
        (stream(step_time_ms=[1.0] * 5), "no worker_latencies_ms"),
    ],
)
def test_what_cannot_be_told_is_said(samples: list[Sample], word: str) -> None:
    (signal,) = of_kind(run(samples), STRAGGLER)
    assert signal.phase is Phase.UNDECIDED
    assert word in signal.explanation


def test_groups_that_do_not_fit_the_workers_are_ignored() -> None:
    signals = found(crew(8, slow={3: (40, 100)}, groups=("a", "b")))
    assert [s.workers for s in signals if s.phase is Phase.CONFIRMED] == [(3,)]


def test_a_worker_without_a_time_is_left_out() -> None:
    samples = crew(8, slow={3: (40, 100)})
    rows = [tuple(np.nan if w == 5 else v for w, v in enumerate(s.worker_latencies_ms or ())) for s in samples]
    signals = found(stream(worker_latencies_ms=rows))
    assert [s.workers for s in signals if s.phase is Phase.CONFIRMED] == [(3,)]


@pytest.mark.parametrize(
    ("workers", "total", "stage"),
    [
        ((3, 7), 8, True),
        ((6, 7), 8, True),
        ((2, 3, 6, 7), 8, True),
        ((3,), 8, False),
        ((3, 6), 8, False),
        ((5, 6), 8, False),
        ((0, 1, 2, 3), 10, False),
        ((1, 4, 6, 7), 10, False),
    ],
)
def test_how_stages_lie_in_ranks(workers: tuple[int, ...], total: int, *, stage: bool) -> None:
    assert is_stage_like(workers, total) is stage


def test_the_shortest_half_is_the_tight_majority() -> None:
    middle, scale = shortest_half([10.0, 30.0, 10.2, 10.1, 29.0])
    assert middle == pytest.approx(10.1)
    assert scale < 1.0


def test_who_stays_behind_keeps_its_beginning() -> None:
    signals = [s for s in found(crew(9, slow={3: (20, 100), 5: (20, 60)})) if s.phase is not Phase.SUSPECTED]
    both, ended, one = signals
    assert (both.workers, one.workers) == ((3, 5), (3,))
    assert one.since_index == both.since_index == 20
    assert (ended.id, ended.at_index) == (both.id, one.at_index)


def test_noisy_workers_are_cleared_too() -> None:
    signals = found(crew(12, 300, slow={3: (50, 100)}, factor=3.0, noise=0.15))
    phases = [s.phase for s in signals if s.phase is not Phase.SUSPECTED]
    assert phases == [Phase.CONFIRMED, Phase.CLEARED]


def silenced(samples: list[Sample], worker: int, steps: Collection[int]) -> list[Sample]:
    """``samples`` without the time of one worker in some steps."""
    table = np.array([s.worker_latencies_ms for s in samples])
    table[list(steps), worker] = np.nan
    return stream(worker_latencies_ms=[tuple(row) for row in table.tolist()])


def test_a_last_rank_that_is_silent_now_and_then_changes_no_layout() -> None:
    """Regression: without its last rank a row counted as one of a smaller job, and all was forgotten."""
    signals = found(silenced(crew(8, slow={3: (40, 100)}), 7, range(0, 100, 3)))
    assert [(s.workers, s.phase) for s in signals if s.phase is not Phase.SUSPECTED] == [((3,), Phase.CONFIRMED)]


def test_a_straggler_that_is_often_silent_is_found() -> None:
    signals = found(silenced(crew(8, slow={3: (40, 100)}), 3, range(0, 100, 3)))
    (signal,) = [s for s in signals if s.phase is Phase.CONFIRMED]
    assert (signal.workers, signal.at_index <= 55) == ((3,), True)


def test_a_straggler_that_falls_silent_is_not_said_to_be_back() -> None:
    (ended,) = [s for s in found(silenced(crew(8, slow={3: (40, 100)}), 3, range(70, 100))) if s.phase is Phase.CLEARED]
    assert "silent" in ended.explanation


def test_more_workers_begin_anew_at_once() -> None:
    before, after = crew(6, 40, slow={3: (0, 40)}), crew(8, 60)
    samples = [Sample(ts_ms=i, worker_latencies_ms=s.worker_latencies_ms) for i, s in enumerate([*before, *after])]
    signals = [s for s in found(samples) if s.phase is not Phase.SUSPECTED]
    assert [(s.phase, s.at_index) for s in signals] == [(Phase.CONFIRMED, 9), (Phase.CLEARED, 40)]


@pytest.mark.parametrize("seed", range(3))
def test_four_slow_of_ten_are_found_where_every_worker_has_outliers(seed: int) -> None:
    """Regression: the spread across workers was that of the healthy ones with their outliers."""
    rng = np.random.default_rng(seed)
    table = 50.0 * (1.0 + 0.02 * rng.standard_normal((200, 10))) * np.where(rng.random((200, 10)) < 0.08, 1.4, 1.0)
    table[100:, [1, 4, 6, 7]] *= 1.25
    signals = found(stream(worker_latencies_ms=[tuple(row) for row in table.tolist()]))
    named = {worker: s.at_index for s in reversed(signals) if s.phase is Phase.CONFIRMED for worker in s.workers}
    assert set(named) == {1, 4, 6, 7}
    assert all(100 < at <= 115 for at in named.values())


def test_workers_that_differ_for_good_are_alike_if_they_all_do() -> None:
    rng = np.random.default_rng(1)
    table = 50.0 * (1.0 + 0.04 * np.linspace(-1.5, 1.5, 12)) * (1.0 + 0.01 * rng.standard_normal((300, 12)))
    assert found(stream(worker_latencies_ms=[tuple(row) for row in table.tolist()])) == []


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.lists(
            st.one_of(st.just(np.nan), st.floats(-10.0, 1e9), st.sampled_from([1.0, 2.0])), min_size=7, max_size=7
        ),
        min_size=1,
        max_size=6,
    )
)
def test_many_rows_have_the_shortest_halves_of_each(rows: list[list[float]]) -> None:
    middle, scale = shortest_halves(np.array(rows))
    for place, row in enumerate(rows):
        values = [value for value in row if not np.isnan(value)]
        if len(values) < 3:
            assert np.isnan(middle[place])
        else:
            assert (middle[place], scale[place]) == shortest_half(values)


def test_a_block_without_worker_times_between_others_says_nothing() -> None:
    """Regression: it has no columns at all."""
    samples = crew(8, slow={3: (40, 100)})
    silent = [Sample(ts_ms=s.ts_ms, step_time_ms=50.0) for s in samples[60:70]]
    whole = feed(Panel(), [*samples[:60], *silent, *samples[60:]], cuts=(60, 70))
    assert [s.workers for s in confirmed(whole, STRAGGLER)] == [(3,)]


def test_a_split_into_stages_just_before_the_layout_changes() -> None:
    """Regression: in one block the workers were split by the layout that came after them."""
    stage, later = crew(8, 30, slow=dict.fromkeys((3, 7), (0, 30)), factor=1.6), crew(16, 30)
    samples = [Sample(ts_ms=i, worker_latencies_ms=s.worker_latencies_ms) for i, s in enumerate([*stage, *later])]
    whole = of_kind(feed(Panel(), samples), STRAGGLER)
    assert whole == of_kind(feed(Panel(), samples, cuts=range(1, 60)), STRAGGLER)
    assert [(s.phase, s.workers) for s in whole] == [(Phase.UNDECIDED, (3, 7))]
