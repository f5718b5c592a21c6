"""Records of single ranks become one sample a step, however they are interleaved."""

import math
from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.telemetry.feeding import T0_MS

from modekeeper.model.ingest import DropReason
from modekeeper.model.sample import Sample
from modekeeper.telemetry.aggregates import AGGREGATES
from modekeeper.telemetry.arrivals import Arrival
from modekeeper.telemetry.rank_merge import MergeLimits, MergerState, RankMerger


def said(step: int | None, rank: int, *, second: float | None = None, ms: float | None = None, **more: Any) -> Arrival:
    at = step or 0 if second is None else second
    time_ms = 100.0 + rank if ms is None else ms
    sample = Sample(
        ts_ms=T0_MS + round(at * 1000), step=step, step_time_ms=time_ms, worker_latencies_ms=(time_ms,), **more
    )
    return Arrival(sample, str(rank), f"pod-{rank}", step or 0, b"")


def merged(
    records: Sequence[tuple[int, Arrival]], *, limits: MergeLimits | None = None, expect: int = 0
) -> tuple[list[Sample], list[tuple[Arrival, DropReason]], RankMerger]:
    merger = RankMerger(limits)
    for rank in range(expect):
        merger.expect(f"pod-{rank}")
    fates = []
    for rank, arrival in records:
        merger.push(arrival, rank, f"pod-{rank}")
        fates += merger.take()
    merger.flush()
    fates += merger.take()
    given_out = [arrival.sample for arrival, reason in fates if reason is None]
    assert sum(arrival.records for arrival, _ in fates) == len(records)
    return given_out, [(arrival, reason) for arrival, reason in fates if reason is not None], merger


def steps(samples: Sequence[Sample]) -> list[int | None]:
    return [sample.step for sample in samples]


def test_every_field_of_a_sample_has_an_aggregate() -> None:
    assert set(AGGREGATES) == set(Sample.__struct_fields__)


@given(order=st.permutations([rank for rank in range(4) for _ in range(12)]), silent=st.sets(st.integers(0, 47)))
@settings(max_examples=150, deadline=None)
def test_the_order_in_which_ranks_are_read_makes_no_difference(order: list[int], silent: set[int]) -> None:
    limits = MergeLimits(window_s=1e6)
    queues = [[said(s, rank) for s in range(12) if rank * 12 + s not in silent] for rank in range(4)]
    in_turn = [(rank, queues[rank][s]) for s in range(12) for rank in range(4) if s < len(queues[rank])]
    positions = [0] * 4
    shuffled = []
    for rank in order:
        if positions[rank] < len(queues[rank]):
            shuffled.append((rank, queues[rank][positions[rank]]))
            positions[rank] += 1
    expected, dropped, _ = merged(sorted(in_turn, key=lambda each: each[1].sample.step or 0), limits=limits, expect=4)
    assert dropped == []
    assert merged(shuffled, limits=limits, expect=4)[:2] == (expected, []) or nan_equal(
        merged(shuffled, limits=limits, expect=4)[0], expected
    )
    assert steps(expected) == sorted({s for rank in range(4) for s in range(12) if rank * 12 + s not in silent})


def nan_equal(some: Sequence[Sample], others: Sequence[Sample]) -> bool:
    return msgspec.msgpack.encode(some) == msgspec.msgpack.encode(others)


@given(cut=st.integers(0, 59))
@settings(max_examples=40, deadline=None)
def test_a_merger_goes_on_elsewhere(cut: int) -> None:
    records = [(rank, said(s, rank)) for s in range(20) for rank in range(3)]
    expected, _, _ = merged(records, expect=3)
    merger, fates = RankMerger(), []
    for rank in range(3):
        merger.expect(f"pod-{rank}")
    for number, (rank, arrival) in enumerate(records):
        if number == cut:
            state = msgspec.msgpack.decode(msgspec.msgpack.encode(merger.state()), type=MergerState)
            merger = RankMerger()
            merger.restore(state)
        merger.push(arrival, rank, f"pod-{rank}")
        fates += merger.take()
    merger.flush()
    assert [arrival.sample for arrival, _ in [*fates, *merger.take()]] == expected


