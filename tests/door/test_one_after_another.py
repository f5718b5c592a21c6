"""What overlaps in the door, and what must not: the reading back, the looks, the lines that wait for the disk."""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.door.doors import KEY, TRAINER, Door
from tests.door.test_faults import Killed, killed_at

from modekeeper.artifacts.contracts.k8s_apply import ApplyStatus, Receipt
from modekeeper.gates.kill_switch import KillSwitch
from modekeeper.model.cluster import ClusterUnreachableError, ObjectRef
from modekeeper.model.decision import Actuation, BlockReason
from modekeeper_pro.door import looking
from modekeeper_pro.door import writing as writing_module
from modekeeper_pro.door.apply import apply
from modekeeper_pro.door.journal import Event, Journal, WriteState
from modekeeper_pro.door.rollback import rollback
from modekeeper_pro.door.runs import settled

HOT, COLD = Actuation.HOT, Actuation.COLD


@pytest.mark.parametrize("actuation", [HOT, COLD])
def test_each_write_is_rehearsed_once_as_it_will_be_made(actuation: Actuation, tmp_path: Path) -> None:
    door = Door(tmp_path, actuation, ("a", "b"))
    tried: list[Any] = []
    real = door.writer.dry_run

    def dry_run(change: Any) -> Any:
        tried.append(change)
        return real(change)

    door.writer.dry_run = dry_run  # type: ignore[method-assign]
    assert apply(door.request(), door.ports).ok
    assert len(tried) == len(door.writer.stored) == (6 if actuation is HOT else 2)
    assert sorted(tried, key=repr) == sorted(door.writer.stored, key=repr)


def test_an_object_that_moves_under_its_dry_run_is_read_again(tmp_path: Path) -> None:
    door = Door(tmp_path, COLD)
    moves = iter(range(2))
    real = door.writer.dry_run

    def dry_run(change: Any) -> Any:
        if next(moves, None) is not None:
            door.edit(TRAINER, "somebody/else", "moved")
        return real(change)

    door.writer.dry_run = dry_run  # type: ignore[method-assign]
    assert apply(door.request(), door.ports).ok


def test_a_write_that_does_not_hold_is_the_last_one(tmp_path: Path) -> None:
    """Somebody sets it back at once: it is read back before the next write, which is not made."""
    door = Door(tmp_path, HOT)
    door.writer.after_write = lambda change: door.edit(change.ref, KEY, "2")
    applied = apply(door.request(), door.ports)
    statuses = [outcome.status for outcome in applied.outcomes]
    assert statuses == [ApplyStatus.FAILED, ApplyStatus.NOT_DONE, ApplyStatus.NOT_DONE]
    assert applied.outcomes[0].reason is BlockReason.TARGET_CHANGED
    assert len(door.writer.stored) == len(door.receipts()) == 1
    receipt = msgspec.json.decode(door.receipts()[0].read_bytes(), type=Receipt)
    assert receipt.after == {KEY: "2"}
    assert receipt == applied.outcomes[0].receipt
    past = settled(door.ports).past[0]
    assert past.states == {1: WriteState.RECEIPTED, 2: WriteState.NOT_WRITTEN}
    assert past.lines[-1].event is Event.STOPPED


def test_the_last_write_is_read_back_too(tmp_path: Path) -> None:
    door = Door(tmp_path, COLD)
    door.writer.after_write = lambda change: door.edit(change.ref, KEY, "3", template=True)
    applied = apply(door.request(), door.ports)
    assert [outcome.status for outcome in applied.outcomes] == [ApplyStatus.FAILED]
    assert settled(door.ports).past[0].lines[-1].event is Event.STOPPED


class SlowReader:
    """Reads back slower than the switches are looked at."""

    def __init__(self, door: Door) -> None:
        self._reader = door.cluster
        self.door = door
        self.slow = threading.Event()

    def get(self, ref: ObjectRef) -> Any:
        if threading.current_thread().name.startswith("read-back"):
            self.slow.wait(0.05)
        return self._reader.get(ref)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)


def test_what_is_waited_for_after_a_look_is_followed_by_another_look(tmp_path: Path) -> None:
    door = Door(tmp_path, HOT)
    order: list[str] = []
    look = door.switches.look
    door.writer.before_write = lambda _change: order.append("write")

    def noted(namespaces: tuple[str, ...]) -> KillSwitch:
        order.append("look")
        door.switches.active = order.count("look") == 4  # thrown while the first write is read back
        return look(namespaces)

    door.switches.look = noted  # type: ignore[method-assign]
    applied = apply(door.request(), replace(door.ports, reader=SlowReader(door)))
    assert order == ["look", "look", "write", "look", "look"]
    assert applied.outcomes[1].reason is BlockReason.KILL_SWITCH_ACTIVE
    assert len(door.writer.stored) == len(door.receipts()) == 1


def test_a_write_that_cannot_be_read_back_is_what_the_server_confirmed(tmp_path: Path) -> None:
    door = Door(tmp_path, HOT)
    real = looking.current
    with pytest.MonkeyPatch.context() as patched:

        def silent(ports: Any, ref: ObjectRef) -> Any:
            if threading.current_thread().name.startswith("read-back"):
                raise ClusterUnreachableError("no answer")
            return real(ports, ref)

        patched.setattr(writing_module, "current", silent)
        applied = apply(door.request(), door.ports)
    assert applied.ok
    assert len(door.receipts()) == 3


def test_a_receipt_that_the_machine_lost_is_written_again_to_the_byte(tmp_path: Path) -> None:
    """The journal is waited for, the name of a new file in its folder is not."""
    door = Door(tmp_path, HOT)
    assert apply(door.request(), door.ports).ok
    before = {path: path.read_bytes() for path in door.receipts()}
    door.receipts()[1].unlink()
    settled(door.ports)
    assert {path: path.read_bytes() for path in door.receipts()} == before


def test_a_line_that_was_cut_off_is_not_in_the_way_of_the_next_one(tmp_path: Path) -> None:
    door = Door(tmp_path, HOT)
    with killed_at(door.writer, "write", 2, after=True), pytest.raises(Killed):
        apply(door.request(), door.ports)
    journal = tmp_path / "apply" / "door" / "0001" / "journal.jsonl"
    journal.write_bytes(journal.read_bytes() + b'{"at":"2026')
    assert settled(door.ports).past[0].lines[-1].event is Event.RECEIPT
    assert rollback(None, door.ports).ok
    assert door.ours() == door.original


def test_every_line_before_a_write_is_on_the_disk(tmp_path: Path) -> None:
    """Lines that are not waited for are followed by one that is, before the next write and at the end."""
    door = Door(tmp_path, HOT)
    waited: list[bool] = []
    real = Journal.add

    def add(journal: Journal, event: Event, *, wait: bool = True, **fields: Any) -> str:
        waited.append(wait)
        return real(journal, event, wait=wait, **fields)

    at_write: list[bool] = []
    door.writer.before_write = lambda _change: at_write.append(waited[-1])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Journal, "add", add)
        assert apply(door.request(), door.ports).ok
    assert at_write == [True] * 3
    assert waited[-1]
