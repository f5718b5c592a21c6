"""Reading once: every line of every pod exactly once, whatever happens to the connections."""

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.telemetry.pods.disturbed import DisturbedCluster
from tests.telemetry.pods.workloads import (
    NODES,
    column,
    deployment,
    drained,
    pod,
    record,
    source_of,
    write,
)

from modekeeper.cluster.memory import MemoryCluster
from modekeeper.model.cluster import ClusterUnreachableError
from modekeeper.model.errors import BadInputError, FailedError
from modekeeper.telemetry.pods.followers import FollowLimits
from modekeeper.telemetry.pods.replay import open_recording
from modekeeper.telemetry.pods.selection import NAMESPACES
from modekeeper.telemetry.recorder import RawRecorder

QUICK = FollowLimits(first_retry_s=0.001, longest_retry_s=0.002, round_wait_s=0.002, idle_s=0.002)


def three_ranks(steps: int = 30) -> MemoryCluster:
    cluster = MemoryCluster()
    deployment(cluster)
    for rank in range(3):
        pod(cluster, f"trainer-{rank}", node=f"node-{rank}")
        lines = [(s + rank / 100, record(s, s + rank / 100, 100.0 + rank, loss=2.0 + rank)) for s in range(steps)]
        write(cluster, f"trainer-{rank}", lines)
    return cluster


def test_ranks_become_one_sample_a_step() -> None:
    source = source_of(three_ranks())
    rows = drained(source)
    assert column(rows, "step") == list(range(30))
    assert all(row["workers"] == [100.0, 101.0, 102.0] for row in rows)
    assert column(rows, "step_time_ms") == [102.0] * 30
    assert column(rows, "loss") == [3.0] * 30
    assert column(rows, "node") == ["node-0"] * 30
    counters = source.counters()
    assert (counters.read_total, counters.accepted_total, counters.dropped_total) == (90, 90, 0)
    assert source.notes == ()


@given(
    breaks=st.lists(st.integers(1, 4000), max_size=12),
    sizes=st.lists(st.integers(1, 700), min_size=1, max_size=4),
    followers=st.integers(0, 3),
    buffer=st.sampled_from([1, 400, 1 << 20]),
)
@settings(max_examples=60, deadline=None)
def test_broken_connections_pieces_and_who_reads_first_make_no_difference(
    breaks: list[int], sizes: list[int], followers: int, buffer: int
) -> None:
    cluster = three_ranks()
    expected_source = source_of(cluster)
    expected = drained(expected_source)
    limits = FollowLimits(
        first_retry_s=0.001,
        longest_retry_s=0.002,
        round_wait_s=0.001,
        max_followers=followers,
        buffer_bytes=buffer,
        least_buffer_bytes=buffer,
    )
    choice = {"following": limits}
    source = source_of(DisturbedCluster(cluster, breaks, sizes), **choice)  # type: ignore[arg-type]
    assert drained(source) == expected
    assert source.counters() == expected_source.counters()
    assert source.notes == ()