def test_a_rank_that_falls_silent_is_waited_for_within_a_window_only() -> None:
    records = [(rank, said(s, rank)) for s in range(200) for rank in range(3) if rank != 1 or s < 10]
    samples, dropped, merger = merged(records, expect=3)
    assert steps(samples) == list(range(200))
    assert dropped == []
    assert merger.incomplete == 190
    workers = samples[100].worker_latencies_ms
    assert workers is not None
    assert [None if math.isnan(w) else w for w in workers] == [100.0, None, 102.0]


def test_what_comes_after_its_step_was_given_is_late_and_counted() -> None:
    records = [(0, said(s, 0)) for s in range(100)]
    records += [(1, said(s, 1)) for s in range(5)]
    records += [(0, said(s, 0)) for s in range(100, 200)]
    samples, dropped, _ = merged(records, limits=MergeLimits(window_steps=20, window_records=40))
    assert steps(samples) == list(range(200))
    assert {reason for _, reason in dropped} == {DropReason.OUT_OF_ORDER}
    assert len(dropped) == 5


def test_a_whole_job_that_goes_back_gives_its_steps_again() -> None:
    records = [(rank, said(s, rank)) for s in range(50) for rank in range(3)]
    records += [(rank, said(s, rank, second=100 + s, ms=50.0)) for s in range(40, 60) for rank in (2, 0, 1)]
    samples, dropped, merger = merged(records, expect=3)
    assert steps(samples) == [*range(50), *range(40, 60)]
    assert dropped == []
    assert all(len(sample.worker_latencies_ms or ()) == 3 for sample in samples)
    assert samples[50].worker_latencies_ms == (50.0,) * 3
    assert merger.notes == ["the job went back from step 49 to step 40: its steps are given again"]


def test_one_rank_that_goes_back_alone_repeats_what_was_given() -> None:
    records = [(rank, said(s, rank)) for s in range(50) for rank in range(3)]
    records += [(1, said(s, 1, ms=1.0)) for s in range(40, 47)]
    for s in range(50, 120):
        records += [(0, said(s, 0)), (2, said(s, 2))]
        if s >= 53:
            records.append((1, said(s, 1)))
    samples, dropped, merger = merged(records, expect=3)
    assert steps(samples) == list(range(120))
    assert {reason for _, reason in dropped} == {DropReason.DUPLICATE}
    assert len(dropped) == 7
    assert any("repeated steps while the others went on" in note for note in merger.notes)


def test_two_lines_of_one_step_complete_each_other() -> None:
    first = Arrival(Sample(ts_ms=T0_MS, step=1, loss=2.0), None, "pod", 1, b"")
    second = said(1, 0, throughput=10.0)
    samples, dropped, _ = merged([(0, first), (0, second), (0, second), (0, said(2, 0))])
    assert samples[0].loss == 2.0
    assert samples[0].throughput == 10.0
    assert samples[0].worker_latencies_ms == (100.0,)
    assert [reason for _, reason in dropped] == [DropReason.DUPLICATE]


def test_an_evaluation_is_a_sample_beside_the_step() -> None:
    records = [(0, said(1, 0, phase="train")), (0, said(1, 0, phase="eval", ms=900.0)), (0, said(2, 0))]
    samples, dropped, _ = merged(records)
    assert [(sample.step, sample.phase) for sample in samples] == [(1, "train"), (1, "eval"), (2, None)]
    assert dropped == []


