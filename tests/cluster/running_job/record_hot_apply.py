"""Records the evidence of ``docs/evidence/hot_apply_on_a_real_node/`` anew, on a real control plane with a real node:

    python -m tests.cluster.running_job.record_hot_apply docs/evidence/hot_apply_on_a_real_node

Two jobs have a bad day while ``mk watch --apply`` looks at them, as a user with the shipped roles and nothing else. For
one, what is proposed helps; for the other it harms. ``reproduce.sh`` in that folder then replays what this wrote.
"""

import gzip
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.cluster.audit import mutations, position
from tests.cluster.control_plane import ControlPlane, find_binaries, running_control_plane, wait_until
from tests.cluster.node import running_node
from tests.cluster.roles.shipped import bind, bind_in_the_cluster, unbind_in_the_cluster
from tests.cluster.running_job.example_job import (
    PREFETCH,
    ExampleJob,
    annotations,
    licensed,
    records,
    restarts,
    trainer,
)
from tests.cluster.running_job.watching import NEW_POD_WITHIN_S, OUT, RAW, Watching, watching
from tests.cluster.workloads import log_of, path_of

USER = "verifier"
BAD_DAY_STEP = 130
OF_AN_ITERATION = ("closed_loop_latest.json", "k8s_plan.json", "k8s_verify_latest.json", "k8s_apply_latest.json")
OF_THE_SESSION = ("decision_trace_latest.jsonl", "explain.jsonl", "watch_summary.md")


