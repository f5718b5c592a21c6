"""Plans: what they hold, in which order, under which digest; and what they refuse."""

import hashlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gates.cases import action
from tests.planning.changes import BUCKET, PREFETCH, TRAINER, WORKERS, change

from modekeeper.artifacts.canonical import document
from modekeeper.model.decision import Action, Actuation, Target
from modekeeper.model.errors import BadInputError
from modekeeper.model.workload import WORKLOAD_KINDS
from modekeeper.planning.parse import parse_plan
from modekeeper.planning.plan import ApprovedChange, build_plan, plan_digest, verify_digest
from modekeeper.policy.knobs import KNOBS, snap


def test_no_changes_make_an_empty_plan_with_a_digest() -> None:
    for changes in ([], [change()]):
        plan = build_plan(changes)
        assert plan.items == ()
        assert plan.schema_version == "k8s_plan.v0"
        assert verify_digest(plan)


def test_a_hot_change_annotates_the_object_and_its_live_pods() -> None:
    (item,) = build_plan([change(WORKERS, PREFETCH)]).items
    annotations = {"modekeeper/knob.concurrency": "6", "modekeeper/knob.dataloader_prefetch_factor": "3"}
    assert (item.kind, item.namespace, item.name) == ("Deployment", "ml", "trainer")
    assert item.actuation is Actuation.HOT
    assert item.chord_id == "DRIFT-RETUNE"
    assert item.knobs == {"concurrency": "6", "dataloader_prefetch_factor": "3"}
    assert item.patch == item.pod_patch == {"metadata": {"annotations": annotations}}


def test_a_cold_change_annotates_the_pod_template_alone() -> None:
    (item,) = build_plan([change(BUCKET)]).items
    template = {"metadata": {"annotations": {"modekeeper/knob.comm_bucket_mb": "50"}}}
    assert item.actuation is Actuation.COLD
    assert item.patch == {"spec": {"template": template}}
    assert item.pod_patch is None


def test_a_cold_change_of_a_leader_worker_set_goes_to_its_worker_template() -> None:
    target = Target(namespace="ml", kind="LeaderWorkerSet", name="trainer")
    plan = build_plan([change(BUCKET, WORKERS, target=target)])
    template = {"metadata": {"annotations": {"modekeeper/knob.comm_bucket_mb": "50"}}}
    cold, hot = plan.items
    assert cold.patch == {"spec": {"leaderWorkerTemplate": {"workerTemplate": template}}}
    assert hot.patch == hot.pod_patch == {"metadata": {"annotations": {"modekeeper/knob.concurrency": "6"}}}
    assert parse_plan(document(plan)) == plan


OUT_OF_REACH = ["JobSet", "PyTorchJob", "TrainJob", "RayCluster", "RayJob", "VolcanoJob", "Widget"]


@pytest.mark.parametrize("kind", OUT_OF_REACH)
def test_a_template_no_patch_reaches_is_not_planned_cold(kind: str) -> None:
    target = Target(namespace="ml", kind=kind, name="trainer")
    with pytest.raises(BadInputError, match=f"reaches the pod template of a {kind}: set modekeeper/knob.comm_bucket"):
        build_plan([change(WORKERS), change(BUCKET, target=target)])
    (item,) = build_plan([change(WORKERS, target=target)]).items
    assert item.actuation is Actuation.HOT


def test_every_kind_is_planned_cold_or_refused() -> None:
    kinds = {known.kind for known in WORKLOAD_KINDS if known.template is None}
    assert kinds | {"Widget"} == set(OUT_OF_REACH)


def test_hot_and_cold_changes_of_one_object_are_two_items() -> None:
    plan = build_plan([change(WORKERS, BUCKET)])
    assert [item.actuation for item in plan.items] == [Actuation.COLD, Actuation.HOT]


def test_changes_of_several_chords_are_one_item_that_names_them_all() -> None:
    guard = change(action("timeout_ms", 30000.0, 45000.0), chord_id="TIMEOUT-GUARD")
    (item,) = build_plan([guard, change(WORKERS), change(WORKERS)]).items
    assert item.chord_id == "DRIFT-RETUNE,TIMEOUT-GUARD"
    assert item.knobs == {"concurrency": "6", "timeout_ms": "45000"}


def test_the_order_of_the_changes_does_not_change_a_byte() -> None:
    other = Target(namespace="ml", kind="Deployment", name="a-trainer")
    changes = [change(WORKERS), change(PREFETCH, target=other), change(BUCKET), change(PREFETCH)]
    assert document(build_plan(changes)) == document(build_plan(changes[::-1]))


def test_two_wishes_for_one_knob_are_refused() -> None:
    with pytest.raises(BadInputError, match="two changes want concurrency") as caught:
        build_plan([change(WORKERS), change(action("concurrency", 4.0, 5.0))])
    assert str(caught.value).isprintable()


