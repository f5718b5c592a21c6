"""A job on a real node, looked at from outside by the commands, with exactly the shipped roles."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.cluster.audit import events, position
from tests.cluster.control_plane import ControlPlane
from tests.cluster.images import interpreter, interpreter_mounts
from tests.cluster.node import Node
from tests.cluster.roles.shipped import bind
from tests.cluster.running_job import slowing_trainer
from tests.cluster.workloads import created, deployment, log_of, ready_pods

PODS = 3
KNOB = "modekeeper/knob.dataloader_prefetch_factor"
OBSERVER, VERIFIER = "observer", "verifier"


class Job(NamedTuple):
    plane: ControlPlane
    namespace: str
    audited_from: int


class Done(NamedTuple):
    code: int
    stdout: str
    stderr: str


@pytest.fixture(scope="module")
def job(control_plane: ControlPlane, node: Node) -> Iterator[Job]:
    """Three ranks that starve since step 500, in a namespace where the test users have the shipped roles."""
    name = "running-job"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    assert control_plane.request("admin", "/api/v1/namespaces", "POST", body).status == 201
    bind(control_plane, OBSERVER, name, "observer")
    bind(control_plane, VERIFIER, name, "observer", "verifier")
    source = Path(slowing_trainer.__file__).read_text()
    manifest = deployment(
        "trainer",
        [interpreter(), "-c", source],
        replicas=PODS,
        annotations={"modekeeper/telemetry": "stdout-jsonl", KNOB: "2"},
        environment={"BEGAN_S": f"{time.time_ns() / 1e9 - 1000:.3f}"},
        folders=interpreter_mounts(),
    )
    created(control_plane, name, manifest)
    pods = ready_pods(control_plane, name, PODS)
    deadline = time.monotonic() + 60
    while any(log_of(control_plane, pod).count("\n") < slowing_trainer.STEPS_BEFORE for pod in pods):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    yield Job(control_plane, name, position(control_plane))
    control_plane.request("admin", f"/api/v1/namespaces/{name}", "DELETE")


def environment(job: Job, user: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    return job.plane.environment(user) | {"KUBECTL": str(job.plane.binaries / "kubectl")} | kept


def mk(job: Job, folder: Path, user: str, *words: str) -> Done:
    done = subprocess.run(
        [sys.executable, "-m", "modekeeper", *words],
        cwd=folder,
        env=environment(job, user),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


def report(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_bytes())


@pytest.mark.parametrize("client", ["api", "kubectl"])
def test_a_running_job_is_judged_from_the_logs_of_all_its_pods(job: Job, tmp_path: Path, client: str) -> None:
    words = ("--k8s-namespace", job.namespace, "--cluster-client", client, "--out", "out")
    done = mk(job, tmp_path, OBSERVER, "eval", "k8s", *words)
    assert done.code == 0, done.stderr
    found = report(tmp_path, "out/eval_latest.json")
    assert found["mode"] == "DRIFT"
    assert found["sample_count"] >= slowing_trainer.STEPS_BEFORE
    assert found["telemetry_points_included"]
    assert "loss_missing" not in found["signals"]["notes"]
    assert "worker_latencies_missing" not in found["signals"]["notes"]
    assert found["source"]["kind"] == "k8s"
    assert "sample_count=" in done.stdout
    drift = next(f["signal"] for f in found["findings"]["standing"] if f["signal"]["metric"] == "step_time_ms")
    assert abs(drift["since_step"] - slowing_trainer.ONSET) <= 5


def test_a_plan_starts_from_what_the_pods_carry_and_is_verified_hot(job: Job, tmp_path: Path) -> None:
    here = ("--k8s-namespace", job.namespace)
    done = mk(job, tmp_path, OBSERVER, "plan", "--observe-source", "k8s", *here, "--out", "plan")
    assert done.code == 0, done.stderr
    plan = report(tmp_path, "plan/k8s_plan.json")
    assert plan["items"][0]["knobs"] == {"dataloader_prefetch_factor": "3"}
    action = report(tmp_path, "plan/closed_loop_latest.json")["decisions"][0]["proposal"]["actions"][0]
    assert (action["current"], action["current_source"]) == (2.0, "cluster")

    refused = mk(job, tmp_path, OBSERVER, "verify", "--plan", "plan/k8s_plan.json", "--out", "denied")
    assert refused.code == 2
    assert report(tmp_path, "denied/k8s_verify_latest.json")["verify_blocker"]["kind"] == "rbac_denied"

    verified = mk(job, tmp_path, VERIFIER, "verify", "--plan", "plan/k8s_plan.json", "--out", "verify")
    assert verified.code == 0, verified.stderr
    item = report(tmp_path, "verify/k8s_verify_latest.json")["items"][0]
    assert item["effect"]["effect"] == "hot"


def test_what_was_recorded_gives_the_same_decisions(job: Job, tmp_path: Path) -> None:
    here = ("--k8s-namespace", job.namespace, "--knob", "dataloader_prefetch_factor=2")
    live = ("plan", "--observe-source", "k8s", "--observe-record-raw", "raw.jsonl", *here, "--out", "live")
    assert mk(job, tmp_path, OBSERVER, *live).code == 0
    replay = ("plan", "--observe-path", "raw.jsonl", *here, "--out", "replay")
    done = mk(job, tmp_path, OBSERVER, *replay)
    assert done.code == 0, done.stderr
    assert report(tmp_path, "replay/k8s_plan.json") == report(tmp_path, "live/k8s_plan.json")
    one, other = (report(tmp_path, f"{name}/closed_loop_latest.json") for name in ("live", "replay"))
    for part in ("mode_spans", "telemetry", "observe_ingest", "findings", "environment"):
        assert one[part] == other[part], part


def test_watch_takes_each_step_once_whatever_its_intervals(job: Job, tmp_path: Path) -> None:
    words = ("watch", "--observe-source", "k8s", "--k8s-namespace", job.namespace, "--interval", "1s", "--out", "watch")
    for _ in range(2):
        done = mk(job, tmp_path, OBSERVER, *words, "--max-iterations", "3")
        assert done.code == 0, done.stderr
    found = report(tmp_path, "watch/watch_latest.json")
    assert found["iterations"] == 6
    assert found["resumed_from_iteration"] == 3
    assert found["mode"] == "DRIFT"
    telemetry = found["telemetry"]
    assert telemetry["first_step"] == 0
    assert telemetry["sample_count"] == telemetry["last_step"] + 1
    assert telemetry["workers_max"] == PODS


def test_following_ends_with_its_duration(job: Job, tmp_path: Path) -> None:
    words = ("observe", "--source", "k8s", "--k8s-namespace", job.namespace, "--follow", "--duration", "3s")
    done = mk(job, tmp_path, OBSERVER, *words, "--out", "out")
    assert done.code == 0, done.stderr
    telemetry = report(tmp_path, "out/observe_latest.json")["telemetry"]
    assert telemetry["last_step"] > slowing_trainer.STEPS_BEFORE
    assert telemetry["sample_count"] == telemetry["last_step"] + 1


def test_the_observer_asked_for_nothing_that_changes_anything(job: Job, tmp_path: Path) -> None:
    here = ("--k8s-namespace", job.namespace)
    for words in (("k8s", "preflight", *here), ("observe", "--source", "k8s", *here), ("eval", "k8s", *here)):
        assert mk(job, tmp_path, OBSERVER, *words).code == 0, words
    asked = events(job.plane, OBSERVER, job.audited_from)
    assert len(asked) > 20
    assert [event for event in asked if event.mutates] == []
