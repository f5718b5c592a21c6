"""``watch --apply`` on the real API server, through the paid package with a signed licence."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.audit import position
from tests.cluster.control_plane import ControlPlane, wait_until
from tests.cluster.door.test_apply_and_rollback_for_real import settle, writes
from tests.cluster.fake_nodes import FakeNodes
from tests.cluster.verify.on_cluster import RESOURCES, create, path_of, pods, running_template, wait_for_pods
from tests.cluster_verify.worlds import KEY
from tests.trust.signing import b64, dumped, licence, public_bytes
from tests.watch.acting import SETTINGS, Job, World
from tests.watch.sessions import check_folder

from modekeeper.cli import hands
from modekeeper.cli.clocks import SystemClock
from modekeeper.cli.cluster_options import ClusterOptions
from modekeeper.cli.options import DecisionChoice
from modekeeper.loop.settings import LoopSettings
from modekeeper.model.decision import Target
from modekeeper.reports.folder.acting import Hands
from modekeeper_pro.actuator import DoorActuator


class RealWorld(World):
    """A job whose pods are on the tests' cluster, and the actuator as ``mk`` finds it."""

    interval_s = 0.0

    def __init__(self, folder: Path, wait_ms: Callable[[float], float], plane: ControlPlane, namespace: str) -> None:
        self.folder, self.out = folder, folder / "out"
        self.plane, self.namespace = plane, namespace
        self.clock = SystemClock()
        self.job = Job(None, folder / "run.jsonl", wait_ms)  # type: ignore[arg-type]
        self.job.knob = self.slowest  # type: ignore[method-assign]
        self.job.path.touch()
        self.audit = None
        self.also: Callable[[int], None] = lambda _iteration: None
        self.meanwhile = self._after
        self.settings = LoopSettings(
            target=Target(namespace=namespace, kind="Deployment", name="trainer"), catalog=SETTINGS.catalog
        )
        self.original = self.ours()

    def _after(self, iteration: int) -> None:
        self.also(iteration)
        self.job.run(30)

    def slowest(self) -> float:
        found = [annotations.get(KEY, "2") for name, annotations in self.ours().items() if name != "trainer"]
        return min((float(text) for text in found), default=2.0)

    def ours(self) -> dict[str, dict[str, str]]:
        workload = self.plane.request("admin", path_of(RESOURCES["Deployment"], self.namespace, "trainer")).body
        live = [pod for pod in pods(self.plane, self.namespace) if "deletionTimestamp" not in pod["metadata"]]
        return {each["metadata"]["name"]: dict(each["metadata"].get("annotations", {})) for each in (workload, *live)}

    def hands(self) -> Hands:
        options = ClusterOptions(kubeconfig=str(self.plane.kubeconfig("admin")), request_timeout_s=20)
        made = hands.hands_for(options, self.clock, DecisionChoice(), str(self.folder / "licence.json"), None)
        assert isinstance(made, Hands)
        return made


@pytest.fixture
def made(
    control_plane: ControlPlane, namespace: str, kwok: FakeNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[float], float]], RealWorld]:
    create(
        control_plane,
        namespace,
        "Deployment",
        metadata={"annotations": {"somebody/else": "x"}},
        template=running_template(annotations={"somebody/else": "y"}),
    )
    wait_for_pods(control_plane, namespace, 2)
    settle(control_plane, namespace)
    uid = control_plane.request("admin", "/api/v1/namespaces/kube-system").body["metadata"]["uid"]
    now = SystemClock().now()
    times: dict[str, Any] = {
        "issued_at": f"{now - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}",
        "expires_at": f"{now + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}",
    }
    (tmp_path / "licence.json").write_bytes(licence(bindings={"cluster": uid}, **times))
    (tmp_path / "keys.json").write_bytes(dumped({"vendor-2026": b64(public_bytes("vendor-2026"))}))
    for name in ("licence.json", "keys.json"):
        (tmp_path / name).chmod(0o644)
    monkeypatch.setattr(hands, "find_actuator", DoorActuator)
    monkeypatch.setenv("MK_LICENSE_GATE_PUBLIC_KEYS_PATH", str(tmp_path / "keys.json"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for variable in ("MODEKEEPER_PINNED_CLOCK", "MODEKEEPER_KILL_SWITCH"):
        monkeypatch.delenv(variable, raising=False)
    return lambda wait_ms: RealWorld(tmp_path, wait_ms, control_plane, namespace)


def receipts(world: RealWorld) -> int:
    return len(list((world.out / "door").glob("*/receipts/*.json")))


def test_a_change_is_applied_measured_kept_and_given_to_a_pod_made_later(
    made: Callable[[Callable[[float], float]], RealWorld],
) -> None:
    world = made(lambda value: {2.0: 60.0, 3.0: 25.0}.get(value, 12.0))
    since = position(world.plane)
    gone: list[str] = []

    def replace(iteration: int) -> None:
        if iteration == 12:
            gone.append(next(name for name in world.ours() if name != "trainer"))
            world.plane.request("admin", f"/api/v1/namespaces/{world.namespace}/pods/{gone[0]}", "DELETE")
            wait_until(lambda: gone[0] not in world.ours() and len(world.ours()) == 3, "another pod is there", 60)
            wait_for_pods(world.plane, world.namespace, 2)

    world.also = replace
    world.watch(20, settings=world.settings)
    assert gone
    assert world.values() == dict.fromkeys(world.ours(), "3")
    part = world.report()["apply"]
    assert (part["applied_total"], part["given_again_total"], part["taken_back_total"]) == (1, 1, 0)
    assert part["plans"][0]["outcome"]["state"] == "kept"
    assert writes(world.plane, world.namespace, since) == [200] * 4
    assert receipts(world) == 4
    check_folder(world.out)


def test_a_harmful_change_is_undone_by_itself(made: Callable[[Callable[[float], float]], RealWorld]) -> None:
    world = made(lambda value: {2.0: 60.0, 3.0: 160.0}.get(value, 300.0))
    since = position(world.plane)
    world.watch(14, settings=world.settings)
    assert world.ours() == world.original
    part = world.report()["apply"]
    assert (part["applied_total"], part["taken_back_total"]) == (1, 1)
    assert part["cooldown_factor"] == {"DRIFT-RETUNE": 2}
    assert writes(world.plane, world.namespace, since) == [200] * 6
    assert receipts(world) == 6
    check_folder(world.out)
