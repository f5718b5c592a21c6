"""The state machine: which way it goes, and that it does not flap."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modekeeper.model.mode import Mode
from modekeeper.model.signal import Direction, Phase, Signal, SignalKind
from modekeeper.modes.machine import Instant, ModeState, due_index, step
from modekeeper.modes.table import CROWD_WINDOW_SAMPLES, EDGES, Guard


def at(index: int) -> Instant:
    return Instant(index=index, step=index, ts_ms=index * 1000)


def signal(
    kind: SignalKind,
    phase: Phase,
    index: int,
    *,
    key: str = "a",
    direction: Direction = Direction.WORSE,
    cause: str | None = None,
) -> Signal:
    return Signal(
        id=f"{kind}:{key}",
        kind=kind,
        phase=phase,
        metric="step_time_ms",
        direction=direction,
        at_index=index,
        at_step=index,
        at_ts_ms=index * 1000,
        since_index=index,
        since_step=index,
        since_ts_ms=index * 1000,
        cause=cause,
    )


def drift(phase: Phase, index: int) -> Signal:
    return signal(SignalKind.DRIFT, phase, index)


def straggler(phase: Phase, index: int) -> Signal:
    return signal(SignalKind.STRAGGLER, phase, index)


def burst(index: int, cause: str | None = None) -> Signal:
    return signal(SignalKind.BURST, Phase.CONFIRMED, index, key=str(index), cause=cause)


def modes_along(events: list[Signal], until: int, state: ModeState | None = None) -> list[tuple[int, Mode]]:
    """Every mode entered, with the sample it was entered at, stepping at signals and at due times."""
    state = state or ModeState()
    entered: list[tuple[int, Mode]] = []
    pending = sorted(events, key=lambda s: s.at_index)
    index = -1
    while True:
        due = due_index(state)
        upcoming = [s.at_index for s in pending[:1]]
        index = min([*upcoming, *([max(due, index + 1)] if due is not None else []), until])
        if index >= until:
            return entered
        said = [s for s in pending if s.at_index == index]
        pending = pending[len(said) :]
        state, transition = step(state, said, at(index))
        if transition.changed:
            entered.append((index, state.mode))


def test_a_drift_comes_and_goes() -> None:
    events = [drift(Phase.CONFIRMED, 100), drift(Phase.CLEARED, 300)]
    assert modes_along(events, 1000) == [(100, Mode.DRIFT), (320, Mode.RECOVER), (380, Mode.NORMAL)]


def test_one_burst_changes_nothing_and_a_crowd_does() -> None:
    assert modes_along([burst(100), burst(190)], 1000) == []
    crowd = [burst(100), burst(150), burst(190)]
    assert modes_along(crowd, 1000) == [(190, Mode.BURST), (291, Mode.RECOVER), (351, Mode.NORMAL)]


@pytest.mark.parametrize("cause", ["periodic_pause", "announced_pause"])
def test_pauses_the_job_takes_itself_are_no_episode(cause: str) -> None:
    assert modes_along([burst(index, cause) for index in range(100, 400, 20)], 1000) == []


def test_bursts_far_apart_are_no_crowd() -> None:
    events = [burst(index) for index in range(0, 2000, CROWD_WINDOW_SAMPLES // 2 + 1)]
    assert modes_along(events, 2200) == []


def test_a_suspected_or_better_change_changes_no_mode() -> None:
    better = signal(SignalKind.DRIFT, Phase.CONFIRMED, 120, direction=Direction.BETTER)
    assert modes_along([drift(Phase.SUSPECTED, 100), better], 1000) == []


def test_data_starvation_is_a_slow_down() -> None:
    starved = signal(SignalKind.DATA_STARVATION, Phase.CONFIRMED, 100)
    assert modes_along([starved], 200) == [(100, Mode.DRIFT)]


def test_a_stage_imbalance_is_nobodys_straggler() -> None:
    imbalance = signal(SignalKind.STRAGGLER, Phase.CONFIRMED, 100, cause="possible_stage_imbalance")
    assert modes_along([imbalance], 200) == []


def test_a_straggler_takes_precedence_and_hands_back() -> None:
    events = [
        drift(Phase.CONFIRMED, 100),
        straggler(Phase.CONFIRMED, 110),
        straggler(Phase.CLEARED, 200),
        drift(Phase.CLEARED, 300),
    ]
    assert modes_along(events, 1000) == [
        (100, Mode.DRIFT),
        (110, Mode.STRAGGLER),
        (220, Mode.DRIFT),
        (320, Mode.RECOVER),
        (380, Mode.NORMAL),
    ]


def test_a_relapse_is_taken_at_once() -> None:
    events = [drift(Phase.CONFIRMED, 100), drift(Phase.CLEARED, 200), drift(Phase.CONFIRMED, 240)]
    assert modes_along(events, 260) == [(100, Mode.DRIFT), (220, Mode.RECOVER), (240, Mode.DRIFT)]


def test_an_episode_declared_over_is_not_counted_again() -> None:
    crowd = [burst(100), burst(150), burst(190)]
    lone = [burst(330)]
    entered = modes_along([*crowd, *lone], 1000)
    assert entered == [(190, Mode.BURST), (291, Mode.RECOVER), (391, Mode.NORMAL)]


signals = st.builds(
    signal,
    kind=st.sampled_from([SignalKind.DRIFT, SignalKind.STRAGGLER, SignalKind.BURST, SignalKind.GPU_SATURATED]),
    phase=st.sampled_from(list(Phase)),
    index=st.integers(0, 3000),
    key=st.sampled_from(["a", "b"]),
    direction=st.sampled_from(list(Direction)),
)


@given(st.lists(signals, max_size=60))
def test_relief_is_never_believed_early_and_moves_are_edges_of_the_table(events: list[Signal]) -> None:
    entered = [(0, Mode.NORMAL), *modes_along(events, 4000)]
    edges = {(edge.from_mode, edge.to_mode): edge for edge in EDGES}
    for (since, before), (when, after) in pairwise(entered):
        edge = edges[before, after]
        assert when - since >= edge.dwell_samples


@given(st.lists(signals, max_size=60))
def test_every_trouble_that_ends_is_left_behind(events: list[Signal]) -> None:
    cleared = [msgspec.structs.replace(s, phase=Phase.CLEARED, at_index=3000) for s in events]
    entered = modes_along([*events, *cleared], 6000)
    assert not entered or entered[-1][1] is Mode.NORMAL


@given(st.lists(signals, max_size=40), st.integers(0, 3000))
def test_what_the_machine_remembers_survives_being_written_down(events: list[Signal], cut: int) -> None:
    state = ModeState()
    for index in sorted({s.at_index for s in events if s.at_index < cut}):
        state, _ = step(state, [s for s in events if s.at_index == index], at(index))
    again = msgspec.json.decode(msgspec.json.encode(state), type=ModeState)
    assert again == state
    assert modes_along([s for s in events if s.at_index >= cut], 4000, again) == modes_along(
        [s for s in events if s.at_index >= cut], 4000, state
    )


def test_the_table_has_no_dead_end_and_no_double_edge() -> None:
    pairs = [(edge.from_mode, edge.to_mode) for edge in EDGES]
    assert len(pairs) == len(set(pairs))
    assert {edge.from_mode for edge in EDGES} == set(Mode)
    assert {edge.to_mode for edge in EDGES} == set(Mode)
    assert {edge.guard for edge in EDGES} == set(Guard)
