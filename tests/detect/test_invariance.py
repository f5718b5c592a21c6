"""Signals depend on the samples alone: not on block cuts, snapshots, or the padding of worker columns."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.detect.streams import feed, read_trace

from modekeeper.detect.panel import Panel
from modekeeper.model.block import SampleBlock
from modekeeper.model.sample import Sample
from modekeeper.model.signal import Signal

LENGTH = 420


@st.composite
def eventful(draw: st.DrawFn) -> list[Sample]:
    """A stream in which every detector may find something: changes, spikes, stragglers, gaps, odd numbers."""
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    times = 100.0 * (1.0 + draw(st.sampled_from([0.0, 0.005, 0.05])) * rng.standard_normal(LENGTH))
    change = draw(st.integers(100, 300))
    back = change + draw(st.integers(20, 150))
    times[change:back] *= 1.0 + draw(st.sampled_from([-0.4, -0.03, 0.0, 0.03, 0.4]))
    times[rng.integers(0, LENGTH, draw(st.integers(0, 8)))] *= draw(st.sampled_from([3.0, 40.0]))
    times[rng.integers(0, LENGTH, draw(st.integers(0, 20)))] = np.nan
    if draw(st.booleans()):
        times = np.round(times)
    odd = draw(st.sampled_from([0.0, -5.0, 1e300, np.nan]))
    times[rng.integers(0, LENGTH, draw(st.integers(0, 3)))] = odd
    loss = 5.0 / np.sqrt(np.arange(1, LENGTH + 1)) + 0.02 * rng.standard_normal(LENGTH)
    loss[change:back] += draw(st.sampled_from([0.0, 1.0, np.inf]))
    loss[rng.integers(0, LENGTH, draw(st.integers(0, 12)))] = np.inf
    util = np.full(LENGTH, draw(st.sampled_from([np.nan, 20.0, 80.0, 99.0])))
    util[change:back] = draw(st.sampled_from([np.nan, 20.0, 80.0, 99.0]))
    slow = draw(st.integers(0, 3))
    rows = _crew(draw, rng, change, back, slow)
    groups = draw(st.sampled_from([None, ("a", "b"), ("a",) * 5, ("a", "a", "a", "b", "b", "b", "b", "b")]))
    return [
        Sample(
            ts_ms=1000 * i,
            step=None if i % 50 == 7 else i,
            step_time_ms=time,
            throughput=None if time is None or time == 0 else 1e5 / time,
            loss=float(loss[i]),
            data_wait_ms=None if i % 9 == 0 else (40.0 if change <= i < back else 5.0),
            gpu_util_pct=None if np.isnan(util[i]) else float(util[i]),
            gpu_power_w=None if i % 11 == 0 else 600.0 + i,
            batch_size=float(64 if i < change else 128) if slow == 2 else None,
            worker_latencies_ms=rows[i] or None,
            worker_groups=None if i % 60 == 59 else groups,
            node=f"node-{i // 200}",
            gpu_model="A" if i != 333 else None,
            phase="eval" if i % 100 == 99 else "train",
        )
        for i, time in enumerate(None if np.isnan(t) else float(t) for t in times)
    ]


def _crew(draw: st.DrawFn, rng: np.random.Generator, change: int, back: int, slow: int) -> list[tuple[float, ...]]:
    """Worker times with slow workers, silent ranks (the last one among them), and another number of workers later."""
    workers = draw(st.sampled_from([0, 2, 5, 8]))
    latencies = 50.0 * (1.0 + draw(st.sampled_from([0.0, 0.01, 0.1])) * rng.standard_normal((LENGTH, workers)))
    latencies[change:back, :slow] *= draw(st.sampled_from([1.08, 1.5]))
    latencies[rng.random(latencies.shape) < draw(st.sampled_from([0.0, 0.02, 0.2]))] = np.nan
    later = draw(st.sampled_from([max(workers - 1, 0), workers, 2]))
    return [tuple(row[: workers if i < back else later]) for i, row in enumerate(latencies.tolist())]


def _whole(samples: Sequence[Sample]) -> tuple[list[Signal], list[Signal], dict[str, Any]]:
    panel = Panel()
    signals = feed(panel, samples)
    return signals, panel.conclude(), panel.snapshot()


@settings(max_examples=25, deadline=None)
@given(eventful(), st.lists(st.integers(1, LENGTH - 1), max_size=8))
def test_block_cuts_change_nothing(samples: list[Sample], cuts: list[int]) -> None:
    panel = Panel()
    signals = feed(panel, samples, cuts=cuts)
    assert (signals, panel.conclude(), panel.snapshot()) == _whole(samples)


@settings(max_examples=8, deadline=None)
@given(eventful())
def test_one_sample_at_a_time_is_the_same(samples: list[Sample]) -> None:
    panel = Panel()
    signals = feed(panel, samples, cuts=range(1, LENGTH))
    assert (signals, panel.conclude(), panel.snapshot()) == _whole(samples)


@settings(max_examples=25, deadline=None)
@given(eventful(), st.lists(st.integers(1, LENGTH - 1), min_size=1, max_size=4, unique=True))
def test_snapshot_as_json_text_and_restore_change_nothing(samples: list[Sample], cuts: list[int]) -> None:
    panel, signals = Panel(), list[Signal]()
    edges = [0, *sorted(cuts), LENGTH]
    for start, stop in pairwise(edges):
        signals += feed(panel, samples[start:stop], first=start)
        text = json.dumps(panel.snapshot(), allow_nan=False)
        panel = Panel()
        panel.restore(json.loads(text))
    whole, conclusion, snapshot = _whole(samples)
    assert (signals, panel.conclude()) == (whole, conclusion)
    assert json.loads(json.dumps(panel.snapshot())) == json.loads(json.dumps(snapshot))


@pytest.mark.parametrize("name", ["nanogpt_step", "mlperf_gnn_wall", "straggler_bytedance"])
def test_real_traces_do_not_depend_on_cuts(name: str) -> None:
    samples = read_trace(name)
    panel = Panel()
    signals = feed(panel, samples, cuts=range(1, len(samples), 7))
    assert (signals, panel.conclude(), panel.snapshot()) == _whole(samples)


def test_conclude_changes_nothing() -> None:
    samples = read_trace("nanogpt_flat")
    asked, plain = Panel(), Panel()
    early = feed(asked, samples[:400])
    assert asked.conclude() == asked.conclude()
    assert early + feed(asked, samples[400:], first=400) == feed(plain, samples)


def test_an_empty_block_says_nothing() -> None:
    panel = Panel()
    assert panel.update(SampleBlock.from_samples([], 0)) == []
    assert panel.environment().nodes_seen == ()


def test_memory_is_bounded_by_the_windows() -> None:
    samples = read_trace("mlperf_gnn_wall")
    panel = Panel()
    sizes = []
    for turn in range(4):
        feed(panel, samples, first=turn * len(samples))
        sizes.append(len(json.dumps(panel.snapshot())))
    assert max(sizes[1:]) < 1.5 * min(sizes[1:])
