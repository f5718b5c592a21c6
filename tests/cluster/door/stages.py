"""A set of workloads that stand still on the real API server, for the door to change and tests to disturb.

The controllers are stopped while a test works on a stage: nothing but the door and the test touches the objects, and
no rollout follows a change. The API server, its admission, its audit log and etcd are the real ones.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tests.cluster.audit import Event, mutations, position
from tests.cluster.control_plane import ControlPlane, wait_until
from tests.cluster.verify.on_cluster import IMAGE, RESOURCES, path_of
from tests.cluster_verify.worlds import KEY, item, plan_of, pod_template, workload
from tests.door.doors import Licence

from modekeeper.artifacts.canonical import document
from modekeeper.artifacts.store import FolderStore
from modekeeper.cli.clocks import SystemClock
from modekeeper.cluster.kill_switch import KillSwitchSignals
from modekeeper.cluster.kubectl_version import KubectlVersion
from modekeeper.cluster.opening import ClusterChoice, open_reader
from modekeeper.cluster.verify.gather import gather
from modekeeper.gates.kill_switch import KillSwitch
from modekeeper.model.cluster import FIELD_MANAGER, JsonObject, Resource
from modekeeper.model.decision import Actuation, Plan
from modekeeper.ports.cluster import ClusterReader
from modekeeper.reports.folder.verify_run import VerifyRun
from modekeeper_pro.door.case import ApplyRequest
from modekeeper_pro.door.change import PODS
from modekeeper_pro.door.opening import open_writer
from modekeeper_pro.door.ports import DoorPorts
from modekeeper_pro.door.writer import Writer

Client = Literal["api", "kubectl"]
Workload = tuple[str, str]
"""Kind and name."""
Place = tuple[str, str, str]
"""Kind and name of an object, and where in it: ``record`` or ``template``."""

BEFORE, AFTER = "2", "4"
SWITCH_FILE = "kill-switch"


@dataclass
class Signals:
    """The real kill-switches: an environment, a file, the ConfigMap of each namespace."""

    reader: ClusterReader
    file: Path
    environment: dict[str, str] = field(default_factory=dict)

    def look(self, namespaces: tuple[str, ...]) -> KillSwitch:
        return KillSwitchSignals(
            environment=self.environment, file=str(self.file), reader=self.reader, namespaces=namespaces
        ).look()


@dataclass
class Stage:
    """Workloads of one namespace with one pod each; ``KEY`` is set to ``BEFORE`` in the object, template and pod."""

    plane: ControlPlane
    namespace: str
    workloads: tuple[Workload, ...]
    rest: dict[Place, JsonObject] = field(default_factory=dict)
    """Every annotation of every place, at rest."""

    def resource(self, kind: str) -> Resource:
        return PODS if kind == "Pod" else RESOURCES[kind]

    def path(self, kind: str, name: str = "") -> str:
        return path_of(self.resource(kind), self.namespace, name)

    def objects(self) -> list[JsonObject]:
        found: list[JsonObject] = []
        for kind in (*sorted({kind for kind, _name in self.workloads}), "Pod"):
            body = self.plane.request("admin", self.path(kind)).body
            found += [each | {"kind": kind} for each in body["items"]]
        return found

    def annotations(self) -> dict[Place, JsonObject]:
        """Every place the door may write to, with all that stands there."""
        found: dict[Place, JsonObject] = {}
        for each in self.objects():
            kind, name = each["kind"], each["metadata"]["name"]
            found[kind, name, "record"] = dict(each["metadata"].get("annotations", {}))
            if kind != "Pod":
                found[kind, name, "template"] = dict(each["spec"]["template"]["metadata"].get("annotations", {}))
        return found

    def ours(self) -> dict[Place, str | None]:
        return {place: values.get(KEY) for place, values in self.annotations().items()}

    def pod_of(self, name: str) -> str:
        pods = [each for each in self.objects() if each["kind"] == "Pod" and each["metadata"]["labels"]["app"] == name]
        found: str = pods[0]["metadata"]["name"]
        return found

    def set(self, place: Place, value: str | None, key: str = KEY) -> None:
        """Somebody else writes an annotation; ``None`` takes it away."""
        kind, name, where = place
        patch: JsonObject = {"metadata": {"annotations": {key: value}}}
        patch = {"spec": {"template": patch}} if where == "template" else patch
        answer = self.plane.request("admin", self.path(kind, name), "PATCH", patch)
        assert answer.status in {200, 404}, answer.body

    def recreate(self, kind: str, name: str) -> None:
        """Somebody else deletes an object, and makes a new one of the same name."""
        path = self.path(kind, name)
        found = self.plane.request("admin", path).body
        assert self.plane.request("admin", f"{path}?propagationPolicy=Orphan", "DELETE").status == 200
        self._forget_finalizers(path)
        kept = {key: found["metadata"][key] for key in ("name", "labels", "annotations") if key in found["metadata"]}
        body = {"metadata": kept, "spec": found["spec"]}
        if kind == "Pod":
            body["metadata"]["ownerReferences"] = found["metadata"].get("ownerReferences", [])
        made = self.plane.request("admin", self.path(kind), "POST", body)
        assert made.status == 201, made.body

    def _forget_finalizers(self, path: str) -> None:
        """What waits for the garbage collector, which stands still, is let go by hand."""
        if self.plane.request("admin", path).status == 200:
            self.plane.request("admin", path, "PATCH", {"metadata": {"finalizers": None}})
        wait_until(lambda: self.plane.request("admin", path).status == 404, f"{path} is gone", 20)

    def reset(self) -> None:
        """Every annotation as it was at rest."""
        for place, values in self.annotations().items():
            kept = self.rest[place]
            for key in values.keys() | kept.keys():
                if values.get(key) != kept.get(key):
                    self.set(place, kept.get(key), key)

    def disown(self) -> None:
        """Nobody is written down as who made a change any more: the folder that follows did not, and is asked."""
        for each in self.objects():
            managers = {entry.get("manager") for entry in each["metadata"].get("managedFields", [])}
            if FIELD_MANAGER in managers:
                path = self.path(each["kind"], each["metadata"]["name"])
                answer = self.plane.request("admin", path, "PATCH", {"metadata": {"managedFields": [{}]}})
                assert answer.status == 200, answer.body

    def plan(self, *items: tuple[Workload, Actuation], value: str = AFTER) -> Plan:
        made = [
            item(actuation, kind=kind, name=name, namespace=self.namespace, value=value)
            for (kind, name), actuation in sorted(items)
        ]
        return plan_of(*made)

    def position(self) -> int:
        return position(self.plane)

    def asked(self, since: int) -> list[Event]:
        """What the door asked to change: nobody else writes as its field manager."""
        found = [event for event in mutations(self.plane, "admin", since) if event.namespace == self.namespace]
        return [event for event in found if "fieldManager=modekeeper" in event.path]

    def written(self, since: int) -> int:
        """How many of those were stored."""
        return sum(event.status == 200 for event in self.asked(since))


@dataclass
class Applying:
    """The door over one stage, with files of its own."""

    stage: Stage
    folder: Path
    reader: ClusterReader
    writer: Writer
    plan: Plan
    signals: Signals
    licence: Licence = field(default_factory=Licence)
    verification: bytes = b""

    @property
    def ports(self) -> DoorPorts:
        return DoorPorts(
            reader=self.reader,
            writer=self.writer,
            licence=self.licence,
            switches=self.signals,
            clock=SystemClock(),
            files=FolderStore(self.folder),
        )

    @property
    def request(self) -> ApplyRequest:
        return ApplyRequest(plan=document(self.plan), verification=self.verification, approve_advanced=True)

    def verify(self) -> None:
        run = VerifyRun(FolderStore(self.folder / "verify"), "k8s_plan.json", 900, SystemClock())
        self.verification = document(run.judged(gather(self.reader, self.plan), KubectlVersion(error="not asked")))

    def receipts(self) -> int:
        return len(list(self.folder.glob("door/*/receipts/*.json")))


@contextmanager
def clients(
    plane: ControlPlane, client: Client = "api", request_timeout_s: float = 20
) -> Iterator[tuple[ClusterReader, Writer]]:
    environment = plane.environment("admin") | {"KUBECTL": str(plane.binaries / "kubectl")}
    kubeconfig, clock = plane.kubeconfig("admin"), SystemClock()
    choice = ClusterChoice(client=client, kubeconfig=kubeconfig, request_timeout_s=request_timeout_s)
    reader = open_reader(choice, clock=clock, environment=environment)
    writer = open_writer(
        client,
        kubeconfig=kubeconfig,
        context=None,
        clock=clock,
        environment=environment,
        request_timeout_s=request_timeout_s,
    )
    try:
        yield reader, writer
    finally:
        writer.close()
        reader.close()


def applying(
    stage: Stage, folder: Path, both: tuple[ClusterReader, Writer], *items: tuple[Workload, Actuation]
) -> Applying:
    """A plan for some of the workloads, verified a moment ago."""
    stage.disown()
    folder.mkdir(parents=True, exist_ok=True)
    made = Applying(stage, folder, *both, stage.plan(*items), Signals(both[0], folder / SWITCH_FILE))
    made.verify()
    return made


@contextmanager
def staged(plane: ControlPlane, namespace: str, workloads: tuple[Workload, ...]) -> Iterator[Stage]:
    """Make the workloads, wait until they are at rest, and stop the controllers meanwhile."""
    stage = Stage(plane, namespace, workloads)
    for kind, name in workloads:
        made = plane.request("admin", stage.path(kind), "POST", _manifest(kind, name))
        assert made.status == 201, made.body
    for kind in sorted({kind for kind, _name in workloads}):
        wait_until(lambda kind=kind: _observed(stage, kind), f"every {kind} is at rest", 120)  # type: ignore[misc]
    pods = f"/api/v1/namespaces/{namespace}/pods"
    wait_until(lambda: len(plane.request("admin", pods).body["items"]) == len(workloads), "each has its pod", 120)
    with standing_still(plane):
        stage.rest = stage.annotations()
        yield stage


@contextmanager
def standing_still(plane: ControlPlane) -> Iterator[None]:
    """The controllers do nothing meanwhile."""
    parts = [plane.processes[name] for name in ("kube-controller-manager", "kube-scheduler")]
    for part in parts:
        part.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for part in parts:
            part.send_signal(signal.SIGCONT)


def _observed(stage: Stage, kind: str) -> bool:
    found = stage.plane.request("admin", stage.path(kind)).body["items"]
    if kind == "Job":
        return all(each["status"].get("active") for each in found)
    return all(each["status"].get("observedGeneration") and each["status"].get("updatedReplicas") for each in found)


def _manifest(kind: str, name: str) -> JsonObject:
    template = pod_template(annotations={KEY: BEFORE, "somebody/else": "y"})
    template["metadata"]["labels"] = {"app": name}
    template["spec"]["containers"][0]["image"] = IMAGE
    template["spec"] |= {"terminationGracePeriodSeconds": 0, "automountServiceAccountToken": False}
    settings: dict[str, Any] = {"template": template, "selector": {"matchLabels": {"app": name}}}
    if kind == "Job":
        template["spec"]["restartPolicy"] = "Never"
        settings["manualSelector"] = True  # so that another one of the same name can be made
    else:
        settings["replicas"] = 1
    found = workload(kind, **settings)
    found.pop("status", None)
    found["metadata"] = {"name": name, "annotations": {KEY: BEFORE, "somebody/else": "x"}}
    return found
