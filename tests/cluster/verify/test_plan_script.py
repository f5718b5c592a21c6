"""The script of a plan on the real API server: it finds the pods that verify finds, and a dry run changes nothing."""

import subprocess
from pathlib import Path

import pytest
from tests.cluster.control_plane import ControlPlane
from tests.cluster.fake_nodes import FakeNodes
from tests.cluster.verify.on_cluster import (
    RESOURCES,
    create,
    create_pod,
    path_of,
    pods,
    verified,
    wait_for_pods,
)
from tests.cluster_verify.test_effects import POD_LABELS
from tests.cluster_verify.worlds import KEY, item, plan_of

from modekeeper.model.decision import Actuation
from modekeeper.planning.kubectl_script import render


def run_script(plane: ControlPlane, folder: Path, script: str, *options: str) -> subprocess.CompletedProcess[str]:
    path = folder / "k8s_plan.kubectl.sh"
    path.write_text(script)
    return subprocess.run(
        ["/bin/bash", str(path), *options],
        env=plane.environment("admin") | {"KUBECTL": str(plane.binaries / "kubectl")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("kind", ["Deployment", "JobSet", "RayJob", "VolcanoJob"])
def test_a_hot_change_reaches_the_pods_of_its_object_and_no_others(
    kind: str, custom_kinds: ControlPlane, namespace: str, kwok: FakeNodes, tmp_path: Path
) -> None:
    create(custom_kinds, namespace, kind)
    create_pod(custom_kinds, namespace, "stranger", {"app": "another"})
    if kind != "Deployment":
        for number in range(2):
            create_pod(custom_kinds, namespace, f"trainer-{number}", POD_LABELS[kind])
    if kind == "RayJob":
        status = {"status": {"rayClusterName": "trainer-abcde"}}
        path = path_of(RESOURCES[kind], namespace, "trainer")
        assert custom_kinds.request("admin", f"{path}/status", "PATCH", status).status == 200
    before = {pod["metadata"]["name"]: pod["metadata"] for pod in wait_for_pods(custom_kinds, namespace, 3)}
    change = item(Actuation.HOT, namespace=namespace, kind=kind)
    judged = verified(custom_kinds, "admin", change)
    assert judged.pods is not None
    mine = [pod.name for pod in judged.pods.listed]
    assert sorted([*mine, "stranger"]) == sorted(before)
    script = render(plan_of(change))

    done = run_script(custom_kinds, tmp_path, script, "--dry-run=server")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:] == [f"pod/{name} patched" for name in mine]
    assert not any(KEY in (pod["metadata"].get("annotations") or {}) for pod in pods(custom_kinds, namespace))

    done = run_script(custom_kinds, tmp_path, script)
    assert done.returncode == 0, done.stderr
    carried = {p["metadata"]["name"]: (p["metadata"].get("annotations") or {}) for p in pods(custom_kinds, namespace)}
    assert {name: values.get(KEY) for name, values in carried.items()} == {"stranger": None} | dict.fromkeys(mine, "4")


def test_a_ray_job_that_made_no_cluster_yet_stops_the_script(
    custom_kinds: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    create(custom_kinds, namespace, "RayJob")
    done = run_script(custom_kinds, tmp_path, render(plan_of(item(Actuation.HOT, namespace=namespace, kind="RayJob"))))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "ERROR: the pods of rayjobs.ray.io/trainer cannot be told by the label of its controller: nothing is changed\n"
    )
