"""The door on the real API server: applied and taken back, with as many writes in the audit log as receipts."""

from pathlib import Path
from typing import Any

import pytest
from tests.cluster.audit import events, mutations, position
from tests.cluster.control_plane import ControlPlane, wait_until
from tests.cluster.fake_nodes import FakeNodes
from tests.cluster.verify.on_cluster import RESOURCES, create, path_of, pods, reading, running_template, wait_for_pods
from tests.cluster_verify.worlds import KEY, item, plan_of
from tests.door.doors import Licence, Switches

from modekeeper.artifacts.canonical import document
from modekeeper.artifacts.contracts.k8s_apply import ApplyStatus
from modekeeper.artifacts.store import FolderStore
from modekeeper.cli.clocks import SystemClock
from modekeeper.cluster.kubectl_version import KubectlVersion
from modekeeper.cluster.verify.gather import gather
from modekeeper.model.decision import Actuation, Plan
from modekeeper.ports.cluster import ClusterReader
from modekeeper.reports.folder.verify_run import VerifyRun
from modekeeper_pro.door.apply import Applied, apply
from modekeeper_pro.door.case import ApplyRequest
from modekeeper_pro.door.opening import open_writer
from modekeeper_pro.door.ports import DoorPorts
from modekeeper_pro.door.report import Asked, apply_report, rollback_report
from modekeeper_pro.door.rollback import rollback
from modekeeper_pro.door.writer import Writer

DEPLOYMENTS = RESOURCES["Deployment"]


def writer(plane: ControlPlane, client: Any) -> Writer:
    return open_writer(
        client,
        kubeconfig=plane.kubeconfig("admin"),
        context=None,
        clock=SystemClock(),
        environment=plane.environment("admin") | {"KUBECTL": str(plane.binaries / "kubectl")},
        request_timeout_s=20,
    )


def doors(folder: Path, reader: ClusterReader, made: Writer) -> DoorPorts:
    return DoorPorts(
        reader=reader,
        writer=made,
        licence=Licence(),
        switches=Switches(),
        clock=SystemClock(),
        files=FolderStore(folder / "apply"),
    )


def verified(folder: Path, reader: ClusterReader, plan: Plan) -> bytes:
    run = VerifyRun(FolderStore(folder / "verify"), "k8s_plan.json", 900, SystemClock())
    return document(run.judged(gather(reader, plan), KubectlVersion(error="not asked")))


def receipts(folder: Path) -> int:
    return len(list(folder.glob("apply/door/*/receipts/*.json")))


def writes(plane: ControlPlane, namespace: str, since: int) -> list[int]:
    """The statuses of what the door asked to change; the door's own identity is the tests' admin here."""
    found = [event for event in mutations(plane, "admin", since) if event.namespace == namespace]
    return [event.status for event in found if "fieldManager=modekeeper" in event.path]


def settle(plane: ControlPlane, namespace: str) -> None:
    def observed() -> bool:
        body = plane.request("admin", path_of(DEPLOYMENTS, namespace, "trainer")).body
        status = body.get("status", {})
        ready = status.get("readyReplicas") == status.get("updatedReplicas") == body["spec"]["replicas"]
        return bool(ready and status.get("observedGeneration") == body["metadata"]["generation"])

    wait_until(observed, "the rollout is over", 60)


