"""A training job whose pace depends on a knob, a cluster in memory, and ``watch --apply`` between the two.

The real door writes into the memory cluster; the job reads its annotation as the kubelet would bring it, and writes
telemetry.
"""

import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.cluster_verify.worlds import LABELS, pod, workload, world
from tests.door.doors import KEY, Licence, MemoryWriter
from tests.watch.sessions import PROVENANCE, ActingClock, Going, read_json

from modekeeper.artifacts.store import FolderStore
from modekeeper.cli.actuators import ActuatorBrokeError, carry_out
from modekeeper.cluster.kill_switch import KillSwitchSignals
from modekeeper.cluster.kubectl_version import KubectlVersion
from modekeeper.cluster.memory import PODS, MemoryCluster
from modekeeper.loop.apply_request import ApplyRequest
from modekeeper.loop.settings import LoopSettings
from modekeeper.model.cluster import ObjectRef
from modekeeper.model.decision import Target
from modekeeper.model.workload import WORKLOAD_KINDS
from modekeeper.policy.catalog import load_default
from modekeeper.ports.actuator import ApplyOrder, ClusterWay
from modekeeper.ports.clock import Clock
from modekeeper.reports.folder.acting import Hands
from modekeeper.reports.folder.decision_facts import CatalogUse
from modekeeper.reports.folder.watch_acts import Audit
from modekeeper.reports.folder.watch_report import WatchRollUp
from modekeeper.reports.folder.watch_session import WatchPlan, WatchSession
from modekeeper.telemetry.file import open_files
from modekeeper.value.opportunity import CostModel
from modekeeper_pro import actuator as paid
from modekeeper_pro.door.ports import DoorPorts

DEPLOYMENT = ObjectRef(WORKLOAD_KINDS[0].resource(), "train", "trainer")
SETTINGS = LoopSettings(target=Target(namespace="train", kind="Deployment", name="trainer"), catalog=load_default())
INTERVAL_S = 30.0
START_MS = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000)


@dataclass
class Job:
    """One sample a second; from ``onset`` on its loader falls behind, and by how much depends on the knob."""

    cluster: MemoryCluster
    path: Path
    wait_ms: Callable[[float], float]
    """What a step waits for input once the trouble began, by the prefetch factor."""
    onset: int = 200
    speaks: bool = True
    """It names its knobs in the telemetry."""
    samples: int = 0
    noise: random.Random = field(default_factory=lambda: random.Random(7))

    def knob(self) -> float:
        """As the slowest pod has it: 2, where no annotation says otherwise."""
        pods = self.cluster.list(PODS, "train").items
        return min((float(each["metadata"].get("annotations", {}).get(KEY, "2")) for each in pods), default=2.0)

    def run(self, seconds: int) -> None:
        """Train so long."""
        value = self.knob()
        with self.path.open("a") as file:
            for _ in range(seconds):
                wait = self.wait_ms(value) if self.samples >= self.onset else 10.0
                time = 200 + wait + self.noise.gauss(0, 2)
                line: dict[str, Any] = {"ts_ms": START_MS + self.samples * 1000, "step": self.samples + 1}
                line |= {"step_time_ms": round(time, 3), "data_wait_ms": wait, "loss": 2.0}
                if self.speaks:
                    line["knobs"] = {"dataloader_prefetch_factor": value}
                file.write(json.dumps(line) + "\n")
                self.samples += 1


class Killed(BaseException):
    """As if the process had been killed: nothing after it happens."""


