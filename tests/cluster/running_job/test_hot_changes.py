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

VISIBLE_WITHIN_S = 60.0


class Seen(NamedTuple):
    """How long after the command was started, and after its last write, the pod's log told the value."""

    command_s: float
    write_s: float


@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.heavy)])
def test_each_is_seen_by_the_running_pod_and_taken_back_to_the_byte(
    control_plane: ControlPlane, node: Node, namespace: str, tmp_path: Path, rounds: int
) -> None:
    """A workload a round: one whose change was taken back is locked for a while, and has one folder."""
    seen: list[Seen] = []
    for number in range(rounds):
        name = f"trainer-{number}"
        folder = tmp_path / name
        folder.mkdir()
        job = ExampleJob(control_plane, namespace, folder, licensed(folder), name=name)
        job.start(trainer(2, name=name, COMPUTE_MS="4"))
        seen.append(changed_and_taken_back(job))
        job.delete()
    assert len(seen) == rounds
    for name, times in zip(Seen._fields, zip(*seen, strict=True), strict=True):
        print(f"{name}: median {statistics.median(times):.2f}, longest {max(times):.2f} of {rounds}")


def changed_and_taken_back(job: ExampleJob) -> Seen:
    pod = job.pod()
    before = (annotations(pod), annotations(job.workload()), job.workload()["spec"])
    change = plan_of(item(Actuation.HOT, namespace=job.namespace, name=job.name, value="3"))
    plan = job.written("plan.json", change)
    job.mk("verify", "--plan", plan, "--out", "verify")
    began_ms = now_ms()
    job.mk("k8s", "apply", "--plan", plan, "--verify-report", "verify/k8s_verify_latest.json", "--out", "apply")
    told_ms = when_told(job, pod, 3, began_ms)
    seen = Seen((told_ms - began_ms) / 1000, (told_ms - written_ms(job)) / 1000)
    assert (annotations(job.pod())[KEY], annotations(job.workload())[KEY]) == ("3", "3")

    back_ms = now_ms()
    job.mk("k8s", "rollback", "--out", "apply")
    when_told(job, pod, 2, back_ms)
    now = job.pod()
    assert (annotations(now), annotations(job.workload()), job.workload()["spec"]) == before
    assert (now["metadata"]["uid"], restarts(now)) == (pod["metadata"]["uid"], 0)
    return seen


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def when_told(job: ExampleJob, pod: dict[str, Any], value: int, since_ms: int) -> int:
    """When the first step since a moment ended that ran with the value, by the clock of the trainer."""
    deadline = time.monotonic() + VISIBLE_WITHIN_S
    while True:
        for record in records(log_of(job.plane, pod)):
            if record["ts_ms"] >= since_ms and record["knobs"][PREFETCH] == value:
                told: int = record["ts_ms"]
                return told
        assert time.monotonic() < deadline, f"{PREFETCH} {value} was not told within {VISIBLE_WITHIN_S:.0f} s"
        time.sleep(0.1)


def written_ms(job: ExampleJob) -> float:
    """When the API server confirmed the change of the pod, the last one of the plan."""
    (item,) = job.report("apply/k8s_apply_latest.json")["checks"]["items"]
    (pod,) = item["pods"]
    return datetime.fromisoformat(pod["receipt"]["written_at"]).timestamp() * 1000
