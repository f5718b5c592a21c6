"""The newest values of a series: found by number, whatever pieces they came in."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.detect.streams import stream

from modekeeper.detect.history import History, Position
from modekeeper.model.block import SampleBlock


def block_of(start: int, stop: int) -> SampleBlock:
    return SampleBlock.from_samples(stream(step_time_ms=np.arange(float(stop)))[start:], start)


def filled(capacity: int, cuts: list[int], *, one_at_a_time: bool) -> History:
    history = History(capacity, beside=True)
    for start, stop in pairwise(cuts):
        block = block_of(start, stop)
        values = block.metrics["step_time_ms"]
        if not one_at_a_time:
            history.extend(values, block, slice(0, stop - start), -values)
            continue
        for row, value in enumerate(values.tolist()):
            history.append(value, start + row, int(block.step[row]), int(block.ts_ms[row]), -value)
    return history


@given(st.integers(1, 8), st.lists(st.integers(0, 60), min_size=1, max_size=8), st.booleans())
def test_the_newest_values_are_found_by_number(capacity: int, cuts: list[int], one_at_a_time: bool) -> None:
    edges = [0, *sorted(cuts)]
    count = edges[-1]
    history = filled(capacity, edges, one_at_a_time=one_at_a_time)
    first = max(count - capacity, 0)
    assert (history.count, history.first) == (count, first)
    assert history.values(first, count).tolist() == list(range(first, count))
    assert history.beside(first, count).tolist() == [-n for n in range(first, count)]
    assert [history.position(n).index for n in range(first, count)] == list(range(first, count))
    assert [Position.at(*place) for place in history.places(range(first, count, 2))] == [
        history.position(n) for n in range(first, count, 2)
    ]


@given(st.lists(st.integers(0, 60), min_size=1, max_size=8), st.integers(1, 8))
def test_a_restored_history_is_the_same_whatever_the_pieces_were(cuts: list[int], capacity: int) -> None:
    edges = [0, *sorted(cuts)]
    whole = filled(capacity, [0, edges[-1]], one_at_a_time=False)
    text = json.dumps(filled(capacity, edges, one_at_a_time=False).snapshot(), allow_nan=False)
    assert json.loads(text) == whole.snapshot()
    copy = History(capacity, beside=True)
    copy.restore(json.loads(text))
    first = max(edges[-1] - capacity, 0)
    assert copy.values(first, edges[-1]).tolist() == whole.values(first, edges[-1]).tolist()
    assert copy.snapshot() == whole.snapshot()


def test_a_value_can_be_judged_after_later_ones_of_its_piece_have_come() -> None:
    history = History(20)
    for start, stop in pairwise([0, 30, 130, 140]):
        block = block_of(start, stop)
        history.extend(block.metrics["step_time_ms"], block, slice(0, stop - start))
        for number in range(start, stop):
            assert history.values(max(number - 20, 0), number).tolist() == list(range(max(number - 20, 0), number))


def test_windows_are_the_values_before_each_stop() -> None:
    history = filled(50, [0, 80], one_at_a_time=False)
    assert history.windows([40, 50, 60], 4).tolist() == [[36, 37, 38, 39], [46, 47, 48, 49], [56, 57, 58, 59]]
    assert history.windows([80], 3).tolist() == [[77, 78, 79]]
    with pytest.raises(IndexError):
        history.windows([2], 3)


def test_an_unnamed_step_is_none_and_what_is_no_number_stays_out_of_json() -> None:
    history = History(3, beside=True)
    history.append(1.0, 7, -1, 9000, float("inf"))
    assert history.position(0) == Position(7, None, 9000)
    assert history.snapshot()["values"] == [[1.0], [None]]
