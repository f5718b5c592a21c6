"""``watch --apply``: what stands in the plan is applied through the door, measured, and taken back where it does harm.

The door, its gates and its files are the real ones; the cluster is one in memory.
"""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from tests.door.doors import KEY
from tests.watch.acting import DEPLOYMENT, SETTINGS, Killed, World, make_world
from tests.watch.sessions import check_folder, events_of, read_json

from modekeeper.cluster.memory import PODS
from modekeeper.model.cluster import JsonObject, ObjectRef
from modekeeper.model.decision import BlockReason
from modekeeper.model.errors import FailedError
from modekeeper.model.outcome import Outcome, OutcomeState
from modekeeper.model.trace import TickTrigger
from modekeeper_pro.door.change import Change

__all__ = ["make_world"]

Make = Callable[..., World]


def helps(value: float) -> float:
    return {2.0: 60.0, 3.0: 25.0}.get(value, 12.0)


def harms(value: float) -> float:
    return {2.0: 60.0, 3.0: 160.0}.get(value, 300.0)


def does_nothing(_value: float) -> float:
    return 60.0


def named(world: World, event: str) -> list[dict[str, object]]:
    return world.events(event)


def test_a_change_that_helps_is_applied_measured_and_kept(make_world: Make) -> None:
    world = make_world(helps)
    world.watch(22)
    assert world.values() == {"trainer": "3", "trainer-0": "3", "trainer-1": "3"}
    part = world.report()["apply"]
    assert (part["applied_total"], part["taken_back_total"], part["stopped"]) == (1, 0, None)
    plan = part["plans"][0]
    assert (plan["fate"], plan["knobs"], plan["outcome"]["state"]) == (
        "standing",
        {"dataloader_prefetch_factor": "3"},
        "kept",
    )
    assert plan["outcome"]["before"] == pytest.approx(260, abs=2)
    assert plan["outcome"]["after"] == pytest.approx(225, abs=2)
    assert world.report()["applied_total"] == 1
    [told] = named(world, "effect_measured")
    assert (told["state"], told["samples"]) == ("kept", 200)
    receipts = list((world.out / "door").glob("*/receipts/*.json"))
    assert len(receipts) == len(world.writer.stored) == 3
    check_folder(world.out)


def test_the_iteration_that_applied_says_so_with_the_artifacts_of_an_apply(make_world: Make) -> None:
    world = make_world(helps)
    world.watch(12)
    [told] = named(world, "plan_applied")
    folder = world.out / f"iter_{told['iteration']:04d}"
    report, apply = read_json(folder / "closed_loop_latest.json"), read_json(folder / "k8s_apply_latest.json")
    assert (report["apply_attempted"], report["apply_ok"], report["block_reasons"]) == (True, True, [])
    assert (report["verify_ok"], report["dry_run"]) == (True, False)
    assert (apply["operation"], apply["apply_ok"]) == ("apply", True)
    assert apply["plan_digest"] == report["k8s_plan_digest"] == told["plan_digest"]
    assert read_json(folder / "k8s_verify_latest.json")["ok"] is True
    for name in ("k8s_apply_latest.json", "k8s_verify_latest.json"):
        assert (world.out / name).read_bytes() == (folder / name).read_bytes()
    # Beside the door lies what the door found, and beside the plan what the job said.
    there, planned = (read_json(place / "rollback_plan_latest.json") for place in (world.out, folder))
    assert there["plan_digest"] == planned["plan_digest"] == told["plan_digest"]
    assert there["items"][0]["keys"][KEY] == {"source": "cluster", "value": None}
    assert planned["items"][0]["keys"][KEY] == {"source": "telemetry", "value": "2"}
    events = [json.loads(line)["event"] for line in (folder / "explain.jsonl").read_text().splitlines()]
    assert events.index("verify_finished") < events.index("apply_finished") < events.index("decision")
    quiet = read_json(world.out / "iter_0001" / "closed_loop_latest.json")
    assert (quiet["apply_attempted"], quiet["apply_ok"], quiet["apply_blocked_reason"]) == (False, None, None)


