import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modekeeper.model.decision import Actuation, RiskTier
from modekeeper.policy.knobs import (
    KNOBS,
    Knob,
    find_knob,
    format_value,
    is_on_grid,
    knob_named,
    registry_digest,
    similar_knob,
    snap,
)
from modekeeper.policy.vocabulary import INVARIANTS

any_knob = st.sampled_from(KNOBS)
finite = st.floats(allow_nan=False, allow_infinity=False)


def test_the_registry_knows_every_knob_of_the_design() -> None:
    assert {knob.name for knob in KNOBS} == {
        "dataloader_prefetch_factor",
        "concurrency",
        "pin_memory",
        "microbatch_size",
        "grad_accum_steps",
        "comm_bucket_mb",
        "checkpoint_interval_steps",
        "eval_interval_steps",
        "dataloader_timeout_s",
        "timeout_ms",
    }


def test_an_alias_means_the_same_knob() -> None:
    assert find_knob("dataloader_num_workers") is find_knob("concurrency")
    assert find_knob("nonsense") is None


def test_a_mistyped_name_is_recognised() -> None:
    assert similar_knob("dataloader_prefetch") == "dataloader_prefetch_factor"
    assert similar_knob("timout_ms") == "timeout_ms"
    assert similar_knob("zzz") is None


def test_timeouts_are_advanced_and_nothing_else_is() -> None:
    assert {k.name for k in KNOBS if k.tier is RiskTier.ADVANCED} == {"timeout_ms", "dataloader_timeout_s"}


def test_ranks_agree_where_a_difference_would_break_the_job() -> None:
    free = {k.name for k in KNOBS if not k.ranks_must_agree}
    assert free == {"dataloader_prefetch_factor", "concurrency", "pin_memory"}
    assert {k.name for k in KNOBS if k.actuation is Actuation.COLD} == {"comm_bucket_mb"}


@pytest.mark.parametrize("knob", KNOBS, ids=lambda k: k.name)
def test_the_grid_of_every_knob_is_exact(knob: Knob) -> None:
    assert knob.lower < knob.upper
    assert knob.lower.is_integer()
    assert knob.step.is_integer()
    assert is_on_grid(knob, knob.lower)
    assert is_on_grid(knob, knob.upper)
    assert knob.cost


def test_what_must_stay_true_has_a_meaning() -> None:
    extra = {"recovery_point", "evaluation_schedule"}
    assert {name for knob in KNOBS for name in knob.must_stay_true} <= set(INVARIANTS) | extra


@given(any_knob, finite)
def test_a_snapped_value_is_on_the_grid_and_nearest(knob: Knob, value: float) -> None:
    snapped = snap(knob, value)
    assert is_on_grid(knob, snapped)
    if knob.lower <= value <= knob.upper:
        assert abs(snapped - value) <= knob.step / 2
    assert snap(knob, snapped) == snapped


@given(any_knob, finite)
def test_the_text_of_a_value_reads_back_as_that_value(knob: Knob, value: float) -> None:
    text = format_value(knob, snap(knob, value))
    assert text.isdigit()
    assert float(text) == snap(knob, value)
    assert not (len(text) > 1 and text.startswith("0"))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_a_number_cannot_be_snapped(value: float) -> None:
    with pytest.raises(ValueError, match="cannot be set"):
        snap(knob_named("timeout_ms"), value)


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0, 65.0, 2.5, -2.0])
def test_no_text_for_what_the_knob_cannot_take(value: float) -> None:
    with pytest.raises(ValueError, match="no value of"):
        format_value(knob_named("dataloader_prefetch_factor"), value)


def test_of_two_equally_near_values_the_lower_one_is_taken() -> None:
    assert snap(knob_named("timeout_ms"), 250.0) == 200.0
    assert snap(knob_named("concurrency"), 4.5) == 4.0


def test_the_digest_of_the_registry_is_stable() -> None:
    assert registry_digest() == "sha256:2f2a2ba089bdac69bd00c1ca559971d3e00176aa6774411eea1eef6a1c09b779"
