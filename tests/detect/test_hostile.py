"""Numbers a trainer may print and arithmetic does not like. Warnings are errors in these tests."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.detect.streams import feed, stream

from modekeeper.detect.panel import Panel
from modekeeper.model.sample import METRIC_COLUMNS
from modekeeper.model.signal import Phase, Signal

HOSTILE = st.sampled_from([0.0, -0.0, -1.0, 1e-320, 1e-9, 1.0, 100.0, 1e12, 1e120, 1e300, -1e300, np.nan])


def judge(columns: dict[str, object]) -> list[Signal]:
    panel = Panel()
    signals = feed(panel, stream(**columns)) + panel.conclude()  # type: ignore[arg-type]
    json.dumps(panel.snapshot(), allow_nan=False)
    return signals


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(HOSTILE, st.integers(1, 200)), min_size=1, max_size=6),
    st.sampled_from([0.0, 1e-12, 0.5]),
    st.integers(0, 1000),
)
def test_any_levels_in_any_order_neither_warn_nor_crash(
    levels: list[tuple[float, int]], noise: float, seed: int
) -> None:
    plan = np.concatenate([np.full(samples, level) for level, samples in levels])
    values = plan * (1.0 + noise * np.random.default_rng(seed).uniform(-1.0, 1.0, len(plan)))
    columns: dict[str, object] = dict.fromkeys(METRIC_COLUMNS, values)
    columns["worker_latencies_ms"] = [(v, 1.0, v / 2, v, 0.0) for v in values.tolist()]
    for signal in judge(columns):
        numbers = (signal.baseline, signal.level, signal.effect, signal.effect_low, signal.effect_high)
        assert all(number is None or np.isfinite(number) for number in numbers)


@pytest.mark.parametrize("level", [0.0, -3.0, 1e-300, 7.0, 1e300])
@pytest.mark.parametrize("metric", ["step_time_ms", "throughput", "loss"])
def test_a_constant_series_never_alarms(level: float, metric: str) -> None:
    values = np.full(1500, level)
    assert [s for s in judge({metric: values}) if s.phase is not Phase.UNDECIDED] == []


@pytest.mark.parametrize("metric", ["step_time_ms", "throughput", "loss"])
def test_rounding_is_no_signal(metric: str) -> None:
    values = np.nextafter(100.0, np.where(np.random.default_rng(0).random(1500) < 0.5, 0.0, 200.0))
    assert [s for s in judge({metric: values}) if s.phase is not Phase.UNDECIDED] == []


def test_a_timer_that_ticks_between_two_values_is_steady() -> None:
    values = np.where(np.random.default_rng(0).random(3000) < 0.4, 15.0, 16.0)
    assert [s for s in judge({"step_time_ms": values}) if s.phase is not Phase.UNDECIDED] == []


def test_gaps_do_not_count_as_samples() -> None:
    values = np.full(4000, np.nan)
    values[::50] = 100.0
    undecided = [s for s in judge({"step_time_ms": values}) if s.metric == "step_time_ms"]
    assert {s.phase for s in undecided} == {Phase.UNDECIDED}
    assert any("only 80 samples" in s.explanation for s in undecided)


def test_a_series_that_leaves_zero_is_found_without_a_relative_effect() -> None:
    values = np.concatenate([np.zeros(300), np.full(200, 5.0)])
    found = next(s for s in judge({"step_time_ms": values}) if s.phase is Phase.CONFIRMED)
    assert (found.baseline, found.level, found.effect) == (0.0, 5.0, None)
