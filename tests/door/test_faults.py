"""Killed at any moment: the files tell exactly what happened, and a rollback restores what was there."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.door.doors import KEY, Door

from modekeeper.artifacts.contracts.k8s_apply import Operation
from modekeeper.artifacts.store import FolderStore
from modekeeper.cluster.answers import answer_error
from modekeeper.model.cluster import ClusterUnreachableError
from modekeeper.model.decision import Actuation
from modekeeper.model.errors import FailedError
from modekeeper_pro.door import apply as apply_module
from modekeeper_pro.door import writing as writing_module
from modekeeper_pro.door.apply import apply
from modekeeper_pro.door.journal import Event, Journal, WriteState, states
from modekeeper_pro.door.rollback import rollback
from modekeeper_pro.door.runs import settled

HOT, COLD = Actuation.HOT, Actuation.COLD


class Killed(BaseException):
    """As ``kill -9``: nobody catches it, nothing is tidied up in the door's own files."""


@contextmanager
def killed_at(owner: Any, name: str, count: int = 1, *, after: bool = False) -> Iterator[None]:
    """The process dies at the ``count``-th call, before or after it."""
    real, calls = getattr(owner, name), [0]

    def wrapped(*args: Any, **fields: Any) -> Any:
        calls[0] += 1
        if calls[0] == count and not after:
            raise Killed
        result = real(*args, **fields)
        if calls[0] == count:
            raise Killed
        return result

    with mock.patch.object(owner, name, wrapped):
        yield


STEPS: list[tuple[str, Any, str]] = [
    ("1 parse the plan", apply_module, "parse_plan"),
    ("1 parse the verification", apply_module, "parse_verification"),
    ("2 facts", apply_module, "item_cases"),
    ("3 gates", apply_module, "judge"),
    ("4 rehearse", apply_module, "rehearse"),
    ("5 undo record", writing_module, "write_record"),
    ("6 look", writing_module, "looked"),
    ("7 receipt", writing_module, "write_receipt"),
]


@pytest.mark.parametrize("actuation", [HOT, COLD])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("owner", "name"), [step[1:] for step in STEPS], ids=[step[0] for step in STEPS])
def test_killed_at_a_step(owner: Any, name: str, after: bool, actuation: Actuation, tmp_path: Path) -> None:
    door = Door(tmp_path, actuation)
    with killed_at(owner, name, after=after), pytest.raises(Killed):
        apply(door.request(), door.ports)
    check_story_and_rollback(door)


def check_story_and_rollback(door: Door) -> None:
    """The files say what was written, each write has a receipt, and the rollback brings back what was there."""
    changed = {change.ref.name for change in door.writer.stored}
    told = settled(door.ports)
    written = {w.name for past in told.past for w in past.written() if past.record.operation is Operation.APPLY}
    assert written == changed
    assert all(past.state(w.number) is WriteState.RECEIPTED for past in told.past for w in past.written())
    assert len(door.receipts()) == len(door.writer.stored)
    taken = rollback(None, door.ports)
    assert taken.ok
    assert door.ours() == door.original
    assert len(door.receipts()) == len(door.writer.stored)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_killed_around_a_write(count: int, after: bool, tmp_path: Path) -> None:
    door = Door(tmp_path, HOT)
    with killed_at(door.writer, "write", count, after=after), pytest.raises(Killed):
        apply(door.request(), door.ports)
    assert len(door.writer.stored) == count - (0 if after else 1)
    check_story_and_rollback(door)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("count", range(1, 12))
def test_killed_around_a_line_of_the_journal(count: int, after: bool, tmp_path: Path) -> None:
    door = Door(tmp_path, HOT)
    with killed_at(Journal, "add", count, after=after), pytest.raises(Killed):
        apply(door.request(), door.ports)
    check_story_and_rollback(door)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_an_apply_goes_on_after_a_kill(count: int, after: bool, tmp_path: Path) -> None:
    door = Door(tmp_path, HOT)
    with killed_at(door.writer, "write", count, after=after), pytest.raises(Killed):
        apply(door.request(), door.ports)
    applied = apply(door.request(), door.ports)
    assert applied.ok, [verdict for verdict in applied.verdicts if not verdict.passed]
    names = ("Deployment/trainer", "Pod/trainer-0", "Pod/trainer-1")
    assert all(door.ours()[name][KEY] == "4" for name in names)
    assert len(door.receipts()) == len(door.writer.stored) == 3
    assert rollback(None, door.ports).ok
    assert door.ours() == door.original


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_rollback_goes_on_after_a_kill(count: int, tmp_path: Path) -> None:
    door = Door(tmp_path, HOT)
    assert apply(door.request(), door.ports).ok
    with killed_at(door.writer, "write", count, after=True), pytest.raises(Killed):
        rollback(None, door.ports)
    rollback(None, door.ports)
    assert door.ours() == door.original
    assert len(door.receipts()) == len(door.writer.stored) == 6


