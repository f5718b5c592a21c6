"""Why a plan is not verified: each reason, their order, and that nothing but the facts decides."""

import random
import time
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.cluster_verify.worlds import (
    KEY,
    codes,
    item,
    namespace_object,
    pod,
    resource_of,
    verified,
    verify,
    workload,
    world,
)

from modekeeper.artifacts.contracts.k8s_verify import BlockerKind
from modekeeper.cluster.memory import NAMESPACES, MemoryCluster, Rule
from modekeeper.cluster.verify.gather import gather
from modekeeper.cluster.verify.judge import judge
from modekeeper.model.cluster import (
    AccessAnswer,
    AccessQuestion,
    ClusterUnreachableError,
    DryRunAnswer,
    JsonObject,
    ObjectRef,
)
from modekeeper.model.decision import Actuation, Plan, PlanItem

HOT, COLD = Actuation.HOT, Actuation.COLD
READ = Rule(verbs=("get", "list", "watch"), groups=("*",))
SILENCE = ClusterUnreachableError("The cluster does not answer within 1 s.")


def rejecting(status: int, message: str, reason: str = "") -> Callable[[MemoryCluster], None]:
    def admit(cluster: MemoryCluster) -> None:
        def hook(ref: ObjectRef, _new: JsonObject) -> JsonObject:
            raise cluster.denial(ref, message, status=status, reason=reason)

        cluster.admit(hook)

    return admit


def failing(method: str, status: int) -> Callable[[MemoryCluster], None]:
    return lambda cluster: cluster.fail(method, cluster.failure(status), times=None)


