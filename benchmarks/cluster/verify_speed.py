"""A plan for many Deployments, verified on a real API server: ``mk verify`` beside kubectl, one process after another.

    python -m benchmarks.cluster.verify_speed [--deployments 1000] [--sample 60] [--check]

kubectl is asked no more than a careful script would ask: once a namespace whether it is there and whether we may get
and patch, then for each Deployment a ``get`` and a ``patch --dry-run=server``. It is asked about a sample, spread over
the plan, because all of it takes many minutes; its time is per Deployment. ``mk verify`` is a process too, from its
start to the written report, and verifies the whole plan. They take turns, so that a busy machine slows both; of the
runs of ``mk verify`` the median counts. Both answers are compared for every Deployment of the sample:
is it there, which uid, may we, would the patch be accepted, and what would the annotations be.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from tests.cluster.control_plane import (
    ControlPlane,
    ControlPlaneError,
    find_binaries,
    running_control_plane,
    wait_until,
)
from tests.cluster_verify.worlds import KEY, item, plan_of

from modekeeper.artifacts.canonical import document
from modekeeper.model.decision import PlanItem

__all__ = ["BAR", "main"]

BAR = 20.0
"""Times faster per Deployment."""
NAMESPACES = 4
TURNS = 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deployments", type=int, default=1000)
    parser.add_argument("--sample", type=int, default=60)
    parser.add_argument("--check", action="store_true", help="fail when the bar is missed")
    chosen = parser.parse_args()
    try:
        measured = measure(chosen.deployments, chosen.sample)
    except ControlPlaneError as error:
        print(f"NOT measured against a real Kubernetes: {error}")
        return 1 if chosen.check else 0
    ratio = measured.kubectl_ms / measured.verify_ms
    sampled, total = measured.sample, measured.deployments
    print("| who | Deployments | wall s | ms a Deployment | times faster | bar |\n|---|--:|--:|--:|--:|--:|")
    print(
        f"| kubectl, one process after another | {sampled} | {measured.kubectl_ms * sampled / 1000:.1f} "
        f"| {measured.kubectl_ms:.1f} | 1 | - |"
    )
    print(
        f"| `mk verify`, the whole process | {total} | {measured.verify_ms * total / 1000:.1f} "
        f"| {measured.verify_ms:.2f} | {ratio:.1f} | >= {BAR:g} |"
    )
    print(f"\nSame answers for all {sampled} of the sample; every one of the {total} verified: {measured.ok}.")
    return 1 if chosen.check and ratio < BAR else 0


class Measured(NamedTuple):
    """What both took for a Deployment."""

    deployments: int
    sample: int
    verify_ms: float
    kubectl_ms: float
    ok: bool


def measure(deployments: int, most_sampled: int) -> Measured:
    """Verify a plan for so many, and ask kubectl about some of them.

    Raises:
        ControlPlaneError: the programs of Kubernetes are not there, or did not start.
    """
    with tempfile.TemporaryDirectory() as folder, running_control_plane(Path(folder), find_binaries()) as plane:
        items = create(plane, deployments)
        plan = Path(folder) / "plan.json"
        plan.write_bytes(document(plan_of(*items)))
        sample = items[:: max(1, len(items) // most_sampled)][:most_sampled]
        ours: list[float] = []
        theirs_s = 0.0
        for turn in range(TURNS):
            taken_s, report = verify(plane, plan, Path(folder) / "out")
            ours.append(taken_s)
            part = sample[turn::TURNS]
            taken_s, answers = kubectl(plane, part)
            theirs_s += taken_s
            compare(report, part, answers)
    ours_ms, theirs_ms = statistics.median(ours) / len(items) * 1000, theirs_s / len(sample) * 1000
    return Measured(len(items), len(sample), ours_ms, theirs_ms, report["ok"])


def create(plane: ControlPlane, count: int) -> list[PlanItem]:
    """So many Deployments of one replica over a few namespaces, seen by their controller; the items of a plan."""
    names = [f"bench-{number}" for number in range(NAMESPACES)]
    for name in names:
        body = {"metadata": {"name": name}}
        assert plane.request("admin", "/api/v1/namespaces", "POST", body).status == 201
    items = [item(namespace=names[n * NAMESPACES // count], name=f"trainer-{n:05}") for n in range(count)]
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda each: _created(plane, each), items))

    def settled() -> bool:
        listed = plane.request("admin", "/apis/apps/v1/deployments").body["items"]
        return len(listed) == count and all(
            found["status"].get("observedGeneration") and found["status"].get("updatedReplicas") == 1
            for found in listed
        )

    wait_until(settled, "the controller has seen every Deployment", 600)
    return items


def _created(plane: ControlPlane, each: PlanItem) -> bool:
    labels = {"app": each.name}
    container = {"name": "main", "image": "registry.invalid/trainer:1"}
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
    }
    path = f"/apis/apps/v1/namespaces/{each.namespace}/deployments"
    return plane.request("admin", path, "POST", {"metadata": {"name": each.name}, "spec": spec}).status == 201


def verify(plane: ControlPlane, plan: Path, out: Path) -> tuple[float, Any]:
    """``mk verify`` as a process: seconds, and its report."""
    words = [sys.executable, "-m", "modekeeper", "verify", "--plan", str(plan), "--out", str(out)]
    began = time.perf_counter()
    done = subprocess.run(words, env=_environment(plane), capture_output=True, text=True, check=False)
    taken_s = time.perf_counter() - began
    assert done.returncode == 0, done.stderr
    return taken_s, json.loads((out / "k8s_verify_latest.json").read_text())


def _environment(plane: ControlPlane) -> dict[str, str]:
    return plane.environment("admin") | {"PYTHONPATH": ":".join(sys.path)}


def kubectl(plane: ControlPlane, sample: list[PlanItem]) -> tuple[float, dict[tuple[str, str], Any]]:
    """The same questions through kubectl: seconds, and by Deployment what it answered."""
    plane.kubectl("admin", "get", "namespaces")  # its cache of the API's groups is filled before the clock starts
    answers: dict[tuple[str, str], Any] = {}
    rights: dict[str, list[str]] = {}
    began = time.perf_counter()
    for each in sample:
        where = f"--namespace={each.namespace}"
        if each.namespace not in rights:
            assert plane.kubectl("admin", "get", "namespace", each.namespace).returncode == 0
            rights[each.namespace] = [
                plane.kubectl("admin", "auth", "can-i", verb, "deployments", where).stdout.strip()
                for verb in ("get", "patch")
            ]
        got = plane.kubectl("admin", "get", "deployment", each.name, where, "--output=json")
        patch = f"--patch={json.dumps(each.patch)}"
        words = ("patch", "deployment", each.name, where, "--type=merge", patch, "--dry-run=server", "--output=json")
        tried = plane.kubectl("admin", *words)
        answers[each.namespace, each.name] = (rights[each.namespace], got, tried)
    return time.perf_counter() - began, answers


def compare(report: Any, sample: list[PlanItem], answers: dict[tuple[str, str], Any]) -> None:
    """Both say the same of every Deployment of the sample."""
    ours = {(each["namespace"], each["name"]): each for each in report["items"]}
    for each in sample:
        found = ours[each.namespace, each.name]
        rights, got, tried = answers[each.namespace, each.name]
        assert [found["can_get"], found["can_patch"]] == [answer == "yes" for answer in rights]
        assert found["exists"] is (got.returncode == 0)
        assert found["uid"] == json.loads(got.stdout)["metadata"]["uid"]
        assert (found["dry_run"]["status"] == "accepted") is (tried.returncode == 0)
        assert found["new_values"] == json.loads(tried.stdout)["spec"]["template"]["metadata"]["annotations"]
        assert found["new_values"] == {KEY: "4"}


if __name__ == "__main__":
    sys.exit(main())
