"""``watch --apply`` on a real node: what helps stays, what harms is undone by itself, and new pods get it again."""

import statistics
from pathlib import Path

import pytest
from tests.cluster.control_plane import ControlPlane, wait_until
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
from tests.cluster.running_job.watching import NEW_POD_WITHIN_S, Watching, watching
from tests.cluster.workloads import log_of, path_of

NEW_PODS = 20

pytestmark = pytest.mark.heavy


@pytest.fixture
def job(control_plane: ControlPlane, node: Node, namespace: str, tmp_path: Path) -> ExampleJob:
    return ExampleJob(control_plane, namespace, tmp_path, licensed(tmp_path))


def newest(job: ExampleJob) -> int:
    """The prefetch factor that the last step of the newest pod ran with; 0 while it has told none."""
    told = records(log_of(job.plane, job.pod(), tailLines=2))
    return int(told[-1]["knobs"][PREFETCH]) if told else 0


def new_pod_tells_it(job: ExampleJob, watch: Watching) -> float:
    """Delete the pod; how long after the end of its first step the new one told the value, in seconds."""
    old = job.pod()
    assert job.plane.request("admin", path_of(old), "DELETE").status == 200
    wait_until(lambda: job.pod()["metadata"]["uid"] != old["metadata"]["uid"], "another pod runs", 60)
    watch.wait("the new pod tells it", lambda: newest(job) == 3, NEW_POD_WITHIN_S)
    told = records(log_of(job.plane, job.pod()))
    assert told[0]["knobs"][PREFETCH] == 2, "it began with the value of the template"
    first = next(record for record in told if record["knobs"][PREFETCH] == 3)
    return float(first["ts_ms"] - told[0]["ts_ms"]) / 1000


def test_what_helps_is_applied_kept_and_given_to_new_pods(job: ExampleJob) -> None:
    job.start(trainer(2, BAD_DAY="slow", BAD_DAY_STEP="130"))
    pod, before = job.pod(), (annotations(job.pod()), annotations(job.workload()))
    with watching(job) as watch:
        watch.wait("it is applied", lambda: watch.apply.get("applied_total") == 1, 120)
        watch.wait("the pod tells it", lambda: newest(job) == 3, 60)
        watch.wait("it is judged", lambda: watch.apply["plans"][0]["outcome"] is not None, 120)
        (plan,) = watch.apply["plans"]
        assert plan["outcome"]["state"] == "kept"
        assert plan["outcome"]["improvement"] > 0.2
        now = job.pod()
        assert (now["metadata"]["uid"], restarts(now)) == (pod["metadata"]["uid"], 0)

        took_s = [new_pod_tells_it(job, watch) for _ in range(NEW_PODS)]
        assert watch.apply["given_again_total"] == NEW_PODS
        assert watch.end() == 0
    print(f"new pods: median {statistics.median(took_s):.2f} s, longest {max(took_s):.2f} s of {NEW_PODS}")
    assert restarts(job.pod()) == 0
    job.mk("k8s", "rollback", "--out", "watch")
    assert (annotations(job.pod()), annotations(job.workload())) == before


def test_what_harms_is_undone_by_itself_to_the_byte(job: ExampleJob) -> None:
    job.start(trainer(2, BAD_DAY="crowded", BAD_DAY_STEP="130"))
    pod, before = job.pod(), (annotations(job.pod()), annotations(job.workload()))
    with watching(job) as watch:
        watch.wait("it is applied", lambda: watch.apply.get("applied_total") == 1, 120)
        watch.wait("the pod tells it", lambda: newest(job) == 3, 60)
        watch.wait("it is taken back", lambda: watch.apply["taken_back_total"] == 1, 120)
        assert (annotations(job.pod()), annotations(job.workload())) == before
        watch.wait("the pod tells that", lambda: newest(job) == 2, 60)
        (plan,) = watch.apply["plans"]
        assert (plan["fate"], plan["outcome"]["state"]) == ("taken_back", "worse")
        assert watch.apply["cooldown_factor"] == {"DRIFT-RETUNE": 2}
        (told,) = watch.events("effect_measured")
        assert told["payload"]["improvement"] < -0.2
        assert watch.end() == 0
    now = job.pod()
    assert (now["metadata"]["uid"], restarts(now), annotations(now)[KEY]) == (pod["metadata"]["uid"], 0, "2")
