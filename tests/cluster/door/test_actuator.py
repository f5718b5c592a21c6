"""What the public package finds by its entry point, on the real API server: with a signed licence, and all switches."""

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from tests.cluster.control_plane import ControlPlane
from tests.cluster.door.test_apply_and_rollback_for_real import settle, verified
from tests.cluster.fake_nodes import FakeNodes
from tests.cluster.verify.on_cluster import RESOURCES, create, path_of, reading, running_template, wait_for_pods
from tests.cluster_verify.worlds import KEY, item, plan_of
from tests.door.doors import made_under
from tests.passports.documents import passport
from tests.trust.signing import b64, dumped, licence, public_bytes

from modekeeper.artifacts.canonical import document
from modekeeper.artifacts.contracts.k8s_apply import K8sApplyReport, Operation
from modekeeper.artifacts.store import FolderStore
from modekeeper.cli.clocks import SystemClock
from modekeeper.model.decision import Actuation, BlockReason
from modekeeper.model.errors import BadInputError
from modekeeper.passports.passport import passport_bytes, passport_ref
from modekeeper.passports.reading import parse_passport
from modekeeper.planning.parse import parse_plan
from modekeeper.ports.actuator import ACTUATOR_GROUP, ApplyOrder, ClusterWay, GivenFile
from modekeeper_pro.actuator import DoorActuator

PACKAGE = Path(__file__).parents[3] / "packages" / "modekeeper-pro" / "pyproject.toml"


@dataclass
class Ordering:
    """An order on the real cluster, and what a test changes of it."""

    plane: ControlPlane
    namespace: str
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    plan: bytes = b""
    verification: bytes = b""

    def order(self, licence_path: str | None = None) -> ApplyOrder:
        way = ClusterWay(kubeconfig=str(self.plane.kubeconfig("admin")), request_timeout_s=20)
        return ApplyOrder(
            plan=GivenFile(path="k8s_plan.json", data=self.plan),
            verification=GivenFile(path="k8s_verify_latest.json", data=self.verification),
            license_path=licence_path or str(self.folder / "licence.json"),
            cluster=way,
            approve_advanced=True,
            store=FolderStore(self.folder / "out"),
            clock=SystemClock(),
            environment=self.plane.environment("admin") | self.environment,
        )

    def value(self) -> str:
        body = self.plane.request("admin", path_of(RESOURCES["Deployment"], self.namespace, "trainer")).body
        found: str = body["spec"]["template"]["metadata"]["annotations"][KEY]
        return found


