"""Records the incident of ``docs/evidence/rbac_patch_denied/`` anew, on a real control plane:

    python -m tests.cluster.roles.record_incident docs/evidence/rbac_patch_denied

Somebody who holds the observer's role alone has a plan, looks whether the cluster is ready, and has the plan verified.
``reproduce.sh`` in that folder then writes the reports from what this wrote.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.cluster.control_plane import ControlPlane, find_binaries, running_control_plane, wait_until
from tests.cluster.roles.shipped import bind

ROOT = Path(__file__).parents[3]
TRACE = ROOT / "tests" / "data" / "observe" / "drift.jsonl"
NAMESPACE = "research"
LABELS = {"app": "trainer"}
TRAINER: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "trainer"},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": LABELS},
        "template": {
            "metadata": {"labels": LABELS, "annotations": {"modekeeper/telemetry": "stdout-jsonl"}},
            "spec": {
                "containers": [
                    {
                        "name": "main",
                        "image": "registry.invalid/trainer:1",
                        "volumeMounts": [{"name": "podinfo", "mountPath": "/etc/podinfo"}],
                    }
                ],
                "volumes": [
                    {
                        "name": "podinfo",
                        "downwardAPI": {
                            "items": [{"path": "annotations", "fieldRef": {"fieldPath": "metadata.annotations"}}]
                        },
                    }
                ],
            },
        },
    },
}
PINNED_CLOCK = "2026-01-31T09:00:00Z"


def mk(folder: Path, environment: dict[str, str], code: int, *words: str) -> None:
    """Run ``mk`` in a folder, and hold it to its exit code."""
    kept = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-m", "modekeeper", *words],
        cwd=folder,
        env=environment | kept | {"MODEKEEPER_PINNED_CLOCK": PINNED_CLOCK},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == code, done.stdout + done.stderr


def record(plane: ControlPlane, folder: Path) -> None:
    """Write the plan and both recordings into ``folder``; the reports of the live runs go to ``folder/live``."""
    for path, body in (
        ("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}}),
        (f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments", TRAINER),
    ):
        answer = plane.request("admin", path, "POST", body)
        assert answer.status == 201, answer
    pods = f"/api/v1/namespaces/{NAMESPACE}/pods"
    wait_until(lambda: len(plane.request("admin", pods).body["items"]) == 2, "the trainer has its pods")
    bind(plane, "observer", NAMESPACE, "observer")
    environment = plane.environment("observer")
    mk(folder, environment, 0, "plan", "--observe-path", str(TRACE), "--k8s-namespace", NAMESPACE, "--out", "live/plan")
    (folder / "k8s_plan.json").write_bytes((folder / "live" / "plan" / "k8s_plan.json").read_bytes())
    preflight = ("k8s", "preflight", "--k8s-namespace", NAMESPACE, "--out", "live/preflight")
    mk(folder, environment, 0, *preflight, "--record-cluster", "preflight_cluster.jsonl")
    verify = ("k8s", "verify", "--plan", "k8s_plan.json", "--out", "live/verify")
    mk(folder, environment, 2, *verify, "--record-cluster", "verify_cluster.jsonl")


def main() -> None:
    target = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as plane_folder, tempfile.TemporaryDirectory() as scratch:
        with running_control_plane(Path(plane_folder), find_binaries()) as plane:
            record(plane, Path(scratch))
        for name in ("k8s_plan.json", "preflight_cluster.jsonl", "verify_cluster.jsonl"):
            (target / name).write_bytes((Path(scratch) / name).read_bytes())
        report = json.loads((Path(scratch) / "live" / "verify" / "k8s_verify_latest.json").read_bytes())
        print(json.dumps(report["verify_blocker"]))


if __name__ == "__main__":
    main()