@given(
    stamps=st.lists(st.integers(0, 6), min_size=1, max_size=40),
    breaks=st.lists(st.integers(1, 1500), max_size=8),
)
@settings(max_examples=60, deadline=None)
def test_lines_of_the_same_time_are_neither_lost_nor_doubled(stamps: list[int], breaks: list[int]) -> None:
    cluster = MemoryCluster()
    deployment(cluster)
    pod(cluster, "trainer-0")
    # Identical text too, and a few times only: nothing but their places tells the lines apart.
    write(cluster, "trainer-0", [(float(sum(stamps[: n + 1]) // 9), b"the same line") for n in range(len(stamps))])
    source = source_of(DisturbedCluster(cluster, breaks), following=QUICK)  # type: ignore[arg-type]
    drained(source)
    assert source.counters().read_total == len(stamps)
    assert source.gaps == 0


def test_the_instance_before_the_present_one_is_read_too() -> None:
    cluster = MemoryCluster()
    deployment(cluster)
    pod(cluster, "trainer-0", status={"containerStatuses": [{"name": "train", "restartCount": 1}]})
    write(cluster, "trainer-0", [(s, record(s, s)) for s in range(10)])
    cluster.restart("default", "trainer-0", "train")
    write(cluster, "trainer-0", [(s, record(s, s)) for s in range(10, 20)])
    assert column(drained(source_of(cluster)), "step") == list(range(20))


def test_a_job_that_went_back_gives_its_steps_again_and_says_so() -> None:
    cluster = MemoryCluster()
    deployment(cluster)
    for rank in range(2):
        name = f"trainer-{rank}"
        pod(cluster, name, status={"containerStatuses": [{"name": "train", "restartCount": 1}]})
        write(cluster, name, [(s, record(s, s)) for s in range(50)])
        cluster.restart("default", name, "train")
        write(cluster, name, [(100 + s, record(s, 100 + s, 90.0)) for s in range(40, 60)])
    source = source_of(cluster)
    rows = drained(source)
    assert column(rows, "step") == [*range(50), *range(40, 60)]
    assert all(len(row["workers"]) == 2 for row in rows)
    assert any("went back from step 49 to step 40" in note for note in source.notes)


def test_a_recording_gives_the_same_again(tmp_path: Path) -> None:
    cluster = three_ranks()
    cluster.put(NODES, {"metadata": {"name": "node-1", "labels": {"nvidia.com/gpu.product": "NVIDIA-H100"}}})
    write(cluster, "trainer-1", [(40, b"\xff\xfe no telemetry"), (41, b'{"step": "x"}')])
    with RawRecorder(tmp_path / "raw.jsonl") as recorder:
        source = source_of(cluster, recorder=recorder)
        rows = drained(source)
    assert {row.get("gpu_model") for row in rows} == {"NVIDIA-H100"}
    replayed = open_recording(str(tmp_path / "raw.jsonl"))
    assert drained(replayed) == rows
    assert replayed.counters() == source.counters()
    with RawRecorder(tmp_path / "again.jsonl") as recorder:
        drained(open_recording(str(tmp_path / "raw.jsonl"), recorder=recorder))
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "raw.jsonl").read_bytes()


def test_a_record_without_a_time_gets_that_of_its_line() -> None:
    cluster = MemoryCluster()
    deployment(cluster)
    pod(cluster, "trainer-0")
    write(cluster, "trainer-0", [(5.25, b'{"step": 1, "step_time_ms": 10}')])
    assert column(drained(source_of(cluster)), "ts_ms") == [1_769_850_005_250]


def test_a_rank_that_is_silent_is_missing_in_its_place() -> None:
    cluster = three_ranks()
    pod(cluster, "trainer-1", labels={"x": "y"})
    log = cluster.log("default", "trainer-1", "train")
    log.rotate()
    write(cluster, "trainer-1", [(s + 0.01, record(s, s + 0.01, 101.0)) for s in range(0, 30, 2)])
    rows = drained(source_of(cluster))
    assert column(rows, "step") == list(range(30))
    assert rows[2]["workers"] == [100.0, 101.0, 102.0]
    assert rows[3]["workers"] == [100.0, None, 102.0]


def test_a_pod_that_cannot_be_read_is_given_up_and_named() -> None:
    cluster = three_ranks()
    broken = ClusterUnreachableError("The cluster did not answer. Try again.")
    cluster.fail("logs", broken, times=None, when=lambda about: getattr(about, "pod", "") == "trainer-2")
    limits = FollowLimits(first_retry_s=0.001, longest_retry_s=0.002, patience_s=0.01)
    source = source_of(cluster, following=limits)
    assert all(row["workers"] == [100.0, 101.0] for row in drained(source))
    assert source.gaps == 1
    assert any("trainer-2" in note and "could not be read" in note for note in source.notes)


def test_a_refusal_says_what_is_needed() -> None:
    cluster = three_ranks()
    cluster.fail("logs", cluster.failure(403, "Forbidden", "no"), times=None)
    with pytest.raises(FailedError, match="'get' on pods and pods/log"):
        drained(source_of(cluster))


def test_several_containers_are_asked_about() -> None:
    cluster = MemoryCluster()
    deployment(cluster)
    pod(cluster, "trainer-0", containers=[{"name": "train"}, {"name": "istio-proxy"}, {"name": "metrics"}])
    with pytest.raises(BadInputError, match=r"train, metrics\. Name one of them with --container"):
        drained(source_of(cluster))
    write(cluster, "trainer-0", [(1, record(1, 1))], container="metrics")
    assert len(drained(source_of(cluster, container="metrics"))) == 1


def test_no_workload_and_no_pods_are_said() -> None:
    cluster = MemoryCluster()
    deployment(cluster)
    with pytest.raises(BadInputError, match="there is no Deployment 'other' in namespace 'default': there is: trainer"):
        source_of(cluster, workload="other")
    with pytest.raises(FailedError, match="has no pods"):
        drained(source_of(cluster))


def test_a_name_that_was_mistyped_is_put_right() -> None:
    cluster = MemoryCluster()
    deployment(cluster)
    cluster.put(NAMESPACES, {"metadata": {"name": "default"}})
    with pytest.raises(BadInputError, match="no Deployment 'trainr' in namespace 'default': did you mean 'trainer'\\?"):
        source_of(cluster, workload="trainr")
    with pytest.raises(BadInputError, match="there is no namespace 'defalt': did you mean 'default'\\?"):
        source_of(cluster, namespace="defalt")
    with pytest.raises(BadInputError, match="no StatefulSet 'trainer' in namespace 'default', nor any other Stateful"):
        source_of(cluster, kind="StatefulSet")
    cluster.fail("list", cluster.failure(403, "Forbidden", "no"), times=None)
    with pytest.raises(BadInputError, match=r"no Deployment 'trainr' in namespace 'default'\. Name another one"):
        source_of(cluster, workload="trainr")


def test_lines_for_people_are_read_where_nothing_else_is_promised() -> None:
    cluster = MemoryCluster()
    deployment(cluster, jsonl=False)
    pod(cluster, "trainer-0")
    lines = [b"starting up", b"INFO step=1 loss=2.5 step_time=0.4s", b"INFO step=2 loss=nan step_time=410ms", b""]
    write(cluster, "trainer-0", list(enumerate(lines)))
    source = source_of(cluster)
    rows = drained(source)
    assert column(rows, "step_time_ms") == [400.0, 410.0]
    assert math.isinf(rows[1]["loss"])
    assert source.counters().dropped_by_reason == {"blank": 1, "no_telemetry": 1}
    assert source.counters().read_total == 4