@pytest.fixture
def ordering(control_plane: ControlPlane, namespace: str, kwok: FakeNodes, tmp_path: Path) -> Ordering:
    create(control_plane, namespace, "Deployment", template=running_template(annotations={KEY: "2"}))
    wait_for_pods(control_plane, namespace, 2)
    settle(control_plane, namespace)
    plan = plan_of(item(Actuation.COLD, namespace=namespace))
    uid = control_plane.request("admin", "/api/v1/namespaces/kube-system").body["metadata"]["uid"]
    now = SystemClock().now()
    times = {
        "issued_at": f"{now - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}",
        "expires_at": f"{now + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}",
    }
    files = {
        "licence.json": licence(bindings={"cluster": uid}, **times),
        "elsewhere.json": licence(bindings={"cluster": "another"}, **times),
        "keys.json": dumped({"vendor-2026": b64(public_bytes("vendor-2026"))}),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        (tmp_path / name).chmod(0o644)
    environment = {"MK_LICENSE_GATE_PUBLIC_KEYS_PATH": str(tmp_path / "keys.json"), "XDG_STATE_HOME": str(tmp_path)}
    made = Ordering(control_plane, namespace, tmp_path, environment, plan=document(plan))
    with reading(control_plane, "admin") as reader:
        made.verification = verified(tmp_path, reader, plan)
    return made


def test_the_entry_point_is_this() -> None:
    project = tomllib.loads(PACKAGE.read_text())["project"]
    assert project["entry-points"][ACTUATOR_GROUP] == {"door": f"{DoorActuator.__module__}:{DoorActuator.__name__}"}


def test_a_licensed_apply_and_a_rollback_without_a_licence(ordering: Ordering) -> None:
    report = DoorActuator().apply(ordering.order())
    assert report.apply_ok, (report.block_reasons, report.detail)
    assert report.operation is Operation.APPLY
    assert report.license is not None
    assert report.license.license_ok
    assert ordering.value() == "4"
    (ordering.folder / "licence.json").unlink()
    back = DoorActuator().rollback(ordering.order())
    assert back.apply_ok, back.detail
    assert back.operation is Operation.ROLLBACK
    assert ordering.value() == "2"


def refused(ordering: Ordering, reason: BlockReason, licence_path: str | None = None) -> K8sApplyReport:
    report = DoorActuator().apply(ordering.order(licence_path))
    assert report.block_reason is reason, report.detail
    assert not report.apply_attempted
    assert ordering.value() == "2"
    return report


def test_a_licence_for_elsewhere_a_missing_one_and_a_stopped_clock(ordering: Ordering) -> None:
    refused(ordering, BlockReason.BINDING_MISMATCH, str(ordering.folder / "elsewhere.json"))
    refused(ordering, BlockReason.LICENSE_INVALID, str(ordering.folder / "nowhere.json"))
    ordering.environment["MODEKEEPER_PINNED_CLOCK"] = "2026-01-31T09:00:00Z"
    with pytest.raises(BadInputError, match="own clock"):
        DoorActuator().apply(ordering.order())


def test_the_passport_that_is_handed_over_is_the_one_that_counts(ordering: Ordering) -> None:
    team = parse_passport(passport_bytes(passport(name="team", cooldown_s=60)))
    given = GivenFile(path="team.json", data=passport_bytes(team))
    # The plan was made under safe.
    for file in (given, GivenFile(path="team.json", data=b"{")):
        report = DoorActuator().apply(msgspec.structs.replace(ordering.order(), passport=file))
        assert report.block_reason is BlockReason.PASSPORT_DENIED, report.detail
        assert report.passport is not None
        assert (report.passport.source, report.apply_attempted) == ("team.json", False)
        assert ordering.value() == "2"
    plan = made_under(parse_plan(ordering.plan), team)
    ordering.plan = document(plan)
    with reading(ordering.plane, "admin") as reader:
        ordering.verification = verified(ordering.folder, reader, plan)
    refused(ordering, BlockReason.PASSPORT_DENIED)
    report = DoorActuator().apply(msgspec.structs.replace(ordering.order(), passport=given))
    assert report.apply_ok, (report.block_reasons, report.detail)
    assert report.made_under == plan.passport == passport_ref(team)
    assert ordering.value() == "4"


def test_every_switch_stops_an_apply(ordering: Ordering) -> None:
    ordering.environment["MODEKEEPER_KILL_SWITCH"] = "1"
    assert refused(ordering, BlockReason.KILL_SWITCH_ACTIVE).kill_switch_signal == "env:MODEKEEPER_KILL_SWITCH"
    del ordering.environment["MODEKEEPER_KILL_SWITCH"]
    with config_map(ordering):
        report = refused(ordering, BlockReason.KILL_SWITCH_ACTIVE)
    assert report.kill_switch_signal == f"configmap:{ordering.namespace}/modekeeper-kill-switch"


@contextmanager
def config_map(ordering: Ordering) -> Iterator[None]:
    path = f"/api/v1/namespaces/{ordering.namespace}/configmaps"
    body = {"metadata": {"name": "modekeeper-kill-switch"}, "data": {"active": "true"}}
    assert ordering.plane.request("admin", path, "POST", body).status == 201
    yield
    ordering.plane.request("admin", f"{path}/modekeeper-kill-switch", "DELETE")