@pytest.mark.parametrize("client", ["api", "kubectl"])
@pytest.mark.parametrize("actuation", [Actuation.COLD, Actuation.HOT])
def test_applied_and_taken_back(  # noqa: PLR0917 - fixtures
    actuation: Actuation, client: str, control_plane: ControlPlane, namespace: str, kwok: FakeNodes, tmp_path: Path
) -> None:
    create(
        control_plane,
        namespace,
        "Deployment",
        metadata={"annotations": {KEY: "2", "somebody/else": "x"}},
        template=running_template(annotations={KEY: "2", "somebody/else": "y"}),
    )
    wait_for_pods(control_plane, namespace, 2)
    settle(control_plane, namespace)
    before = {pod["metadata"]["name"]: pod["metadata"]["annotations"] for pod in pods(control_plane, namespace)}
    plan = plan_of(item(actuation, namespace=namespace))
    made = writer(control_plane, client)
    with reading(control_plane, "admin") as reader:
        ports = doors(tmp_path, reader, made)
        since = position(control_plane)
        request = ApplyRequest(
            plan=document(plan),
            verification=verified(tmp_path, reader, plan),
            approve_advanced=actuation is Actuation.COLD,
        )
        applied = apply(request, ports)
        report = apply_report(applied, asked())
        assert report.apply_ok, (report.block_reasons, report.detail)
        assert report.items[0].status is ApplyStatus.DONE
        assert_written(control_plane, namespace, actuation, "4")
        expected = 1 if actuation is Actuation.COLD else 3
        assert writes(control_plane, namespace, since) == [200] * expected
        assert receipts(tmp_path) == expected

        taken = rollback(plan.digest, ports)
        assert rollback_report(taken, asked()).apply_ok, taken.outcomes
        made.close()
    assert_written(control_plane, namespace, actuation, "2")
    assert writes(control_plane, namespace, since) == [200] * 2 * expected
    assert receipts(tmp_path) == 2 * expected
    if actuation is Actuation.HOT:
        after = {pod["metadata"]["name"]: pod["metadata"]["annotations"] for pod in pods(control_plane, namespace)}
        assert after == before


def asked() -> Asked:
    now = SystemClock().now()
    return Asked(started=now, finished=now, folder="report/k8s-apply")


def assert_written(plane: ControlPlane, namespace: str, actuation: Actuation, value: str) -> None:
    body = plane.request("admin", path_of(DEPLOYMENTS, namespace, "trainer")).body
    metadata = body["spec"]["template"]["metadata"] if actuation is Actuation.COLD else body["metadata"]
    assert metadata["annotations"][KEY] == value
    assert metadata["annotations"]["somebody/else"] in {"x", "y"}
    if actuation is Actuation.HOT:
        assert [pod["metadata"]["annotations"][KEY] for pod in pods(plane, namespace)] == [value, value]
    else:

        def rolled_out() -> bool:
            found = pods(plane, namespace)
            return len(found) == 2 and all(pod["metadata"]["annotations"][KEY] == value for pod in found)

        wait_until(rolled_out, f"the pods have {value}", 60)


def test_an_edit_between_verify_and_apply_is_found_and_nothing_is_written(
    control_plane: ControlPlane, namespace: str, kwok: FakeNodes, tmp_path: Path
) -> None:
    create(control_plane, namespace, "Deployment", template=running_template(annotations={KEY: "2"}))
    wait_for_pods(control_plane, namespace, 2)
    settle(control_plane, namespace)
    plan = plan_of(item(Actuation.COLD, namespace=namespace))
    made = writer(control_plane, "api")
    with reading(control_plane, "admin") as reader:
        request = ApplyRequest(
            plan=document(plan), verification=verified(tmp_path, reader, plan), approve_advanced=True
        )
        patch = {"spec": {"template": {"metadata": {"annotations": {KEY: "3"}}}}}
        answer = control_plane.request("admin", path_of(DEPLOYMENTS, namespace, "trainer"), "PATCH", patch)
        assert answer.status == 200
        since = position(control_plane)
        applied: Applied = apply(request, doors(tmp_path, reader, made))
        made.close()
    report = apply_report(applied, asked())
    assert report.block_reason == "target_changed"
    assert report.apply_attempted is False
    assert "was '2' and is '3'" in report.detail
    assert writes(control_plane, namespace, since) == []
    assert receipts(tmp_path) == 0
    assert any(event.is_dry_run for event in events(control_plane, "admin", since))
