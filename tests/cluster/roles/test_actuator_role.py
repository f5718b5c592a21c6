"""The role of who applies, with the policy that goes with it: apply and rollback need no more, and it opens no more."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.cluster import audit
from tests.cluster.admission.conftest import POLICY, SHIPPED_IDENTITY
from tests.cluster.control_plane import Answer, ControlPlane, wait_until
from tests.cluster.door.test_apply_and_rollback_for_real import settle, verified
from tests.cluster.fake_nodes import FakeNodes
from tests.cluster.roles.shipped import bind, bind_in_the_cluster, rules_of, unbind_in_the_cluster
from tests.cluster.roles.test_roles import READING, SELF_REVIEWS, addresses, resources
from tests.cluster.verify.on_cluster import RESOURCES, create, path_of, pods, reading, running_template, wait_for_pods
from tests.cluster_verify.worlds import KEY, item, plan_of
from tests.trust.approving import approval
from tests.trust.signing import b64, dumped, licence, public_bytes

from modekeeper.artifacts.canonical import document
from modekeeper.artifacts.contracts.k8s_apply import K8sApplyReport
from modekeeper.artifacts.store import FolderStore
from modekeeper.cli.clocks import SystemClock
from modekeeper.model.decision import Actuation
from modekeeper.model.workload import WORKLOAD_KINDS
from modekeeper.ports.actuator import ApplyOrder, ClusterWay, GivenFile
from modekeeper_pro.actuator import DoorActuator

ACCOUNT = "modekeeper-actuator"
DEPLOYMENTS = RESOURCES["Deployment"]


@dataclass(frozen=True)
class Applier:
    """A service account with the shipped role, the shipped ClusterRole and the shipped policy."""

    plane: ControlPlane
    user: str
    namespace: str
    kubeconfig: Path

    def request(self, path: str, method: str = "GET", body: Any = None) -> Answer:
        return self.plane.request(self.user, path, method, body)

    def patch(self, body: Any, query: str = "") -> Answer:
        return self.request(f"{path_of(DEPLOYMENTS, self.namespace, 'trainer')}{query}", "PATCH", body)


def labelled(applier: Applier) -> Answer:
    return applier.patch({"metadata": {"labels": {"modekeeper-probe": "1"}}}, "?dryRun=All")


@pytest.fixture
def applier(control_plane: ControlPlane, namespace: str, kwok: FakeNodes, tmp_path: Path) -> Iterator[Applier]:
    metadata = {"annotations": {KEY: "2", "somebody/else": "x"}}
    create(control_plane, namespace, "Deployment", metadata=metadata, template=running_template(annotations={KEY: "2"}))
    wait_for_pods(control_plane, namespace, 2)
    settle(control_plane, namespace)
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    assert control_plane.request("admin", accounts, "POST", {"metadata": {"name": ACCOUNT}}).status == 201
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    answer = control_plane.request("admin", f"{accounts}/{ACCOUNT}/token", "POST", asked)
    user = f"system:serviceaccount:{namespace}:{ACCOUNT}"
    plane = replace(control_plane, tokens={**control_plane.tokens, user: answer.body["status"]["token"]})
    bind(plane, user, namespace, "actuator")
    binding = bind_in_the_cluster(plane, user)
    text = POLICY.read_text(encoding="utf-8").replace(SHIPPED_IDENTITY, user)
    assert plane.kubectl("admin", "apply", "-f", "-", stdin=text).returncode == 0
    made = Applier(plane, user, namespace, plane.write_kubeconfig(tmp_path / "kubeconfig.json", user))
    wait_until(lambda: labelled(made).status == 422, "the policy is in force")
    yield made
    assert plane.kubectl("admin", "delete", "-f", str(POLICY)).returncode == 0
    unbind_in_the_cluster(plane, user, binding)


class Order:
    """A plan for the trainer, approved by a second person, ordered as the identity that may apply."""

    def __init__(self, applier: Applier, folder: Path, actuation: Actuation) -> None:
        self.applier, self.folder = applier, folder
        self.plan = plan_of(item(actuation, namespace=applier.namespace))
        self.uid = applier.request("/api/v1/namespaces/kube-system").body["metadata"]["uid"]
        with reading(applier.plane, "admin") as reader:
            self.verification = verified(folder, reader, self.plan)
        now = SystemClock().now()
        begins, ends = (f"{now + timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}" for hours in (-1, 1))
        self._write("licence.json", licence(bindings={"cluster": self.uid}, issued_at=begins, expires_at=ends))
        self._write("keys.json", dumped({"vendor-2026": b64(public_bytes("vendor-2026"))}))
        self._write("approvers.json", dumped({"ada": b64(public_bytes("ada"))}))
        self.times = {"approved_at": begins, "expires_at": ends}
        self.approval = approval(plan_digest=self.plan.digest, cluster_uid=self.uid, **self.times)

    def _write(self, name: str, data: bytes) -> None:
        (self.folder / name).write_bytes(data)
        (self.folder / name).chmod(0o644)

    def order(self, **changes: Any) -> ApplyOrder:
        plane = self.applier.plane
        plain: dict[str, Any] = {
            "plan": GivenFile(path="k8s_plan.json", data=document(self.plan)),
            "verification": GivenFile(path="k8s_verify_latest.json", data=self.verification),
            "license_path": str(self.folder / "licence.json"),
            "approval": GivenFile(path="approval.json", data=self.approval),
            "approvers_path": str(self.folder / "approvers.json"),
            "cluster": ClusterWay(kubeconfig=str(self.applier.kubeconfig), request_timeout_s=20),
            "store": FolderStore(self.folder / "out"),
            "clock": SystemClock(),
            "environment": plane.environment("stranger")
            | {"MK_LICENSE_GATE_PUBLIC_KEYS_PATH": str(self.folder / "keys.json"), "XDG_STATE_HOME": str(self.folder)},
        }
        return ApplyOrder(**(plain | changes))

    def live(self) -> dict[str, Any]:
        plane, namespace = self.applier.plane, self.applier.namespace
        body = plane.request("admin", path_of(DEPLOYMENTS, namespace, "trainer")).body
        found = {
            "own": body["metadata"]["annotations"].get(KEY),
            "template": body["spec"]["template"]["metadata"]["annotations"].get(KEY),
        }
        return found | {"pods": {pod["metadata"]["annotations"].get(KEY) for pod in pods(plane, namespace)}}


@pytest.mark.parametrize("actuation", [Actuation.HOT, Actuation.COLD])
def test_apply_and_rollback_need_no_more_than_is_shipped(
    actuation: Actuation, applier: Applier, tmp_path: Path
) -> None:
    made = Order(applier, tmp_path, actuation)
    before, since = made.live(), audit.position(applier.plane)
    report = DoorActuator().apply(made.order())
    assert report.apply_ok, (report.block_reasons, report.detail)
    assert report.approval.signed_by == ("ada",)
    assert report.approval.approve_advanced is False
    after = made.live()
    if actuation is Actuation.HOT:
        assert (after["own"], after["template"], after["pods"]) == ("4", "2", {"4"})
    else:
        assert after["template"] == "4"
    if actuation is Actuation.COLD:
        settle(applier.plane, applier.namespace)
    back = DoorActuator().rollback(made.order(approval=None))
    assert back.apply_ok, back.detail
    if actuation is Actuation.HOT:
        assert made.live() == before
    else:
        assert made.live()["template"] == "2"
    asked = audit.events(applier.plane, applier.user, since)
    wrote = [event for event in asked if event.mutates]
    receipts = len(list((tmp_path / "out").glob("door/*/receipts/*.json")))
    # 409: somebody wrote a status in between, and the write was tried again.
    assert [event.status for event in wrote if event.status != 409] == [200] * receipts
    assert receipts == (6 if actuation is Actuation.HOT else 2)
    assert {event.verb for event in wrote} == {"patch"}
    # What it was refused on the way is what others may see of the cluster, and what it may do without.
    assert [event.path for event in asked if event.status in (401, 403)] == [
        event.path for event in asked if event.resource == "namespaces" and event.name == applier.namespace
    ]


def refused(report: K8sApplyReport, code: str) -> None:
    assert (report.apply_ok, report.apply_attempted, report.block_reason) == (False, False, "approval_required")
    assert report.approval.failure_code == code, report.detail


def test_an_approval_for_another_cluster_or_plan_changes_nothing(applier: Applier, tmp_path: Path) -> None:
    made = Order(applier, tmp_path, Actuation.HOT)
    before = made.live()
    other = plan_of(item(Actuation.COLD, namespace=applier.namespace))
    for data, code in (
        (approval(plan_digest=made.plan.digest, cluster_uid="another", **made.times), "cluster_mismatch"),
        (approval(plan_digest=other.digest, cluster_uid=made.uid, **made.times), "plan_mismatch"),
        (approval(plan_digest=made.plan.digest, cluster_uid=made.uid), "approval_expired"),
        (made.approval.replace(made.plan.digest.encode(), other.digest.encode()), "signature_mismatch"),
        (b"{}", "schema_unsupported"),
    ):
        given = GivenFile(path="approval.json", data=data)
        refused(DoorActuator().apply(made.order(approval=given, approve_advanced=True)), code)
    refused(DoorActuator().apply(made.order(approvers_path=None, approve_advanced=True)), "approvers_not_given")
    assert made.live() == before


def test_the_same_identity_can_change_nothing_but_our_annotations(applier: Applier) -> None:
    container = {"name": "trainer", "image": "registry.invalid/evil:1"}
    for body in (
        {"spec": {"template": {"spec": {"containers": [container]}}}},
        {"spec": {"replicas": 0}},
        {"metadata": {"labels": {"a": "b"}}},
        {"metadata": {"annotations": {"somebody/else": "y"}}},
        {"metadata": {"annotations": {"modekeeper.io/x": "y"}}},
        {"metadata": {"annotations": {KEY: "9"}}, "spec": {"paused": True}},
    ):
        answer = applier.patch(body)
        assert answer.status == 422, (body, answer.body)
        assert "ValidatingAdmissionPolicy" in answer.body["message"]


def test_the_role_opens_nothing_else_of_everything_the_server_knows(applier: Applier) -> None:
    admitted, tried = set(), 0
    for path, resource in resources(applier.plane):
        if resource["name"] in SELF_REVIEWS:
            continue
        for namespace in (applier.namespace, "kube-system"):
            for verb, method, address in addresses(path, resource, namespace, "no-such-object"):
                tried += 1
                if applier.request(address, method, {}).status != 403:
                    admitted.add((verb, resource["name"], namespace))
    served = {"deployments", "statefulsets", "jobs", "pods"}
    assert admitted == {("patch", name, applier.namespace) for name in served}
    assert tried > 300
    for kind in ("secrets", "configmaps", "events", "services"):
        assert applier.request(f"/api/v1/namespaces/{applier.namespace}/{kind}").status == 403
    for way in ("exec?command=true", "attach", "portforward", "proxy/", "log"):
        assert applier.request(f"/api/v1/namespaces/{applier.namespace}/pods/trainer/{way}").status == 403


def test_its_rules_are_reading_and_patching_of_jobs_and_pods_and_one_config_map(applier: Applier) -> None:
    rules = rules_of(applier.plane, "actuator", applier.namespace)
    maps = [rule for rule in rules if "configmaps" in rule["resources"]]
    assert [(rule["verbs"], rule["resourceNames"]) for rule in maps] == [(["get"], ["modekeeper-kill-switch"])]
    others = [rule for rule in rules if rule not in maps]
    assert {tuple(rule["verbs"]) for rule in others} == {("get", "list", "patch")}
    kinds = {(kind.group, kind.plural) for kind in WORKLOAD_KINDS} | {("", "pods")}
    assert {(group, name) for rule in others for group in rule["apiGroups"] for name in rule["resources"]} == kinds
    assert {verb for rule in rules_of(applier.plane, "observer", None) for verb in rule["verbs"]} <= READING