def test_a_change_that_harms_is_undone_to_the_byte_and_its_cooldown_doubles_each_time(make_world: Make) -> None:
    world = make_world(harms)
    world.watch(60)
    assert world.ours() == world.original
    part = world.report()["apply"]
    assert (part["applied_total"], part["taken_back_total"]) == (2, 2)
    assert [plan["fate"] for plan in part["plans"]] == ["taken_back", "taken_back"]
    assert part["cooldown_factor"] == {"DRIFT-RETUNE": 4}
    first, second = named(world, "rolled_back")
    assert first["improvement"] == pytest.approx(-0.38, abs=0.02)
    assert "worse" in str(first["reason"])
    assert (first["cooldown_factor"], second["cooldown_factor"]) == ({"DRIFT-RETUNE": 2}, {"DRIFT-RETUNE": 4})
    applied = [int(str(event["iteration"])) for event in named(world, "plan_applied")]
    undone = int(str(first["iteration"]))
    # 15 minutes of lock, and twice the ten minutes of the chord, at 30 s an iteration.
    assert applied[1] - undone >= 30
    assert applied[1] - applied[0] >= 40
    report = read_json(world.out / f"iter_{undone:04d}" / "k8s_apply_latest.json")
    assert (report["operation"], report["apply_ok"]) == ("rollback", True)
    check_folder(world.out)


def test_the_decision_trace_tells_what_became_of_the_change(make_world: Make) -> None:
    world = make_world(harms)
    world.watch(14)
    events = events_of(world.out / "decision_trace_latest.jsonl")
    outcomes = [event.outcome.state for event in events if isinstance(event.outcome, Outcome)]
    assert OutcomeState.WORSE in outcomes
    judged = next(e for e in events if isinstance(e.outcome, Outcome) and e.outcome.state is OutcomeState.WORSE)
    assert judged.trigger in (TickTrigger.EFFECT, TickTrigger.SIGNAL)
    assert judged.chord_id == "RECOVER-RELOCK"


def test_a_change_that_does_nothing_stays_and_is_said_to_have_missed(make_world: Make) -> None:
    world = make_world(does_nothing)
    world.watch(20)
    assert world.values()["trainer-0"] == "3"
    [told] = named(world, "effect_measured")
    assert told["state"] == "missed"
    assert world.report()["apply"]["taken_back_total"] == 0


def test_a_job_that_names_no_knobs_is_measured_after_a_while(make_world: Make) -> None:
    world = make_world(helps)
    world.job.speaks = False
    settings = SETTINGS.__class__(
        target=SETTINGS.target, catalog=SETTINGS.catalog, operator_knobs={"dataloader_prefetch_factor": 2.0}
    )
    world.watch(26, settings=settings)
    assert world.values()["trainer-0"] == "3"
    [told] = named(world, "effect_measured")
    assert told["state"] == "kept"


def test_a_job_that_never_shows_the_new_value_is_not_measured(make_world: Make) -> None:
    world = make_world(does_nothing)
    world.job.knob = lambda: 2.0  # type: ignore[method-assign]
    world.watch(36)
    told = named(world, "effect_measured")[0]
    assert (told["state"], told["detail"]) == ("not_measured", "the job never showed the new values")
    assert world.report()["apply"]["plans"][0]["outcome"]["state"] == "not_measured"


# Stopped, killed, gone on.


def test_a_kill_switch_stops_every_write_and_what_waited_is_done_when_it_is_off(make_world: Make) -> None:
    world = make_world(helps)
    stop = world.folder / "stop"
    stop.touch()

    def act(iteration: int) -> None:
        if iteration == 14:
            assert world.ours() == world.original
            assert not world.orders
            assert read_json(world.out / "iter_0012" / "closed_loop_latest.json")["block_reasons"] == [
                "kill_switch_active"
            ]
            stop.unlink()

    world.meanwhile = act
    world.watch(16)
    [told] = named(world, "plan_applied")
    assert told["iteration"] == 15
    [waited] = named(world, "act_waits")
    assert (waited["what"], waited["reasons"], waited["attempts"]) == ("new_plan", ["kill_switch_active"], 0)


