"""A door in a world of memory: a cluster that can be written, a clock, a licence, switches."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from tests.cluster_verify.worlds import plan_of, pod, workload, world

from modekeeper.artifacts.canonical import document
from modekeeper.artifacts.contracts.k8s_apply import LicensePart
from modekeeper.artifacts.store import FolderStore
from modekeeper.cluster.answers import answer_error
from modekeeper.cluster.kubectl_version import KubectlVersion
from modekeeper.cluster.memory import PODS, MemoryCluster
from modekeeper.cluster.verify.gather import gather
from modekeeper.gates.kill_switch import KillSwitch
from modekeeper.model.cluster import DryRunAnswer, JsonObject, ObjectRef
from modekeeper.model.decision import Actuation, BlockReason, Plan, PlanItem
from modekeeper.model.workload import WORKLOAD_KINDS
from modekeeper.passports.passport import Passport, passport_bytes, passport_ref
from modekeeper.planning.plan import knob_annotations, patches, plan_digest
from modekeeper.ports.clock import StopSignal
from modekeeper.reports.folder.verify_run import VerifyRun
from modekeeper_pro.door.case import ApplyRequest
from modekeeper_pro.door.change import Change
from modekeeper_pro.door.ports import DoorPorts

KEY = "modekeeper/knob.dataloader_prefetch_factor"
DEPLOYMENTS = WORKLOAD_KINDS[0].resource()
TRAINER = ObjectRef(DEPLOYMENTS, "train", "trainer")
GOOD_LICENCE = LicensePart(license_ok=True, license_path="modekeeper.license.json", reason=None)


class Clock:
    def __init__(self) -> None:
        self.time = datetime(2026, 1, 31, 9, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def monotonic_s(self) -> float:
        return self.time.timestamp()

    def sleep(self, duration_s: float, stop: StopSignal) -> bool:
        self.time += timedelta(seconds=duration_s)
        return stop.is_set()


class MemoryWriter:
    """Writes into a ``MemoryCluster``, with the preconditions of a real API server."""

    def __init__(self, cluster: MemoryCluster) -> None:
        self.cluster = cluster
        self.stored: list[Change] = []
        """Every write that was stored."""
        self.before_write: Callable[[Change], None] = lambda _change: None
        self.after_write: Callable[[Change], None] = lambda _change: None

    def dry_run(self, change: Change) -> DryRunAnswer:
        self._check(change)
        return self.cluster.dry_run(change.ref, change.patch)

    def write(self, change: Change) -> JsonObject:
        self.before_write(change)
        self._check(change)
        new = self.cluster.dry_run(change.ref, change.patch).object
        stored = self.cluster.put(change.ref.resource, new)
        self.stored.append(change)
        self.after_write(change)
        return stored

    def close(self) -> None:
        pass

    def _check(self, change: Change) -> None:
        found = self.cluster.get(change.ref)["metadata"]
        if (found["uid"], found["resourceVersion"]) != (change.uid, change.resource_version):
            raise answer_error("change it", 409, "Conflict", "the object has been modified")


class Switches:
    def __init__(self) -> None:
        self.active = False
        self.looks: list[tuple[str, ...]] = []

    def look(self, namespaces: tuple[str, ...]) -> KillSwitch:
        self.looks.append(namespaces)
        return KillSwitch(active=self.active, signal="env:MODEKEEPER_KILL_SWITCH" if self.active else None)


class Licence:
    def __init__(self) -> None:
        self.part = GOOD_LICENCE
        self.asked: list[str | None] = []

    def check(self, cluster_uid: str | None) -> LicensePart:
        self.asked.append(cluster_uid)
        return self.part

    def expire(self) -> None:
        self.part = LicensePart(license_ok=False, license_path="l.json", reason=BlockReason.LICENSE_EXPIRED)


def planned(actuation: Actuation, name: str = "trainer", value: str = "4") -> PlanItem:
    knobs = {"dataloader_prefetch_factor": value}
    patch, pod_patch = patches("Deployment", actuation, knob_annotations(knobs))
    return PlanItem(
        kind="Deployment",
        namespace="train",
        name=name,
        actuation=actuation,
        chord_id="DRIFT-RETUNE",
        knobs=knobs,
        patch=patch,
        pod_patch=pod_patch,
    )


def made_under(plan: Plan, passport: Passport | None) -> Plan:
    """The same plan, as it would be made under a passport; ``None``: naming none."""
    named = msgspec.structs.replace(plan, passport=None if passport is None else passport_ref(passport))
    return msgspec.structs.replace(named, digest=plan_digest(named))


class Door:
    """Everything for one plan: of ``names`` Deployments, hot with two pods each, or cold."""

    def __init__(
        self,
        folder: Path,
        actuation: Actuation = Actuation.HOT,
        names: tuple[str, ...] = ("trainer",),
        passport: Passport | None = None,
    ) -> None:
        self.folder = folder
        self.clock, self.switches, self.licence = Clock(), Switches(), Licence()
        self.cluster = world()
        for name in names:
            self._put(name)
        self.writer = MemoryWriter(self.cluster)
        self.plan = plan_of(*(planned(actuation, name) for name in names))
        self.passport: bytes | None = None
        """What is named as the passport of the apply; ``None``: nothing is."""
        if passport is not None:
            self.plan, self.passport = made_under(self.plan, passport), passport_bytes(passport)
        self.verification: bytes | None = self.verified(self.plan)
        self.approve_advanced = actuation is Actuation.COLD
        self.original = self.ours()

    def _put(self, name: str) -> None:
        labels = {"app": name}
        found = workload()
        found["metadata"] |= {"name": name, "annotations": {KEY: "2", "somebody/else": "x"}}
        found["spec"]["selector"] = {"matchLabels": labels}
        found["spec"]["strategy"] = {"type": "Recreate"}
        template = found["spec"]["template"]["metadata"]
        template |= {"labels": labels, "annotations": {KEY: "2", "somebody/else": "y"}}
        self.cluster.put(DEPLOYMENTS, found)
        for number in range(2):
            each = pod(f"{name}-{number}", labels=labels)
            each["metadata"]["annotations"] = {KEY: "2", "somebody/else": "z"}
            self.cluster.put(PODS, each)

    def verified(self, plan: Plan, valid_for_s: float = 900) -> bytes:
        run = VerifyRun(FolderStore(self.folder / "verify"), "k8s_plan.json", valid_for_s, self.clock)
        return document(run.judged(gather(self.cluster, plan), KubectlVersion(error="not there")))

    @property
    def ports(self) -> DoorPorts:
        return DoorPorts(
            reader=self.cluster,
            writer=self.writer,
            licence=self.licence,
            switches=self.switches,
            clock=self.clock,
            files=FolderStore(self.folder / "apply"),
        )

    def request(self, **fields: Any) -> ApplyRequest:
        plain: dict[str, Any] = {
            "plan": document(self.plan),
            "verification": self.verification,
            "passport": self.passport,
            "approve_advanced": self.approve_advanced,
        }
        return ApplyRequest(**(plain | fields))

    def ours(self) -> dict[str, dict[str, str | None]]:
        """Every place we may write, with what is there, and with what is somebody else's."""
        found: dict[str, dict[str, str | None]] = {}
        for each in (*self.cluster.list(DEPLOYMENTS, "train").items, *self.cluster.list(PODS, "train").items):
            name = f"{each['kind']}/{each['metadata']['name']}"
            found[name] = dict(each["metadata"].get("annotations", {}))
            if each["kind"] == "Deployment":
                found[f"{name} template"] = dict(each["spec"]["template"]["metadata"].get("annotations", {}))
        return found

    def receipts(self) -> list[Path]:
        return sorted((self.folder / "apply").glob("door/*/receipts/*.json"))

    def edit(self, ref: ObjectRef, key: str, value: str, *, template: bool = False) -> None:
        """Somebody else changes something."""
        found = self.cluster.get(ref)
        metadata = found["spec"]["template"]["metadata"] if template else found["metadata"]
        metadata.setdefault("annotations", {})[key] = value
        self.cluster.put(ref.resource, found)
