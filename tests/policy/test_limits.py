import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modekeeper.model.errors import BadInputError
from modekeeper.policy.knobs import KNOBS, Knob, is_on_grid, knob_named
from modekeeper.policy.limits import Limits, exceeds, limited_target, limits_from

PREFETCH = knob_named("dataloader_prefetch_factor")
TIMEOUT = knob_named("timeout_ms")


@pytest.mark.parametrize(
    ("current", "wanted", "most", "target"),
    [
        (4.0, 8.0, 1.0, 8.0),
        (4.0, 8.0, 0.5, 6.0),
        (4.0, 8.0, 0.3, 5.0),
        (4.0, 8.0, 0.4, 5.0),
        (8.0, 2.0, 0.45, 5.0),
        (4.0, 8.0, 0.2, None),
        (4.0, 8.0, 0.0, None),
        (8.0, 2.0, 0.5, 4.0),
        (8.0, 2.0, 0.3, 6.0),
        (63.0, 100.0, 1.0, 64.0),
        (64.0, 100.0, 1.0, None),
        (4.0, 4.0, 1.0, None),
        (0.5, 4.0, 1.0, None),
        (4.0, math.nan, 1.0, None),
        (math.nan, 4.0, 1.0, None),
        (4.0, 8.0, math.nan, None),
    ],
)
def test_a_wish_is_cut_to_whole_steps_within_the_limit(
    current: float, wanted: float, most: float, target: float | None
) -> None:
    assert limited_target(PREFETCH, current, wanted, Limits(max_delta_per_step=most)) == target


def test_a_current_value_between_two_steps_still_leads_to_a_step() -> None:
    assert limited_target(TIMEOUT, 12345.0, 18517.5, Limits()) == 18500.0
    assert limited_target(TIMEOUT, 12345.0, 12399.0, Limits()) is None


any_target = st.floats(min_value=-1e7, max_value=1e7)


@given(st.sampled_from(KNOBS), any_target, any_target, st.floats(min_value=0, max_value=5))
def test_a_step_never_leaves_bounds_grid_limit_or_the_way_to_the_wish(
    knob: Knob, current: float, wanted: float, most: float
) -> None:
    limits = Limits(max_delta_per_step=most)
    target = limited_target(knob, current, wanted, limits)
    if target is not None:
        assert is_on_grid(knob, target)
        assert not exceeds(limits, current, target)
        assert min(current, wanted) <= target <= max(current, wanted)
        assert target != current


@pytest.mark.parametrize("given_value", [-0.1, math.nan, math.inf])
def test_a_limit_that_means_nothing_is_refused(given_value: float) -> None:
    with pytest.raises(BadInputError, match="--max-delta-per-step") as caught:
        limits_from(given_value)
    assert "\n" not in str(caught.value)


def test_the_default_lets_a_value_double() -> None:
    assert limits_from(None) == Limits(max_delta_per_step=1.0)
    assert limits_from(0.25).max_delta_per_step == 0.25
    assert limited_target(PREFETCH, 1.0, 2.0, Limits()) == 2.0


def test_what_is_not_a_number_exceeds_every_limit() -> None:
    assert exceeds(Limits(), math.nan, 1.0)
    assert exceeds(Limits(), 1.0, math.nan)
    assert exceeds(Limits(max_delta_per_step=math.nan), 1.0, 1.0)
