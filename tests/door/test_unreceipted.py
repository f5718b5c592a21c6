"""The door and its own past: what stands in our name and was not written from its folder stops an apply."""

from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.cluster_verify.worlds import plan_of
from tests.door.doors import KEY, TRAINER, Door, MemoryWriter, planned

from modekeeper.cluster.audit.looking import find_unreceipted
from modekeeper.cluster.memory import PODS
from modekeeper.model.cluster import FIELD_MANAGER, JsonObject, ObjectRef
from modekeeper.model.decision import Actuation, BlockReason, Target
from modekeeper.planning.parse_undo import parse_rollback_plan
from modekeeper_pro.door.apply import Applied, apply
from modekeeper_pro.door.change import Change
from modekeeper_pro.door.gates import block_reasons
from modekeeper_pro.door.journal import Event, Journal
from modekeeper_pro.door.rollback import rollback

TARGET = Target(namespace="train", kind="Deployment", name="trainer")
POD = ObjectRef(PODS, "train", "trainer-0")


def owned_by(found: JsonObject, place: tuple[str, ...], keys: dict[str, str | None], manager: str) -> None:
    """As the API server does: who sets another value takes the key over, and a key that is removed has no owner."""
    taken = (tuple(f"f:{step}" for step in place), {f"f:{key}" for key in keys})
    entries: list[JsonObject] = found["metadata"].setdefault("managedFields", [])
    for entry in entries:
        below = entry["fieldsV1"]
        for step in taken[0]:
            below = below.get(step, {})
        for key in taken[1]:
            below.pop(key, None)
    fields: JsonObject = {f"f:{key}": {} for key, value in keys.items() if value is not None}
    for step in reversed(taken[0]):
        fields = {step: fields}
    if any(value is not None for value in keys.values()):
        entries.append(
            {"manager": manager, "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": fields, "time": "now"}
        )


class OwningWriter(MemoryWriter):
    """Writes down who changed what, as the API server does."""

    def write(self, change: Change) -> JsonObject:
        stored = super().write(change)
        owned_by(stored, change.place, dict(change.values), FIELD_MANAGER)
        return self.cluster.put(change.ref.resource, stored)


def edit(door: Door, ref: ObjectRef, value: str, manager: str, *, template: bool = False) -> None:
    door.edit(ref, KEY, value, template=template)
    found = door.cluster.get(ref)
    place = ("spec", "template", "metadata", "annotations") if template else ("metadata", "annotations")
    owned_by(found, place, {KEY: value}, manager)
    door.cluster.put(ref.resource, found)


def owning(folder: Path, actuation: Actuation = Actuation.HOT) -> Door:
    door = Door(folder, actuation)
    door.writer = OwningWriter(door.cluster)
    return door


def found(door: Door) -> tuple[str, ...]:
    (door.folder / "apply").mkdir(exist_ok=True)
    return find_unreceipted(door.cluster, [TARGET], door.folder / "apply")


def target_gate(applied: Applied) -> str:
    assert BlockReason.TARGET_CHANGED in block_reasons(applied.verdicts)
    assert applied.record is None
    return next(verdict.detail for verdict in applied.verdicts if verdict.gate == "target")


@pytest.mark.parametrize("ref", [TRAINER, POD], ids=["object", "pod"])
def test_a_value_in_our_name_that_was_not_written_here_stops_the_apply(tmp_path: Path, ref: ObjectRef) -> None:
    door = owning(tmp_path)
    edit(door, ref, "2", FIELD_MANAGER)
    door.verification = door.verified(door.plan)
    text = target_gate(apply(door.request(), door.ports))
    assert f"{ref.resource.kind}/{ref.name} in namespace train was changed under our field manager" in text
    assert "without a receipt" in text
    assert door.writer.stored == []


def test_the_same_edit_by_somebody_else_is_no_incident(tmp_path: Path) -> None:
    door = owning(tmp_path)
    edit(door, TRAINER, "2", "kubectl-annotate")
    door.verification = door.verified(door.plan)
    assert apply(door.request(), door.ports).ok
    assert found(door) == ()


def test_it_stops_an_apply_whatever_the_place_and_a_rollback_still_goes(tmp_path: Path) -> None:
    door = owning(tmp_path)
    assert apply(door.request(), door.ports).ok
    edit(door, TRAINER, "9", FIELD_MANAGER, template=True)
    door.clock.time += timedelta(days=1)
    door.plan = plan_of(planned(Actuation.HOT, value="5"))
    door.verification = door.verified(door.plan)
    assert "is '9' in the pod template, no receipt" in target_gate(apply(door.request(), door.ports))
    before = door.original["Deployment/trainer"]
    assert rollback(None, door.ports).ok
    assert door.ours()["Deployment/trainer"] == before


