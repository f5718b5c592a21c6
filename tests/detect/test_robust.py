"""The robust statistics, against what numpy or arithmetic says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.detect.streams import noisy

from modekeeper.detect.peers import medians
from modekeeper.detect.robust import (
    clamp,
    interquartile_mean,
    normal_confidence,
    quantile,
    relative,
    robust_sd,
    run_start,
    split_position,
)

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=60).map(np.array)


@given(VALUES, st.floats(0.0, 1.0))
def test_quantile_is_numpys(values: np.ndarray[tuple[int], np.dtype[np.float64]], share: float) -> None:
    expected = float(np.quantile(values, share))
    assert quantile(np.sort(values), share) == pytest.approx(expected, rel=1e-9, abs=1e-6)


@given(VALUES)
def test_the_location_lies_within_the_values(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
    assert values.min() - 1e-6 <= interquartile_mean(values) <= values.max() + 1e-6


def test_wild_values_do_not_move_the_location_far() -> None:
    values = noisy(100.0, 100)
    values[::10] = 1e9
    assert interquartile_mean(values) == pytest.approx(100.0, rel=0.01)


def test_spread_of_a_normal_distribution() -> None:
    assert robust_sd(noisy(100.0, 20000, noise=0.05)) == pytest.approx(5.0, rel=0.03)


@pytest.mark.parametrize(("value", "base", "expected"), [(3.0, 2.0, 0.5), (-1.0, -2.0, 0.5), (1.0, 0.0, None)])
def test_relative_change_keeps_the_sign_of_the_change(value: float, base: float, expected: float | None) -> None:
    assert relative(value, base) == expected


def test_relative_change_beyond_the_floats_is_unknown() -> None:
    assert relative(1e120, 1e-300) is None
    assert clamp(1e300) == 1e120


def test_confidence_falls_with_the_number_of_looks() -> None:
    assert normal_confidence(1.959964, 1) == pytest.approx(0.95)
    assert normal_confidence(4.0, 1) > normal_confidence(4.0, 1000) > 0.9
    assert normal_confidence(0.5, 100) == 0.0


@given(st.integers(5, 40), st.integers(5, 40), st.sampled_from([-1e6, -1.0, 1.0, 1e6]))
def test_the_split_is_where_the_step_is(before: int, after: int, height: float) -> None:
    values = np.concatenate([np.zeros(before), np.full(after, height)])
    assert split_position(values, 1, len(values) - 1) == before


@pytest.mark.parametrize(
    ("flags", "start"),
    [("0000011111", 5), ("1000011111", 5), ("0000011011", 5), ("1111111111", 0), ("0100000001", 9)],
)
def test_where_a_run_began(flags: str, start: int) -> None:
    assert run_start(np.array([flag == "1" for flag in flags])) == start


@given(st.integers(1, 12), st.integers(1, 6), st.integers(0, 2**16))
def test_medians_are_numpys(rows: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, columns))
    values[rng.random(size=values.shape) < 0.3] = np.nan
    expected = [float(np.median(row[np.isfinite(row)])) if np.isfinite(row).any() else np.nan for row in values]
    assert medians(values) == pytest.approx(expected, nan_ok=True)