ANSWERS: dict[str, tuple[Callable[[MemoryCluster], None], BlockerKind, str, str]] = {
    "a webhook that says no": (
        rejecting(400, 'admission webhook "w.example.org" denied the request: not on Fridays'),
        BlockerKind.DRY_RUN_FAILED,
        "dry_run_rejected",
        "not on Fridays",
    ),
    "a webhook that says forbidden": (
        rejecting(403, 'admission webhook "w.example.org" denied the request: no'),
        BlockerKind.DRY_RUN_FAILED,
        "dry_run_rejected",
        "admission does not allow",
    ),
    "a policy": (
        rejecting(422, "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no", "Invalid"),
        BlockerKind.DRY_RUN_FAILED,
        "dry_run_rejected",
        "does not accept",
    ),
    "a webhook with side effects": (
        rejecting(400, 'admission webhook "w.example.org" does not support dry run'),
        BlockerKind.DRY_RUN_FAILED,
        "dry_run_unverifiable",
        "cannot be asked",
    ),
    "a conflict": (failing("dry_run", 409), BlockerKind.DRY_RUN_FAILED, "dry_run_failed", "at the same time"),
    "a busy server": (failing("dry_run", 429), BlockerKind.DRY_RUN_FAILED, "dry_run_failed", "busy"),
    "a broken server": (failing("dry_run", 500), BlockerKind.DRY_RUN_FAILED, "dry_run_failed", "could not tell"),
    "too large": (failing("dry_run", 413), BlockerKind.DRY_RUN_FAILED, "dry_run_rejected", "too large"),
    "gone meanwhile": (failing("dry_run", 404), BlockerKind.DEPLOYMENT_MISSING, "dry_run_failed", "gone"),
    "logged out meanwhile": (failing("dry_run", 401), BlockerKind.CLIENT_UNAVAILABLE, "unauthorized", "401"),
    "a list that fails": (failing("get", 500), BlockerKind.UNKNOWN, "read_failed", "500"),
    "discovery that fails": (failing("served_versions", 500), BlockerKind.UNKNOWN, "read_failed", "API group"),
    "nobody who knows us": (failing("server_version", 401), BlockerKind.CLIENT_UNAVAILABLE, "unauthorized", "401"),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_each_no_comes_in_its_own_words(what: str) -> None:
    arrange, kind, code, words = ANSWERS[what]
    cluster = world(("Deployment", workload()))
    arrange(cluster)
    judged = verify(cluster, item())
    assert not judged.ok
    assert judged.blocker is not None
    assert (judged.blocker.kind, judged.blocker.index) == (kind, 0)
    problem = next(problem for problem in judged.items[0].problems if problem.code == code)
    assert words in problem.detail


WHOLE_OBJECTS = {
    'Job.batch "t" is invalid: spec.template: Invalid value: {"labels":{"a":"b"}}: field is immutable': (
        'Job.batch "t" is invalid: spec.template: Invalid value: field is immutable'
    ),
    'Job.batch "t" is invalid: spec.template: Invalid value: {"labels":{"a":"b…': (
        'Job.batch "t" is invalid: spec.template: Invalid value'
    ),
    '"" is invalid: patch: Invalid value: "{\\"a\\":{}}": strict decoding error: unknown field "spec.template"': (
        '"" is invalid: patch: Invalid value: strict decoding error: unknown field "spec.template"'
    ),
    f'Job.batch "t" is invalid: spec.template: Invalid value: {{"a":"{"b" * 9000}"}}: field is immutable': (
        'Job.batch "t" is invalid: spec.template: Invalid value: field is immutable'
    ),
    '[spec.a: Invalid value: {"b":{}}: too small, spec.c: Invalid value: v1.Thing{D:"e"}: too large]': (
        "[spec.a: Invalid value: too small, spec.c: Invalid value: too large]"
    ),
    f'spec.template: Invalid value: {{"a":"{"b" * 900}"}}: {"no, " * 99}never': (
        f"spec.template: Invalid value … {('no, ' * 99 + 'never')[-249:]}"
    ),
    "spec.replicas: Invalid value: -1: must be 0 or more": "spec.replicas: Invalid value: -1: must be 0 or more",
}


@pytest.mark.parametrize("message", WHOLE_OBJECTS)
def test_a_refusal_does_not_repeat_the_whole_object(message: str) -> None:
    cluster = world(("Deployment", workload()))
    rejecting(422, message, "Invalid")(cluster)
    judged = verified(cluster, item())
    assert judged.dry_run.detail == f"the API server does not accept the patch: {WHOLE_OBJECTS[message]}"


def test_a_value_that_is_rewritten_on_the_way_is_a_blocker() -> None:
    cluster = world(("Deployment", workload()))

    def clamp(_ref: ObjectRef, new: JsonObject) -> JsonObject:
        new["spec"]["template"]["metadata"]["annotations"][KEY] = "2"
        return new

    cluster.admit(clamp)
    judged = verified(cluster, item())
    assert judged.dry_run.status == "rewritten"
    assert codes(judged) == ["value_rewritten"]
    assert f"{KEY} was asked to be '4' and would be '2'" in judged.problems[0].detail


def test_a_value_that_is_dropped_on_the_way_is_a_blocker() -> None:
    cluster = world(("Deployment", workload()), pods=(pod(),))

    def drop(_ref: ObjectRef, new: JsonObject) -> JsonObject:
        new["metadata"]["annotations"].pop(KEY)
        return new

    cluster.admit(drop)
    judged = verified(cluster, item(HOT))
    assert codes(judged) == ["value_rewritten"]
    assert "would be missing" in judged.problems[0].detail
    assert judged.pods is not None
    assert judged.pods.dry_run.status == "rewritten"


def test_what_else_admission_changes_is_a_note() -> None:
    cluster = world(("Deployment", workload()))

    def label(_ref: ObjectRef, new: JsonObject) -> JsonObject:
        new["metadata"].setdefault("labels", {})["seen"] = "yes"
        new["spec"]["template"]["spec"]["containers"][0]["image"] = "mirror/trainer"
        return new

    cluster.admit(label)
    judged = verified(cluster, item())
    assert judged.ok
    assert judged.dry_run.also_changes == ("metadata.labels.seen", "spec.template.spec.containers[0].image")
    assert any("metadata.labels.seen" in note for note in judged.notes)


class Restless(MemoryCluster):
    """Its objects move between a look and a dry run, as often as it is told."""

    moves = 0

    def dry_run(self, ref: ObjectRef, patch: JsonObject) -> DryRunAnswer:
        if self.moves > 0:
            self.moves -= 1
            found = self.get(ref)
            found.setdefault("status", {})["observedGeneration"] = self.moves
            found["metadata"].setdefault("labels", {})["moved"] = str(self.moves)
            self.put(ref.resource, found)
        return super().dry_run(ref, patch)


@pytest.mark.parametrize("moves", [1, 2, 9])
def test_an_object_that_moves_is_compared_with_what_it_was_patched_from(moves: int) -> None:
    cluster = Restless()
    cluster.put(resource_of("Deployment"), workload())
    cluster.moves = moves
    judged = verified(cluster, item())
    assert judged.ok
    assert judged.dry_run.also_changes == ()


def test_the_report_names_the_object_the_dry_run_was_made_of() -> None:
    cluster = Restless()
    cluster.put(resource_of("Deployment"), workload())
    cluster.moves = 1
    judged = verified(cluster, item())
    newest = cluster.get(ObjectRef(resource_of("Deployment"), "train", "trainer"))
    assert judged.resource_version == newest["metadata"]["resourceVersion"]


# Places


def test_a_missing_namespace_is_said_to_be() -> None:
    judged = verify(world(), item(namespace="nowhere"))
    assert judged.blocker is not None
    assert judged.blocker.kind is BlockerKind.NAMESPACE_MISSING
    assert judged.items[0].exists is False
    assert judged.namespaces[0].exists is False


def test_in_a_missing_namespace_nothing_more_is_asked() -> None:
    cluster = world()
    verify(cluster, item(namespace="nowhere"), item(HOT, namespace="nowhere"))
    assert {method for method, _ in cluster.asked} <= {"server_version", "get", "served_versions", "can_i"}
    assert all(about.resource == NAMESPACES for method, about in cluster.asked if method == "get")  # type: ignore[attr-defined]


def test_a_namespace_that_ends_takes_no_new_pods() -> None:
    cluster = world(("Deployment", workload()))
    cluster.put(NAMESPACES, namespace_object("train", "Terminating"))
    assert codes(verified(cluster, item())) == ["namespace_terminating"]


def test_a_missing_object_is_said_to_be_and_where() -> None:
    cluster = world(("Deployment", workload(metadata={"name": "other"})))
    judged = verify(cluster, item())
    assert judged.blocker is not None
    assert judged.blocker.kind is BlockerKind.DEPLOYMENT_MISSING
    assert judged.blocker.detail == "there is no deployments.apps 'trainer' in namespace 'train'"


def test_a_missing_object_of_a_namespace_that_may_not_be_seen_leaves_that_open() -> None:
    rules = [Rule(verbs=("*",), groups=("*",), namespaces=("train",))]
    judged = verify(world(rules=rules), item())
    assert judged.items[0].exists is False
    assert judged.namespaces[0].exists is None
    assert "its namespace may not be looked at" in judged.items[0].problems[0].detail


def test_a_kind_the_cluster_does_not_have_is_missing() -> None:
    judged = verify(world(("Deployment", workload())), item(kind="JobSet"))
    assert judged.blocker is not None
    assert judged.blocker.kind is BlockerKind.DEPLOYMENT_MISSING
    assert codes(judged.items[0]) == ["kind_not_served"]


def test_a_kind_of_an_unknown_version_is_not_guessed_at() -> None:
    cluster = world()
    cluster.put(NAMESPACES, namespace_object("train"))
    known = resource_of("JobSet")
    cluster.serve(type(known)(known.group, "v9", known.plural, known.kind))
    assert codes(verified(cluster, item(kind="JobSet"))) == ["version_unknown"]


def test_a_kind_nobody_knows_is_not_asked_about() -> None:
    judged = verified(world(("Deployment", workload())), item(kind="Widget"))
    assert (codes(judged), judged.effect.effect) == (["kind_unknown"], "unknown")


# Rights

RIGHTS: dict[str, tuple[list[Rule], Actuation, list[str], list[tuple[str, str, str | None]]]] = {
    "reads only": ([READ], COLD, ["patch_deployments_denied"], [("patch", "deployments", "trainer")]),
    "patches the deployment by its name": (
        [READ, Rule(verbs=("patch",), groups=("apps",), resources=("deployments",), names=("trainer",))],
        COLD,
        [],
        [],
    ),
    "patches another deployment": (
        [READ, Rule(verbs=("patch",), groups=("apps",), resources=("deployments",), names=("other",))],
        COLD,
        ["patch_deployments_denied"],
        [("patch", "deployments", "trainer")],
    ),
    "patches no pods": (
        [READ, Rule(verbs=("patch",), groups=("apps",))],
        HOT,
        ["patch_pods_denied"],
        [("patch", "pods", None)],
    ),
    "sees no pods": (
        [
            Rule(verbs=("get", "list", "patch"), groups=("apps",)),
            Rule(verbs=("get",), resources=("namespaces",)),
            Rule(verbs=("patch",), resources=("pods",)),
        ],
        HOT,
        ["list_pods_denied"],
        [("list", "pods", None)],
    ),
    "sees nothing": (
        [],
        COLD,
        ["get_deployments_denied", "patch_deployments_denied"],
        [("get", "deployments", "trainer"), ("patch", "deployments", "trainer")],
    ),
}


@pytest.mark.parametrize("what", RIGHTS)
def test_a_missing_right_is_the_one_rule_to_ask_for(what: str) -> None:
    rules, actuation, expected, hints = RIGHTS[what]
    cluster = world(("Deployment", workload()), pods=(pod(),), rules=rules)
    judged = verify(cluster, item(actuation))
    assert sorted(codes(judged.items[0])) == expected
    assert [(hint.verb, hint.resource, hint.name) for hint in judged.hints] == hints
    if expected:
        assert judged.blocker is not None
        assert judged.blocker.kind is BlockerKind.RBAC_DENIED
        assert "cannot" not in judged.blocker.detail
        assert "may not" in judged.blocker.detail
    else:
        assert judged.ok


def test_a_reader_is_told_everything_reading_can_tell_and_tries_no_patch() -> None:
    cluster = world(("Deployment", workload()), pods=(pod(),), rules=[READ])
    judged = verified(cluster, item(HOT))
    assert judged.exists is True
    assert (judged.can_get, judged.can_patch, judged.can_patch_pods) == (True, False, False)
    assert judged.effect.effect == "hot"
    assert judged.uid
    assert judged.dry_run.status == "not_asked"
    assert not any(method == "dry_run" for method, _ in cluster.asked)


def test_who_we_are_is_read_from_a_denial() -> None:
    rules = [Rule(verbs=("get", "list"), groups=("*",), namespaces=("train",))]
    judged = verify(world(("Deployment", workload()), rules=rules, user="guest"), item())
    assert judged.subject == "guest"
    assert all(hint.role_yaml.endswith("  name: guest\n") for hint in judged.hints)


def test_a_right_nobody_could_tell_is_found_out_by_trying() -> None:
    cluster = world(("Deployment", workload()))
    cluster.fail("can_i", cluster.failure(500), times=None)
    judged = verified(cluster, item())
    assert judged.can_patch is None
    assert judged.dry_run.status == "accepted"
    assert judged.ok


def test_a_list_that_is_denied_falls_back_to_single_reads() -> None:
    rules = [Rule(verbs=("get", "patch"), groups=("*",))]
    objects = [("Deployment", workload(metadata={"name": f"t{n}"})) for n in range(6)]
    judged = verify(world(*objects, rules=rules), *(item(name=f"t{n}") for n in range(6)))
    assert judged.ok


# Silence


def test_a_cluster_that_does_not_answer_is_asked_once() -> None:
    cluster = world(("Deployment", workload()))
    cluster.fail("server_version", SILENCE, times=None)
    judged = verify(cluster, item(), item(name="z"))
    assert judged.blocker is not None
    assert (judged.blocker.kind, judged.blocker.index) == (BlockerKind.CLIENT_UNAVAILABLE, 0)
    assert [method for method, _ in cluster.asked] == ["server_version"]


def test_a_cluster_that_stops_answering_is_not_asked_a_thousand_times() -> None:
    objects = [("Deployment", workload(metadata={"name": f"t{n:04}"})) for n in range(300)]
    cluster = world(*objects)
    cluster.fail("dry_run", SILENCE, times=None)
    judged = verify(cluster, *(item(name=f"t{n:04}") for n in range(300)))
    assert all(each.blocker is BlockerKind.CLIENT_UNAVAILABLE for each in judged.items)
    assert sum(method == "dry_run" for method, _ in cluster.asked) < 50


# Order

WORST_FIRST = (
    ("a", "Deployment", "silent", BlockerKind.CLIENT_UNAVAILABLE),
    ("nowhere", "Deployment", "trainer", BlockerKind.NAMESPACE_MISSING),
    ("a", "Deployment", "absent", BlockerKind.DEPLOYMENT_MISSING),
    ("locked", "Deployment", "trainer", BlockerKind.RBAC_DENIED),
    ("a", "Deployment", "refused", BlockerKind.DRY_RUN_FAILED),
    ("a", "Deployment", "paused", BlockerKind.UNKNOWN),
    ("a", "Deployment", "fine", None),
)


def everything_wrong() -> MemoryCluster:
    rules = [
        Rule(verbs=("get", "list", "watch"), groups=("*",)),
        Rule(verbs=("patch",), groups=("*",), namespaces=("a", "nowhere")),
    ]
    cluster = MemoryCluster(rules=rules)
    for namespace, _, name, kind in WORST_FIRST:
        if kind not in (BlockerKind.NAMESPACE_MISSING, BlockerKind.DEPLOYMENT_MISSING):
            found = workload(metadata={"name": name, "namespace": namespace}, paused=name == "paused")
            cluster.put(resource_of("Deployment"), found)
    cluster.fail("dry_run", SILENCE, times=None, when=lambda ref: isinstance(ref, ObjectRef) and ref.name == "silent")

    def refuse(ref: ObjectRef, new: JsonObject) -> JsonObject:
        if ref.name == "refused":
            raise cluster.denial(ref, "no", status=422, reason="Invalid")
        return new

    cluster.admit(refuse)
    return cluster


@pytest.mark.parametrize("first", range(len(WORST_FIRST)))
def test_the_first_blocker_is_the_worst_kind(first: int) -> None:
    items = [item(namespace=namespace, name=name) for namespace, _, name, _ in reversed(WORST_FIRST[first:])]
    judged = verify(everything_wrong(), *items)
    namespace, _, name, kind = WORST_FIRST[first]
    if kind is None:
        assert judged.ok
        assert judged.blocker is None
        return
    assert judged.blocker is not None
    assert (judged.blocker.kind, judged.blocker.namespace, judged.blocker.name) == (kind, namespace, name)
    assert judged.blocker.index == len(items) - 1


class Hurried(MemoryCluster):
    """Answers in no particular order."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._random = random.Random(seed)

    def can_i(self, question: AccessQuestion) -> AccessAnswer:
        time.sleep(self._random.random() / 500)
        return super().can_i(question)

    def get(self, ref: ObjectRef) -> JsonObject:
        time.sleep(self._random.random() / 500)
        return super().get(ref)

    def dry_run(self, ref: ObjectRef, patch: JsonObject) -> DryRunAnswer:
        time.sleep(self._random.random() / 500)
        return super().dry_run(ref, patch)


STATES = st.sampled_from(["fine", "paused", "absent", "nowhere", "refused", "rewritten"])


@settings(max_examples=30, deadline=None)
@given(st.lists(STATES, min_size=1, max_size=8), st.randoms(use_true_random=False), st.integers(0, 2**31))
def test_neither_the_order_of_items_nor_that_of_threads_changes_the_verdict(
    states: list[str], order: random.Random, seed: int
) -> None:
    def judged_of(items: list[PlanItem]) -> tuple[object, ...]:
        cluster = Hurried(seed)
        for number, state in enumerate(states):
            if state not in ("absent", "nowhere"):
                metadata = {"name": f"{state}-{number}", "namespace": "a"}
                cluster.put(resource_of("Deployment"), workload(metadata=metadata, paused=state == "paused"))
        cluster.put(NAMESPACES, namespace_object("a"))

        def hook(ref: ObjectRef, new: JsonObject) -> JsonObject:
            if ref.name.startswith("refused"):
                raise cluster.denial(ref, "no", status=422, reason="Invalid")
            if ref.name.startswith("rewritten"):
                new["spec"]["template"]["metadata"]["annotations"][KEY] = "1"
            return new

        cluster.admit(hook)
        judged = judge(gather(cluster, Plan(schema_version="k8s_plan.v0", digest="", items=tuple(items))))
        blocker = judged.blocker
        per_item = {each.name: (each.ok, each.blocker, each.problems, each.effect) for each in judged.items}
        named = None if blocker is None else (blocker.kind, blocker.namespace, blocker.name, blocker.detail)
        if blocker is not None and blocker.index is not None:
            assert judged.items[blocker.index].name == blocker.name
        return named, per_item, judged.hints, judged.ok

    items = [
        item(name=f"{state}-{number}", namespace="nowhere" if state == "nowhere" else "a")
        for number, state in enumerate(states)
    ]
    shuffled = items.copy()
    order.shuffle(shuffled)
    assert judged_of(items) == judged_of(shuffled)


# What is asked


def test_no_question_is_asked_twice_and_many_objects_are_one_list() -> None:
    objects = [
        ("Deployment", workload(metadata={"name": f"t{n}", "namespace": space})) for n in range(20) for space in "ab"
    ]
    cluster = world(*objects, pods=(pod(namespace="a"), pod(namespace="b")))
    items = [item(way, name=f"t{n}", namespace=space) for space in "ab" for n in range(20) for way in (COLD, HOT)]
    judged = verify(cluster, *items)
    assert judged.ok
    asked = Counter((method, repr(about)) for method, about in cluster.asked)
    once = {key: number for key, number in asked.items() if key[0] not in ("dry_run", "list")}
    assert set(once.values()) == {1}
    # A list of Deployments and one of pods in each namespace; a dry run of each change, and of one pod for hot ones.
    by_method = Counter(method for method, _ in cluster.asked)
    assert by_method["list"] == 2 + 2
    assert by_method["dry_run"] == 80 + 40
    assert by_method["get"] == 3  # the namespaces, and the one that tells clusters apart


def test_an_empty_plan_asks_for_the_cluster_alone() -> None:
    cluster = world()
    judged = verify(cluster)
    assert judged.ok
    assert judged.items == ()
    assert [method for method, _ in cluster.asked] == ["server_version", "get"]
