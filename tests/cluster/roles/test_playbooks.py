"""The commands of the playbooks do on a real cluster what the page says."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.cluster.control_plane import ControlPlane, wait_until

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "PLAYBOOKS.md").read_text(encoding="utf-8")
KNOB = "modekeeper/knob.dataloader_prefetch_factor"
DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "trainer"},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "trainer"}},
        "template": {
            "metadata": {"labels": {"app": "trainer"}},
            "spec": {"containers": [{"name": "main", "image": "registry.invalid/trainer:1"}]},
        },
    },
}


def commands_of(section: str, program: str) -> list[str]:
    """The lines of a section's shell blocks that begin with the program."""
    text = PAGE.partition(f"## {section}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines() if line.startswith(f"{program} ")]


def run(plane: ControlPlane, folder: Path, line: str) -> str:
    """Run a line of a page, as an administrator with kubectl and mk on the path would."""
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    if not (programs / "mk").exists():
        (programs / "mk").write_text(f'#!/bin/sh\nexec {sys.executable} -m modekeeper "$@"\n')
        (programs / "mk").chmod(0o755)
        (programs / "kubectl").symlink_to(plane.binaries / "kubectl")
    environment = plane.environment("admin") | {"PATH": f"{programs}:{os.environ['PATH']}"}
    python = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env=environment | python,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def annotations(plane: ControlPlane, namespace: str) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Of the Deployment, and of each of its pods."""
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/trainer"
    job = plane.request("admin", path).body["metadata"].get("annotations", {})
    pods = plane.request("admin", f"/api/v1/namespaces/{namespace}/pods").body["items"]
    return job, [pod["metadata"].get("annotations", {}) for pod in pods]


def test_a_change_made_by_the_script_is_taken_back_by_the_commands_of_the_page(
    control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    assert control_plane.request("admin", deployments, "POST", DEPLOYMENT).status == 201
    wait_until(lambda: len(annotations(control_plane, namespace)[1]) == 2, "two pods are there")
    trace = ROOT / "tests" / "data" / "observe" / "drift.jsonl"
    run(control_plane, tmp_path, f"mk plan --observe-path {trace} --k8s-namespace {namespace} --out report/plan")
    run(control_plane, tmp_path, "bash report/plan/k8s_plan.kubectl.sh")
    job, pods = annotations(control_plane, namespace)
    assert [of[KNOB] for of in (job, *pods)] == ["3", "3", "3"]

    way_back = json.loads((tmp_path / "report" / "plan" / "rollback_plan_latest.json").read_text())
    assert [item["keys"][KNOB]["value"] for item in way_back["items"]] == ["2"]
    lines = [line for line in commands_of("Taking a change back", "kubectl") if " annotate " in line]
    assert len(lines) == 2
    for line in lines:
        run(control_plane, tmp_path, line.replace("--namespace=default", f"--namespace={namespace}"))
    job, pods = annotations(control_plane, namespace)
    assert [of[KNOB] for of in (job, *pods)] == ["2", "2", "2"]


def test_a_cold_change_is_taken_back_through_the_template(
    control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    assert control_plane.request("admin", deployments, "POST", DEPLOYMENT).status == 201
    (line,) = [line for line in commands_of("Taking a change back", "kubectl") if " patch " in line]
    run(control_plane, tmp_path, line.replace("--namespace=default", f"--namespace={namespace}"))
    found = control_plane.request("admin", f"{deployments}/trainer").body
    assert found["spec"]["template"]["metadata"]["annotations"] == {KNOB: "2"}


def test_the_digests_the_page_compares_are_the_same(control_plane: ControlPlane, tmp_path: Path) -> None:
    trace = ROOT / "tests" / "data" / "observe" / "drift.jsonl"
    run(control_plane, tmp_path, f"mk plan --observe-path {trace} --out report/plan")
    found = [run(control_plane, tmp_path, line) for line in commands_of("Taking a change back", "grep")]
    digests = [re.findall(r"sha256:[0-9a-f]{64}", text) for text in found]
    assert len(digests) == 2
    assert digests[0] == digests[1]
    assert len(digests[0]) == 1