def test_a_kill_switch_stops_the_way_back_too(make_world: Make) -> None:
    world = make_world(harms)
    stop = world.folder / "stop"
    wrote: list[int] = []

    def act(iteration: int) -> None:
        if named(world, "plan_applied") and not stop.exists() and iteration < 15:
            stop.touch()
            wrote.append(len(world.writer.stored))
        if iteration == 15:
            assert named(world, "effect_measured")[0]["state"] == "worse"
            assert len(world.writer.stored) == wrote[0]
            stop.unlink()

    world.meanwhile = act
    world.watch(17)
    assert world.ours() == world.original
    assert named(world, "rolled_back")[0]["iteration"] == 16


@pytest.mark.parametrize("when", ["before_write", "after_write"])
@pytest.mark.parametrize("name", ["trainer", "trainer-0", "trainer-1"])
def test_a_watch_killed_at_any_write_goes_on_and_finishes_the_plan(make_world: Make, when: str, name: str) -> None:
    world = make_world(helps)
    killed_at(world, when, name)
    world.job.run(60)
    world.watch(16)
    assert set(world.values().values()) == {"3"}
    assert named(world, "effect_measured")[0]["state"] == "kept"
    receipts = list((world.out / "door").glob("*/receipts/*.json"))
    assert len(receipts) == len(world.writer.stored) == 3
    check_folder(world.out, unfinished_allowed=True)


@pytest.mark.parametrize("when", ["before_write", "after_write"])
@pytest.mark.parametrize("name", ["trainer", "trainer-0", "trainer-1"])
def test_a_watch_killed_while_it_takes_back_goes_on_with_that(make_world: Make, when: str, name: str) -> None:
    world = make_world(harms)
    killed_at(world, when, name, writes=3)
    world.watch(3)
    assert world.ours() == world.original
    assert world.report()["apply"]["cooldown_factor"] == {"DRIFT-RETUNE": 2}
    assert len(named(world, "rolled_back")) == 1


def killed_at(world: World, when: str, name: str, writes: int = 0) -> None:
    """Let the process die at the write of an object, once so many others were stored."""

    def die(change: Change) -> None:
        stored = len(world.writer.stored) - (when == "after_write")
        if change.ref.name == name and stored >= writes:
            raise Killed

    setattr(world.writer, when, die)
    with pytest.raises(Killed):
        world.watch(30)
    setattr(world.writer, when, lambda _change: None)


def test_a_watch_that_begins_with_the_trouble_and_dies_in_its_first_iteration(make_world: Make) -> None:
    world = make_world(harms)
    world.job.run(330)
    killed_at(world, "after_write", "trainer-1")
    world.watch(8)
    assert world.report()["resumed_from_iteration"] == 0
    assert [event["state"] for event in named(world, "effect_measured")] == ["worse"]
    assert world.ours() == world.original


def test_measuring_survives_a_restart_after_every_iteration(make_world: Make, tmp_path: Path) -> None:
    whole = make_world(harms)
    whole.watch(14)
    (tmp_path / "parts").mkdir()
    parts = World(tmp_path / "parts", harms)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("modekeeper_pro.actuator._ports", parts.ports)
        for _ in range(14):
            parts.watch(1)
            parts.job.run(30)
    assert parts.ours() == parts.original
    told = named(parts, "effect_measured"), named(whole, "effect_measured")
    assert [each["state"] for each in told[0]] == [each["state"] for each in told[1]] == ["worse"]
    assert parts.report()["apply"]["cooldown_factor"] == {"DRIFT-RETUNE": 2}


