"""The kill-switch thrown at a random moment of an apply: no write starts after it is visible.

The clock: the API server, the door and the test run on one machine and read one clock. The switch is *visible* at the
time read right after the call that threw it came back. A look that begins at that time or later sees it; a look that
was over before does not, and its one write may follow. So of the writes that the API server received after the switch
was visible there is at most one, it is the last, and its look began before. All that is checked with the times of the
API server's audit log and those of the looks.
"""

import os
import random
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest
from tests.cluster.audit import Event, events
from tests.cluster.control_plane import ControlPlane, wait_until
from tests.cluster.door.stages import Applying, Signals, Stage, applying, clients, staged

from modekeeper.cli.clocks import SystemClock
from modekeeper.gates.kill_switch import KILL_SWITCH_CONFIG_MAP, KILL_SWITCH_VARIABLE, KillSwitch
from modekeeper.model.decision import Actuation, BlockReason
from modekeeper_pro.door.apply import Applied, apply
from modekeeper_pro.door.rollback import rollback

SHARE = float(os.environ.get("MODEKEEPER_HEAVY_SHARE", "1.0"))
HEAVY_RUNS = max(3, round(100 * SHARE))
MANY = 200 if SHARE >= 0.1 else 40
FEW = 12
SEED = 20_260_131
SIGNALS = ("env", "file", "configmap")

now = SystemClock().now


@dataclass(frozen=True)
class Look:
    """One look at the switches."""

    began: datetime
    ended: datetime
    active: bool


@dataclass
class TimedSignals(Signals):
    """The real kill-switches, and when they were looked at."""

    looks: list[Look] = field(default_factory=list)

    def look(self, namespaces: tuple[str, ...]) -> KillSwitch:
        began = now()
        switch = super().look(namespaces)
        self.looks.append(Look(began, now(), switch.active))
        return switch


@pytest.fixture(scope="module")
def crowd(request: pytest.FixtureRequest, control_plane: ControlPlane) -> Iterator[Stage]:
    """So many Deployments, made once for the tests of one size."""
    name = f"crowd-{secrets.token_hex(4)}"
    assert control_plane.request("admin", "/api/v1/namespaces", "POST", {"metadata": {"name": name}}).status == 201
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    wait_until(lambda: control_plane.request("admin", account).status == 200, f"namespace {name} is usable")
    with staged(control_plane, name, tuple(("Deployment", f"w{n:03}") for n in range(request.param))) as stage:
        yield stage
    control_plane.request("admin", f"/api/v1/namespaces/{name}", "DELETE")


@dataclass
class Race:
    """One apply of a plan for everything on the stage."""

    door: Applying
    signals: TimedSignals

    def throw(self, signal: str) -> datetime:
        """Throw the switch; the time at which it is visible."""
        match signal:
            case "env":
                self.signals.environment[KILL_SWITCH_VARIABLE] = "1"
            case "file":
                self.signals.file.touch()
            case _:
                body = {"metadata": {"name": KILL_SWITCH_CONFIG_MAP}, "data": {"active": "true"}}
                plane, namespace = self.door.stage.plane, self.door.stage.namespace
                path = f"/api/v1/namespaces/{namespace}/configmaps"
                assert plane.request("admin", path, "POST", body).status == 201
        return now()

    def put_back(self, signal: str) -> None:
        match signal:
            case "env":
                del self.signals.environment[KILL_SWITCH_VARIABLE]
            case "file":
                self.signals.file.unlink()
            case _:
                plane, namespace = self.door.stage.plane, self.door.stage.namespace
                path = f"/api/v1/namespaces/{namespace}/configmaps/{KILL_SWITCH_CONFIG_MAP}"
                assert plane.request("admin", path, "DELETE").status == 200


