"""What must hold for any answer, any cut of the time, any moment to stop and go on."""

import json
import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.telemetry.feeding import Row, Running, rows_of
from tests.telemetry.prometheus.memory_server import (
    STEP_MS,
    T0_MS,
    Held,
    MemoryServer,
    choice,
    gpu,
    pod,
    source_over,
)

from modekeeper.model.block import SampleBlock
from modekeeper.model.errors import BadInputError, FailedError
from modekeeper.model.sample import METRIC_COLUMNS
from modekeeper.telemetry.prometheus.answer import _AS_NUMBERS, error_of, is_success, parse_answer
from modekeeper.telemetry.prometheus.promql import PodSelector, quoted
from modekeeper.telemetry.prometheus.queries import _DCGM
from modekeeper.telemetry.prometheus.roster import natural_order
from modekeeper.telemetry.prometheus.windows import SERVER_POINTS, Window, aligned_down, cut

POINTS = 40
METRICS = ("step_time_ms=t_seconds", "loss=l", "step=s_total", "throughput=rate(x[1m])")
VALUES = st.one_of(
    st.sampled_from(["NaN", "+Inf", "-Inf", 2.0**47, 2**31 - 16, 2**63 - 16, -1, 0, "junk"]),
    st.floats(0, 200, width=32),
    st.integers(0, 10**6),
)
NAMES = st.sampled_from(["trainer-0", "trainer-2", "trainer-10", "trainer-abc-xyz", "other-0", "trainer"])


@st.composite
def series(draw: st.DrawFn) -> list[Held]:
    found: dict[str, Held] = {}
    for _ in range(draw(st.integers(0, 9))):
        metric = draw(st.sampled_from(["t_seconds", "l", "s_total", "rate(x[1m])", *(known.metric for known in _DCGM)]))
        name = draw(NAMES)
        more = draw(st.sampled_from([{}, {"job": "b"}, {"rank": "3"}, {"Hostname": "node-b"}]))
        number = draw(st.integers(0, 2))
        labels = gpu(number, name) | more if metric.startswith("DCGM") else pod(name) | more
        if metric.startswith("rate") and draw(st.booleans()):
            labels = dict(more)
        points = draw(st.dictionaries(st.integers(0, POINTS - 1), VALUES, max_size=POINTS))
        held = Held(metric, labels, points)
        found[json.dumps([metric, labels], sort_keys=True)] = held
    return list(found.values())


CUTS = st.lists(st.integers(1, POINTS - 1), unique=True, max_size=8).map(sorted)


def spans(cuts: list[int]) -> list[tuple[int, int]]:
    edges = [0, *cuts, POINTS]
    return [(first, end - 1) for first, end in pairwise(edges)]


def told(source: Any) -> tuple[Any, ...]:
    return source.counters(), source.notes


def at_once(held: list[Held]) -> tuple[list[Row], tuple[Any, ...]]:
    source = source_over(MemoryServer(held, [(0, POINTS - 1)]), choice(*METRICS))
    return rows_of(source.blocks(Running())), told(source)


@given(series(), CUTS)
def test_how_the_time_is_cut_never_matters(held: list[Held], cuts: list[int]) -> None:
    source = source_over(MemoryServer(held, spans(cuts)), choice(*METRICS))
    rows = rows_of(source.blocks(Running()))
    assert (rows, told(source)) == at_once(held)


@given(series(), CUTS)
def test_going_on_in_another_process_never_matters(held: list[Held], cuts: list[int]) -> None:
    blocks: list[SampleBlock] = []
    position = None
    for span in spans(cuts):
        source = source_over(MemoryServer(held, [span]), choice(*METRICS))
        if position is not None:
            source.resume(json.loads(json.dumps(position, allow_nan=False)))
        blocks += source.blocks(Running())
        blocks += source.flush()
        position = source.position()
    assert (rows_of(blocks), told(source)) == at_once(held)


@given(series(), st.randoms(use_true_random=False))
def test_the_order_of_the_series_means_nothing(held: list[Held], random: Any) -> None:
    expected = at_once(held)
    random.shuffle(held)
    assert at_once(held) == expected


@given(series())
def test_the_account_adds_up(held: list[Held]) -> None:
    rows, (counters, _) = at_once(held)
    assert counters.read_total == counters.accepted_total + counters.dropped_total
    assert counters.read_total == sum(len(each.values) for each in held)
    assert counters.repaired_total <= counters.accepted_total
    times = [row["ts_ms"] for row in rows]
    assert times == sorted(set(times))
    assert all((t - T0_MS) % STEP_MS == 0 for t in times)
    for row in rows:
        numbers = {name: row[name] for name in METRIC_COLUMNS if name in row and name != "loss"}
        assert all(math.isfinite(number) for number in numbers.values())
        assert all(number >= 0 for name, number in numbers.items() if name != "gpu_temp_c")
        assert numbers.get("gpu_util_pct", 0) <= 100
    for example in counters.examples:
        assert example.text.isascii()
        assert example.text.isprintable()
        assert len(example.text) <= 120


