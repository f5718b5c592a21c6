"""What the API server writes down of a change, and what the audit makes of it: on the real one, with both writers."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.audit import position
from tests.cluster.control_plane import ControlPlane
from tests.cluster.door.test_apply_and_rollback_for_real import (
    asked,
    doors,
    receipts,
    settle,
    verified,
    writer,
    writes,
)
from tests.cluster.fake_nodes import FakeNodes
from tests.cluster.verify.on_cluster import (
    RESOURCES,
    create,
    manifest,
    path_of,
    pods,
    reading,
    running_template,
    wait_for_pods,
)
from tests.cluster_verify.worlds import KEY, item, plan_of

from modekeeper.artifacts.canonical import document
from modekeeper.artifacts.contracts.k8s_apply import K8sApplyReport
from modekeeper.cluster.audit.judge import UnreceiptedChange, unreceipted
from modekeeper.cluster.audit.looking import Audit, audit, find_unreceipted
from modekeeper.cluster.audit.owned_fields import owned_fields
from modekeeper.cluster.audit.receipt_book import no_receipts
from modekeeper.model.cluster import JsonObject
from modekeeper.model.decision import Actuation, BlockReason, Plan, Target
from modekeeper_pro.door.apply import apply
from modekeeper_pro.door.case import ApplyRequest
from modekeeper_pro.door.journal import Event, Journal
from modekeeper_pro.door.ports import DoorPorts
from modekeeper_pro.door.report import apply_report, rollback_report
from modekeeper_pro.door.rollback import rollback
from modekeeper_pro.door.writer import Writer

HOT, COLD = Actuation.HOT, Actuation.COLD
DEPLOYMENTS = RESOURCES["Deployment"]


@dataclass
class World:
    """A Deployment with two live pods, a folder, and a door."""

    plane: ControlPlane
    namespace: str
    folder: Path

    @property
    def target(self) -> Target:
        return Target(namespace=self.namespace, kind="Deployment", name="trainer")

    @property
    def path(self) -> str:
        return path_of(DEPLOYMENTS, self.namespace, "trainer")

    @property
    def out(self) -> Path:
        (self.folder / "apply").mkdir(exist_ok=True)
        return self.folder / "apply"

    def got(self) -> JsonObject:
        found: JsonObject = self.plane.request("admin", self.path).body
        return found

    def pod(self) -> JsonObject:
        return pods(self.plane, self.namespace)[0]

    def pod_path(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods/{self.pod()['metadata']['name']}"

    def patch(self, path: str, manager: str, values: dict[str, str | None], *, template: bool = False) -> None:
        body: JsonObject = {"metadata": {"annotations": values}}
        body = {"spec": {"template": body}} if template else body
        assert self.plane.request("admin", f"{path}?fieldManager={manager}", "PATCH", body).status == 200

    def plan(self, actuation: Actuation, value: str = "4") -> Plan:
        return plan_of(item(actuation, namespace=self.namespace, value=value))

    def applied(self, plan: Plan, ports: DoorPorts) -> K8sApplyReport:
        settle(self.plane, self.namespace)
        request = ApplyRequest(
            plan=document(plan), verification=verified(self.folder, ports.reader, plan), approve_advanced=True
        )
        return apply_report(apply(request, ports), asked())

    def audited(self) -> Audit:
        with reading(self.plane, "admin") as reader:
            return audit(reader, [self.target], self.out)

    def incidents(self) -> list[UnreceiptedChange]:
        found = self.audited()
        assert found.complete, found.unread
        return [each.change for each in found.incidents]


@pytest.fixture
def world(control_plane: ControlPlane, namespace: str, kwok: FakeNodes, tmp_path: Path) -> World:
    create(control_plane, namespace, "Deployment", template=running_template(annotations={KEY: "2"}))
    wait_for_pods(control_plane, namespace, 2)
    settle(control_plane, namespace)
    # The verification starts from what the pods run with.
    patch = {"metadata": {"annotations": {KEY: "2"}}}
    assert control_plane.request("admin", path_of(DEPLOYMENTS, namespace, "trainer"), "PATCH", patch).status == 200
    return World(control_plane, namespace, tmp_path)


def opened(world: World, reader: Any, client: str = "api") -> tuple[DoorPorts, Writer]:
    made = writer(world.plane, client)
    return doors(world.folder, reader, made), made


ANNOTATION = ("f:metadata", "f:annotations", f"f:{KEY}")
IN_TEMPLATE = ("f:spec", "f:template", *ANNOTATION)


def owned(found: JsonObject) -> list[tuple[str, ...]]:
    """Every leaf our field manager owns."""
    return [path for entry in owned_fields(found, "modekeeper") for path in entry.paths]


@pytest.mark.parametrize("client", ["api", "kubectl"])
@pytest.mark.parametrize(("actuation", "expected"), [(HOT, ANNOTATION), (COLD, IN_TEMPLATE)])
def test_what_the_door_writes_is_accounted_for(
    actuation: Actuation, expected: tuple[str, ...], client: str, world: World
) -> None:
    """Both writers leave the same entries, and the audit is content after an apply and after a rollback."""
    with reading(world.plane, "admin") as reader:
        ports, made = opened(world, reader, client)
        plan = world.plan(actuation)
        report = world.applied(plan, ports)
        assert report.apply_ok, (report.block_reasons, report.detail)
        assert owned(world.got()) == [expected]
        assert owned(world.pod()) == ([expected] if actuation is HOT else [])
        assert world.incidents() == []
        assert rollback_report(rollback(plan.digest, ports), asked()).apply_ok
        made.close()
    # Put back to what it was, it is still under our name, and the receipt of the way back says so.
    assert owned(world.got()) == [expected]
    settle(world.plane, world.namespace)
    wait_for_pods(world.plane, world.namespace, 2)
    assert world.incidents() == []
    found = world.audited()
    assert (found.objects, found.untold, found.receipts) == (3, 0, receipts(world.folder))


def test_a_key_that_a_rollback_removes_leaves_no_owner(world: World) -> None:
    world.patch(world.path, "somebody", {KEY: None})
    for each in pods(world.plane, world.namespace):
        path = f"/api/v1/namespaces/{world.namespace}/pods/{each['metadata']['name']}"
        world.patch(path, "somebody", {KEY: None})
    with reading(world.plane, "admin") as reader:
        ports, made = opened(world, reader)
        plan = world.plan(HOT)
        request = ApplyRequest(
            plan=document(plan),
            verification=verified(world.folder, reader, plan),
            approve_advanced=True,
            known=known(world),
        )
        report = apply_report(apply(request, ports), asked())
        assert report.apply_ok, (report.block_reasons, report.detail)
        assert rollback_report(rollback(plan.digest, ports), asked()).apply_ok
        made.close()
    assert owned(world.got()) == owned(world.pod()) == []
    assert world.incidents() == []


def known(world: World) -> Any:
    from modekeeper.model.decision import CurrentValueSource  # noqa: PLC0415
    from modekeeper.policy.situation import KnownValue  # noqa: PLC0415

    value = KnownValue(value=2, source=CurrentValueSource.OPERATOR)
    return {world.target: {"dataloader_prefetch_factor": value}}


def test_somebody_elses_change_is_no_incident(world: World) -> None:
    with reading(world.plane, "admin") as reader:
        ports, made = opened(world, reader)
        assert world.applied(world.plan(HOT), ports).apply_ok
        world.patch(world.path, "somebody", {KEY: "3"})
        assert owned(world.got()) == []
        assert world.incidents() == []
        # The same value once more takes nothing over: the API server changes nothing.
        world.patch(world.path, "modekeeper", {KEY: "3"})
        assert owned(world.got()) == []
        made.close()


def stopped(report: K8sApplyReport) -> str:
    """What the gate of the target says; nothing was tried."""
    assert not report.apply_attempted
    assert BlockReason.TARGET_CHANGED in report.block_reasons
    return next(verdict.detail for verdict in report.gates if verdict.gate == "target")


@pytest.mark.parametrize("where", ["object", "template", "pod"])
def test_a_change_in_our_name_is_found_where_nobody_applied(where: str, world: World) -> None:
    """Somebody uses our name, with kubectl: on the object, in the pod template, on a live pod."""
    if where == "template":
        world.patch(world.path, "modekeeper", {KEY: "9"}, template=True)
        settle(world.plane, world.namespace)
    else:
        name = "deployment/trainer" if where == "object" else f"pod/{world.pod()['metadata']['name']}"
        words = ("annotate", "--overwrite", "--field-manager=modekeeper", "--namespace", world.namespace)
        done = world.plane.kubectl("admin", *words, name, f"{KEY}=9")
        assert done.returncode == 0, done.stderr
    (change,) = world.incidents()
    assert change.kind == ("Pod" if where == "pod" else "Deployment")
    assert change.keys == ((KEY, "9"),)
    assert change.changed_at is not None
    assert "is '9'" in change.text
    assert "no receipt" in change.text
    assert "without a receipt at 20" in change.text
    with reading(world.plane, "admin") as reader:
        assert find_unreceipted(reader, [world.target], world.out) == (change.text,)


@pytest.mark.parametrize("subresource", ["", "/status"])
def test_another_value_than_the_receipt_says_is_found_and_stops_the_door(subresource: str, world: World) -> None:
    """The bars of the audit: found, reported, and nothing more is applied; the way back still goes."""
    with reading(world.plane, "admin") as reader:
        ports, made = opened(world, reader)
        plan = world.plan(HOT)
        assert world.applied(plan, ports).apply_ok
        (first,) = owned_fields(world.pod(), "modekeeper")
        time.sleep(1)  # the API server writes whole seconds down
        world.patch(world.pod_path() + subresource, "modekeeper", {KEY: "8"})
        (change,) = world.incidents()
        assert (change.changed_at or "") > (first.time or "")
        assert "is '8', the newest receipt says '4'" in change.text
        since = position(world.plane)
        report = world.applied(world.plan(HOT, "6"), ports)
        assert "changed under our field manager without a receipt" in stopped(report)
        assert writes(world.plane, world.namespace, since) == []
        back = rollback_report(rollback(plan.digest, ports), asked())
        made.close()
    done = {pod.name: pod.status.value for pod in back.items[0].pods}
    assert sorted(done.values()) == ["done", "refused"]
    assert done[world.pod()["metadata"]["name"]] == "refused"
    assert world.got()["metadata"]["annotations"][KEY] == "2"


def test_our_name_on_anything_but_our_annotations_is_an_incident(world: World) -> None:
    path = f"{world.path}?fieldManager=modekeeper"
    assert world.plane.request("admin", path, "PATCH", {"spec": {"replicas": 3}}).status == 200
    world.patch(world.path, "modekeeper", {"somebody/else": "x"})
    (change,) = world.incidents()
    assert change.keys == ()
    assert "owns what we never write: metadata.annotations.somebody/else; spec.replicas" in change.text


def test_a_write_that_is_stored_after_the_look_is_found(world: World) -> None:
    """A request was under way when the process was killed: seen as not made, receipted nowhere, and then stored."""
    with reading(world.plane, "admin") as reader:
        ports, made = opened(world, reader)
        plan = world.plan(COLD)
        late: list[Any] = []
        kept = ports.writer.write

        def killed(change: Any) -> JsonObject:
            late.append(change)
            raise KeyboardInterrupt

        ports.writer.write = killed  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            world.applied(plan, ports)
        ports.writer.write = kept  # type: ignore[method-assign]
        assert rollback_report(rollback(plan.digest, ports), asked()).items == ()
        events = [line.event for line in Journal(ports.files, 1, ports.clock).lines()]
        assert events[-1] is Event.NOT_FOUND
        assert world.incidents() == []
        made.write(late[0])
        (change,) = world.incidents()
        assert f"{KEY} is '4' in the pod template, no receipt" in change.text
        report = world.applied(world.plan(COLD, "6"), ports)
        made.close()
    assert "without a receipt" in stopped(report)


def test_a_second_folder_knows_nothing_of_the_first_and_is_stopped(world: World) -> None:
    """Cooldown and budget are counted in a folder; what stands from another one stops the change before they count."""
    with reading(world.plane, "admin") as reader:
        ports, made = opened(world, reader)
        assert world.applied(world.plan(HOT), ports).apply_ok
        other = doors(world.folder / "other", reader, made)
        report = world.applied(world.plan(HOT, "6"), other)
        made.close()
    assert "the receipts are those of this folder" in stopped(report)


def test_the_way_of_the_playbook_takes_a_value_out_of_our_name(world: World) -> None:
    world.patch(world.path, "modekeeper", {KEY: "4"})
    annotate = ("annotate", "deployment/trainer", f"--namespace={world.namespace}")
    assert world.plane.kubectl("admin", *annotate, "--overwrite", f"{KEY}=4").returncode == 0
    assert len(world.incidents()) == 1
    for word in (f"{KEY}-", f"{KEY}=4"):
        assert world.plane.kubectl("admin", *annotate, word).returncode == 0
    assert world.got()["metadata"]["annotations"][KEY] == "4"
    assert world.incidents() == []


@pytest.mark.usefixtures("custom_kinds")
def test_a_custom_resource_keeps_our_name_on_what_is_empty_again(control_plane: ControlPlane, namespace: str) -> None:
    """Seen there alone: the object around a removed key stays, and who fills it next is no impostor of ours."""
    resource = RESOURCES["LeaderWorkerSet"]
    body = manifest("LeaderWorkerSet")
    del body["spec"]["leaderWorkerTemplate"]["workerTemplate"]["metadata"]
    assert control_plane.request("admin", path_of(resource, namespace), "POST", body).status == 201
    path = path_of(resource, namespace, "trainer")

    def patched(manager: str, value: str | None) -> JsonObject:
        annotations = {"metadata": {"annotations": {KEY: value}}}
        patch = {"spec": {"leaderWorkerTemplate": {"workerTemplate": annotations}}}
        answer = control_plane.request("admin", f"{path}?fieldManager={manager}", "PATCH", patch)
        assert answer.status == 200
        found: JsonObject = answer.body
        return found

    assert len(unreceipted("LeaderWorkerSet", patched("modekeeper", "4"), no_receipts())) == 1
    assert unreceipted("LeaderWorkerSet", patched("modekeeper", None), no_receipts()) == ()
    place = ("f:spec", "f:leaderWorkerTemplate", "f:workerTemplate", "f:metadata")
    theirs = patched("somebody", "5")
    assert owned(theirs) == [(*place, "."), (*place, "f:annotations")]
    assert unreceipted("LeaderWorkerSet", theirs, no_receipts()) == ()
    assert len(unreceipted("LeaderWorkerSet", patched("modekeeper", "6"), no_receipts())) == 1


def test_who_wipes_the_record_out_is_counted(world: World) -> None:
    world.patch(world.path, "modekeeper", {KEY: "9"})
    body: JsonObject = {"metadata": {"managedFields": [{}]}}
    assert world.plane.request("admin", world.path, "PATCH", body).status == 200
    found = world.audited()
    assert found.incidents == ()
    assert found.untold == 1
