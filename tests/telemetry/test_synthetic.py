"""The seeded scenarios."""

from typing import Any

import numpy as np
import pytest
from tests.telemetry.feeding import Running, drain, rows_of

from modekeeper.model.block import SampleBlock
from modekeeper.model.errors import BadInputError
from modekeeper.telemetry.synthetic import (
    DEFAULT_START_TS_MS,
    SLOW_WORKER,
    SyntheticSource,
    find_scenario,
    scenario_names,
)


def whole(name: str, **options: Any) -> SampleBlock:
    blocks = list(SyntheticSource(name, **options).blocks(Running()))
    assert len(blocks) == 1
    return blocks[0]


def median(block: SampleBlock, metric: str, start: int, stop: int) -> float:
    return float(np.median(block.metrics[metric][start:stop]))


def test_the_scenarios_there_are() -> None:
    assert scenario_names() == (
        "stable", "drift", "burst", "straggler", "gpu_saturated", "mixed_environment", "incident_and_recovery",
    )  # fmt: skip


@pytest.mark.parametrize("name", scenario_names())
def test_a_scenario_is_one_sample_a_second_and_all_accepted(name: str) -> None:
    source = SyntheticSource(name, seed=3)
    rows = drain(source)
    assert len(rows) == find_scenario(name).samples
    assert [row["step"] for row in rows] == list(range(len(rows)))
    assert [row["ts_ms"] for row in rows] == [DEFAULT_START_TS_MS + 1000 * i for i in range(len(rows))]
    assert all(len(row["workers"]) == len(row["worker_groups"]) == 8 for row in rows)
    assert rows[0]["knobs"] == {
        "dataloader_prefetch_factor": 2.0, "concurrency": 4.0, "microbatch_size": 8.0, "grad_accum_steps": 4.0,
        "timeout_ms": 30_000.0,
    }  # fmt: skip
    assert source.counters().dropped_total == 0


@pytest.mark.parametrize("name", scenario_names())
def test_a_seed_names_the_samples_and_another_seed_others(name: str) -> None:
    first = drain(SyntheticSource(name, seed=3))
    assert drain(SyntheticSource(name, seed=3)) == first
    assert drain(SyntheticSource(name, seed=4)) != first


def test_a_duration_cuts_or_lets_the_last_segment_go_on() -> None:
    full = drain(SyntheticSource("drift", seed=1))
    assert drain(SyntheticSource("drift", seed=1, duration_s=50)) == full[:50]
    longer = drain(SyntheticSource("drift", seed=1, duration_s=9000))
    assert len(longer) == 9000
    assert longer[: len(full)] == full
    assert np.median([row["data_wait_ms"] for row in longer[-100:]]) > 300
    assert drain(SyntheticSource("drift", duration_s=0)) == []


def test_what_was_read_before_does_not_change_what_comes() -> None:
    expected = drain(SyntheticSource("stable", seed=9, duration_s=10_000))
    stop = Running()
    source = SyntheticSource("stable", seed=9, duration_s=10_000)
    first = next(source.blocks(stop))
    position = source.position()
    again = SyntheticSource("stable", seed=9, duration_s=10_000)
    again.resume(position)
    assert rows_of([first, *again.blocks(stop)]) == expected
    middle = SyntheticSource("stable", seed=9, duration_s=10_000)
    middle.resume(position | {"given": 5000})
    assert next(middle.blocks(stop)).first_index == 5000


def test_noise_does_not_repeat_itself_from_block_to_block() -> None:
    blocks = list(SyntheticSource("stable", duration_s=8192).blocks(Running()))
    first, second = (block.metrics["step_time_ms"] for block in blocks)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.1


def test_a_stop_is_heeded() -> None:
    stop = Running()
    stop.stopped = True
    assert list(SyntheticSource("stable").blocks(stop)) == []


def test_stable_is_stable() -> None:
    steps = whole("stable", seed=5).metrics["step_time_ms"]
    assert np.std(steps) / np.mean(steps) < 0.02
    assert abs(np.median(steps[:300]) / np.median(steps[-300:]) - 1) < 0.01


def test_drift_is_explained_by_the_wait_for_input() -> None:
    block = whole("drift", seed=5)
    slower = median(block, "step_time_ms", 400, 900) - median(block, "step_time_ms", 0, 300)
    waited = median(block, "data_wait_ms", 400, 900) - median(block, "data_wait_ms", 0, 300)
    assert slower > 250
    assert 0.9 < waited / slower < 1.1


def test_bursts_are_irregular_and_not_every_step() -> None:
    block = whole("burst", seed=5)
    slow = np.flatnonzero(block.metrics["step_time_ms"] > 1500)
    assert len(slow) == 14
    assert 300 <= slow.min() <= slow.max() < 420
    assert len(set(np.diff(slow))) > 3
    assert np.diff(slow).min() >= 2


def test_a_straggler_is_one_worker_of_a_stage() -> None:
    block = whole("straggler", seed=5)
    ratio = np.median(block.workers[320:], axis=0) / np.median(block.workers[:300], axis=0)
    assert np.argmax(ratio) == SLOW_WORKER
    assert ratio[SLOW_WORKER] > 1.8
    assert np.delete(ratio, SLOW_WORKER).max() < 1.02
    groups = block.worker_groups[0]
    assert groups is not None
    assert sorted(set(groups)) == ["stage-0", "stage-1"]
    assert groups.count("stage-1") == 4


def test_saturated_gpus_are_at_their_limits() -> None:
    block = whole("gpu_saturated", seed=5)
    assert median(block, "gpu_util_pct", 300, 700) > 98
    assert median(block, "gpu_mem_used_mb", 300, 700) / median(block, "gpu_mem_total_mb", 300, 700) > 0.95
    assert median(block, "gpu_util_pct", 0, 200) < 95


def test_a_mixed_environment_has_two_machines_and_two_gpu_models() -> None:
    block = whole("mixed_environment")
    assert len(set(block.node)) == len(set(block.gpu_model)) == 2


def test_an_incident_begins_and_ends_where_its_segments_say() -> None:
    block = whole("incident_and_recovery", seed=2)
    steps = block.metrics["step_time_ms"]
    calm = np.median(steps[:300])
    assert np.median(steps[400:550]) / calm > 1.3
    assert np.count_nonzero(steps[850:950] > 1.7 * calm) == 12
    assert np.median(steps[1250:1450]) / calm > 1.5
    for start, stop in ((560, 850), (960, 1250), (1460, 1750)):
        assert abs(np.median(steps[start:stop]) / calm - 1) < 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scenario": "drfit"}, "no such scenario: 'drfit'. Did you mean 'drift'?"),
        ({"scenario": "\x1b[2J"}, r"no such scenario: '\\x1b\[2J'. Choose from: stable, "),
        ({"scenario": "drift", "seed": -1}, "the seed cannot be negative"),
        ({"scenario": "drift", "duration_s": -1}, "the duration cannot be negative"),
    ],
)
def test_what_there_is_not_is_bad_input(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        SyntheticSource(**options)


@pytest.mark.parametrize("change", [{"seed": 2}, {"scenario": "burst"}, {"given": -1}, {"given": True}, {"more": 1}])
def test_a_position_of_another_scenario_is_bad_input(change: dict[str, object]) -> None:
    source = SyntheticSource("drift", seed=1)
    with pytest.raises(BadInputError, match="cannot go on from the saved position"):
        source.resume(source.position() | change)
