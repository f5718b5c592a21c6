"""The thinned series: bounded, exact at the edges, the same however the stream is cut."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.loop.stories import block, cut

from modekeeper.loop.series import SeriesRecorder
from modekeeper.model.sample import Sample

values = st.one_of(st.none(), st.floats(0.001, 1e6), st.sampled_from([0.0, 1e300, 1e-300]))
samples = st.lists(st.tuples(values, values), min_size=1, max_size=300).map(
    lambda rows: [
        Sample(ts_ms=1000 * i, step=i, step_time_ms=step_time, loss=loss) for i, (step_time, loss) in enumerate(rows)
    ]
)


@settings(max_examples=60, deadline=None)
@given(samples, st.lists(st.integers(1, 299), max_size=20))
def test_the_series_does_not_depend_on_how_the_stream_is_cut(stream: list[Sample], cuts: list[int]) -> None:
    whole, pieces = SeriesRecorder(points=20), SeriesRecorder(points=20)
    whole.add(block(stream))
    for part in cut(stream, cuts):
        pieces.add(part)
    assert pieces.telemetry() == whole.telemetry()


@settings(max_examples=40, deadline=None)
@given(samples, st.integers(1, 299))
def test_the_series_survives_being_written_down(stream: list[Sample], at: int) -> None:
    whole, resumed = SeriesRecorder(points=20), SeriesRecorder(points=20)
    whole.add(block(stream))
    for part in cut(stream, [at]):
        resumed.add(part)
        text = json.dumps(resumed.snapshot(), allow_nan=False)
        resumed = SeriesRecorder(points=20)
        resumed.restore(json.loads(text))
    assert resumed.telemetry() == whole.telemetry()


@given(st.integers(1, 5000))
@settings(max_examples=30, deadline=None)
def test_the_number_of_points_is_bounded_and_no_sample_is_lost(count: int) -> None:
    recorder = SeriesRecorder(points=50)
    recorder.add(block([Sample(ts_ms=i, step=i, step_time_ms=float(i + 1)) for i in range(count)]))
    telemetry = recorder.telemetry()
    assert len(telemetry.points) <= 100
    assert sum(point.samples for point in telemetry.points) == count == telemetry.sample_count
    assert min(p.step_time_min_ms or math.inf for p in telemetry.points) == 1.0
    assert max(p.step_time_max_ms or 0 for p in telemetry.points) == float(count)


def test_a_point_has_the_mean_and_the_extremes_of_its_samples() -> None:
    recorder = SeriesRecorder(points=1)
    times = [10.0, 30.0, 20.0, 40.0]
    recorder.add(block([Sample(ts_ms=i, step_time_ms=v, node="a", loss=math.inf) for i, v in enumerate(times)]))
    (point,) = recorder.telemetry().points
    assert (point.step_time_ms, point.step_time_min_ms, point.step_time_max_ms) == (25.0, 10.0, 40.0)
    assert point.node == "a"
    assert point.loss is None, "a loss that is not finite has no mean"


def test_an_empty_stream_is_an_empty_series() -> None:
    telemetry = SeriesRecorder().telemetry()
    assert (telemetry.sample_count, telemetry.points, telemetry.first_ts_ms) == (0, (), None)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_snapshot_before_the_first_point_is_closed(count: int) -> None:
    recorder = SeriesRecorder(points=1)
    recorder.add(block([Sample(ts_ms=i, step_time_ms=1.0) for i in range(count)]))
    copy = SeriesRecorder(points=1)
    copy.restore(recorder.snapshot())
    assert copy.telemetry() == recorder.telemetry()
