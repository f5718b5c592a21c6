"""Drift of the loss."""

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.detect.streams import feed, of_kind, run, stream

from modekeeper.detect.panel import Panel
from modekeeper.model.signal import Direction, Phase, Signal, SignalKind


def falling(samples: int, *, noise: float = 0.03, seed: int = 0) -> NDArray[np.float64]:
    """A loss curve as training makes them."""
    curve = 2.0 + 8.0 / np.sqrt(np.arange(1, samples + 1))
    return curve + noise * np.random.default_rng(seed).standard_normal(samples)


def loss_signals(loss: NDArray[np.float64]) -> list[Signal]:
    return of_kind(feed(Panel(), stream(loss=loss)), SignalKind.DRIFT, "loss")


@pytest.mark.parametrize("seed", range(5))
def test_a_falling_loss_is_no_drift(seed: int) -> None:
    assert loss_signals(falling(3000, seed=seed)) == []


def test_a_sudden_fall_of_the_loss_is_no_drift() -> None:
    loss = falling(1000)
    loss[500:] *= 0.6
    assert loss_signals(loss) == []


def test_a_sustained_rise_is_found_and_cleared() -> None:
    loss = falling(1200)
    loss[600:800] += 1.0
    found, ended = loss_signals(loss)
    assert (found.phase, found.direction) == (Phase.CONFIRMED, Direction.WORSE)
    assert 600 < found.at_index < 700
    assert 590 <= found.since_index <= 640
    assert found.baseline is not None
    assert found.level is not None
    assert found.level - found.baseline == pytest.approx(1.0, abs=0.2)
    assert (ended.phase, ended.id) == (Phase.CLEARED, found.id)
    assert 800 < ended.at_index < 860


def test_single_spikes_of_the_loss_are_no_drift() -> None:
    loss = falling(1200)
    loss[200::97] *= 10.0
    assert loss_signals(loss) == []


def test_a_loss_that_is_no_number_is_divergence() -> None:
    loss = falling(600)
    loss[400:] = np.inf
    (found,) = loss_signals(loss)
    assert (found.phase, found.cause, found.since_index, found.at_index) == (
        Phase.CONFIRMED,
        "non_finite_loss",
        400,
        402,
    )
    assert found.level is None
    assert found.healthy_level == pytest.approx(float(np.median(loss[350:400])), rel=0.05)


def test_single_overflow_steps_of_mixed_precision_are_no_divergence() -> None:
    loss = falling(600)
    loss[[100, 101, 300, 500]] = np.inf
    assert loss_signals(loss) == []


def test_divergence_clears_after_the_loss_is_back() -> None:
    loss = falling(600)
    loss[400:450] = np.inf
    found, ended = loss_signals(loss)
    assert (ended.phase, ended.id, ended.at_index) == (Phase.CLEARED, found.id, 479)


def test_an_input_that_ends_in_overflow_is_undecided() -> None:
    loss = falling(300)
    loss[-2:] = np.inf
    (signal,) = of_kind(run(stream(loss=loss)), SignalKind.DRIFT, "loss")
    assert signal.phase is Phase.UNDECIDED
    assert "last 2 losses" in signal.explanation


def test_too_little_loss_is_said() -> None:
    (signal,) = of_kind(run(stream(loss=falling(50))), SignalKind.DRIFT, "loss")
    assert signal.phase is Phase.UNDECIDED
    assert "only 50 samples" in signal.explanation


def test_a_loss_around_zero_is_judged_by_its_noise() -> None:
    loss = 0.01 * np.random.default_rng(1).standard_normal(1000)
    assert loss_signals(loss) == []
    loss[600:] += 0.5
    assert loss_signals(loss)[0].phase is Phase.CONFIRMED
