"""The panel as a whole."""

from itertools import pairwise

import msgspec
import pytest
from tests.detect.streams import feed, noisy, stream

from modekeeper.detect.panel import Panel
from modekeeper.detect.settings import DetectorSettings
from modekeeper.model.errors import BadInputError
from modekeeper.model.signal import Phase, SignalKind

KINDS = list(SignalKind)


def test_signals_come_in_one_order_whatever_detector_they_are_from() -> None:
    times = noisy(100.0, 600)
    times[300:] *= 2.0
    rows = [(50.0, 50.0, 50.0, 50.0, 50.0 if i < 300 else 90.0) for i in range(600)]
    samples = stream(
        step_time_ms=times,
        throughput=1e6 / times,
        data_wait_ms=0.5 * times,
        worker_latencies_ms=rows,
        gpu_util_pct=[20.0] * 600,
        node=["a"] * 300 + ["b"] * 300,
    )
    signals = feed(Panel(), samples)
    keys = [(s.at_index, KINDS.index(s.kind), s.metric) for s in signals]
    assert keys == sorted(keys)
    kinds = {s.kind for s in signals if s.phase is Phase.CONFIRMED}
    assert kinds == set(SignalKind) - {SignalKind.BURST, SignalKind.GPU_SATURATED}


def test_every_id_lives_a_proper_life() -> None:
    times = noisy(100.0, 3000)
    for start in range(200, 2800, 400):
        times[start : start + 200] *= 1.5
    times[::333] *= 9.0
    lives: dict[str, list[Phase]] = {}
    for signal in feed(Panel(), stream(step_time_ms=times)):
        lives.setdefault(signal.id, []).append(signal.phase)
    assert len(lives) > 5
    order = [Phase.SUSPECTED, Phase.CONFIRMED, Phase.CLEARED]
    for phases in lives.values():
        places = [order.index(phase) for phase in phases]
        assert all(a < b for a, b in pairwise(places))


def test_without_any_sample_every_detector_says_so() -> None:
    signals = Panel().conclude()
    assert {s.kind for s in signals} == set(SignalKind)
    assert {s.phase for s in signals} == {Phase.UNDECIDED}
    assert {s.at_index for s in signals} == {-1}


def test_a_state_that_is_not_of_this_panel_is_refused_in_one_line() -> None:
    state = Panel().snapshot()
    other = msgspec.structs.replace(DetectorSettings(), drift_z=9.0)
    damaged = {**state, "detectors": {**state["detectors"], "burst": {"times": 3}}}
    for panel, snapshot in (
        (Panel(other), state),
        (Panel(), {}),
        (Panel(), damaged),
        (Panel(), {**state, "detectors": 1}),
    ):
        with pytest.raises(BadInputError, match="saved state of the detectors") as caught:
            panel.restore(snapshot)
        assert "\n" not in str(caught.value)