def test_a_full_disk_stops_before_the_first_change(tmp_path: Path) -> None:
    door = Door(tmp_path, HOT)
    with (
        mock.patch.object(FolderStore, "write_bytes", side_effect=FailedError("the disk is full")),
        pytest.raises(FailedError),
    ):
        apply(door.request(), door.ports)
    assert door.writer.stored == []


@pytest.mark.parametrize("made", [False, True], ids=["not made", "made"])
@pytest.mark.parametrize(
    "error",
    [ClusterUnreachableError("no answer"), answer_error("change it", 504), answer_error("change it", 500)],
    ids=["silence", "504", "500"],
)
def test_a_write_without_an_answer_is_found_out(made: bool, error: Exception, tmp_path: Path) -> None:
    door = Door(tmp_path, HOT)
    failures = iter([error])

    def fail(_change: object) -> None:
        if (failure := next(failures, None)) is not None:
            raise failure

    if made:
        door.writer.after_write = fail
    else:
        door.writer.before_write = fail
    applied = apply(door.request(), door.ports)
    assert applied.ok
    assert len(door.receipts()) == len(door.writer.stored) == 3
    events = [line.event for past in settled(door.ports).past for line in past.lines if line.number == 1]
    assert Event.UNANSWERED in events
    assert (Event.FOUND in events) is made


def test_a_record_that_was_changed_is_not_followed(tmp_path: Path) -> None:
    door = Door(tmp_path, HOT)
    assert apply(door.request(), door.ports).ok
    path = tmp_path / "apply" / "door" / "0001" / "undo.json"
    path.write_bytes(path.read_bytes().replace(b'": "2"', b'": "9"', 1))
    with pytest.raises(FailedError, match="cannot be relied on"):
        rollback(None, door.ports)


def test_a_line_that_was_cut_off_was_never_waited_for(tmp_path: Path) -> None:
    door = Door(tmp_path, HOT)
    assert apply(door.request(), door.ports).ok
    path = tmp_path / "apply" / "door" / "0001" / "journal.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"at":"2026')
    assert settled(door.ports).past[0].lines[-1].event is Event.FINISHED
    path.write_bytes(whole.replace(b'"event":"intent"', b'"event":"nonsense"', 1))
    with pytest.raises(FailedError, match="damaged"):
        settled(door.ports)


HAPPENINGS = ["nothing", "kill before", "kill after", "silence before", "silence after", "switch", "edit", "move"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(happening=st.lists(st.sampled_from(HAPPENINGS), max_size=12), operations=st.lists(st.booleans(), max_size=4))
def test_whatever_happens_there_is_a_receipt_for_each_write(
    happening: list[str], operations: list[bool], tmp_path_factory: pytest.TempPathFactory
) -> None:
    door = Door(tmp_path_factory.mktemp("door"), HOT)
    left = iter(happening)
    now = ["nothing"]

    def before(change: Any) -> None:
        now[0] = next(left, "nothing")
        act(door, now[0], change, "before")

    door.writer.before_write = before
    door.writer.after_write = lambda change: act(door, now[0], change, "after")
    for is_apply in (True, *operations):
        call: Callable[[], Any] = (
            (lambda: apply(door.request(), door.ports)) if is_apply else (lambda: rollback(None, door.ports))
        )
        with suppress(Killed):
            call()
        door.switches.active = False
    told = settled(door.ports)
    in_doubt = sum(
        past.state(write.number) is WriteState.IN_DOUBT for past in told.past for write in past.record.writes
    )
    assert len(door.receipts()) <= len(door.writer.stored) <= len(door.receipts()) + in_doubt
    assert all(state is not WriteState.WRITTEN for past in told.past for state in states(past.lines).values())


def act(door: Door, what: str, change: Any, moment: str) -> None:
    match what, moment:
        case ("kill before", "before") | ("kill after", "after"):
            raise Killed
        case ("silence before", "before") | ("silence after", "after"):
            raise ClusterUnreachableError("no answer")
        case "switch", "after":
            door.switches.active = True
        case "edit", "before":
            door.edit(change.ref, KEY, "3")
        case "move", "before":
            door.edit(change.ref, "somebody/else", "moved")
