"""Which samples count after a restart of the job."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.detect.streams import confirmed, feed, noisy, stream

from modekeeper.detect.panel import Panel
from modekeeper.detect.restarts import RestartWatch
from modekeeper.model.signal import SignalKind

GAPS = st.sampled_from([0, 100, 1000, 4_999, 5_000, 600_000])
STEPS = st.sampled_from([-1, 0, 1, 5, 6, 100, 101])


@given(st.lists(st.tuples(STEPS, GAPS), min_size=1, max_size=60), st.lists(st.integers(1, 59), max_size=5))
def test_any_cut_and_one_at_a_time_leave_out_the_same(records: list[tuple[int, int]], cuts: list[int]) -> None:
    steps = np.array([step for step, _ in records])
    times = np.cumsum([gap for _, gap in records])
    single = RestartWatch(4)
    one_by_one = [single.is_judged(int(step), int(ts)) for step, ts in zip(steps, times, strict=True)]
    pieces = RestartWatch(4)
    kept: list[bool] = []
    for start, stop in pairwise(sorted({0, *(c for c in cuts if c < len(records)), len(records)})):
        found = pieces.judged(steps[start:stop], times[start:stop])
        kept += [True] * (stop - start) if found is None else found.tolist()
    assert kept == one_by_one
    assert pieces.snapshot() == single.snapshot()


def test_a_restart_is_a_silence_and_a_step_that_went_back() -> None:
    watch = RestartWatch(3)
    steps = np.array([*range(10, 30), 8, 9, 10, 11])
    times = 1000 * np.array([*range(20), 80, 81, 82, 83])
    kept = watch.judged(steps, times)
    assert kept is not None
    assert kept.tolist() == [True] * 20 + [False] * 3 + [True]


def test_neither_a_silence_nor_interleaved_workers_alone_are_a_restart() -> None:
    assert RestartWatch(3).judged(np.arange(50), np.where(np.arange(50) < 30, 0, 900_000) + np.arange(50)) is None
    by_turns = np.repeat(np.arange(30), 2) - np.tile([0, 1], 30)
    assert RestartWatch(3).judged(by_turns, np.arange(60) * 7000) is None


def test_a_slow_warm_up_after_a_restart_is_no_drift() -> None:
    values = noisy(100.0, 600, noise=0.01)
    values[300:318] *= np.linspace(6.0, 1.2, 18)
    steps = np.where(np.arange(600) < 300, np.arange(600), np.arange(600) - 50)
    times = np.arange(600) * 100 + np.where(np.arange(600) < 300, 0, 300_000)
    samples = stream(step_time_ms=values, step=steps.tolist(), ts_ms=times.tolist())
    assert confirmed(feed(Panel(), samples), SignalKind.DRIFT) == []
