"""``mk k8s verify``, ``apply`` and ``rollback`` as processes, with the licensed package installed, on a cluster."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.cluster.audit import position
from tests.cluster.control_plane import ControlPlane, wait_until
from tests.cluster.door.test_apply_and_rollback_for_real import settle, writes
from tests.cluster.fake_nodes import FakeNodes
from tests.cluster.verify.on_cluster import RESOURCES, create, path_of, pods, running_template, wait_for_pods
from tests.cluster_verify.worlds import KEY, item, plan_of
from tests.installed_pro import ROOT, installed_pro
from tests.published import check_all
from tests.trust.signing import b64, dumped, licence, public_bytes

from modekeeper.artifacts.canonical import document
from modekeeper.artifacts.store import FolderStore
from modekeeper.cli.clocks import SystemClock
from modekeeper.model.decision import Actuation, CurrentValueSource, Plan
from modekeeper.planning.parse_undo import parse_rollback_plan
from modekeeper.planning.undo import rollback_plan
from modekeeper.policy.situation import KnownValue
from modekeeper_pro.door.records import read_record, with_digest, write_record

HOT, COLD = Actuation.HOT, Actuation.COLD
DEPLOYMENTS = RESOURCES["Deployment"]
VERIFY_LINE = "ERROR: verify_ok=true is required for apply/mutate operations\n"


@dataclass
class Machine:
    """Somebody's machine: a folder to work in, the two packages, a licence, a kubeconfig."""

    plane: ControlPlane
    namespace: str
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def mk(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "modekeeper", *words],
            cwd=self.folder,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    def plan(self, plan: Plan, name: str = "plan.json") -> Plan:
        (self.folder / name).write_bytes(document(plan))
        return plan

    def verify(self, *words: str) -> None:
        done = self.mk("k8s", "verify", "--plan", "plan.json", "--out", "verify", *words)
        assert done.returncode == 0, done.stdout + done.stderr

    def apply(self, *words: str, out: str = "out", **environment: str) -> subprocess.CompletedProcess[str]:
        words = ("--plan", "plan.json", "--verify-report", "verify/k8s_verify_latest.json", "--out", out, *words)
        return self.mk("k8s", "apply", *words, **environment)

    def rollback(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.mk("k8s", "rollback", "--out", "out", *words)

    def report(self, out: str = "out") -> Any:
        return json.loads((self.folder / out / "k8s_apply_latest.json").read_text())

    def receipts(self) -> int:
        return len(list(self.folder.glob("out/door/*/receipts/*.json")))

    def annotations(self, name: str = "trainer", *, template: bool = False) -> dict[str, str]:
        body = self.plane.request("admin", path_of(DEPLOYMENTS, self.namespace, name)).body
        metadata = body["spec"]["template"]["metadata"] if template else body["metadata"]
        found: dict[str, str] = metadata.get("annotations", {})
        return {key: value for key, value in found.items() if key.startswith("modekeeper/")}

    def a_day_passes(self) -> None:
        """Every run of the folder was a day earlier."""
        store, number = FolderStore(self.folder / "out"), 1
        while (record := read_record(store, number)) is not None:
            earlier = msgspec.structs.replace(record, begun_at_ms=record.begun_at_ms - 86_400_000)
            write_record(store, with_digest(earlier))
            number += 1


@pytest.fixture(scope="module")
def customer(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a customer: both packages, and a development licence that ``mk-license dev`` made."""
    folder = tmp_path_factory.mktemp("customer")
    environment = installed_pro(folder / "site")
    vendor = {"PATH": os.defpath, "PYTHONPATH": os.pathsep.join((str(ROOT / "packages/license-gate/src"), *sys.path))}
    done = subprocess.run(
        [sys.executable, "-m", "modekeeper_license_gate", "dev", "--out", str(folder / "demo")],
        env=vendor,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return environment | {
        "MK_LICENSE_GATE_PUBLIC_KEYS_PATH": str(folder / "demo/development_keyring.json"),
        "MODEKEEPER_LICENSE_PATH": str(folder / "demo/modekeeper.license.json"),
        "XDG_STATE_HOME": str(folder / "state"),
    }


@pytest.fixture
def machine(
    control_plane: ControlPlane, namespace: str, kwok: FakeNodes, customer: dict[str, str], tmp_path: Path
) -> Machine:
    kubectl = {"KUBECTL": str(control_plane.binaries / "kubectl")}
    environment = control_plane.environment("admin") | customer | kubectl
    return Machine(control_plane, namespace, tmp_path, environment)


def trainer(machine: Machine, value: str | None = "2") -> None:
    """A Deployment with two pods, which carry a value, or none."""
    values = {} if value is None else {"annotations": {KEY: value}}
    create(machine.plane, machine.namespace, "Deployment", metadata=values, template=running_template(**values))
    wait_for_pods(machine.plane, machine.namespace, 2)
    settle(machine.plane, machine.namespace)


def one(machine: Machine, actuation: Actuation, value: str = "4") -> Plan:
    return plan_of(item(actuation, namespace=machine.namespace, value=value))


def changes_of(machine: Machine, since: int) -> list[int]:
    return writes(machine.plane, machine.namespace, since)


@pytest.mark.parametrize("client", ["api", "kubectl"])
def test_verified_applied_audited_and_taken_back(client: str, machine: Machine) -> None:
    trainer(machine)
    machine.plan(one(machine, HOT))
    way = ("--cluster-client", client)
    machine.verify(*way)
    since = position(machine.plane)
    done = machine.apply(*way)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "apply_ok=true block_reason=none items=1 items_done=1" in done.stdout
    assert machine.annotations() == {KEY: "4"}
    assert [pod["metadata"]["annotations"][KEY] for pod in pods(machine.plane, machine.namespace)] == ["4", "4"]
    assert changes_of(machine, since) == [200] * 3
    assert machine.receipts() == 3

    report = machine.report()
    assert report["rollback_plan_path"] == "out/rollback_plan_latest.json"
    undo = parse_rollback_plan((machine.folder / "out/rollback_plan_latest.json").read_bytes())
    assert (undo.plan_digest, undo.items[0].keys[KEY].value) == (report["plan_digest"], "2")
    bundle = json.loads((machine.folder / "out/policy_bundle_latest.json").read_text())
    assert bundle["plan_digest"] == report["plan_digest"]
    assert bundle["rollback"]["rollback_plan_path"] == report["rollback_plan_path"]
    assert check_all(machine.folder / "out") > 4

    # The same plan again: nothing is left to do, and nothing is written.
    again = machine.apply(*way)
    assert again.returncode == 0, again.stderr
    assert machine.report()["rollback_plan_path"] == "out/rollback_plan_latest.json"
    assert (changes_of(machine, since), machine.receipts()) == ([200] * 3, 3)

    back = machine.rollback("--rollback-plan", "out/rollback_plan_latest.json", *way)
    assert back.returncode == 0, back.stdout + back.stderr
    assert machine.report()["rollback_plan_path"] == "out/rollback_plan_latest.json"
    assert machine.annotations() == {KEY: "2"}
    assert (changes_of(machine, since), machine.receipts()) == ([200] * 6, 6)
    assert machine.rollback().returncode == 0
    assert machine.receipts() == 6


def test_what_the_job_runs_with_is_taken_from_beside_the_plan(machine: Machine) -> None:
    """No annotation says the value now: a step can only be measured from what telemetry said, in the rollback plan."""
    trainer(machine, None)
    plan = machine.plan(one(machine, HOT))
    machine.verify()
    done = machine.apply()
    assert (done.returncode, machine.report()["block_reason"]) == (2, "invariant_violated")
    assert "what dataloader_prefetch_factor is set to now is not known" in done.stderr

    known = {"dataloader_prefetch_factor": KnownValue(value=2, source=CurrentValueSource.TELEMETRY)}
    told = document(rollback_plan(plan, known))
    other = plan_of(item(HOT, namespace=machine.namespace, value="3"))
    (machine.folder / "other.json").write_bytes(document(rollback_plan(other, known)))
    done = machine.apply("--rollback-plan", "other.json")
    assert done.returncode == 2
    assert done.stderr == "ERROR: 'other.json' is of another plan than 'plan.json'. Give the two that fit.\n"

    (machine.folder / "rollback_plan_latest.json").write_bytes(told)
    done = machine.apply()
    assert done.returncode == 0, done.stderr
    assert machine.annotations() == {KEY: "4"}
    # What the door found is what the way back says: no annotation.
    undo = parse_rollback_plan((machine.folder / "out/rollback_plan_latest.json").read_bytes())
    assert (undo.items[0].keys[KEY].value, undo.items[0].keys[KEY].source) == (None, "cluster")
    # The records of the door are enough without that file, and for an order that names the plan.
    (machine.folder / "out/rollback_plan_latest.json").unlink()
    machine.plan(other, "another.json")
    assert machine.rollback("--plan", "another.json").returncode == 0
    assert machine.annotations() == {KEY: "4"}
    assert machine.rollback().returncode == 0
    assert machine.annotations() == {}


def refused(
    machine: Machine, reason: str, line: str, words: Sequence[str] = (), out: str = "out", **environment: str
) -> None:
    done = machine.apply(*words, out=out, **environment)
    report = machine.report(out)
    assert (done.returncode, report["block_reason"]) == (2, reason), done.stderr
    assert line in done.stderr, done.stderr
    assert done.stderr.count("\n") == 1
    assert (report["apply_ok"], report["apply_attempted"]) == (False, False)
    assert check_all(machine.folder / out) > 2


def test_each_refusal_has_its_code_its_line_and_its_artifact(machine: Machine, tmp_path: Path) -> None:
    trainer(machine)
    machine.plan(one(machine, COLD))
    machine.verify()
    since = position(machine.plane)
    yes = ["--approve-advanced"]

    machine.plan(one(machine, COLD, "3"), "other.json")
    words = ("--verify-report", "verify/k8s_verify_latest.json", "--out", "out", *yes)
    done = machine.mk("k8s", "apply", "--plan", "other.json", *words)
    assert (done.returncode, done.stderr) == (2, VERIFY_LINE)
    assert "verify_plan_mismatch: the verification is of another plan\n" in done.stdout

    refused(machine, "license_missing", "apply refused (license_missing): ", yes, MODEKEEPER_LICENSE_PATH="")
    refused(machine, "license_expired", "apply refused (license_expired): ", yes, **expired_licence(tmp_path))
    refused(machine, "approval_required", "approve with --approve-advanced")
    done = machine.mk("k8s", "apply", "--plan", "plan.json", "--out", "empty", *yes)
    assert (done.returncode, done.stderr) == (2, VERIFY_LINE)
    assert machine.report("empty")["block_reason"] == "verify_missing"

    refused(machine, "kill_switch_active", "apply refused (kill_switch_active)", yes, MODEKEEPER_KILL_SWITCH="1")
    (tmp_path / "stop").touch()
    refused(machine, "kill_switch_active", "kill_switch_active", [*yes, "--kill-switch-file", "stop"])
    maps = f"/api/v1/namespaces/{machine.namespace}/configmaps"
    body = {"metadata": {"name": "modekeeper-kill-switch"}, "data": {"active": "true"}}
    assert machine.plane.request("admin", maps, "POST", body).status == 201
    refused(machine, "kill_switch_active", "configmap:", yes)
    machine.plane.request("admin", f"{maps}/modekeeper-kill-switch", "DELETE")

    edit = {"spec": {"template": {"metadata": {"annotations": {KEY: "3"}}}}}
    path = path_of(DEPLOYMENTS, machine.namespace, "trainer")
    assert machine.plane.request("admin", path, "PATCH", edit).status == 200
    refused(machine, "target_changed", f"{KEY} was '2' and is '3'", yes)

    settle(machine.plane, machine.namespace)
    machine.verify("--valid-for", "1s")
    time.sleep(1)
    refused(machine, "verify_expired", VERIFY_LINE, yes)
    assert changes_of(machine, since) == []
    assert machine.receipts() == 0


def expired_licence(folder: Path) -> dict[str, str]:
    now = SystemClock().now()
    issued, expires = (f"{now - timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}" for days in (9, 1))
    files = {
        "old.json": licence(issued_at=issued, expires_at=expires),
        "keys.json": dumped({"vendor-2026": b64(public_bytes("vendor-2026"))}),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
        (folder / name).chmod(0o644)
    return {
        "MODEKEEPER_LICENSE_PATH": str(folder / "old.json"),
        "MK_LICENSE_GATE_PUBLIC_KEYS_PATH": str(folder / "keys.json"),
        "XDG_STATE_HOME": str(folder),
    }


@pytest.mark.parametrize("client", ["api", "kubectl"])
def test_a_change_without_a_receipt_is_in_the_verification_and_stops_the_apply(client: str, machine: Machine) -> None:
    trainer(machine)
    machine.plan(one(machine, HOT))
    not_asked = machine.mk("k8s", "verify", "--plan", "plan.json", "--out", "verify")
    assert "AUDIT  not checked: name the folder of earlier applies with --receipts" in not_asked.stdout
    assert machine.apply().returncode == 0

    words = ("k8s", "verify", "--plan", "next.json", "--out", "verify", "--receipts", "out")
    machine.plan(one(machine, HOT, "6"), "next.json")
    fine = machine.mk(*words)
    assert fine.returncode == 0, fine.stderr
    assert "AUDIT  checked: 0 changes under our field manager without a receipt (3 objects, 3 receipts)" in fine.stdout

    annotate = ("annotate", "--overwrite", "--field-manager=modekeeper", "--namespace", machine.namespace)
    assert machine.plane.kubectl("admin", *annotate, "deployment/trainer", f"{KEY}=8").returncode == 0
    found = machine.mk(*words, "--cluster-client", client)
    assert found.returncode == 2
    assert found.stderr.startswith("ERROR: the plan is not verified: Deployment/trainer in namespace")
    assert "was changed under our field manager without a receipt" in found.stderr
    report = json.loads((machine.folder / "verify/k8s_verify_latest.json").read_text())
    assert (report["ok"], report["verify_blocker"]["kind"]) == (False, "unknown")
    assert report["items"][0]["problems"][0]["code"] == "unreceipted_change"
    assert [each["values"] for each in report["audit"]["incidents"]] == [{KEY: "8"}]
    assert "without a receipt" in (machine.folder / "verify/k8s_verify_summary.md").read_text()
    assert check_all(machine.folder / "verify") > 1
    nowhere = machine.mk(*words[:-1], "nowhere")
    assert nowhere.returncode == 2
    assert nowhere.stderr == "ERROR: there is no folder 'nowhere' with receipts. Name the --out of applies.\n"
    # Verified in the folder of the applies, the receipts there are used without being named.
    assert machine.mk("k8s", "verify", "--plan", "next.json", "--out", "out").returncode == 2

    # Also where the verification does not say so, the door looks for itself.
    machine.a_day_passes()
    machine.plan(one(machine, HOT, "6"))
    machine.verify()
    done = machine.apply()
    assert (done.returncode, machine.report()["block_reason"]) == (2, "target_changed")
    assert "without a receipt" in done.stderr


COUNT = 30


def many(machine: Machine) -> Plan:
    names = [f"trainer-{number:02d}" for number in range(COUNT)]
    for name in names:
        labels = {"app": name}
        template = running_template(annotations={KEY: "2"})
        template["metadata"]["labels"] = labels
        selector = {"matchLabels": labels}
        create(
            machine.plane, machine.namespace, "Deployment", name=name, template=template, selector=selector, replicas=1
        )
    wait_for_pods(machine.plane, machine.namespace, COUNT)
    return machine.plan(plan_of(*(item(COLD, namespace=machine.namespace, name=name) for name in names)))


def values(machine: Machine) -> list[str]:
    listed = machine.plane.request("admin", path_of(DEPLOYMENTS, machine.namespace)).body["items"]
    return [each["spec"]["template"]["metadata"]["annotations"][KEY] for each in listed]


def killed(machine: Machine, after: int) -> int:
    """Kill an apply as soon as there are so many receipts; how many objects it had changed."""
    words = ("--plan", "plan.json", "--verify-report", "verify/k8s_verify_latest.json", "--out", "out")
    process = subprocess.Popen(
        [sys.executable, "-m", "modekeeper", "k8s", "apply", "--approve-advanced", *words],
        cwd=machine.folder,
        env=machine.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 60
        while machine.receipts() < after and process.poll() is None and time.monotonic() < until:
            time.sleep(0.001)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL
    return values(machine).count("4")


def test_killed_in_the_middle_of_thirty_objects_taken_back_and_applied_again(machine: Machine) -> None:
    """The files on disk are enough for a new process, whichever way it goes."""
    many(machine)
    machine.verify()
    changed = killed(machine, after=7)
    assert 7 <= changed < COUNT

    back = machine.rollback("--rollback-plan", "out/rollback_plan_latest.json")
    assert back.returncode == 0, back.stdout + back.stderr
    assert values(machine) == ["2"] * COUNT
    assert machine.receipts() == 2 * changed

    # What was taken back is locked for a while, against going to and fro.
    settled(machine)
    machine.verify()
    refused(machine, "cooldown_active", "locked after a change was taken back", ["--approve-advanced"])
    machine.a_day_passes()
    changed = killed(machine, after=2 * changed + 7)
    assert 7 <= changed < COUNT
    # Applied again, it goes on where it was cut off.
    done = machine.apply("--approve-advanced")
    assert done.returncode == 0, done.stderr
    assert values(machine) == ["4"] * COUNT
    assert f"items={COUNT} items_done={COUNT}" in done.stdout
    undo = parse_rollback_plan((machine.folder / "out/rollback_plan_latest.json").read_bytes())
    assert {each.keys[KEY].value for each in undo.items} == {"2"}
    assert machine.rollback().returncode == 0
    assert values(machine) == ["2"] * COUNT
    audit = machine.mk("k8s", "verify", "--plan", "plan.json", "--out", "verify", "--receipts", "out")
    assert "AUDIT  checked: 0 changes under our field manager without a receipt (" in audit.stdout


def settled(machine: Machine) -> None:
    """The rollouts are over, and no old pod is left."""

    def over() -> bool:
        listed = machine.plane.request("admin", path_of(DEPLOYMENTS, machine.namespace)).body["items"]
        ready = all(
            each["status"].get("readyReplicas") == each["status"].get("updatedReplicas") == 1
            and each["status"].get("observedGeneration") == each["metadata"]["generation"]
            for each in listed
        )
        return ready and len(pods(machine.plane, machine.namespace)) == COUNT

    wait_until(over, "the rollouts are over", 90)
