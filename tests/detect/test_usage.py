"""GPU use, data starvation and the environment."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.detect.streams import feed, noisy, of_kind, run, stream

from modekeeper.detect.chunks import chunks, rows_where
from modekeeper.detect.panel import Panel
from modekeeper.detect.settings import DetectorSettings
from modekeeper.model.signal import Direction, Phase, SignalKind


def test_a_saturated_gpu_is_a_neutral_fact_with_evidence() -> None:
    util = np.concatenate([np.full(200, 80.0), np.full(200, 99.0), np.full(200, 70.0)])
    signals = feed(Panel(), stream(gpu_util_pct=util, gpu_power_w=np.full(600, 640.0), gpu_temp_c=np.full(600, 71.0)))
    found, ended = of_kind(signals, SignalKind.GPU_SATURATED)
    assert (found.phase, found.direction, found.level) == (Phase.CONFIRMED, Direction.NEUTRAL, 99.0)
    assert found.since_index == 200
    assert 220 <= found.at_index <= 250
    assert "power 640 W" in found.explanation
    assert "temperature 71 °C" in found.explanation
    assert (ended.phase, ended.id) == (Phase.CLEARED, found.id)


def test_an_underused_gpu_is_for_the_worse() -> None:
    util = np.concatenate([np.full(200, 80.0), np.full(200, 30.0), np.full(200, 55.0), np.full(200, 75.0)])
    found, ended = of_kind(feed(Panel(), stream(gpu_util_pct=util)), SignalKind.GPU_UNDERUSED)
    assert (found.phase, found.direction, found.level) == (Phase.CONFIRMED, Direction.WORSE, 30.0)
    assert (ended.phase, ended.id) == (Phase.CLEARED, found.id)
    assert ended.at_index > 600


def test_utilisation_around_the_threshold_does_not_flap() -> None:
    util = np.clip(95.0 + 3.0 * np.random.default_rng(0).standard_normal(3000), 0.0, 100.0)
    assert len(of_kind(feed(Panel(), stream(gpu_util_pct=util)), SignalKind.GPU_SATURATED)) == 1


def test_waiting_for_input_is_starvation_and_clears_with_hysteresis() -> None:
    share = np.concatenate([np.full(200, 0.02), np.full(200, 0.4), np.full(200, 0.15), np.full(200, 0.05)])
    times = noisy(100.0, 800)
    signals = feed(Panel(), stream(step_time_ms=times, data_wait_ms=share * times))
    found, ended = of_kind(signals, SignalKind.DATA_STARVATION)
    assert found.level == pytest.approx(0.4)
    assert found.since_index == 200
    assert "40 %" in found.explanation
    assert (ended.phase, ended.id) == (Phase.CLEARED, found.id)
    assert ended.at_index > 600


@pytest.mark.parametrize(
    ("kind", "columns", "word"),
    [
        (SignalKind.GPU_SATURATED, {"step_time_ms": [1.0]}, "'gpu_util_pct'"),
        (SignalKind.GPU_UNDERUSED, {"gpu_util_pct": [50.0]}, "only 1 samples"),
        (SignalKind.DATA_STARVATION, {"step_time_ms": [1.0]}, "'data_wait_ms'"),
        (SignalKind.DATA_STARVATION, {"step_time_ms": [1.0], "data_wait_ms": [0.5]}, "only 1 samples"),
    ],
)
def test_what_cannot_be_told_is_said(kind: SignalKind, columns: dict[str, list[float]], word: str) -> None:
    (signal,) = of_kind(run(stream(**columns)), kind)
    assert signal.phase is Phase.UNDECIDED
    assert word in signal.explanation


def test_a_second_node_makes_the_environment_unstable() -> None:
    samples = stream(node=["b", "b", "a", "c"], gpu_model=["H100"] * 4)
    panel = Panel()
    (found,) = of_kind(feed(panel, samples), SignalKind.HETEROGENEOUS_ENVIRONMENT)
    assert (found.metric, found.at_index, found.nodes) == ("node", 2, ("a", "b"))
    environment = panel.environment()
    assert environment.nodes_seen == ("a", "b", "c")
    assert environment.gpu_models_seen == ("H100",)
    assert environment.unstable
    assert environment.notes == ()


def test_one_node_and_one_model_are_stable_and_gaps_are_noted() -> None:
    panel = Panel()
    assert of_kind(feed(panel, stream(node=["a", None, "a"])), SignalKind.HETEROGENEOUS_ENVIRONMENT) == []
    environment = panel.environment()
    assert not environment.unstable
    assert environment.notes == ("1 of 3 samples name no node", "no sample names its gpu_model")


@given(st.integers(65, 500))
def test_names_are_bounded_and_the_overflow_is_noted(names: int) -> None:
    panel = Panel()
    feed(panel, stream(node=[f"n{i}" for i in range(names)]))
    environment = panel.environment()
    kept = DetectorSettings().max_names
    assert len(environment.nodes_seen) == kept
    assert environment.notes[0].startswith(f"{names - kept} samples name further nodes")


def test_what_stands_beside_the_utilisation_is_of_the_window_of_the_finding() -> None:
    """A finding in the middle of a block must not tell of what came later in it."""
    util = np.concatenate([np.full(200, 80.0), np.full(800, 99.0)])
    power = np.arange(1000.0)
    (found,) = of_kind(feed(Panel(), stream(gpu_util_pct=util, gpu_power_w=power)), SignalKind.GPU_SATURATED)
    assert f"power {found.at_index - 24.5:.0f} W" in found.explanation


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(1, 7), st.booleans())
def test_chunks_hold_the_wanted_rows_in_order(wanted: list[bool], size: int, sliced: bool) -> None:
    rows = slice(0, len(wanted)) if sliced else np.arange(len(wanted))
    numbers = np.arange(len(wanted))
    pieces = [numbers[piece].tolist() for piece in chunks(rows_where(rows, np.array(wanted)), size)]
    assert [row for piece in pieces for row in piece] == np.flatnonzero(wanted).tolist()
    assert all(len(piece) <= size for piece in pieces)
