"""``kill -9`` of a process in the door, at every step and at any time: the files tell what happened, and all goes back.

The process that is killed is a real one, and so is the API server that may have its last request. A kubectl that is
under way outlives the door that started it, and holds its lock: it is waited for before anything is compared.
"""

import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.control_plane import wait_until
from tests.cluster.door.stages import Applying, Client, Stage, applying, clients
from tests.cluster.door.zygote import DONE, POINTS
from tests.cluster.door.zygotes import Zygote, starting

from modekeeper.artifacts.contracts.k8s_apply import Operation
from modekeeper.model.decision import Actuation
from modekeeper.model.errors import RefusedError
from modekeeper_pro.door.journal import WriteState
from modekeeper_pro.door.rollback import rollback
from modekeeper_pro.door.runs import locked, settled

SHARE = float(os.environ.get("MODEKEEPER_HEAVY_SHARE", "1.0"))
SEED = 20_260_131
KILLED = -9
AT_RANDOM = max(4, round(100 * SHARE))
MOST_CALLS = 40
ITEMS = ((("Deployment", "a"), Actuation.HOT), (("StatefulSet", "d"), Actuation.COLD))
"""Three writes: a Deployment's record, its pod, a StatefulSet's template."""
OF_THE_WRITER = ("4 rehearsal", "6 look", "6 write", "7 read back", "7 receipt", "line of the journal")
FEW: tuple[tuple[str, int, bool], ...] = (
    ("4 rehearsal", 1, True),
    ("5 undo record", 1, True),
    ("6 look", 2, True),
    ("6 write", 1, True),
    ("6 write", 2, False),
    ("6 write", 3, True),
    ("7 receipt", 2, True),
    ("line of the journal", 3, True),
)


@pytest.fixture(scope="module")
def zygote(stage: Stage) -> Iterator[Zygote]:
    with starting(stage) as started:
        yield started


@contextmanager
def door_of(stage: Stage, folder: Path) -> Iterator[Applying]:
    with clients(stage.plane) as both:
        door = applying(stage, folder, both, *ITEMS)
        yield door


def one_kill(zygote: Zygote, folder: Path, client: Client, **killed: Any) -> int:
    """An apply that is killed, gone on with by the API client and taken back; how the killed process ended."""
    stage = zygote.stage
    original = stage.annotations()
    with door_of(stage, folder) as door:
        since = stage.position()
        ended = zygote.run(door, client, "apply", **killed)
        told_exactly(door, original, since)
        assert zygote.run(door, "api", "apply") == DONE
        assert told_exactly(door, original, since) == 3
        back = rollback(None, door.ports)
        assert back.ok, back.outcomes
        assert stage.annotations() == original
        assert stage.written(since) == door.receipts()
    return ended


def is_free(door: Applying) -> bool:
    try:
        with locked(door.ports):
            return True
    except RefusedError:
        return False


def told_exactly(door: Applying, original: dict[Any, Any], since: int) -> int:
    """How many writes stand: the files name just those whose objects changed, each with its receipt."""
    wait_until(lambda: is_free(door), "nothing of the killed process goes on", 30)
    written = door.stage.written(since)
    told = settled(door.ports)
    standing = told.standing(door.plan.digest)
    names = {"metadata": "record", "spec": "template"}
    said = {
        ("Pod" if w.resource.plural == "pods" else w.resource.kind, w.name, names[w.place[0]]) for _p, w in standing
    }
    now = door.stage.annotations()
    assert said == {place for place, values in now.items() if values != original[place]}
    assert all(past.state(w.number) is WriteState.RECEIPTED for past, w in standing)
    assert door.receipts() == written
    return len(standing)


def killed_and_back(zygote: Zygote, folder: Path, client: Client, **killed: Any) -> int:
    """A rollback that is killed, and gone on with; how the killed process ended."""
    stage = zygote.stage
    original = stage.annotations()
    with door_of(stage, folder) as door:
        since = stage.position()
        assert zygote.run(door, "api", "apply") == DONE
        ended = zygote.run(door, client, "rollback", **killed)
        wait_until(lambda: is_free(door), "nothing of the killed process goes on", 30)
        rollback(None, door.ports)
        assert stage.annotations() == original
        assert door.receipts() == stage.written(since) == 6
        assert sum(past.record.operation is Operation.ROLLBACK for past in settled(door.ports).past) <= 2
    return ended