def test_starting_anew_leaves_the_way_back(make_world: Make) -> None:
    world = make_world(helps)
    world.watch(12)
    records = sorted((world.out / "door").rglob("undo.json"))
    assert records
    world.watch(1, fresh=True)
    assert sorted((world.out / "door").rglob("undo.json")) == records
    assert (world.out / "rollback_plan_latest.json").exists()
    assert world.report()["iterations"] == 1


# Refused.


def test_a_refusal_ends_no_watch_and_is_not_repeated_in_every_iteration(make_world: Make) -> None:
    world = make_world(helps)
    denied = [True]

    def hook(ref: ObjectRef, new: JsonObject) -> JsonObject:
        if denied[0] and ref == DEPLOYMENT:
            raise world.cluster.denial(ref, 'admission webhook "w" denied the request: not now')
        return new

    world.cluster.admit(hook)

    def act(iteration: int) -> None:
        if iteration == 30:
            denied[0] = False

    world.meanwhile = act
    world.watch(40)
    waits = named(world, "act_waits")
    assert [wait["attempts"] for wait in waits] == [1, 2, 3, 4]
    assert all(wait["reasons"][0] == "verify_failed" for wait in waits)  # type: ignore[index]
    tries = [int(str(wait["iteration"])) for wait in waits]
    assert [later - earlier for earlier, later in pairwise(tries)] == [2, 4, 8]
    [told] = named(world, "plan_applied")
    assert told["iteration"] == tries[-1] + 16
    assert world.report()["apply"]["waiting"] == []


def test_a_licence_that_allows_nothing_ends_the_watch(make_world: Make) -> None:
    world = make_world(helps)
    world.licence.expire()
    final = world.watch(40)
    assert (final.stop_reason, final.iterations) == ("blocked", 1), "before there is anything to apply"
    assert world.ours() == world.original
    report = read_json(world.out / "k8s_apply_latest.json")
    assert report["block_reason"] == BlockReason.LICENSE_EXPIRED
    last = read_json(world.out / f"iter_{final.iterations:04d}" / "closed_loop_latest.json")
    assert last["apply_blocked_reason"] == "license_expired"


def test_a_licence_that_expires_before_there_is_a_plan_ends_the_watch_there(make_world: Make) -> None:
    world = make_world(helps)

    def act(iteration: int) -> None:
        if iteration == 3:
            world.licence.expire()

    world.meanwhile = act
    final = world.watch(40)
    assert final.stop_reason == "blocked"
    assert 3 < final.iterations < 12
    assert world.ours() == world.original


def test_a_licence_that_expires_later_does_not_stop_the_way_back(make_world: Make) -> None:
    world = make_world(harms)

    def act(_iteration: int) -> None:
        if named(world, "plan_applied"):
            world.licence.expire()

    world.meanwhile = act
    world.watch(14)
    assert world.ours() == world.original


def test_a_way_back_that_somebody_blocks_is_tried_again_and_given_up_in_the_end(make_world: Make) -> None:
    world = make_world(harms)

    def act(_iteration: int) -> None:
        if named(world, "plan_applied") and not named(world, "effect_measured"):
            found = world.cluster.get(ObjectRef(PODS, "train", "trainer-1"))
            found["metadata"]["annotations"][KEY] = "7"
            world.cluster.put(PODS, found)

    world.meanwhile = act
    world.watch(120)
    values = world.values()
    assert (values["trainer"], values["trainer-0"], values["trainer-1"]) == (None, None, "7")
    [told] = named(world, "rollback_given_up")
    assert told["attempts"] == 12
    part = world.report()["apply"]
    assert part["stopped"] == "rollback_given_up"
    assert "trainer-1" in part["stopped_detail"]
    assert len(named(world, "plan_applied")) == 1


# Pods made later, and other people.