def test_a_share_of_the_throughput_is_summed_and_that_of_the_job_is_not() -> None:
    shares = [(rank, said(s, rank, throughput=10.0 + rank)) for s in range(9) for rank in range(3)]
    assert {sample.throughput for sample in merged(shares, expect=3)[0]} == {33.0}
    equal = [(rank, said(s, rank, throughput=90.0)) for s in range(9) for rank in range(3)]
    samples, _, merger = merged(equal, expect=3)
    assert {sample.throughput for sample in samples} == {90.0}
    assert any("throughput" in note for note in merger.notes)


def test_a_sum_that_lacks_a_rank_is_not_given() -> None:
    shares = [
        (rank, said(s, rank, throughput=10.0 + rank)) for s in range(9) for rank in range(3) if (s, rank) != (5, 1)
    ]
    assert [sample.throughput for sample in merged(shares, expect=3)[0]] == [33.0] * 5 + [None] + [33.0] * 3


def test_what_ranks_do_not_agree_on_is_left_out_and_said() -> None:
    records = [
        (rank, said(s, rank, knobs={"concurrency": float(rank), "microbatch_size": 8.0}, batch_size=float(rank)))
        for s in range(3)
        for rank in range(2)
    ]
    samples, _, merger = merged(records, expect=2)
    assert all(sample.knobs == {"microbatch_size": 8.0} and sample.batch_size is None for sample in samples)
    assert any("knob concurrency" in note for note in merger.notes)


def test_a_diverged_rank_makes_the_loss_diverged() -> None:
    records = [(rank, said(1, rank, loss=math.inf if rank == 1 else 2.0)) for rank in range(3)]
    assert merged(records, expect=3)[0][0].loss == math.inf


def test_groups_are_given_once_all_are_known() -> None:
    records = [(rank, said(s, rank, worker_groups=(f"stage-{rank // 2}",))) for s in range(3) for rank in range(4)]
    samples, _, _ = merged(records, expect=4)
    assert samples[-1].worker_groups == ("stage-0", "stage-0", "stage-1", "stage-1")


def test_a_pod_that_takes_the_place_of_another_is_the_rank_from_then_on() -> None:
    merger = RankMerger()
    for s in range(20):
        merger.push(said(s, 0), 0, "old")
    for s in range(15, 40):
        merger.push(said(s, 0, second=100 + s, ms=50.0), 0, "new")
        if s < 18:
            # It has some time left to end.
            merger.push(said(s + 5, 0, second=100 + s), 0, "old")
        if s == 18:
            merger.forget("old")
    merger.flush()
    fates = merger.take()
    given_out = [arrival.sample for arrival, reason in fates if reason is None]
    assert steps(given_out) == [*range(20), *range(15, 40)]
    assert [reason for _, reason in fates if reason is not None] == [DropReason.OUT_OF_ORDER] * 3
    assert len([note for note in merger.notes if "went back" in note]) == 1
    assert any("several pods report as rank 0" in note for note in merger.notes)


@given(lags=st.lists(st.integers(0, 6), min_size=2, max_size=4), data=st.data())
@settings(max_examples=100, deadline=None)
def test_after_everything_was_given_ranks_that_lagged_go_on(lags: list[int], data: st.DataObject) -> None:
    """A watch with a last iteration gives all that waits; the next process finds each rank at its own step."""
    merger = RankMerger()
    for rank in range(len(lags)):
        merger.expect(f"pod-{rank}")
    for rank, lag in enumerate(lags):
        for step in range(12 - lag):
            merger.push(said(step, rank), rank, f"pod-{rank}")
    merger.flush()
    merger.take()
    restored = RankMerger()
    restored.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(merger.state()), type=MergerState))
    nexts = [12 - lag for lag in lags]
    while min(nexts) < 20:
        rank = data.draw(st.sampled_from([rank for rank in range(len(lags)) if nexts[rank] < 20]))
        restored.push(said(nexts[rank], rank), rank, f"pod-{rank}")
        nexts[rank] += 1
    restored.flush()
    given_again = [arrival.sample.step for arrival, reason in restored.take() if reason is None]
    assert given_again == list(range(12 - min(lags), 20))
