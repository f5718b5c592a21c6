"""Iterations begin at whole multiples of the interval, whatever they take."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.watch.sessions import ActingClock, Going, read_json, run_session

from modekeeper.loop.schedule import next_slot

INTERVALS = st.floats(0.01, 86_400)


@given(interval_s=INTERVALS, takes=st.lists(st.floats(0, 500_000), min_size=1, max_size=60))
def test_beginnings_never_drift_and_every_slot_is_used_or_counted(interval_s: float, takes: list[float]) -> None:
    now_s, slot, skipped = 0.0, 0, 0
    for done, took_s in enumerate(takes, 1):
        now_s += took_s
        coming = next_slot(slot, interval_s, now_s)
        assert coming.number > slot
        assert 0 <= coming.wait_s <= interval_s * (1 + 1e-6)
        slot, skipped = coming.number, skipped + coming.skipped
        now_s += coming.wait_s
        assert now_s == pytest.approx(slot * interval_s, rel=1e-9)
        assert slot == done + skipped


@given(interval_s=INTERVALS, last=st.integers(0, 10_000), share=st.floats(0, 0.999))
def test_an_iteration_shorter_than_the_interval_skips_nothing(interval_s: float, last: int, share: float) -> None:
    coming = next_slot(last, interval_s, (last + share) * interval_s)
    assert (coming.number, coming.skipped) == (last + 1, 0)


@given(interval_s=INTERVALS, last=st.integers(0, 10_000), more=st.integers(1, 1000), share=st.floats(0.001, 0.999))
def test_the_slots_an_iteration_covers_are_skipped(interval_s: float, last: int, more: int, share: float) -> None:
    coming = next_slot(last, interval_s, (last + more + share) * interval_s)
    assert (coming.number, coming.skipped) == (last + more + 1, more)


def test_without_an_interval_iterations_follow_each_other() -> None:
    coming = next_slot(4, 0.0, 100.0)
    assert (coming.number, coming.wait_s, coming.skipped) == (5, 0.0, 0)


def slow_every_third(clock: ActingClock) -> Callable[[object], None]:
    """Every third iteration takes two intervals and a half of 30 s."""
    done = 0

    def after(_roll_up: object) -> None:
        nonlocal done
        done += 1
        if done % 3 == 0:
            clock.sleep(75.0, Going())

    return after


def test_a_session_counts_the_intervals_it_skipped(tmp_path: Path) -> None:
    telemetry = tmp_path / "run.jsonl"
    telemetry.write_text("")
    clock = ActingClock()
    began_s: list[float] = []

    def after(roll_up: object) -> None:
        began_s.append(clock.monotonic_s())
        slow(roll_up)

    slow = slow_every_third(clock)
    run_session(tmp_path / "out", telemetry, clock=clock, iterations=9, after_iteration=after)
    assert began_s == [0.0, 30.0, 60.0, 150.0, 180.0, 210.0, 300.0, 330.0, 360.0]
    assert read_json(tmp_path / "out" / "watch_latest.json")["intervals_skipped"] == 4
