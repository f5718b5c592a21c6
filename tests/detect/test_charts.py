"""The bank of CUSUM charts: how long between false words, how soon a true one, and the same bits for any cut."""

from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from modekeeper.detect.charts import Bank, Crossing, Yardstick, threshold_for

YARDSTICK = Yardstick(0.0, 1.0, 1.0)
LONG_AGO = -10_000


def taken(bank: Bank, values: NDArray[np.float64], start: int) -> Crossing | None:
    return bank.take(values, start, np.repeat(np.array([YARDSTICK]).T, len(values), axis=1))


def crossings(bank: Bank, values: NDArray[np.float64]) -> list[Crossing]:
    """All of them, with the charts back at zero after each."""
    found: list[Crossing] = []
    start = 0
    while start < len(values):
        crossing = taken(bank, values[start:], start)
        if crossing is None:
            break
        found.append(crossing)
        start = crossing.number + 1
        bank.sums, bank.since = [0] * 6, [0] * 6
    return found


@settings(deadline=None)
@given(
    st.integers(0, 2**16),
    st.sampled_from([0.0, 1.0, 4.0]),
    st.lists(st.integers(1, 299), max_size=6),
    st.integers(LONG_AGO, -1),
    st.floats(0.0, 0.1),
)
def test_one_value_at_a_time_and_any_cut_give_the_same_bits(
    seed: int, shift: float, cuts: list[int], last_spike: int, spiky: float
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(300) * np.where(rng.random(300) < spiky, 30.0, 1.0)
    values[200:] += shift
    single = Bank.at_zero(threshold_for(1e12), last_spike)
    first = next((c for n, v in enumerate(values.tolist()) if (c := single.take_one(v, n, YARDSTICK))), None)
    pieces = Bank.at_zero(threshold_for(1e12), last_spike)
    found = None
    edges = sorted({0, *cuts, 300})
    for start, stop in pairwise(edges):
        found = taken(pieces, values[start:stop], start)
        if found is not None:
            break
    assert found == first
    assert msgspec.to_builtins(pieces) == msgspec.to_builtins(single)


def test_false_words_are_as_rare_as_asked() -> None:
    values = np.random.default_rng(1).standard_normal(400_000)
    found = crossings(Bank.at_zero(threshold_for(5_000.0), LONG_AGO), values)
    assert 400_000 / 5_000 / 2 < len(found) < 400_000 / 5_000 * 2


@pytest.mark.parametrize(("shift", "most"), [(1.0, 27.0), (2.0, 7.5), (4.0, 2.4)])
def test_a_shift_is_found_within_one_and_a_half_times_lordens_bound(shift: float, most: float) -> None:
    """For a mean of 10,000 samples between false words the bound is 18.4, 4.6 and 1.2 samples."""
    rng = np.random.default_rng(2)
    delays = []
    for _ in range(300):
        values = rng.standard_normal(400)
        values[200:] += shift
        after = [c.number - 199 for c in crossings(Bank.at_zero(threshold_for(10_000.0), LONG_AGO), values)]
        delays.append(next(delay for delay in after if delay > 0))
    assert float(np.mean(delays)) < most


def test_the_direction_and_the_onset_are_named() -> None:
    values = np.zeros(100)
    values[60:] = -3.0
    crossing = taken(Bank.at_zero(threshold_for(1e6), LONG_AGO), values, 0)
    assert crossing is not None
    assert (crossing.since, crossing.upwards) == (60, False)


def test_one_sample_may_be_enough_but_not_in_a_job_with_spikes() -> None:
    values = np.zeros(50)
    values[40] = 50.0
    assert taken(Bank.at_zero(threshold_for(1e6), LONG_AGO), values, 0) is not None
    assert taken(Bank.at_zero(threshold_for(1e6), -100), values, 0) is None
    values[40:44] = 50.0
    assert taken(Bank.at_zero(threshold_for(1e6), -100), values, 0) is not None


def test_spikes_do_not_hide_a_shift_the_other_way() -> None:
    values = np.where(np.arange(400) % 10 == 0, 500.0, -1.5)
    crossing = taken(Bank.at_zero(threshold_for(1e6), -1), values, 0)
    assert crossing is not None
    assert not crossing.upwards
