"""The way back touches our own keys alone, and says where each value comes from."""

from tests.planning.changes import BUCKET, PREFETCH, TRAINER, WORKERS, change
from tests.policy.situations import known

from modekeeper.model.decision import CurrentValueSource, Target
from modekeeper.planning.plan import build_plan
from modekeeper.planning.undo import PreviousValue, rollback_plan, undo_patches
from modekeeper.policy.situation import KnownValue

PLAN = build_plan([change(WORKERS, PREFETCH)])
WORKERS_KEY, PREFETCH_KEY = "modekeeper/knob.concurrency", "modekeeper/knob.dataloader_prefetch_factor"


def test_the_way_back_is_what_the_job_ran_with() -> None:
    undo = rollback_plan(PLAN, known({"dataloader_num_workers": 4.0, "dataloader_prefetch_factor": 2.0}))
    (item,) = undo.items
    assert undo.schema_version == "rollback_plan.v0"
    assert undo.plan_digest == PLAN.digest
    assert item.keys == {
        WORKERS_KEY: PreviousValue(value="4", source="telemetry"),
        PREFETCH_KEY: PreviousValue(value="2", source="telemetry"),
    }


def test_what_the_cluster_says_outranks_what_the_job_says() -> None:
    read = {TRAINER: {WORKERS_KEY: "5", "owner": "somebody else"}}
    (item,) = rollback_plan(PLAN, known({"concurrency": 4.0, "dataloader_prefetch_factor": 2.0}), read).items
    assert item.keys == {
        WORKERS_KEY: PreviousValue(value="5", source="cluster"),
        PREFETCH_KEY: PreviousValue(value=None, source="cluster"),
    }


def test_an_object_read_without_annotations_had_none() -> None:
    (item,) = rollback_plan(PLAN, known({"concurrency": 4.0}), {TRAINER: {}}).items
    assert set(item.keys.values()) == {PreviousValue(value=None, source="cluster")}


def test_a_value_nobody_knows_is_said_to_be_unknown() -> None:
    odd = {"concurrency": KnownValue(value=2.5, source=CurrentValueSource.OPERATOR)}
    (item,) = rollback_plan(PLAN, odd).items
    unknown = PreviousValue(value=None, source="unknown")
    assert item.keys == {WORKERS_KEY: unknown, PREFETCH_KEY: unknown}


def test_the_patches_of_the_way_back_remove_what_was_not_there() -> None:
    (item,) = rollback_plan(PLAN, known({"concurrency": 4.0})).items
    patch = {"metadata": {"annotations": {WORKERS_KEY: "4", PREFETCH_KEY: None}}}
    assert undo_patches(item) == (patch, patch)


def test_the_way_back_of_a_cold_change_is_a_rollout_too() -> None:
    (item,) = rollback_plan(build_plan([change(BUCKET)]), known({"comm_bucket_mb": 25.0})).items
    annotations = {"modekeeper/knob.comm_bucket_mb": "25"}
    assert undo_patches(item) == ({"spec": {"template": {"metadata": {"annotations": annotations}}}}, None)


def test_the_way_back_goes_where_the_change_went() -> None:
    target = Target(namespace="ml", kind="LeaderWorkerSet", name="trainer")
    plan = build_plan([change(BUCKET, target=target)])
    (item,) = rollback_plan(plan, known({"comm_bucket_mb": 50.0})).items
    assert undo_patches(item) == (plan.items[0].patch, None)


def test_an_empty_plan_has_an_empty_way_back() -> None:
    assert rollback_plan(build_plan([]), {}).items == ()


def test_the_digest_covers_the_values() -> None:
    four, five = (rollback_plan(PLAN, known({"concurrency": value})) for value in (4.0, 5.0))
    assert four.digest != five.digest
    assert four == rollback_plan(PLAN, known({"concurrency": 4.0}))