@given(st.integers(0, 10**13), st.integers(1000, 3_600_000), st.integers(0, 40_000), st.integers(1, SERVER_POINTS))
def test_windows_hold_each_grid_point_once(start_ms: int, step_ms: int, count: int, most: int) -> None:
    start_ms = aligned_down(start_ms, step_ms)
    end_ms = start_ms + (count - 1) * step_ms
    next_ms = start_ms
    for window in cut(start_ms, end_ms, step_ms, most):
        assert window.start_ms == next_ms
        assert 1 <= window.points <= most
        next_ms = window.end_ms + step_ms
    assert next_ms == start_ms + count * step_ms


@given(st.integers(2, 20_000))
def test_halves_hold_each_grid_point_once(points: int) -> None:
    whole = Window(0, (points - 1) * STEP_MS, STEP_MS)
    first, second = whole.halves()
    assert (first.start_ms, second.end_ms) == (whole.start_ms, whole.end_ms)
    assert second.start_ms - first.end_ms == STEP_MS
    assert first.points + second.points == points
    assert abs(first.points - second.points) <= 1


NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(["NaN", "0", "1e9", "-1", "12.50", "1E+3"]),
)
PAIRS = st.lists(st.tuples(st.floats(0, 2e9), NUMBERS), max_size=8)


@given(st.lists(st.tuples(st.dictionaries(st.text(max_size=5), st.text(max_size=9), max_size=3), PAIRS), max_size=4))
def test_one_infinity_does_not_change_how_the_rest_is_read(found: list[Any]) -> None:
    def body(more: list[Any]) -> bytes:
        result = [{"metric": labels, "values": [list(pair) for pair in pairs]} for labels, pairs in [*found, *more]]
        return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}).encode()

    quick, slow = body([]), body([({"~~~~~~": "last"}, [(1, "+Inf")])])
    _AS_NUMBERS.decode(quick)
    expected = parse_answer(quick).series
    *others, _ = sorted(parse_answer(slow).series, key=lambda each: "~~~~~~" in each.labels)
    assert len(others) == len(expected)
    for one, other in zip(expected, others, strict=True):
        assert one.labels == other.labels
        assert one.shapeless == other.shapeless
        np.testing.assert_array_equal(one.times_ms, other.times_ms)
        np.testing.assert_array_equal(one.values, other.values)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(JSON, max_size=4), st.sampled_from(["values", "histograms", "metric"]))
def test_any_points_are_read_or_refused(points: list[Any], key: str) -> None:
    whole = {"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {}, key: points}]}}
    body = json.dumps(whole).encode()
    try:
        answer = parse_answer(body)
    except FailedError as error:
        refusal = str(error)
    else:
        (only,) = answer.series
        assert len(only.times_ms) == len(only.values)
        assert len(only.values) + only.shapeless == len(points)
        return
    assert refusal.isascii()
    assert refusal.isprintable()


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_answer_at_all_is_one_clear_line(body: bytes) -> None:
    is_success(body)
    said = error_of(body)
    assert said is None or said.isprintable()
    with pytest.raises(FailedError) as caught:
        parse_answer(body)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("depth", [100, 100_000])
def test_a_deep_answer_is_refused(depth: int) -> None:
    body = b'{"status":"success","data":' + b"[" * depth + b"]" * depth + b"}"
    with pytest.raises(FailedError):
        parse_answer(body)


@given(st.text(max_size=30))
def test_only_names_get_into_a_question(text: str) -> None:
    try:
        selector = PodSelector(choice(namespace="ml", workload=text))
    except BadInputError as error:
        refusal = str(error)
    else:
        refusal = ""
    if refusal:
        assert refusal.isascii()
        assert refusal.isprintable()
        return
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.")
    assert selector.matchers == f'namespace="ml",pod=~"{text.replace(".", chr(92) * 2 + ".")}(-[a-z0-9]+){{1,2}}"'


@given(st.text(max_size=30))
def test_a_quoted_text_is_one_string(text: str) -> None:
    inside = quoted(text)[1:-1]
    assert "\n" not in inside
    bare = inside.replace("\\\\", "").replace('\\"', "").replace("\\n", "")
    assert '"' not in bare
    assert "\\" not in bare


@given(st.lists(st.integers(0, 10**30), unique=True), st.sampled_from(["", "-x"]))
def test_pods_sort_by_their_number(numbers: list[int], behind: str) -> None:
    pods = [(f"trainer-{number}{behind}", "") for number in numbers]
    assert sorted(pods, key=natural_order) == [(f"trainer-{number}{behind}", "") for number in sorted(numbers)]