class Story:
    """What the cluster and the pod said, from outside, in the order it happened; written as ``cluster.json``."""

    def __init__(self, job: ExampleJob) -> None:
        self._job = job
        self._since = position(job.plane)
        self.seen: list[dict[str, Any]] = []

    def look(self, what: str) -> None:
        """How the job stands now."""
        pod, workload = self._job.pod(), self._job.workload()
        told = records(log_of(self._job.plane, pod))[-1]
        self.seen.append(
            {
                "what": what,
                "at": moment(time.time_ns() // 1_000_000),
                "pod": {name: pod["metadata"][name] for name in ("name", "uid")},
                "restarts": restarts(pod),
                "pod_annotations": annotations(pod),
                "deployment_annotations": annotations(workload),
                "template": workload["spec"]["template"]["metadata"],
                "log": {"step": told["step"], "knobs": told["knobs"]},
            }
        )

    def write(self, target: Path) -> None:
        """The same, and every request of the user that could change something."""
        asked = mutations(self._job.plane, USER, self._since)
        writes = [{"verb": each.verb, "path": each.path, "status": each.status} for each in asked]
        put(target / "cluster.json", {"user": USER, "seen": self.seen, "writes": writes})


def moment(ts_ms: int) -> str:
    return datetime.fromtimestamp(ts_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def put(path: Path, what: object) -> None:
    path.write_text(json.dumps(what, indent=1, sort_keys=True) + "\n")


def begun(plane: ControlPlane, name: str, folder: Path, bad_day: str) -> ExampleJob:
    """A job in a namespace of its own, and the user's rights in it."""
    answer = plane.request("admin", "/api/v1/namespaces", "POST", {"metadata": {"name": name}})
    assert answer.status == 201, answer
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    wait_until(lambda: plane.request("admin", account).status == 200, f"namespace {name} is usable")
    bind(plane, USER, name, "observer", "verifier")
    job = ExampleJob(plane, name, folder, licensed(folder), user=USER)
    job.start(trainer(2, BAD_DAY=bad_day, BAD_DAY_STEP=str(BAD_DAY_STEP)))
    return job


def tells(job: ExampleJob, value: int) -> Callable[[], bool]:
    """Whether the last step in the log of the pod ran with a value."""

    def so() -> bool:
        told = records(log_of(job.plane, job.pod(), tailLines=2))
        return bool(told) and told[-1]["knobs"][PREFETCH] == value

    return so


def applied(watch: Watching, story: Story, job: ExampleJob) -> None:
    """From the first look to the value in the log."""
    story.look("begins")
    watch.wait("it is applied", lambda: watch.apply.get("applied_total") == 1, 120)
    watch.wait("the pod tells it", tells(job, 3), 60)
    story.look("the pod tells the new value")


def helps(plane: ControlPlane, folder: Path, target: Path) -> None:
    """Applied, kept, given to a new pod, and taken back by hand."""
    job = begun(plane, "train-helps", folder, "slow")
    story = Story(job)
    with watching(job) as watch:
        applied(watch, story, job)
        watch.wait("it is judged", lambda: bool(watch.events("effect_measured")), 120)
        story.look("the effect is measured")
        old = job.pod()
        assert plane.request("admin", path_of(old), "DELETE").status == 200
        wait_until(lambda: job.pod()["metadata"]["uid"] != old["metadata"]["uid"], "another pod runs", 60)
        watch.wait("the new pod tells it", tells(job, 3), NEW_POD_WITHIN_S)
        story.look("a new pod tells the value")
        assert watch.end() == 0
    kept(job.folder, target)
    job.mk("k8s", "rollback", "--out", OUT)
    wait_until(tells(job, 2), "the pod tells the old value", 60)
    story.look("taken back by hand")
    copy(job.folder / OUT, target / "taken_back", ("k8s_apply_latest.json",))
    copy_door(job.folder, target)
    story.write(target)


def harms(plane: ControlPlane, folder: Path, target: Path) -> None:
    """Applied, and undone by itself."""
    job = begun(plane, "train-harms", folder, "crowded")
    story = Story(job)
    with watching(job) as watch:
        applied(watch, story, job)
        watch.wait("it is taken back", lambda: watch.apply["taken_back_total"] == 1, 180)
        watch.wait("the pod tells that", tells(job, 2), 60)
        story.look("undone by itself")
        assert watch.end() == 0
    kept(job.folder, target)
    iteration = watch.events("rolled_back")[0]["payload"]["iteration"]
    copy(job.folder / OUT / f"iter_{iteration:04d}", target / "undone", ("k8s_apply_latest.json",))
    copy_door(job.folder, target)
    story.write(target)


def kept(folder: Path, target: Path) -> None:
    """What ``watch`` wrote: of the session, of the iteration that applied, and the recording."""
    session = folder / OUT
    part = json.loads((session / "watch_latest.json").read_bytes())["apply"]
    put(target / "watch_apply.json", part)
    copy(session, target, OF_THE_SESSION)
    copy(session / f"iter_{part['plans'][0]['iteration']:04d}", target / "applied", OF_AN_ITERATION)
    packed = gzip.compress((folder / RAW).read_bytes(), 9, mtime=0)
    (target / f"{RAW}.gz").write_bytes(packed)


def copy(source: Path, target: Path, names: tuple[str, ...]) -> None:
    target.mkdir(exist_ok=True)
    for name in names:
        (target / name).write_bytes((source / name).read_bytes())


def copy_door(folder: Path, target: Path) -> None:
    """Every record, journal and receipt of the door."""
    door = folder / OUT / "door"
    for path in sorted(door.rglob("*.json*")):
        place = target / "door" / path.relative_to(door)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes())


def write_digests(target: Path) -> None:
    """``SHA256SUMS`` of everything recorded, as ``sha256sum --check`` reads it."""
    found = (path for case in ("helps", "harms") for path in (target / case).rglob("*") if path.is_file())
    recorded = sorted(path for path in found if path.parent.name != "replay")  # that is decided, not recorded
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(target).as_posix()}\n" for path in recorded
    ]
    (target / "SHA256SUMS").write_text("".join(lines))


def record(plane: ControlPlane, target: Path) -> None:
    """Write both stories into ``target``; the cluster has a node."""
    binding = bind_in_the_cluster(plane, USER)
    try:
        for name, tell in (("helps", helps), ("harms", harms)):
            with tempfile.TemporaryDirectory() as folder:
                (target / name).mkdir(parents=True, exist_ok=True)
                tell(plane, Path(folder), target / name)
    finally:
        unbind_in_the_cluster(plane, USER, binding)
    write_digests(target)


def main() -> None:
    target = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as plane_folder, tempfile.TemporaryDirectory() as node_folder:
        starting = running_control_plane(Path(plane_folder), find_binaries())
        with starting as plane, running_node(plane, Path(node_folder)):
            record(plane, target)


if __name__ == "__main__":
    main()