@pytest.mark.parametrize(("point", "count", "after"), FEW)
def test_killed_in_the_door(  # noqa: PLR0917 - fixtures
    zygote: Zygote, at_rest: Stage, tmp_path: Path, point: str, count: int, after: bool
) -> None:
    assert one_kill(zygote, tmp_path, "api", point=point, count=count, after=after) == KILLED


def test_killed_while_kubectl_writes(zygote: Zygote, at_rest: Stage, tmp_path: Path) -> None:
    assert one_kill(zygote, tmp_path, "kubectl", point="6 write", count=2, after=True) == KILLED


SLOW_KUBECTL = """#!/bin/sh
case "$*" in
*--dry-run*) ;;
*patch*) touch {flag}; sleep 1 ;;
esac
exec {kubectl} "$@"
"""


def test_a_kubectl_that_outlives_the_door_is_waited_for(zygote: Zygote, at_rest: Stage, tmp_path: Path) -> None:
    """Else it would be taken for one that did nothing, and its write would have no receipt."""
    flag, slow = tmp_path / "it-began", tmp_path / "kubectl"
    slow.write_text(SLOW_KUBECTL.format(flag=flag, kubectl=at_rest.plane.binaries / "kubectl"))
    slow.chmod(0o755)
    original = at_rest.annotations()
    with door_of(at_rest, tmp_path) as door:
        since = at_rest.position()
        assert zygote.run(door, "kubectl", "apply", kubectl=str(slow), once=str(flag), after_s=0.1) == KILLED
        with pytest.raises(RefusedError, match="Another apply"):
            rollback(None, door.ports)
        assert told_exactly(door, original, since) == 1
        assert rollback(None, door.ports).ok
    assert at_rest.annotations() == original


def test_a_rollback_is_killed(zygote: Zygote, at_rest: Stage, tmp_path: Path) -> None:
    assert killed_and_back(zygote, tmp_path, "api", point="6 write", count=2, after=True) == KILLED


def points(client: Client) -> Iterator[tuple[str, int, bool]]:
    """Of kubectl those that it has to do with: the rest is the same code."""
    for point in POINTS if client == "api" else OF_THE_WRITER:
        for count in range(1, MOST_CALLS):
            for after in (False, True):
                yield point, count, after


@pytest.mark.heavy
@pytest.mark.parametrize("client", ["api", "kubectl"])
def test_killed_at_every_point(
    zygote: Zygote, at_rest: Stage, tmp_path: Path, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    killed: Counter[str] = Counter()
    over: set[tuple[str, str]] = set()
    rng = random.Random(SEED)
    for number, (point, count, after) in enumerate(points(client)):
        for name, kill in (("apply", one_kill), ("rollback", killed_and_back)):
            # Beyond the last call of a point nothing is killed: there are no more.
            if (name, point) in over or (SHARE < 1 and rng.random() > SHARE):
                continue
            ended = kill(zygote, tmp_path / f"{name}-{number}", client, point=point, count=count, after=after)
            killed[f"{name}, {point}"] += ended == KILLED
            if ended != KILLED:
                over.add((name, point))
    with capsys.disabled():
        print(f"\n{client}: killed at {killed.total()} points: {dict(sorted(killed.items()))}")
    assert SHARE < 1 or killed.total() > 60


@pytest.mark.heavy
@pytest.mark.parametrize("client", ["api", "kubectl"])
def test_killed_at_any_time(
    zygote: Zygote, at_rest: Stage, tmp_path: Path, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(SEED)
    longest_s = 0.25 if client == "api" else 2.5
    ends: Counter[str] = Counter()
    for number in range(AT_RANDOM):
        kill, name = (one_kill, "apply") if number % 2 else (killed_and_back, "rollback")
        ended = kill(zygote, tmp_path / f"{number}", client, after_s=rng.uniform(0, longest_s))
        ends[f"{name} {'killed' if ended == KILLED else 'was done before'}"] += 1
    with capsys.disabled():
        print(f"\n{client}: {AT_RANDOM} kills at random times: {dict(sorted(ends.items()))}")
