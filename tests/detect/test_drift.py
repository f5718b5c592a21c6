"""Drift of the step time and the throughput."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.detect.streams import confirmed, feed, noisy, of_kind, run, stream

from modekeeper.detect.panel import Panel
from modekeeper.detect.settings import DetectorSettings
from modekeeper.model.signal import Direction, Phase, Signal, SignalKind
from modekeeper.model.wording import signed_percent

DRIFT = SignalKind.DRIFT


def stepped(*levels: tuple[float, int], noise: float = 0.01, seed: int = 0) -> NDArray[np.float64]:
    """Levels one after the other, each for so many samples."""
    plan = np.concatenate([np.full(samples, level) for level, samples in levels])
    return plan * noisy(1.0, len(plan), noise=noise, seed=seed)


def drift_of(values: NDArray[np.float64], metric: str = "step_time_ms") -> list[Signal]:
    return of_kind(feed(Panel(), stream(**{metric: values})), DRIFT, metric)


def phases(signals: list[Signal]) -> list[tuple[Phase, Direction]]:
    return [(s.phase, s.direction) for s in signals if s.phase is not Phase.SUSPECTED]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 2**16), st.sampled_from([0.0, 0.002, 0.02, 0.1]), st.floats(1e-3, 1e6))
def test_a_steady_job_does_not_drift(seed: int, noise: float, level: float) -> None:
    signals = drift_of(noisy(level, 1500, noise=noise, seed=seed))
    assert [s for s in signals if s.phase is not Phase.SUSPECTED] == []
    assert len(signals) <= 1


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    st.integers(0, 2**16),
    st.sampled_from([0.05, 0.3, 2.0, -0.05, -0.4]),
    st.sampled_from([0.001, 0.01, 0.02]),
    st.integers(150, 600),
)
def test_evidence_of_a_change(seed: int, effect: float, noise: float, at: int) -> None:
    values = stepped((200.0, at), (200.0 * (1 + effect), 100), noise=noise, seed=seed)
    found = [s for s in drift_of(values) if s.phase is Phase.CONFIRMED]
    assert len(found) == 1
    signal = found[0]
    assert signal.direction is (Direction.WORSE if effect > 0 else Direction.BETTER)
    assert abs(signal.since_index - at) <= 10
    assert (signal.since_step, signal.since_ts_ms) == (signal.since_index + 100, 1000 * signal.since_index)
    assert at + 10 < signal.at_index < at + 100
    assert signal.baseline == pytest.approx(200.0, rel=0.02)
    assert signal.healthy_level == pytest.approx(200.0, rel=0.02)
    assert signal.level == pytest.approx(200.0 * (1 + effect), rel=0.02)
    assert signal.effect == pytest.approx(effect, abs=0.03 * (1 + effect))
    assert signal.effect_low is not None
    assert signal.effect_high is not None
    assert signal.effect is not None
    assert signal.effect_low < signal.effect < signal.effect_high
    assert signal.confidence is not None
    assert signal.confidence > 0.99
    assert signal.samples_used >= 70
    assert "ms" in signal.explanation
    assert signed_percent(signal.effect) in signal.explanation


def test_the_interval_holds_the_truth_nine_times_in_ten() -> None:
    hits, runs = 0, 60
    for seed in range(runs):
        values = stepped((100.0, 400), (110.0, 60), noise=0.02, seed=seed)
        signal = next(s for s in drift_of(values) if s.phase is Phase.CONFIRMED)
        assert signal.effect_low is not None
        assert signal.effect_high is not None
        hits += signal.effect_low <= 0.10 <= signal.effect_high
    assert hits >= 0.8 * runs


def test_a_suspicion_comes_first_and_bears_the_same_id() -> None:
    signals = drift_of(stepped((100.0, 300), (150.0, 100)))
    assert [s.phase for s in signals] == [Phase.SUSPECTED, Phase.CONFIRMED]
    assert len({s.id for s in signals}) == 1
    assert signals[0].at_index < signals[1].at_index


def test_a_recovered_job_is_cleared_near_its_healthy_level() -> None:
    signals = drift_of(stepped((100.0, 300), (150.0, 200), (100.0, 200)))
    assert phases(signals) == [(Phase.CONFIRMED, Direction.WORSE), (Phase.CLEARED, Direction.WORSE)]
    end = signals[-1]
    assert 500 < end.at_index <= 560
    assert end.level == pytest.approx(100.0, rel=0.05)
    assert "back" in end.explanation


def test_a_short_incident_is_cleared_before_its_level_was_learned() -> None:
    signals = drift_of(stepped((100.0, 300), (150.0, 45), (100.0, 200)))
    assert phases(signals) == [(Phase.CONFIRMED, Direction.WORSE), (Phase.CLEARED, Direction.WORSE)]


def test_worsening_clears_the_old_finding_and_confirms_a_new_one_at_the_same_sample() -> None:
    signals = [s for s in drift_of(stepped((100.0, 300), (150.0, 300), (200.0, 300))) if s.phase is not Phase.SUSPECTED]
    first, cleared, second = signals
    assert (first.phase, cleared.phase, second.phase) == (Phase.CONFIRMED, Phase.CLEARED, Phase.CONFIRMED)
    assert first.id == cleared.id != second.id
    assert cleared.at_index == second.at_index
    assert abs(second.since_index - 600) <= 5
    assert second.baseline == pytest.approx(150.0, rel=0.02)
    assert second.healthy_level == pytest.approx(100.0, rel=0.02)


def test_an_improvement_that_stays_worse_than_healthy_leaves_a_finding_standing() -> None:
    signals = drift_of(stepped((100.0, 300), (180.0, 300), (140.0, 300)))
    standing = signals[-1]
    assert (standing.phase, standing.direction) == (Phase.CONFIRMED, Direction.WORSE)
    assert standing.baseline == pytest.approx(100.0, rel=0.02)
    assert standing.effect == pytest.approx(0.4, abs=0.03)
    assert "improved" in standing.explanation


def test_a_job_faster_than_ever_is_an_event_and_the_new_healthy_level() -> None:
    values = stepped((100.0, 300), (70.0, 300), (100.0, 200))
    better, over, worse = [s for s in drift_of(values) if s.phase is not Phase.SUSPECTED]
    assert (better.phase, better.direction) == (Phase.CONFIRMED, Direction.BETTER)
    assert (over.phase, over.at_index, over.id) == (Phase.CLEARED, better.at_index, better.id)
    assert (worse.phase, worse.direction) == (Phase.CONFIRMED, Direction.WORSE)
    assert worse.healthy_level == pytest.approx(70.0, rel=0.02)


def test_from_worse_to_better_than_ever() -> None:
    signals = drift_of(stepped((100.0, 300), (150.0, 300), (70.0, 300)))
    assert phases(signals)[0] == (Phase.CONFIRMED, Direction.WORSE)
    worse = signals[1].id
    assert any(s.id == worse and s.phase is Phase.CLEARED for s in signals)


def test_a_slow_ramp_is_found_with_its_onset() -> None:
    ramp = np.concatenate([np.full(500, 100.0), 100.0 * (1 + 0.0002 * np.arange(800))])
    found = [s for s in drift_of(ramp * noisy(1.0, 1300, noise=0.005)) if s.phase is Phase.CONFIRMED]
    assert found
    assert found[0].direction is Direction.WORSE
    assert found[0].at_index < 500 + 300
    assert 400 <= found[0].since_index <= found[0].at_index


def test_throughput_is_worse_when_it_falls() -> None:
    signals = drift_of(stepped((5000.0, 300), (4000.0, 100)), "throughput")
    assert signals[-1].direction is Direction.WORSE
    assert signals[-1].effect == pytest.approx(-0.2, abs=0.01)
    assert drift_of(stepped((5000.0, 300), (6000.0, 100)), "throughput")[-1].direction is Direction.BETTER


def test_evaluation_and_checkpoint_samples_are_not_judged() -> None:
    values = noisy(100.0, 600)
    values[300:400] *= 5.0
    pauses: list[str | None] = ["train"] * 600
    pauses[300:400] = ["eval"] * 50 + [" Checkpoint "] * 50
    assert confirmed(run(stream(step_time_ms=values, phase=pauses)), DRIFT) == []
    assert confirmed(run(stream(step_time_ms=values)), DRIFT)


@pytest.mark.parametrize("column", ["batch_size", "seq_len"])
def test_a_change_the_job_announced_is_neutral_and_the_new_healthy_level(column: str) -> None:
    values = stepped((100.0, 300), (190.0, 300), (250.0, 200))
    announced = np.where(np.arange(800) < 300, 64.0, 128.0)
    samples = stream(**{"step_time_ms": values, column: announced})
    neutral, over, worse = confirmed_or_cleared(feed(Panel(), samples))
    assert (neutral.direction, neutral.cause) == (Direction.NEUTRAL, "announced_schedule")
    assert (over.phase, over.at_index) == (Phase.CLEARED, neutral.at_index)
    assert (worse.direction, worse.cause) == (Direction.WORSE, None)
    assert worse.healthy_level == pytest.approx(190.0, rel=0.02)


def confirmed_or_cleared(signals: list[Signal]) -> list[Signal]:
    return [s for s in of_kind(signals, DRIFT) if s.phase in {Phase.CONFIRMED, Phase.CLEARED}]


@pytest.mark.parametrize(("waiting_ms", "cause"), [(45.0, "input_bound"), (10.0, None)])
def test_the_cause_is_named_when_waiting_for_input_explains_most_of_the_rise(
    waiting_ms: float, cause: str | None
) -> None:
    values = stepped((100.0, 300), (150.0, 100))
    waits = np.where(np.arange(400) < 300, 2.0, 2.0 + waiting_ms)
    assert confirmed(run(stream(step_time_ms=values, data_wait_ms=waits)), DRIFT)[0].cause == cause


def test_single_spikes_and_alternation_are_no_drift() -> None:
    values = noisy(100.0, 2000)
    values[::37] *= 20.0
    values[1::2] *= 1.3
    assert [s for s in drift_of(values) if s.phase is not Phase.SUSPECTED] == []


def test_a_quantised_timer_is_judged_by_its_mean() -> None:
    values = np.round(stepped((10.4, 400), (11.0, 150), noise=0.02))
    found = [s for s in drift_of(values) if s.phase is Phase.CONFIRMED]
    assert len(found) == 1
    assert found[0].level == pytest.approx(11.0, rel=0.02)


def test_too_few_samples_are_said() -> None:
    signal = of_kind(run(stream(step_time_ms=noisy(100.0, 40))), DRIFT, "step_time_ms")[0]
    assert signal.phase is Phase.UNDECIDED
    assert "only 40 samples" in signal.explanation


def test_a_missing_metric_is_said_with_the_name_to_emit() -> None:
    for metric in ("throughput", "loss"):
        signal = of_kind(run(stream(step_time_ms=noisy(100.0, 200))), DRIFT, metric)[0]
        assert signal.phase is Phase.UNDECIDED
        assert repr(metric) in signal.explanation


def test_a_change_that_began_too_late_is_undecided() -> None:
    signals = of_kind(run(stream(step_time_ms=stepped((100.0, 300), (150.0, 12)))), DRIFT, "step_time_ms")
    assert [s.phase for s in signals] == [Phase.SUSPECTED, Phase.UNDECIDED]
    assert signals[0].id == signals[1].id


def test_settings_move_the_thresholds() -> None:
    values = stepped((100.0, 400), (105.0, 300), noise=0.002)
    blunt = msgspec.structs.replace(DetectorSettings(), abrupt_effect_rel=0.2, slow_effect_rel=0.2)
    assert confirmed(feed(Panel(), stream(step_time_ms=values)), DRIFT)
    assert confirmed(feed(Panel(blunt), stream(step_time_ms=values)), DRIFT) == []


def test_a_short_incident_that_ends_better_than_healthy_is_cleared() -> None:
    signals = drift_of(stepped((100.0, 300), (150.0, 48), (85.0, 300)))
    first = next(s for s in signals if s.phase is Phase.CONFIRMED)
    ends = [s for s in signals if s.id == first.id and s.phase is Phase.CLEARED]
    assert len(ends) == 1
    assert 348 < ends[0].at_index < 450


@pytest.mark.parametrize("small", [101.2, 101.5, 98.6])
def test_a_change_too_small_to_tell_does_not_hide_a_large_one(small: float) -> None:
    found = [s for s in drift_of(stepped((100.0, 300), (small, 300), (110.0, 100))) if s.phase is Phase.CONFIRMED]
    assert [abs(s.since_index - 600) <= 5 for s in found] == [True]
    assert found[0].at_index < 700
    assert found[0].effect == pytest.approx(110.0 / small - 1, abs=0.02)


@pytest.mark.parametrize("effect", [0.05, 0.1, 0.4])
@pytest.mark.parametrize("lasting", [60, 150, 400])
def test_a_recovery_has_no_echo(effect: float, lasting: int) -> None:
    for seed in range(8):
        values = stepped((100.0, 300), (100.0 * (1 + effect), lasting), (100.0, 500), noise=0.015, seed=seed)
        signals = phases(drift_of(values))
        assert signals == [(Phase.CONFIRMED, Direction.WORSE), (Phase.CLEARED, Direction.WORSE)]


def test_a_job_that_wandered_a_little_before_an_incident_recovers_to_where_it_was() -> None:
    wander = np.linspace(100.0, 101.5, 600)
    values = np.concatenate([wander, np.full(150, 106.0), np.full(400, 101.5)]) * noisy(1.0, 1150, noise=0.005)
    assert phases(drift_of(values)) == [(Phase.CONFIRMED, Direction.WORSE), (Phase.CLEARED, Direction.WORSE)]


def autoregressive(samples: int, correlation: float, noise: float, seed: int) -> NDArray[np.float64]:
    pushes = np.random.default_rng(seed).standard_normal(samples) * np.sqrt(1 - correlation**2)
    values = np.zeros(samples)
    for i in range(1, samples):
        values[i] = correlation * values[i - 1] + pushes[i]
    return 100.0 * (1 + noise * values)


@pytest.mark.parametrize("correlation", [0.0, 0.6, 0.9, 0.95])
def test_noise_that_leans_on_itself_raises_no_alarm(correlation: float) -> None:
    for seed in range(4):
        signals = drift_of(autoregressive(5000, correlation, 0.05, seed))
        assert [s for s in signals if s.phase is Phase.CONFIRMED] == []


def test_a_series_too_noisy_to_judge_says_so() -> None:
    noisy_job = stream(step_time_ms=autoregressive(1500, 0.95, 0.05, 1))
    said = [s for s in of_kind(run(noisy_job), DRIFT, "step_time_ms") if s.phase is Phase.UNDECIDED]
    assert len(said) == 1
    assert "too noisy" in said[0].explanation
    assert "cannot be told from chance" in said[0].explanation
    steady = stream(step_time_ms=noisy(100.0, 1500, noise=0.03))
    assert of_kind(run(steady), DRIFT, "step_time_ms") == []


def test_more_false_alarms_a_day_buy_an_earlier_word() -> None:
    def word_after(false_alarms_per_day: float, seed: int) -> int:
        values = stepped((100.0, 400), (106.0, 200), noise=0.05, seed=seed)
        panel = Panel(DetectorSettings(false_alarms_per_day=false_alarms_per_day))
        found = of_kind(feed(panel, stream(step_time_ms=values)), DRIFT, "step_time_ms")
        return next((s.at_index - 400 for s in found if s.at_index >= 400), 200)

    eager, patient = (sum(word_after(rate, seed) for seed in range(20)) for rate in (5.0, 0.001))
    assert eager < 0.8 * patient


def test_a_slow_episode_of_single_steps_is_no_level() -> None:
    """Slow and usual steps by turns for thirty steps: the mean is up, but nothing says that it will stay."""
    values = noisy(108.0, 1200, noise=0.05)
    values[600:630:2] += 90.0
    assert [s for s in drift_of(values) if s.phase is Phase.CONFIRMED] == []


def test_a_fast_ramp_is_reported_again_at_the_level_it_ends_at() -> None:
    """A change may be confirmed while it still goes on; its level, cost and cause would be those of halfway."""
    plan = np.concatenate([np.full(150, 100.0), np.linspace(100.0, 140.0, 40), np.full(200, 140.0)])
    waits = plan - 95.0
    signals = feed(Panel(), stream(step_time_ms=plan * noisy(1.0, 390, noise=0.005), data_wait_ms=waits))
    first, over, second = [s for s in of_kind(signals, DRIFT, "step_time_ms") if s.phase is not Phase.SUSPECTED]
    assert (first.phase, over.phase, second.phase) == (Phase.CONFIRMED, Phase.CLEARED, Phase.CONFIRMED)
    assert (over.id, over.at_index) == (first.id, second.at_index)
    assert second.since_index == first.since_index
    assert first.level is not None
    assert first.level < 130.0
    assert second.baseline == pytest.approx(100.0, rel=0.01)
    assert second.level == pytest.approx(140.0, rel=0.01)
    assert second.cause == "input_bound"
    assert "went on" in second.explanation
