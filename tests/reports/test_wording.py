"""Numbers and times as people say them."""

import pytest

from modekeeper.model.wording import count, level, percent, signed_percent
from modekeeper.reports.wording import duration, moment


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.25, "250 ms"),
        (1, "1 s"),
        (59.6, "1 min"),
        (4260, "1 h 11 min"),
        (90_000, "1 d 1 h"),
        (86_460, "1 d"),
    ],
)
def test_a_duration_names_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("step_time_ms", 61.04, "61.0 ms"),
        ("step_time_ms", 44_800, "44.8 s"),
        ("step_time_ms", 0.5, "0.50 ms"),
        ("gpu_util_pct", 97.2, "97 %"),
        ("throughput", 606_821.0, "606,821 a second"),
        ("loss", 2.764, "2.76"),
        ("loss", 1e300, "1e+300"),
        ("step_time_ms", 0.0, "0.00 ms"),
    ],
)
def test_a_level_has_its_unit_and_three_digits(metric: str, value: float, text: str) -> None:
    assert level(metric, value) == text


def test_changes_have_a_sign() -> None:
    assert signed_percent(0.79) == "+79 %"
    assert signed_percent(-0.031) == "-3.1 %"
    assert percent(1e300) == "1e+302 %"


def test_a_moment_is_a_step_or_a_time() -> None:
    assert moment(3120, 0) == "step 3,120"
    assert moment(None, 0) == "1970-01-01 00:00:00 UTC"
    assert moment(None, None) == "the start"
    assert moment(None, 10**18) == "the start"


def test_counting() -> None:
    assert count(1, "step") == "1 step"
    assert count(4280, "step") == "4,280 steps"
    assert count(2, "process", "processes") == "2 processes"