def test_a_write_stored_after_the_look_is_found_and_not_taken_for_ours(tmp_path: Path) -> None:
    door = owning(tmp_path, Actuation.COLD)
    late: list[Change] = []

    def killed(change: Change) -> None:
        late.append(change)
        raise KeyboardInterrupt

    door.writer.before_write = killed
    with pytest.raises(KeyboardInterrupt):
        apply(door.request(), door.ports)
    door.writer.before_write = lambda _change: None
    assert rollback(None, door.ports).outcomes == ()
    assert Journal(door.ports.files, 1, door.clock).lines()[-1].event is Event.NOT_FOUND
    assert found(door) == ()
    door.writer.write(late[0])
    (line,) = found(door)
    assert "in the pod template, no receipt" in line
    door.verification = door.verified(door.plan)
    assert "without a receipt" in target_gate(apply(door.request(), door.ports))


def test_the_way_back_of_a_plan_that_goes_on_says_what_was_there_before_it_began(tmp_path: Path) -> None:
    door = owning(tmp_path)

    def killed(change: Change) -> None:
        if change.ref.name == "trainer-1":
            raise KeyboardInterrupt

    door.writer.before_write = killed
    with pytest.raises(KeyboardInterrupt):
        apply(door.request(), door.ports)
    name = tmp_path / "apply" / "rollback_plan_latest.json"
    first = parse_rollback_plan(name.read_bytes())
    assert (first.plan_digest, first.items[0].keys[KEY].value) == (door.plan.digest, "2")
    door.writer.before_write = lambda _change: None
    assert apply(door.request(), door.ports).ok
    assert parse_rollback_plan(name.read_bytes()) == first
    assert len(list((tmp_path / "apply").glob("rollback_plan_2*.json"))) >= 1


STEPS = st.one_of(
    st.tuples(st.just("apply"), st.sampled_from(["3", "4", "5"])),
    st.tuples(st.just("killed"), st.sampled_from(["3", "4", "5"])),
    st.tuples(st.just("rollback"), st.just("")),
    st.tuples(st.sampled_from(["somebody", "in our name"]), st.sampled_from(["2", "3", "4", "5"])),
)


@given(st.lists(STEPS, max_size=7), st.integers(0, 2), st.sampled_from([TRAINER, POD]))
@settings(max_examples=60, deadline=None)
def test_whatever_happens_exactly_what_has_no_receipt_is_found(
    steps: list[tuple[str, str]], after: int, ref: ObjectRef
) -> None:
    """Applies, kills, rollbacks and other people in any order: our own work is never an incident, an impostor is."""
    with TemporaryDirectory() as folder:
        door = owning(Path(folder))
        impostor: tuple[str, int] | None = None
        for what, value in steps:
            door.clock.time += timedelta(days=1)
            before, stored = found(door), len(door.writer.stored)
            if what == "in our name":
                edit(door, ref, value, FIELD_MANAGER)
                impostor = (value, len(written(door, ref)))
            elif what == "somebody":
                edit(door, ref, value, "somebody")
                impostor = None
            else:
                act(door, what, value, after)
            if before and what != "rollback":
                assert len(door.writer.stored) == stored
            assert len(found(door)) == expected(door, ref, impostor)


def written(door: Door, ref: ObjectRef) -> list[str | None]:
    """What the door wrote to an object, the oldest first."""
    return [dict(change.values)[KEY] for change in door.writer.stored if change.ref == ref]


def expected(door: Door, ref: ObjectRef, impostor: tuple[str, int] | None) -> int:
    """``impostor``: what somebody wrote in our name last, and after how many writes of the door."""
    ours = written(door, ref)
    if impostor is None or len(ours) > impostor[1]:
        return 0
    return int(not ours or ours[-1] != impostor[0])


def act(door: Door, what: str, value: str, after: int) -> None:
    seen: list[Change] = []

    def killed(change: Change) -> None:
        seen.append(change)
        if len(seen) > after:
            raise KeyboardInterrupt

    if what == "rollback":
        rollback(None, door.ports)
        return
    door.plan = plan_of(planned(Actuation.HOT, value=value))
    door.verification = door.verified(door.plan)
    door.writer.after_write = killed if what == "killed" else lambda _change: None
    with suppress(KeyboardInterrupt):
        apply(door.request(), door.ports)
    door.writer.after_write = lambda _change: None
    # A process that comes after it finds out how the last write ended.
    with suppress(KeyboardInterrupt):
        rollback("sha256:" + "0" * 64, door.ports)
