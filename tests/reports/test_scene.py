"""What a picture shows: the axis, the limits, the labels; bounded, whatever the run was like."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reports import runs

from modekeeper.artifacts.contracts.parts import Finding, Findings, SeriesPoint
from modekeeper.model.mode import Mode
from modekeeper.model.signal import Direction, SignalKind
from modekeeper.reports.figure.labels import placed
from modekeeper.reports.figure.ruler import Axis, Ruler
from modekeeper.reports.figure.scene import Tone, scene
from modekeeper.reports.figure.series_view import series_view


def test_a_change_is_labelled_with_its_size_and_its_onset() -> None:
    marks = scene(runs.recorded()).findings
    assert [mark.label for mark in marks] == ["+76 % since step 702", "+47 % since step 1,402"]
    assert [(mark.x, mark.decided_x) for mark in marks] == [(702, 727), (1402, 1427)]
    assert {mark.tone for mark in marks} == {Tone.WORSE}


def test_a_straggler_is_named_with_its_node_and_its_size() -> None:
    said = runs.signal(
        "s", SignalKind.STRAGGLER, 500, 520, workers=(6,), nodes=("node-f",), effect=1.37, cause="machine"
    )
    several = msgspec.structs.replace(said, id="t", workers=(1, 2, 3, 4, 5, 6), nodes=())
    view = scene(runs.recorded(findings=Findings(standing=(Finding(signal=said), Finding(signal=several)))))
    assert [(mark.label, mark.tone) for mark in view.findings] == [
        ("worker 6 on node-f +137 % since step 502", Tone.STRAGGLER),
        ("workers 1, 2, 3, 4 and 2 more +137 % since step 502", Tone.STRAGGLER),
    ]


def test_bursts_are_ticks_not_lines() -> None:
    view = scene(runs.recorded())
    assert view.bursts == (302.0,)
    assert len(view.findings) == 2


def test_a_change_that_stays_proposed_is_marked_once() -> None:
    actions = scene(runs.recorded()).actions
    assert [(mark.x, mark.label, mark.held_back) for mark in actions] == [
        (727, "dataloader_prefetch_factor 2 → 4", False),
        (1427, "dataloader_num_workers 4 → 6 (held back: cooldown_active)", True),
    ]


def test_modes_touch_each_other_and_end_with_the_run() -> None:
    bands = scene(runs.recorded()).bands
    assert [(band.mode, band.start, band.stop) for band in bands] == [
        (Mode.NORMAL, 2, 727),
        (Mode.DRIFT, 727, 2000),
    ]


def test_a_single_huge_spike_does_not_flatten_the_rest() -> None:
    series = scene(runs.recorded()).series
    assert series.label == "step time (ms)"
    assert not series.log
    assert 90 < series.top < 110
    assert series.bottom == 0
    assert [(spike.x, spike.above) for spike in series.spikes] == [(302.0, True)]
    assert series.notes == ("arrows at the top: spikes in 1 place, up to 5.00 s",)


def test_regular_small_spikes_are_shown_in_full() -> None:
    values = [130.0 if index % 250 == 0 else 100.0 + 40 * (index > 500) for index in range(1000)]
    points = [SeriesPoint(ts_ms=i, index=i, samples=1, step=i, step_time_ms=v) for i, v in enumerate(values)]
    view = series_view(points, Ruler(points), [])
    assert view.spikes == ()
    assert not view.banded


def test_levels_of_the_findings_stay_inside_the_limits() -> None:
    points = [SeriesPoint(ts_ms=i, index=i, samples=1, step=i, step_time_ms=100.0 + i % 3) for i in range(100)]
    assert series_view(points, Ruler(points), [400.0]).top > 400


def test_the_axis_is_logarithmic_only_where_the_run_spans_decades() -> None:
    values = [10.0 if index < 500 else 90_000.0 for index in range(1000)]
    points = [SeriesPoint(ts_ms=i, index=i, samples=1, step=i, step_time_ms=v) for i, v in enumerate(values)]
    view = series_view(points, Ruler(points), [])
    assert view.log
    assert view.bottom > 0
    assert view.label == "step time (ms)"


@pytest.mark.parametrize(
    ("change", "axis"),
    [
        ({}, Axis.STEP),
        ({"step": None}, Axis.TIME),
        ({"step": None, "ts_ms": 5}, Axis.SAMPLE),
        ({"step": None, "ts_ms": 1 << 62}, Axis.SAMPLE),
        ({"step": 10**30}, Axis.TIME),
    ],
)
def test_the_x_axis_is_step_else_time_else_sample(change: dict[str, int | None], axis: Axis) -> None:
    points = [msgspec.structs.replace(point, **change) for point in runs.points(20)]
    points[0] = msgspec.structs.replace(points[0], step=0 if "step" not in change else points[0].step)
    assert Ruler(points).axis is axis


def test_a_job_that_starts_its_steps_again_is_drawn_over_time() -> None:
    points = runs.points(100)
    again = [msgspec.structs.replace(point, ts_ms=point.ts_ms + 10_000) for point in points]
    assert Ruler([*points, *again]).axis is Axis.TIME
    assert Ruler([*points, *points]).axis is Axis.SAMPLE


def test_without_step_time_another_metric_is_drawn_and_the_gap_is_said() -> None:
    points = tuple(SeriesPoint(ts_ms=i, index=i, samples=1, step=i, throughput=100.0 + i % 2) for i in range(50))
    view = scene(runs.recorded(telemetry=runs.telemetry(points))).series
    assert view.label == "throughput, units a second"
    assert view.notes == (
        'no step time in the telemetry: emit "step_time_ms"; throughput, units a second is drawn instead',
    )


def test_an_empty_run_says_that_nothing_was_read() -> None:
    view = scene(runs.recorded(telemetry=runs.telemetry(()), mode_spans=(), findings=Findings()))
    assert view.series.label == ""
    assert "not one usable sample" in view.series.notes[0]


def test_a_run_with_very_many_findings_is_bounded() -> None:
    drifts = tuple(
        Finding(signal=runs.signal(f"d{i}", SignalKind.DRIFT, i % 2000, i % 2000, effect=i / 100_000))
        for i in range(50_000)
    )
    bursts = tuple(Finding(signal=runs.signal(f"b{i}", SignalKind.BURST, i % 2000, i % 2000)) for i in range(50_000))
    view = scene(runs.recorded(findings=Findings(ended=drifts + bursts, left_out=7)))
    assert len(view.findings) == 40
    assert sum(bool(mark.label) for mark in view.findings) == 10
    assert len(view.bursts) <= 400
    assert "49,967 more findings not drawn, see the report" in view.notes


def test_the_largest_change_for_the_worse_is_labelled_first() -> None:
    better = Finding(signal=runs.signal("a", SignalKind.DRIFT, 1, 2, effect=-0.9, direction=Direction.BETTER))
    many = tuple(
        Finding(signal=runs.signal(f"d{i}", SignalKind.DRIFT, i, i, effect=0.1 + i / 1000)) for i in range(10, 20)
    )
    marks = scene(runs.recorded(findings=Findings(standing=(better, *many)))).findings
    assert [mark.label for mark in marks if mark.tone is Tone.BETTER] == [""]


def test_many_points_are_joined_and_keep_their_extremes() -> None:
    values = [50.0] * 20_000
    values[777] = 51.5
    points = [SeriesPoint(ts_ms=i, index=i, samples=1, step=i, step_time_ms=v) for i, v in enumerate(values)]
    view = series_view(points, Ruler(points), [])
    assert len(view.x) <= 2400
    assert max(high for high in view.high if high is not None) == 51.5
    assert view.banded


def test_hidden_characters_of_a_title_are_spelled_out() -> None:
    answer = msgspec.structs.replace(runs.ANSWER, title="a\u202eb\nc\x00", verdict="$x^2$ " + "y" * 900)
    view = scene(runs.recorded(answer=answer))
    assert view.title == "a\\u202eb c\\u0000"
    assert len(view.verdict) == 400


numbers = st.floats(allow_nan=False, allow_infinity=False) | st.none()
whole = st.integers(min_value=-(2**70), max_value=2**70)
series = st.lists(
    st.builds(
        SeriesPoint,
        ts_ms=whole,
        index=whole,
        samples=whole,
        step=whole | st.none(),
        step_time_ms=numbers,
        step_time_min_ms=numbers,
        step_time_max_ms=numbers,
        loss=numbers,
    ),
    max_size=30,
)


@given(series, st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=3))
def test_whatever_was_recorded_has_limits(points: list[SeriesPoint], levels: list[float]) -> None:
    ruler = Ruler(points)
    view = series_view(points, ruler, levels)
    assert math.isfinite(view.bottom)
    assert view.bottom < view.top < math.inf
    assert not view.log or view.bottom > 0
    assert ruler.start < ruler.stop
    assert all(ruler.start <= x <= ruler.stop for x in view.x)
    shown = (*view.mean, *view.low, *view.high)
    assert all(value is None or math.isfinite(value) for value in shown)


@given(series, whole, whole | st.none(), whole | st.none())
def test_no_moment_stands_outside_the_axis(
    points: list[SeriesPoint], index: int, step: int | None, ts_ms: int | None
) -> None:
    ruler = Ruler(points)
    x = ruler.at(index, step, ts_ms)
    assert x is None or ruler.start <= x <= ruler.stop
    assert x is None or 0 <= ruler.column(x, 80) < 80


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0.1, 5)), max_size=30), st.integers(1, 5))
def test_labels_of_one_row_never_overlap(boxes: list[tuple[float, float]], rows: int) -> None:
    labels = placed([left for left, _ in boxes], [width for _, width in boxes], rows, 0.1)
    for one in labels:
        assert 0 <= one.row < rows
        for other in labels:
            if one.number < other.number and one.row == other.row:
                first, second = sorted((one, other), key=lambda label: label.left)
                assert first.left + boxes[first.number][1] <= second.left
