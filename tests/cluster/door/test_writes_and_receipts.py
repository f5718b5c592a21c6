"""Whatever happens: as many writes in the API server's audit log as receipts on the disk."""

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from tests.cluster.door.stages import Applying, Place, Stage, Workload, applying, clients

from modekeeper.cluster.answers import answer_error
from modekeeper.model.cluster import ClusterUnreachableError, DryRunAnswer, JsonObject
from modekeeper.model.decision import Actuation
from modekeeper.ports.cluster import ClusterReader
from modekeeper_pro.door import apply as apply_module
from modekeeper_pro.door import writing as writing_module
from modekeeper_pro.door.apply import apply
from modekeeper_pro.door.change import PODS, RECORD, Change
from modekeeper_pro.door.journal import Journal, WriteState
from modekeeper_pro.door.rollback import rollback
from modekeeper_pro.door.runs import settled
from modekeeper_pro.door.writer import Writer

SHARE = float(os.environ.get("MODEKEEPER_HEAVY_SHARE", "1.0"))
HEAVY_RUNS = max(20, round(1_000 * SHARE))
FEW_RUNS = 15
SEED = 20_260_131

HOT, COLD = Actuation.HOT, Actuation.COLD


class Killed(BaseException):
    """As ``kill -9``: nobody catches it."""


@dataclass
class Disturber:
    """What happens at one moment of one apply or rollback; the rest goes undisturbed."""

    what: str
    moment: int
    """The how-manieth call of what it hooks into."""
    after: bool
    rng: random.Random
    stage: Stage
    happened: bool = False
    calls: Counter[str] = field(default_factory=Counter)

    def due(self, hook: str, *, after: bool) -> bool:
        if not after:
            self.calls[hook] += 1
        if self.happened or after is not self.after or self.calls[hook] != self.moment:
            return False
        self.happened = True
        return True


@dataclass
class DisturbedWriter:
    """The real writer, and somebody who meddles before and after its writes."""

    real: Writer
    disturber: Disturber

    def dry_run(self, change: Change) -> DryRunAnswer:
        return self.real.dry_run(change)

    def write(self, change: Change) -> JsonObject:
        self._meddle(change, after=False)
        stored = self.real.write(change)
        self._meddle(change, after=True)
        return stored

    def close(self) -> None:
        self.real.close()

    def _meddle(self, change: Change, *, after: bool) -> None:
        disturber = self.disturber
        if not disturber.what.startswith("write:") or not disturber.due("write", after=after):
            return
        kind, name = "Pod" if change.ref.resource == PODS else change.ref.resource.kind, change.ref.name
        place: Place = (kind, name, "record" if change.place == RECORD else "template")
        match disturber.what:
            case "write: edited":
                disturber.stage.set(place, "3")
            case "write: moved":
                disturber.stage.set((kind, name, "record"), "new", "somebody/else")
            case "write: recreated":
                disturber.stage.recreate(kind, name)
            case "write: silence":
                raise ClusterUnreachableError("no answer")
            case "write: error":
                raise answer_error("change it", disturber.rng.choice([500, 503, 504] if after else [403, 429, 500]))


KILLED_AT: dict[str, tuple[Any, str]] = {
    "killed: gates": (apply_module, "judge"),
    "killed: rehearsal": (apply_module, "rehearse"),
    "killed: record": (writing_module, "write_record"),
    "killed: look": (writing_module, "looked"),
    "killed: line": (Journal, "add"),
    "killed: receipt": (writing_module, "write_receipt"),
    "killed: write": (DisturbedWriter, "write"),
    "switch: look": (writing_module, "looked"),
}
WHATS = (
    "nothing",
    "write: edited",
    "write: moved",
    "write: recreated",
    "write: silence",
    "write: error",
    *KILLED_AT,
)


@contextmanager
def hooked(disturber: Disturber, switch: Path) -> Iterator[None]:
    """The process dies, or the switch is thrown, at a call."""
    if disturber.what not in KILLED_AT:
        yield
        return
    owner, name = KILLED_AT[disturber.what]
    real = getattr(owner, name)

    def strike() -> None:
        if disturber.what.startswith("switch"):
            switch.touch()
        else:
            raise Killed

    def wrapped(*args: Any, **fields: Any) -> Any:
        if disturber.due(name, after=False):
            strike()
        result = real(*args, **fields)
        if disturber.due(name, after=True):
            strike()
        return result

    with mock.patch.object(owner, name, wrapped):
        yield


def one_run(stage: Stage, folder: Path, both: tuple[ClusterReader, Writer], seed: int) -> Counter[str]:
    """One random plan, disturbed, applied and taken back a few times; what happened."""
    rng = random.Random(seed)
    chosen: list[Workload] = rng.sample(stage.workloads, rng.randint(1, len(stage.workloads)))
    items = [(each, HOT if each[0] == "Job" else rng.choice([HOT, COLD])) for each in chosen]
    door = applying(stage, folder, both, *items)
    since = stage.position()
    happened: Counter[str] = Counter()
    for operation in ["apply", *rng.choices(["apply", "rollback"], k=rng.randint(0, 3))]:
        disturber = Disturber(rng.choice(WHATS), rng.randint(1, 8), rng.random() < 0.5, rng, stage)
        door.writer = DisturbedWriter(both[1], disturber)
        call: Callable[[], Any] = (
            (lambda: apply(door.request, door.ports)) if operation == "apply" else (lambda: rollback(None, door.ports))
        )
        with hooked(disturber, door.signals.file), suppress(Killed):
            call()
        happened[disturber.what if disturber.happened else "nothing"] += 1
        if rng.random() < 0.8:
            door.signals.file.unlink(missing_ok=True)
    door.writer = both[1]
    return happened + counted(door, since, seed)


def counted(door: Applying, since: int, seed: int) -> Counter[str]:
    """As many writes as receipts; where nobody can tell how a write ended, it is named as such."""
    told = settled(door.ports)
    in_doubt = sum(
        past.state(write.number) is WriteState.IN_DOUBT for past in told.past for write in past.record.writes
    )
    written, receipts = door.stage.written(since), door.receipts()
    assert receipts <= written <= receipts + in_doubt, (seed, written, receipts, in_doubt)
    named = sum(past.state(w.number) is WriteState.RECEIPTED for past in told.past for w in past.record.writes)
    assert named == receipts, (seed, named, receipts)
    return Counter({"writes": written, "receipts": receipts, "runs in doubt": int(in_doubt > 0)})


def runs(stage: Stage, folder: Path, count: int) -> Counter[str]:
    total: Counter[str] = Counter()
    with ExitStack() as stack:
        both = stack.enter_context(clients(stage.plane))
        for number in range(count):
            total += one_run(stage, folder / f"{number}", both, SEED + number)
            stage.reset()
    return total


def test_as_many_writes_as_receipts(at_rest: Stage, tmp_path: Path) -> None:
    total = runs(at_rest, tmp_path, FEW_RUNS)
    assert total["receipts"] > FEW_RUNS


@pytest.mark.heavy
def test_as_many_writes_as_receipts_a_thousand_times(
    at_rest: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    total = runs(at_rest, tmp_path, HEAVY_RUNS)
    with capsys.disabled():
        print(f"\n{HEAVY_RUNS} random runs: {dict(sorted(total.items()))}")
    assert total["receipts"] > HEAVY_RUNS
    if HEAVY_RUNS >= 500:
        assert all(total[what] for what in WHATS), total
