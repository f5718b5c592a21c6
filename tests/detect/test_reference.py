"""What a reference knows of a level and its noise."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.detect.streams import noisy

from modekeeper.detect.reference import Reference, learn_reference, level_columns, locations, noise_columns


def autoregressive(correlation: float, samples: int, seed: int = 0) -> NDArray[np.float64]:
    """Around 100 with a standard deviation of 1, each value leaning on the one before."""
    rng = np.random.default_rng(seed)
    values = np.zeros(samples)
    for i in range(1, samples):
        values[i] = correlation * values[i - 1] + math.sqrt(1 - correlation**2) * rng.standard_normal()
    return 100.0 + values


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(50, 400), st.integers(0, 2**16), st.sampled_from([0.0, 1e-3, 0.1, 1e6]))
def test_many_rows_at_once_give_the_bits_of_one(rows: int, samples: int, seed: int, noise: float) -> None:
    values = 100.0 + noise * np.random.default_rng(seed).standard_normal(rows * samples + 7)
    table = np.lib.stride_tricks.sliding_window_view(values, samples)[::samples][:rows]
    levels = level_columns(table)
    together = np.concatenate((levels, noise_columns(table, levels)))
    alone = [learn_reference(row.copy()) for row in table]
    assert together.T.tolist() == [[one.level, one.clip, one.fast_sd, one.slow_sd] for one in alone]
    assert locations(table, noise).tolist() == [locations(row.copy()[np.newaxis], noise)[0] for row in table]


@pytest.mark.parametrize("noise", [0.005, 0.05])
def test_independent_samples(noise: float) -> None:
    found = [learn_reference(noisy(100.0, 400, noise=noise, seed=seed)) for seed in range(40)]
    for sd in ([r.fast_sd for r in found], [r.slow_sd for r in found]):
        assert float(np.median(sd)) == pytest.approx(100.0 * noise, rel=0.06)
    assert [r.level for r in found] == pytest.approx([100.0] * 40, rel=noise / 4)


@pytest.mark.parametrize("correlation", [0.3, 0.6, 0.8, 0.9, 0.95])
def test_means_of_correlated_samples_are_not_taken_for_steadier_than_they_are(correlation: float) -> None:
    truth = math.sqrt((1 + correlation) / (1 - correlation))
    found = [learn_reference(autoregressive(correlation, 400, seed)).slow_sd for seed in range(60)]
    assert sum(sd >= truth for sd in found) >= 51
    assert float(np.median(found)) < 6.0 * truth


def test_the_fewer_independent_samples_the_less_is_known() -> None:
    def excess(samples: int) -> float:
        found = [learn_reference(noisy(100.0, samples, noise=0.01, seed=s)).slow_sd for s in range(40)]
        return float(np.median(found))

    assert excess(60) > 1.1 * excess(400)


def test_alternation_makes_means_steadier_than_single_samples() -> None:
    values = noisy(100.0, 400, noise=0.001)
    values[::2] += 5.0
    found = learn_reference(values)
    assert found.slow_sd < 0.5 * found.fast_sd


def test_spikes_do_not_move_the_level_and_hardly_widen_the_noise() -> None:
    plain, spiked = noisy(100.0, 400, noise=0.01), noisy(100.0, 400, noise=0.01)
    spiked[::40] *= 20.0
    before, after = learn_reference(plain), learn_reference(spiked)
    assert after.level == pytest.approx(before.level, rel=0.005)
    assert after.slow_sd < 1.6 * before.slow_sd


@pytest.mark.parametrize("level", [0.0, 100.0, -3.0, 1e120])
def test_a_series_that_never_moves(level: float) -> None:
    found = learn_reference(np.full(100, level))
    assert found.level == pytest.approx(level)
    assert 0.0 < found.slow_sd <= max(0.01 * abs(level), 1e-140)
    assert math.isfinite(found.standard_error(20))


def test_a_location_is_cut_as_the_level_was() -> None:
    reference = Reference(level=100.0, clip=3.0, fast_sd=1.0, slow_sd=1.0, samples=400)
    values = np.array([100.0] * 9 + [1e9])
    assert reference.location(values) == pytest.approx(100.3)


def test_a_two_valued_timer_has_its_mean_for_location() -> None:
    values = np.where(np.arange(1000) % 10 < 4, 15.0, 16.0)
    assert float(locations(values[np.newaxis], 2.0)[0]) == pytest.approx(15.6)
