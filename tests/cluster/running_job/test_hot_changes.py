"""Hot changes on a real node: seen in the pod's own log, without a restart, and taken back to the byte."""

import statistics
import time
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.cluster.control_plane import ControlPlane
from tests.cluster.node import Node
from tests.cluster.running_job.example_job import (
    KEY,
    NAME,
    PREFETCH,
    ExampleJob,
    annotations,
    licensed,
    records,
    restarts,
    trainer,
)
from tests.cluster.workloads import log_of
from tests.cluster_verify.worlds import item, plan_of

from modekeeper.model.decision import Actuation

BEGINS_WITH = 20
VISIBLE_WITHIN_S = 60.0


class Seen(NamedTuple):
    """How long after the command was started, and after its last write, the pod's log told the value."""

    command_s: float
    write_s: float


@pytest.fixture
def job(control_plane: ControlPlane, node: Node, namespace: str, tmp_path: Path) -> ExampleJob:
    made = ExampleJob(control_plane, namespace, tmp_path, licensed(tmp_path))
    made.start(trainer(BEGINS_WITH, WORKERS="1", COMPUTE_MS="4"))
    return made


@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.heavy)])
def test_each_is_seen_by_the_running_pod_and_taken_back_to_the_byte(job: ExampleJob, rounds: int) -> None:
    pod = job.pod()
    before = (annotations(pod), annotations(job.workload()), job.workload()["spec"])
    seen: list[Seen] = []
    for number in range(1, rounds + 1):
        value = BEGINS_WITH + number
        verify(job, number, value)
        began_ms = now_ms()
        out = f"round-{number}/apply"
        files = ("--plan", f"round-{number}/plan.json", "--verify-report", f"round-{number}/k8s_verify_latest.json")
        job.mk("k8s", "apply", *files, "--out", out)
        told_ms = when_told(job, pod, value, began_ms)
        seen.append(Seen((told_ms - began_ms) / 1000, (told_ms - written_ms(job, out)) / 1000))
        assert (annotations(job.pod())[KEY], annotations(job.workload())[KEY]) == (str(value), str(value))

        back_ms = now_ms()
        job.mk("k8s", "rollback", "--out", out)
        when_told(job, pod, BEGINS_WITH, back_ms)
        after = (annotations(job.pod()), annotations(job.workload()), job.workload()["spec"])
        assert after == before
    now = job.pod()
    assert now["metadata"]["uid"] == pod["metadata"]["uid"]
    assert restarts(now) == 0
    assert len(seen) == rounds
    for name, times in zip(Seen._fields, zip(*seen, strict=True), strict=True):
        print(f"{name}: median {statistics.median(times):.2f}, longest {max(times):.2f} of {rounds}")


def verify(job: ExampleJob, number: int, value: int) -> None:
    plan = plan_of(item(Actuation.HOT, namespace=job.namespace, name=NAME, value=str(value)))
    job.mk("verify", "--plan", job.written(f"round-{number}/plan.json", plan), "--out", f"round-{number}")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def when_told(job: ExampleJob, pod: dict[str, Any], value: int, since_ms: int) -> int:
    """When the first step since a moment ended that ran with the value, by the clock of the trainer."""
    deadline = time.monotonic() + VISIBLE_WITHIN_S
    while True:
        for record in records(log_of(job.plane, pod, tailLines=2000)):
            if record["ts_ms"] >= since_ms and record["knobs"][PREFETCH] == value:
                told: int = record["ts_ms"]
                return told
        assert time.monotonic() < deadline, f"{PREFETCH} {value} was not told within {VISIBLE_WITHIN_S:.0f} s"
        time.sleep(0.1)


def written_ms(job: ExampleJob, out: str) -> float:
    """When the API server confirmed the change of the pod, the last one of the plan."""
    (item,) = job.report(f"{out}/k8s_apply_latest.json")["checks"]["items"]
    (pod,) = item["pods"]
    return datetime.fromisoformat(pod["receipt"]["written_at"]).timestamp() * 1000