def test_two_objects_may_have_different_values() -> None:
    other = Target(namespace="ml", kind="Deployment", name="other")
    assert len(build_plan([change(WORKERS), change(action("concurrency", 4.0, 5.0), target=other)]).items) == 2


@pytest.mark.parametrize(
    "bad",
    [
        action("concurrency", 4.0, 4.5),
        action("concurrency", 4.0, 1000.0),
        action("concurrency", 4.0, float("nan")),
        msgspec.structs.replace(WORKERS, knob="rm -rf\n"),
    ],
)
def test_what_is_no_value_of_a_knob_cannot_be_planned(bad: Action) -> None:
    with pytest.raises(BadInputError) as caught:
        build_plan([change(bad)])
    assert str(caught.value).isprintable()


HOSTILE_NAMES = [
    "",
    "-x",
    "x-",
    "UPPER",
    "a b",
    "a\nb",
    "a'b",
    'a"b',
    "a`id`b",
    "$(id)",
    "../etc",
    "a/b",
    "a\x00b",
    "ü",
    "\u202e",
    "a" * 254,
    ".",
    "a..b",
    "--all",
    "\ud800",
    "a\n",
]


@pytest.mark.parametrize("field", ["namespace", "kind", "name"])
@pytest.mark.parametrize("text", HOSTILE_NAMES)
def test_a_name_no_cluster_can_have_is_refused_in_one_line(field: str, text: str) -> None:
    if (field, text) == ("kind", "UPPER"):
        return
    with pytest.raises(BadInputError) as caught:
        build_plan([change(WORKERS, target=msgspec.structs.replace(TRAINER, **{field: text}))])
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "target",
    [
        Target(namespace="a", kind="Job", name="x"),
        Target(namespace="team-7", kind="PyTorchJob", name="llm-70b.v2"),
        Target(namespace="0", kind="StatefulSet", name="9.8.7"),
    ],
)
def test_names_a_cluster_can_have_are_taken(target: Target) -> None:
    assert len(build_plan([change(WORKERS, target=target)]).items) == 1


def test_a_namespace_has_no_dots_and_at_most_63_characters() -> None:
    for namespace in ("a.b", "a" * 64):
        with pytest.raises(BadInputError, match="namespace"):
            build_plan([change(WORKERS, target=msgspec.structs.replace(TRAINER, namespace=namespace))])


def test_the_digest_is_stable() -> None:
    plan = build_plan([change(WORKERS, PREFETCH, BUCKET)])
    assert plan.digest == "sha256:430b5800d074a69a4aba504fddef6d530ef2b2cae768ad73a25eb8d7b4e79053"


def test_the_digest_covers_the_sorted_spaceless_json_of_all_but_itself() -> None:
    plan = build_plan([change(WORKERS, BUCKET)])
    fields = json.loads(document(plan))
    del fields["digest"]
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert plan.digest == "sha256:" + hashlib.sha256(text.encode()).hexdigest() == plan_digest(plan)


def test_any_change_of_a_plan_breaks_its_digest() -> None:
    plan = build_plan([change(WORKERS)])
    item = plan.items[0]
    for field in ("kind", "namespace", "name", "chord_id"):
        other = msgspec.structs.replace(item, **{field: "Other"})
        assert not verify_digest(msgspec.structs.replace(plan, items=(other,)))
    assert not verify_digest(msgspec.structs.replace(plan, items=()))
    assert not verify_digest(msgspec.structs.replace(plan, schema_version="k8s_plan.v1"))


@st.composite
def change_lists(draw: st.DrawFn) -> list[ApprovedChange]:
    values = {knob.name: snap(knob, draw(st.floats(min_value=-10, max_value=1e7))) for knob in KNOBS}
    made = []
    for _ in range(draw(st.integers(min_value=0, max_value=5))):
        names = draw(st.lists(st.sampled_from([k.name for k in KNOBS]), unique=True, max_size=4))
        target = Target(
            namespace=draw(st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)),
            kind=draw(st.sampled_from(["Deployment", "StatefulSet", "Job", "LeaderWorkerSet"])),
            name=draw(st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?(\.[a-z0-9]{1,4})?", fullmatch=True)),
        )
        made.append(change(*(action(name, 1.0, values[name]) for name in names), target=target))
    return made


@given(change_lists(), st.randoms())
def test_a_plan_survives_being_written_and_read_and_ignores_the_order_it_was_asked_in(
    changes: list[ApprovedChange], random: object
) -> None:
    plan = build_plan(changes)
    assert parse_plan(document(plan)) == plan
    random.shuffle(changes)  # type: ignore[attr-defined]
    assert build_plan(changes) == plan
    wanted = {(c.target, a.knob) for c in changes for a in c.proposal.actions}
    assert sum(len(item.knobs) for item in plan.items) == len(wanted)
