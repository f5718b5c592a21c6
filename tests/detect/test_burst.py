"""Bursts of the step time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.detect.streams import confirmed, feed, noisy, of_kind, run, stream

from modekeeper.detect.panel import Panel
from modekeeper.detect.robust import windows_of
from modekeeper.detect.settings import DetectorSettings
from modekeeper.detect.usual_time import UsualTime
from modekeeper.model.signal import Direction, Phase, Signal, SignalKind

BURST = SignalKind.BURST


def with_spikes(*places: int, samples: int = 600, factor: float = 5.0, width: int = 1) -> NDArray[np.float64]:
    values = noisy(100.0, samples, noise=0.02)
    for place in places:
        values[place : place + width] *= factor
    return values


def bursts(values: NDArray[np.float64]) -> list[Signal]:
    return of_kind(feed(Panel(), stream(step_time_ms=values)), BURST)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(60, 500), st.integers(1, 10), st.floats(2.0, 50.0))
def test_a_spike_is_an_event_confirmed_and_cleared_when_it_is_over(place: int, width: int, factor: float) -> None:
    found, ended = bursts(with_spikes(place, width=width, factor=factor))
    assert (found.phase, ended.phase, found.id) == (Phase.CONFIRMED, Phase.CLEARED, ended.id)
    assert found.since_index == place
    assert found.at_index == ended.at_index == place + width
    assert found.baseline == pytest.approx(100.0, rel=0.02)
    assert found.effect == pytest.approx(factor - 1, rel=0.15, abs=0.2)
    assert found.explanation.startswith(f"{width} step")


def test_a_longer_run_is_a_new_level_and_no_burst() -> None:
    assert bursts(with_spikes(300, width=11)) == []


def test_a_run_at_the_very_end_is_undecided() -> None:
    signals = of_kind(run(stream(step_time_ms=with_spikes(597, width=3))), BURST)
    assert [s.phase for s in signals] == [Phase.UNDECIDED]


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.1])
def test_a_steady_job_has_no_bursts(noise: float) -> None:
    assert bursts(noisy(100.0, 3000, noise=noise)) == []


def test_a_frequent_spike_is_the_jobs_nature() -> None:
    values = noisy(100.0, 2000)
    values[::10] *= 3.0
    assert [s for s in bursts(values) if s.since_index > 300] == []


def test_regular_spacing_is_a_periodic_pause_from_the_third_on() -> None:
    values = with_spikes(*range(100, 1000, 100), samples=1000)
    causes = [s.cause for s in bursts(values) if s.phase is Phase.CONFIRMED]
    assert causes == [None, None, *["periodic_pause"] * 7]


def test_regular_spacing_is_counted_in_steps_where_the_job_names_them() -> None:
    samples = stream(step_time_ms=with_spikes(*range(100, 1000, 100), samples=1000))
    kept = [s for i, s in enumerate(samples) if i not in {130, 250, 251, 252, 470}]
    causes = [s.cause for s in confirmed(feed(Panel(), kept), BURST)]
    assert causes[2:] == ["periodic_pause"] * 7


def test_scattered_bursts_are_not_called_periodic() -> None:
    places = np.sort(np.random.default_rng(3).choice(np.arange(60, 3000), 40, replace=False))
    found = [s for s in bursts(with_spikes(*places.tolist(), samples=3000)) if s.phase is Phase.CONFIRMED]
    assert len(found) >= 35
    assert sum(s.cause == "periodic_pause" for s in found) <= 4


def test_a_pause_the_job_announced_is_neutral() -> None:
    phases = ["train"] * 600
    phases[300] = "eval"
    (found,) = confirmed(run(stream(step_time_ms=with_spikes(300), phase=phases)), BURST)
    assert (found.cause, found.direction) == ("announced_pause", Direction.NEUTRAL)


@pytest.mark.parametrize(("waited_ms", "cause"), [(380.0, "input_bound"), (30.0, None)])
def test_waiting_for_input_is_named(waited_ms: float, cause: str | None) -> None:
    waits = np.full(600, 3.0)
    waits[300] = waited_ms
    (found,) = confirmed(run(stream(step_time_ms=with_spikes(300), data_wait_ms=waits)), BURST)
    assert (found.cause, found.direction) == (cause, Direction.WORSE)


def test_after_a_new_level_spikes_are_measured_from_it() -> None:
    values = with_spikes(500)
    values[200:] *= 3.0
    (found,) = [s for s in bursts(values) if s.phase is Phase.CONFIRMED]
    assert found.since_index == 500
    assert found.baseline == pytest.approx(300.0, rel=0.02)


def test_too_few_samples_are_said() -> None:
    (signal,) = of_kind(run(stream(step_time_ms=noisy(100.0, 12))), BURST)
    assert signal.phase is Phase.UNDECIDED


def test_the_last_bursts_of_an_episode_count_as_the_first_do() -> None:
    """Regression: the spikes of an episode used to raise the threshold for those that came after them in it."""
    places = (800, 811, 820, 833, 841, 855, 860, 874, 883, 890, 897, 905)
    found = [s.since_index for s in confirmed(bursts(with_spikes(*places, samples=1100)), BURST)]
    assert found == list(places)


@pytest.mark.parametrize("every", [80, 125, 300])
def test_pauses_are_found_however_many_came_before(every: int) -> None:
    places = range(every, 3000, every)
    found = [s.since_index for s in confirmed(bursts(with_spikes(*places, samples=3000)), BURST)]
    assert found == list(places)


@pytest.mark.parametrize("seed", range(3))
def test_a_heavy_tail_is_no_burst_and_what_lies_far_beyond_it_is(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = 100.0 * (1.0 + 0.3 * rng.exponential(1.0, 4000))
    assert values.max() > 300.0
    values[[1500, 2500, 3500]] = 1200.0
    assert [s.since_index for s in confirmed(bursts(values), BURST)] == [1500, 2500, 3500]


@pytest.mark.parametrize("factor", [0.6, 0.8, 1.3, 1.45])
def test_noise_at_a_new_level_soon_makes_no_bursts(factor: float) -> None:
    values = noisy(100.0, 1000, noise=0.03)
    values[400:] *= factor
    assert [s for s in confirmed(bursts(values), BURST) if s.since_index > 460] == []


def test_ten_slow_steps_count_in_the_tail_as_one() -> None:
    places = range(100, 1000, 100)
    found = confirmed(bursts(with_spikes(*places, samples=1000, factor=2.0, width=10)), BURST)
    assert [s.since_index for s in found] == list(places)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.0, 1e6), min_size=1, max_size=300), st.integers(1, 299))
def test_what_is_usual_does_not_depend_on_how_samples_come(values: list[float], cut: int) -> None:
    one, two = UsualTime(DetectorSettings()), UsualTime(DetectorSettings())
    known = []
    for value in values:
        known.append(one.level)
        one.append(value)
    levels = two.extend(np.array(values[:cut]))
    for number, level in enumerate(known[:cut]):
        assert repr(levels.at(number)) == repr(level)
    two.extend(np.array(values[cut:]))
    assert one.snapshot() == two.snapshot()
    assert one.count == len(values)


@given(st.lists(st.floats(-1e9, 1e9), min_size=3, max_size=40), st.integers(1, 3))
def test_windows_are_all_runs_of_neighbours(values: list[float], size: int) -> None:
    runs = [values[start : start + size] for start in range(len(values) - size + 1)]
    assert windows_of(np.array(values), size).tolist() == runs
