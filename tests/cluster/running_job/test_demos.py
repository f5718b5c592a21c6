"""The demos, run on the cluster of the tests: they do what they say, and leave nothing behind."""

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.cluster.control_plane import ControlPlane, wait_until
from tests.cluster.images import BUSYBOX, interpreter, interpreter_mounts
from tests.cluster.node import Node
from tests.cluster.workloads import placed
from tests.installed_pro import installed_pro

ROOT = Path(__file__).parents[3]
FAKE_KIND = """#!/bin/sh
echo "$@" >>"{log}"
if [ "$1" = create ]; then cp "{kubeconfig}" "$6"; fi
"""
"""Called as the demo calls kind: the sixth word of ``create cluster`` is the kubeconfig to write."""

pytestmark = pytest.mark.heavy

SRC = [ROOT / "packages" / name / "src" for name in ("modekeeper", "license-gate")]


def program(path: Path, module: str, environment: Mapping[str, str]) -> None:
    """A command of a virtual environment, which is this Python with a search path of its own."""
    exported = "".join(f'export {name}="{value}"\n' for name, value in environment.items())
    words = f"-m {module}" if module else ""
    path.write_text(f'#!/bin/sh\n{exported}exec "{sys.executable}" {words} "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A developer's checkout: the demos, the example, and an environment with the public package and ``mk-license``."""
    for name in ("bin", "examples"):
        shutil.copytree(ROOT / name, tmp_path / name)
    install(tmp_path, {"PYTHONPATH": os.pathsep.join(map(str, SRC))})
    return tmp_path


def install(checkout: Path, environment: Mapping[str, str]) -> None:
    bin_ = checkout / ".venv" / "bin"
    bin_.mkdir(parents=True, exist_ok=True)
    program(bin_ / "mk", "modekeeper", environment)
    program(bin_ / "python", "", environment)
    program(bin_ / "mk-license", "modekeeper_license_gate", {"PYTHONPATH": os.pathsep.join(map(str, SRC))})


def install_pro(checkout: Path) -> None:
    folder = checkout / "pro"
    folder.mkdir()
    install(checkout, installed_pro(folder))


def patch(checkout: Path) -> str:
    """What the trainer needs to run on the node of the tests: its image, and this Python from the machine."""
    mounts = interpreter_mounts()
    trainer = {
        "name": "trainer",
        "image": BUSYBOX,
        "imagePullPolicy": "Never",
        "command": [interpreter(), "/opt/trainer/modekeeper_trainer.py"],
        "volumeMounts": [{"name": name, "mountPath": path, "readOnly": True} for name, path in mounts.items()],
    }
    volumes = [{"name": name, "hostPath": {"path": path}} for name, path in mounts.items()]
    spec = placed("real") | {"containers": [trainer], "volumes": volumes}
    file = checkout / "patch.json"
    file.write_text(json.dumps({"spec": {"template": {"spec": spec}}}))
    return str(file)


def started(plane: ControlPlane, checkout: Path, name: str, *words: str) -> subprocess.Popen[str]:
    """A demo as somebody starts it; ``kind`` is found, and gives out the cluster of the tests."""
    kind = checkout / "kind" / "kind"
    kind.parent.mkdir(exist_ok=True)
    kind.write_text(FAKE_KIND.format(log=checkout / "kind.log", kubeconfig=plane.kubeconfig("admin")))
    kind.chmod(0o755)
    on_path = os.pathsep.join((str(kind.parent), str(plane.binaries), os.environ["PATH"]))
    return subprocess.Popen(
        ["bash", str(checkout / "bin" / name), "--trainer-patch", patch(checkout), *words],
        cwd=checkout,
        env=plane.environment("admin") | {"PATH": on_path, "XDG_STATE_HOME": str(checkout / "state")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def demo(plane: ControlPlane, checkout: Path, name: str, *words: str) -> tuple[int, str, str]:
    """Run a demo to its end: the exit code, and what it said on both streams."""
    with started(plane, checkout, name, *words) as process:
        said, complained = process.communicate(timeout=600)
    return process.returncode, said, complained


def namespaces(plane: ControlPlane) -> list[str]:
    found = plane.request("admin", "/api/v1/namespaces").body["items"]
    return [each["metadata"]["name"] for each in found if each["metadata"]["name"].startswith("mk-demo-")]


def test_a_change_is_made_without_a_restart_and_taken_back(
    control_plane: ControlPlane, node: Node, checkout: Path
) -> None:
    install_pro(checkout)
    code, said, complained = demo(control_plane, checkout, "mk-demo-sales", "--cluster", "kubeconfig")
    assert code == 0, said + complained
    assert "dataloader_prefetch_factor 2 → 3" in said
    assert "the trainer says dataloader_prefetch_factor 3, restarts: 0" in said
    assert "the trainer says dataloader_prefetch_factor 2, restarts: 0" in said
    assert said.splitlines()[-2:] == [
        "safety artifacts: report/_demo_safety_gates",
        "drift/apply artifacts: report/_license_dev_verify report/_cl_k8s_apply_paid",
    ]
    report = json.loads((checkout / "report/_cl_k8s_apply_paid/k8s_apply_latest.json").read_bytes())
    assert (report["operation"], report["apply_ok"]) == ("rollback", True)
    assert json.loads((checkout / "report/_license_dev_verify/license_verify_latest.json").read_bytes())["license_ok"]
    nothing_is_left(control_plane, checkout)


def test_without_the_licensed_package_the_refusal_is_shown(
    control_plane: ControlPlane, node: Node, checkout: Path
) -> None:
    """On a cluster that kind made; what kind would delete is left for the tests to delete."""
    code, said, complained = demo(control_plane, checkout, "mk-demo-k8s-drift", "--keep-license")
    assert code == 0, said + complained
    assert "ERROR: apply refused (pro_not_installed)" in complained
    assert "Refused, as it must be without the licensed package. Nothing was changed." in said
    assert (checkout / "report/_license_dev_verify/modekeeper.license.json").exists()
    (made,) = namespaces(control_plane)
    created, deleted = (checkout / "kind.log").read_text().splitlines()
    assert created.startswith(f"create cluster --name {made} --kubeconfig ")
    assert deleted == f"delete cluster --name {made} --quiet"
    control_plane.request("admin", f"/api/v1/namespaces/{made}", "DELETE")
    nothing_is_left(control_plane, checkout, licence=True)


def test_one_that_is_interrupted_leaves_nothing(control_plane: ControlPlane, node: Node, checkout: Path) -> None:
    with started(control_plane, checkout, "mk-demo-k8s-drift", "--cluster", "kubeconfig") as process:
        assert process.stdout is not None
        assert any("mk k8s preflight" in line for line in process.stdout), process.stderr
        assert len(namespaces(control_plane)) == 1
        process.terminate()
        process.communicate(timeout=120)
    assert process.returncode == 143
    nothing_is_left(control_plane, checkout)


def test_what_is_kept_on_request_is_named(control_plane: ControlPlane, node: Node, checkout: Path) -> None:
    words = ("--cluster", "kubeconfig", "--keep-deploy")
    with started(control_plane, checkout, "mk-demo-k8s-drift", *words) as process:
        assert process.stdout is not None
        assert any("mk k8s preflight" in line for line in process.stdout), process.stderr
        process.terminate()
        said, _ = process.communicate(timeout=120)
    (made,) = namespaces(control_plane)
    assert f"kept: namespace {made} (kubectl delete namespace {made})" in said
    control_plane.request("admin", f"/api/v1/namespaces/{made}", "DELETE")
    nothing_is_left(control_plane, checkout)


def nothing_is_left(plane: ControlPlane, checkout: Path, *, licence: bool = False) -> None:
    wait_until(lambda: namespaces(plane) == [], "the namespace is gone")
    kept = sorted(each.name for each in (checkout / "report/_license_dev_verify").glob("*ing.json"))
    assert kept == (["development_keyring.json"] if licence else [])
    assert (checkout / "report/_license_dev_verify/modekeeper.license.json").exists() is licence
