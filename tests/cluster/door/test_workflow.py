"""docs/WORKFLOW.md on the real API server: the command lines of each step, each handing the next one a file."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.control_plane import ControlPlane
from tests.cluster.door.test_apply_and_rollback_for_real import settle
from tests.cluster.fake_nodes import FakeNodes
from tests.cluster.verify.on_cluster import RESOURCES, create, path_of, pods, running_template, wait_for_pods
from tests.trust.signing import b64, dumped, licence, public_bytes

from modekeeper.cli import actuators
from modekeeper.cli.clocks import SystemClock
from modekeeper.cli.main import main
from modekeeper_pro.actuator import DoorActuator
from modekeeper_pro.approving.main import PASSPHRASE_VARIABLE
from modekeeper_pro.approving.main import main as approve

KEY = "modekeeper/knob.timeout_ms"
PLAN, SEEN, DOOR = "report/plan/k8s_plan.json", "report/k8s-verify/k8s_verify_latest.json", "report/k8s-apply"
APPLY = ("k8s", "apply", "--plan", PLAN, "--verify-report", SEEN, "--out", DOOR)
SIGN = ("sign", "--plan", PLAN, "--verify-report", SEEN, "--key", "ada.key.pem", "--kid", "ada", "--yes")


class Installed:
    """An entry point of the licensed package, which is not installed beside these tests."""

    value = "modekeeper_pro.actuator:DoorActuator"

    def load(self) -> type[DoorActuator]:
        return DoorActuator


@pytest.fixture
def job(control_plane: ControlPlane, namespace: str, kwok: FakeNodes, tmp_path: Path) -> Callable[[], dict[str, Any]]:
    """A job that runs with a timeout of 30 s; what its annotations say."""
    annotations = {KEY: "30000"}
    create(
        control_plane,
        namespace,
        "Deployment",
        metadata={"annotations": annotations},
        template=running_template(annotations=annotations),
    )
    wait_for_pods(control_plane, namespace, 2)
    settle(control_plane, namespace)

    def live() -> dict[str, Any]:
        body = control_plane.request("admin", path_of(RESOURCES["Deployment"], namespace, "trainer")).body
        told = {pod["metadata"]["annotations"].get(KEY) for pod in pods(control_plane, namespace)}
        return {"record": body["metadata"]["annotations"].get(KEY), "pods": told}

    return live


@pytest.fixture
def place(control_plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a licence, and the environment of the identity that applies."""
    monkeypatch.chdir(tmp_path)
    now = SystemClock().now()
    uid = control_plane.request("admin", "/api/v1/namespaces/kube-system").body["metadata"]["uid"]
    times = {
        "issued_at": f"{now - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}",
        "expires_at": f"{now + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}",
    }
    bound = {"cluster": uid, "org": "Acme GmbH"}
    for name, data in {
        "modekeeper.license.json": licence(bindings=bound, **times),
        "keys.json": dumped({"vendor-2026": b64(public_bytes("vendor-2026"))}),
    }.items():
        (tmp_path / name).write_bytes(data)
        (tmp_path / name).chmod(0o644)
    for name, value in {
        **control_plane.environment("admin"),
        "MK_LICENSE_GATE_PUBLIC_KEYS_PATH": "keys.json",
        "MODEKEEPER_APPROVERS_PATH": "approvers.json",
        "MODEKEEPER_ORG": "Acme GmbH",
        "XDG_STATE_HOME": str(tmp_path),
        PASSPHRASE_VARIABLE: "correct-horse-battery-staple",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("MODEKEEPER_KILL_SWITCH", "MODEKEEPER_LICENSE_PATH", "MODEKEEPER_PINNED_CLOCK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(actuators, "entry_points", lambda **_: [Installed()])
    return tmp_path


def reported(*words: str, code: int = 0) -> dict[str, Any]:
    assert main(words) == code
    found: dict[str, Any] = json.loads(Path(DOOR, "k8s_apply_latest.json").read_text())
    return found


def test_every_step_hands_the_next_one_a_file(
    job: Callable[[], dict[str, Any]], place: Path, namespace: str, control_plane: ControlPlane
) -> None:
    before = job()
    target = ("--k8s-namespace", namespace, "--k8s-deployment", "trainer")
    assert main(["plan", "--scenario", "straggler", *target, "--approve-advanced", "--out", "report/plan"]) == 0
    assert main(["verify", "--plan", PLAN, "--out", "report/k8s-verify"]) == 0

    refused = reported(*APPLY, code=2)
    assert refused["block_reasons"] == ["approval_required"]
    assert refused["approval"]["required"] is True
    assert job() == before

    assert approve(["keygen", "--kid", "ada", "--key", "ada.key.pem", "--public", "approvers.json"]) == 0
    assert approve([*SIGN, "--approver", "Ada Lovelace", "--out", "report/approval.json"]) == 0
    Path("stop").touch()
    held = reported(*APPLY, "--approval", "report/approval.json", "--kill-switch-file", "stop", code=2)
    assert held["block_reasons"] == ["kill_switch_active"]
    Path("stop").unlink()

    report = reported(*APPLY, "--approval", "report/approval.json", "--kill-switch-file", "stop")
    assert (report["apply_ok"], report["approval"]["signed_by"]) == (True, ["ada"])
    assert report["license"]["org"] == "Acme GmbH"
    assert job() == {"record": "45000", "pods": {"45000"}}
    receipts = [json.loads(path.read_text()) for path in Path(DOOR).glob("door/0001/receipts/*.json")]
    assert len(receipts) == 3
    assert {tuple(each["approved_by"]) for each in receipts} == {("ada",)}
    events = [json.loads(line) for line in Path(DOOR, "explain.jsonl").read_text().splitlines()]
    assert [each["payload"]["approver"] for each in events if each["event"] == "apply_approval"] == ["Ada Lovelace"]

    undo = "report/plan/rollback_plan_latest.json"
    back = reported("k8s", "rollback", "--rollback-plan", undo, "--out", DOOR)
    assert back["apply_ok"]
    assert job() == before


def test_a_licence_for_an_organisation_nobody_told_of_changes_nothing(
    job: Callable[[], dict[str, Any]], place: Path, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = job()
    target = ("--k8s-namespace", namespace, "--k8s-deployment", "trainer")
    assert main(["plan", "--scenario", "straggler", *target, "--approve-advanced", "--out", "report/plan"]) == 0
    assert main(["verify", "--plan", PLAN, "--out", "report/k8s-verify"]) == 0
    monkeypatch.delenv("MODEKEEPER_ORG")
    report = reported(*APPLY, "--approve-advanced", code=2)
    assert report["block_reasons"] == ["binding_mismatch"]
    assert report["license"]["failure_code"] == "org_unknown"
    assert job() == before
