import math

import pytest
from tests.policy.situations import signal

from modekeeper.model.decision import Promise
from modekeeper.model.signal import SignalKind
from modekeeper.policy.promises import judge_promise, promise_from
from modekeeper.policy.situation import OutcomeState

LOWER = Promise(metric="step_time_ms", direction="lower", at_least_rel=0.05, within_samples=200)
HIGHER = Promise(metric="throughput", direction="higher", at_least_rel=0.05, within_samples=200)


@pytest.mark.parametrize(
    ("promise", "after", "samples", "state"),
    [
        (LOWER, 90.0, 200, OutcomeState.KEPT),
        (LOWER, 95.0, 200, OutcomeState.KEPT),
        (LOWER, 96.0, 200, OutcomeState.MISSED),
        (LOWER, 102.0, 200, OutcomeState.MISSED),
        (LOWER, 103.0, 200, OutcomeState.WORSE),
        (LOWER, 50.0, 199, OutcomeState.PENDING),
        (LOWER, 105.0, 199, OutcomeState.PENDING),
        (LOWER, 150.0, 50, OutcomeState.WORSE),
        (LOWER, 150.0, 49, OutcomeState.PENDING),
        (HIGHER, 110.0, 200, OutcomeState.KEPT),
        (HIGHER, 90.0, 200, OutcomeState.WORSE),
        (LOWER, None, 500, OutcomeState.PENDING),
        (LOWER, math.nan, 500, OutcomeState.PENDING),
    ],
)
def test_a_promise_is_judged_by_what_was_measured(
    promise: Promise, after: float | None, samples: int, state: OutcomeState
) -> None:
    judged, gain = judge_promise(promise, before=100.0, after=after, samples=samples)
    assert judged is state
    if after is not None and math.isfinite(after):
        assert gain == pytest.approx((100.0 - after) / 100.0 * (1 if promise is LOWER else -1))


@pytest.mark.parametrize("before", [0.0, -1.0, math.nan, math.inf])
def test_nothing_is_judged_against_a_level_that_means_nothing(before: float) -> None:
    assert judge_promise(LOWER, before=before, after=90.0, samples=500) == (OutcomeState.PENDING, None)


def test_a_quarter_of_what_was_lost_is_promised() -> None:
    # 200 ms became 300 ms: a third of 300 ms is lost, and a quarter of that third is promised.
    assert promise_from(signal(SignalKind.DRIFT)).at_least_rel == pytest.approx(1 / 12, abs=1e-4)
    # A throughput of 100 became 50: all of 50 is lost.
    lost_half = signal(SignalKind.DRIFT, metric="throughput", effect=-0.5)
    assert promise_from(lost_half).at_least_rel == pytest.approx(0.25)


@pytest.mark.parametrize("effect", [None, math.nan, math.inf, 0.0, 1e-9, -1.0, -5.0])
def test_a_promise_is_always_one_that_can_be_judged(effect: float | None) -> None:
    for metric in ("step_time_ms", "throughput"):
        promise = promise_from(signal(SignalKind.DRIFT, metric=metric, effect=effect))
        assert 0.01 <= promise.at_least_rel <= 1.0
        assert promise.within_samples > 0