@pytest.mark.parametrize("pods", [1, 2, 70])
def test_a_pod_made_later_gets_the_value_again(make_world: Make, pods: int) -> None:
    world = make_world(helps, pods=pods)
    gone = f"trainer-{pods - 1}"

    def act(iteration: int) -> None:
        if iteration == 12:
            world.replace_pod(gone, "trainer-z")

    world.meanwhile = act
    world.watch(14)
    values = world.values()
    assert "trainer-z" in values
    assert set(values.values()) == {"3"}
    [told] = named(world, "pod_given_again")
    assert (told["pods"], told["iteration"]) == (["trainer-z"], 13)
    part = world.report()["apply"]
    assert (part["given_again_total"], part["plans"][0]["given_again"], part["applied_total"]) == (1, 1, 1)
    assert len(world.writer.stored) == pods + 2
    receipts = list((world.out / "door").glob("*/receipts/*.json"))
    assert len(receipts) == len(world.writer.stored)
    check_folder(world.out)


def test_a_pod_made_later_gets_the_value_where_only_annotations_said_what_was_before(make_world: Make) -> None:
    """The way back names no telemetry then: a step is measured from what the door itself found before its writes."""
    world = make_world(helps, pods=60)
    world.job.speaks = False
    for each in world.cluster.list(PODS, "train").items:
        each["metadata"]["annotations"] = {KEY: "2"}
        world.cluster.put(PODS, each)
    settings = SETTINGS.__class__(
        target=SETTINGS.target, catalog=SETTINGS.catalog, cluster_knobs={"dataloader_prefetch_factor": 2.0}
    )

    def act(iteration: int) -> None:
        if iteration == 12:
            for number in range(55):
                world.replace_pod(f"trainer-{number}", f"zz-{number}")

    world.meanwhile = act
    world.watch(14, settings=settings)
    assert set(world.values().values()) == {"3"}
    assert named(world, "pod_given_again")[0]["count"] == 55


def test_what_is_given_again_is_taken_back_with_the_rest(make_world: Make) -> None:
    world = make_world(harms)

    def act(_iteration: int) -> None:
        if len(named(world, "plan_applied")) == 1 and "trainer-z" not in world.ours():
            world.replace_pod("trainer-1", "trainer-z")

    world.meanwhile = act
    world.watch(16)
    assert named(world, "pod_given_again")
    assert set(world.values().values()) == {None}


def test_a_plan_that_somebody_took_back_is_not_applied_again(make_world: Make) -> None:
    world = make_world(helps)

    def act(iteration: int) -> None:
        if iteration == 12:
            for ref in (DEPLOYMENT, ObjectRef(PODS, "train", "trainer-0"), ObjectRef(PODS, "train", "trainer-1")):
                found = world.cluster.get(ref)
                del found["metadata"]["annotations"][KEY]
                world.cluster.put(ref.resource, found)

    world.meanwhile = act
    world.watch(16)
    assert set(world.values().values()) == {None}
    [told] = named(world, "plan_gone")
    assert "Deployment/trainer does not record" in str(told["detail"])
    assert named(world, "effect_measured")[0]["state"] == "not_measured"
    assert world.report()["apply"]["plans"][0]["fate"] == "gone"
    assert len(world.writer.stored) == 3


def test_a_cluster_that_does_not_answer_is_asked_again(make_world: Make) -> None:
    world = make_world(helps)

    def act(iteration: int) -> None:
        if iteration == 12:
            world.cluster.fail("get", world.cluster.failure(500), times=None)

    world.meanwhile = act
    world.watch(15)
    assert world.report()["apply"]["plans"][0]["fate"] == "standing"


# The audit after the fact.