class World:
    """All of it, for one test."""

    interval_s = INTERVAL_S
    clock: Clock
    stop = Going()

    def __init__(self, folder: Path, wait_ms: Callable[[float], float], *, pods: int = 2) -> None:
        self.folder, self.out, self.stop = folder, folder / "out", Going()
        found = workload()
        found["metadata"]["annotations"] = {"somebody/else": "x"}
        self.cluster = world(("Deployment", found), pods=tuple(pod(f"trainer-{n}") for n in range(pods)))
        self.writer = MemoryWriter(self.cluster)
        self.licence = Licence()
        self.job = Job(self.cluster, folder / "run.jsonl", wait_ms)
        self.job.path.touch()
        self.clock = ActingClock(self._sleeping)
        self.meanwhile: Callable[[int], None] = lambda _iteration: None
        """What happens in the world after an iteration."""
        self.orders: list[ApplyOrder] = []
        self.audit: Audit | None = None
        self.original = self.ours()

    def _sleeping(self, _number: int) -> None:
        self.job.run(round(INTERVAL_S))

    def ours(self) -> dict[str, dict[str, str]]:
        """The annotations of every object, by name."""
        objects = (*self.cluster.list(DEPLOYMENT.resource, "train").items, *self.cluster.list(PODS, "train").items)
        return {each["metadata"]["name"]: dict(each["metadata"].get("annotations", {})) for each in objects}

    def values(self) -> dict[str, str | None]:
        """What each object carries for the knob."""
        return {name: annotations.get(KEY) for name, annotations in self.ours().items()}

    def replace_pod(self, name: str, by: str) -> None:
        """A pod goes, and its controller makes another one."""
        self.cluster.delete(ObjectRef(PODS, "train", name))
        self.cluster.put(PODS, pod(by, labels=LABELS))

    @contextmanager
    def ports(self, order: ApplyOrder) -> Iterator[DoorPorts]:
        """The paid package's own way to a cluster, which here leads into memory."""
        self.orders.append(order)
        switches = paid._Switches(environment=order.environment, file=order.kill_switch_file, reader=self.cluster)
        yield DoorPorts(
            reader=self.cluster,
            writer=self.writer,
            licence=self.licence,
            switches=switches,
            clock=order.clock,
            files=FolderStore(order.store.root),
        )

    def hands(self) -> Hands:
        actuator = paid.DoorActuator()

        def actuate(operation: Any, order: ApplyOrder) -> Any:
            try:
                return carry_out(actuator, operation, order)
            except ActuatorBrokeError as error:
                return str(error)

        return Hands(
            actuate=actuate,
            reader=lambda: nullcontext(self.cluster),
            kubectl=lambda: KubectlVersion(error="not there"),
            way=ClusterWay(),
            kill_switch_file=str(self.folder / "stop"),
            environment={},
        )

    def watch(
        self, iterations: int, *, settings: LoopSettings = SETTINGS, fresh: bool = False, applies: bool = True
    ) -> WatchRollUp:
        """One process of the session."""
        source = open_files([self.job.path.as_posix()], clock=self.clock, may_grow=True)
        signals = KillSwitchSignals(environment={}, file=str(self.folder / "stop"))
        plan = WatchPlan(
            name="job",
            watched=self.job.path.as_posix(),
            settings=settings,
            interval_s=self.interval_s,
            max_iterations=iterations,
            keep=10_000,
            apply=ApplyRequest(requested=applies, pro_installed=applies),
            kill_switch=signals.look,
            catalog=CatalogUse(source="built-in", trusted=True),
            cost=CostModel(),
            provenance=PROVENANCE,
            hands=self.hands() if applies else None,
            audit=self.audit,
        )
        try:
            session = WatchSession(
                FolderStore(self.out),
                source,
                plan,
                self.clock,
                describe_source=lambda: _part(source.describe),
                describe_recording=lambda: None,
                fresh=fresh,
            )
            return session.run(self.stop, lambda roll_up: self.meanwhile(roll_up.iterations))
        finally:
            source.close()

    def report(self) -> Any:
        """``watch_latest.json``."""
        return read_json(self.out / "watch_latest.json")

    def events(self, *names: str) -> list[dict[str, Any]]:
        """Events of the session with one of these names: the payloads, with the name in ``event``."""
        lines = [json.loads(line) for line in (self.out / "explain.jsonl").read_text().splitlines()]
        return [each["payload"] | {"event": each["event"]} for each in lines if each["event"] in names]


def _part(describe: str) -> Any:
    from modekeeper.artifacts.contracts.parts import SourcePart  # noqa: PLC0415

    return SourcePart(kind="file", describe=describe, notes=())


@pytest.fixture
def make_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., World]:
    """Makes the world of a test."""

    def make(wait_ms: Callable[[float], float], **settings: Any) -> World:
        made = World(tmp_path, wait_ms, **settings)
        monkeypatch.setattr(paid, "_ports", made.ports)
        return made

    return make