def race(stage: Stage, folder: Path, signal: str, rng: random.Random) -> tuple[int, float]:
    """Throw the switch after a random number of writes and a random moment.

    Returns:
        The number of writes, and how many milliseconds after the switch was visible the last one was received; zero
        where that was before.
    """
    original = stage.ours()
    with clients(stage.plane) as both:
        door = applying(stage, folder, both, *((each, Actuation.COLD) for each in stage.workloads))
        door.signals = signals = TimedSignals(both[0], folder / "kill-switch")
        running, since = Race(door, signals), stage.position()
        done: list[Applied] = []
        thread = threading.Thread(target=lambda: done.append(apply(door.request, door.ports)))
        thread.start()
        after, pause_s = rng.randrange(len(stage.workloads)), rng.uniform(0, 0.01)
        while len(signals.looks) < after + 2 and thread.is_alive():
            threading.Event().wait(0.0005)
        threading.Event().wait(pause_s)
        visible = running.throw(signal)
        thread.join()
        written = check(stage, since, signals, visible, done[0])
        assert door.receipts() == len(written)
        running.put_back(signal)
        back = rollback(None, door.ports)
        assert back.ok, back.outcomes
        assert stage.ours() == original
        assert door.receipts() == 2 * len(written) == stage.written(since)
    late_ms = max(((received(each) - visible).total_seconds() * 1000 for each in written), default=0.0)
    return len(written), max(0.0, late_ms)


def received(event: Event) -> datetime:
    return datetime.fromisoformat(event.received_at)


def check(stage: Stage, since: int, signals: TimedSignals, visible: datetime, applied: Applied) -> list[Event]:
    """The writes, none of which started after the switch was visible to its look."""
    asked = events(stage.plane, "admin", since)
    written = [each for each in stage.asked(since) if each.status == 200]
    # Looks that began when it was visible saw it, and nothing was sent after the first of them that did.
    seen = [each for each in signals.looks if each.active]
    assert all(each.active for each in signals.looks if each.began >= visible)
    assert applied.ok is not bool(seen)
    if seen:
        assert all(received(each) <= seen[0].began for each in written)
        assert applied.outcomes[len(written)].reason is BlockReason.KILL_SWITCH_ACTIVE
    late = [each for each in written if received(each) > visible]
    assert len(late) <= 1
    if late:
        assert late == written[-1:]
        of_it = [each for each in signals.looks if each.ended <= received(late[0])][-1]
        assert of_it.began < visible
    # By the audit log alone: what came directly before each write is the look that belongs to it.
    for each in written:
        looks = [
            e for e in asked if e.resource == "configmaps" and e.name == KILL_SWITCH_CONFIG_MAP and e.verb == "get"
        ]
        before = [e for e in looks if e.answered_at <= each.received_at]
        others = [e for e in written if e.received_at < each.received_at]
        assert before
        assert not others or before[-1].received_at >= others[-1].answered_at
    return written


@pytest.mark.parametrize("crowd", [FEW], indirect=True)
@pytest.mark.parametrize("signal", SIGNALS)
def test_thrown_at_a_random_moment(crowd: Stage, signal: str, tmp_path: Path) -> None:
    race(crowd, tmp_path, signal, random.Random(SEED))


@pytest.mark.heavy
@pytest.mark.parametrize("crowd", [MANY], indirect=True)
def test_thrown_at_a_random_moment_a_hundred_times(
    crowd: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(SEED)
    results: list[tuple[str, int, float]] = []
    for number in range(HEAVY_RUNS):
        signal = SIGNALS[number % len(SIGNALS)]
        results.append((signal, *race(crowd, tmp_path / f"{number}", signal, rng)))
    with capsys.disabled():
        for signal in SIGNALS:
            mine = [each for each in results if each[0] == signal]
            late_ms = [each[2] for each in mine if each[2]]
            print(
                f"\n{signal}: {len(mine)} races over {MANY} objects, {sum(each[1] for each in mine)} writes; in "
                f"{len(late_ms)} races the last one, looked for before, came after the switch was visible, "
                f"{max(late_ms, default=0):.1f} ms at most"
            )
    assert any(0 < written < MANY for _signal, written, _late in results)