def test_a_change_without_a_receipt_stops_applying_for_the_session(make_world: Make) -> None:
    world = make_world(helps)
    found = ["Pod/trainer-0: modekeeper/knob.x was written by modekeeper, without a receipt"]
    world.audit = lambda: tuple(found)
    world.watch(12)
    assert world.ours() == world.original
    [told] = named(world, "unreceipted_change")
    assert (told["iteration"], told["count"]) == (1, 1)
    part = world.report()["apply"]
    assert part["stopped"] == "unreceipted_change"
    assert "trainer-0" in part["stopped_detail"]
    last = read_json(world.out / "iter_0011" / "closed_loop_latest.json")
    assert (last["apply_ok"], last["apply_blocked_reason"]) == (False, "unreceipted_change")
    found.clear()
    world.job.run(30)
    world.watch(2)
    assert world.report()["apply"]["stopped"] == "unreceipted_change"
    assert world.ours() == world.original


def test_harm_is_taken_back_after_an_audit_stopped_applying(make_world: Make) -> None:
    world = make_world(harms)
    world.audit = lambda: ("something",) if len(world.writer.stored) >= 3 else ()
    world.watch(14)
    assert world.ours() == world.original


def test_an_audit_that_cannot_look_says_so_and_goes_on(make_world: Make) -> None:
    world = make_world(helps)

    def audit() -> tuple[str, ...]:
        raise FailedError("the cluster does not answer")

    world.audit = audit
    world.watch(12)
    assert named(world, "audit_failed")
    assert named(world, "plan_applied")


def test_an_audit_does_not_take_a_killed_write_for_somebody_elses(make_world: Make) -> None:
    """The door finds out how a killed run ended; before that, a write of ours may have no receipt."""
    world = make_world(helps)
    killed_at(world, "after_write", "trainer-0")
    receipts = {path: path.read_bytes() for path in (world.out / "door").rglob("receipts/*.json")}
    written = len(world.writer.stored)
    assert len(receipts) < written

    def audit() -> tuple[str, ...]:
        made = len(list((world.out / "door").rglob("receipts/*.json")))
        return () if made == len(world.writer.stored) else ("a write without a receipt",)

    world.audit = audit
    world.watch(4)
    assert world.report()["apply"]["stopped"] is None
    assert set(world.values().values()) == {"3"}


def test_nor_one_that_was_killed_while_it_gave_a_pod_its_value_again(make_world: Make) -> None:
    world = make_world(helps)

    def act(iteration: int) -> None:
        if iteration == 12:
            world.replace_pod("trainer-1", "trainer-z")

    def audit() -> tuple[str, ...]:
        made = len(list((world.out / "door").rglob("receipts/*.json")))
        return () if made == len(world.writer.stored) else ("a write without a receipt",)

    world.meanwhile = act
    killed_at(world, "after_write", "trainer-z")
    world.meanwhile = lambda _iteration: None
    world.audit = audit
    world.watch(4)
    assert world.report()["apply"]["stopped"] is None
    assert set(world.values().values()) == {"3"}
    assert audit() == ()


def test_who_asked_to_stop_gets_no_new_change(make_world: Make) -> None:
    world = make_world(helps)
    world.job.run(400)
    world.stop.stopped = True
    final = world.watch(3)
    assert final.stop_reason == "signal"
    assert world.ours() == world.original
    assert not world.orders


def test_a_watch_that_applies_nothing_looks_after_an_earlier_one_that_did(make_world: Make) -> None:
    world = make_world(harms)
    world.audit = lambda: ("a write without a receipt",)
    world.watch(2, applies=False)
    assert "apply" not in world.report(), "nothing was ever applied in this folder: nobody looks"
    world.audit = None
    world.watch(8)
    assert named(world, "plan_applied")
    assert not named(world, "rolled_back")
    world.audit = lambda: ("a write without a receipt",)
    world.job.run(90)
    world.watch(2, applies=False)
    part = world.report()["apply"]
    assert part["stopped"] == "unreceipted_change"
    assert part["measuring"]["state"] == "worse", "it is measured to its end, and taken back by who may apply"
    assert world.values()["trainer"] == "3"
    world.audit = None
    world.job.run(30)
    world.watch(2)
    assert world.ours() == world.original
