"""The cluster held in memory: what the conformance suite does not say about every reader, but tests rely on here."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from modekeeper.cluster.memory import NAMESPACES, PODS, MemoryCluster, Rule
from modekeeper.model.cluster import (
    AccessQuestion,
    ClusterAnswerError,
    ClusterUnreachableError,
    LogQuestion,
    ObjectRef,
    Resource,
)

DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
TRAINER = ObjectRef(DEPLOYMENTS, "research", "trainer")
NEVER = threading.Event()
READ_ONE = Rule(
    verbs=("get",), groups=("apps",), resources=("deployments",), names=("trainer",), namespaces=("research",)
)


def deployment(name: str = "trainer", **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "research", **metadata}, "spec": {"replicas": 1}}


def test_an_object_gets_what_the_api_server_gives_it_and_keeps_its_uid() -> None:
    cluster = MemoryCluster()
    first = cluster.put(DEPLOYMENTS, deployment())
    second = cluster.put(DEPLOYMENTS, deployment() | {"spec": {"replicas": 2}})
    assert first["metadata"]["uid"] == second["metadata"]["uid"]
    assert (first["metadata"]["generation"], second["metadata"]["generation"]) == (1, 2)
    assert first["metadata"]["resourceVersion"] != second["metadata"]["resourceVersion"]
    assert cluster.get(ObjectRef(NAMESPACES, None, "research"))["kind"] == "Namespace"
    assert cluster.get(ObjectRef(NAMESPACES, None, "kube-system"))["metadata"]["uid"]


def test_what_is_given_out_is_a_copy() -> None:
    cluster = MemoryCluster()
    cluster.put(DEPLOYMENTS, deployment())
    cluster.get(TRAINER)["spec"]["replicas"] = 9
    cluster.list(DEPLOYMENTS, None).items[0]["spec"]["replicas"] = 9
    assert cluster.get(TRAINER)["spec"] == {"replicas": 1}


def test_a_refusal_has_the_words_of_the_api() -> None:
    cluster = MemoryCluster(user="u", rules=[READ_ONE])
    cluster.put(DEPLOYMENTS, deployment())
    assert cluster.get(TRAINER)
    with pytest.raises(ClusterAnswerError) as refused:
        cluster.get(ObjectRef(DEPLOYMENTS, "n", "x"))
    assert (refused.value.status, refused.value.reason) == (403, "Forbidden")
    assert refused.value.detail == (
        'deployments.apps "x" is forbidden: User "u" cannot get resource "deployments" in API group "apps"'
        ' in the namespace "n"'
    )
    with pytest.raises(
        ClusterAnswerError, match='cannot list resource "namespaces" in API group "" at the cluster scope'
    ):
        cluster.list(NAMESPACES, None)
    with pytest.raises(ClusterAnswerError, match='cannot get resource "pods/log" in API group "" in the namespace "n"'):
        next(cluster.logs(LogQuestion(namespace="n", pod="x"), NEVER))


@pytest.mark.parametrize(
    ("question", "allowed"),
    [
        (AccessQuestion(verb="get", group="apps", resource="deployments", namespace="research", name="trainer"), True),
        (AccessQuestion(verb="get", group="apps", resource="deployments", namespace="research", name="other"), False),
        (AccessQuestion(verb="get", group="apps", resource="deployments", namespace="research"), False),
        (AccessQuestion(verb="get", group="apps", resource="deployments", name="trainer"), False),
        (
            AccessQuestion(verb="patch", group="apps", resource="deployments", namespace="research", name="trainer"),
            False,
        ),
        (AccessQuestion(verb="get", group="", resource="deployments", namespace="research", name="trainer"), False),
    ],
)
def test_a_rule_allows_what_it_names(question: AccessQuestion, allowed: bool) -> None:
    assert MemoryCluster(rules=[READ_ONE]).can_i(question).allowed is allowed
    assert MemoryCluster().can_i(question).allowed


def test_a_dry_run_stores_nothing_and_runs_the_hooks_in_order() -> None:
    cluster = MemoryCluster()
    cluster.put(DEPLOYMENTS, deployment(annotations={"a": "1", "b": "1"}))
    seen: list[Any] = []

    def rewrite(_ref: ObjectRef, new: dict[str, Any]) -> dict[str, Any]:
        seen.append(dict(new["metadata"]["annotations"]))
        new["metadata"]["annotations"]["a"] = "rewritten"
        return new

    cluster.admit(rewrite)
    cluster.admit(rewrite)
    answer = cluster.dry_run(TRAINER, {"metadata": {"annotations": {"a": "2", "b": None}}})
    assert answer.object["metadata"]["annotations"] == {"a": "rewritten"}
    assert seen == [{"a": "2"}, {"a": "rewritten"}]
    assert cluster.get(TRAINER)["metadata"]["annotations"] == {"a": "1", "b": "1"}


def test_a_hook_may_refuse() -> None:
    cluster = MemoryCluster()
    cluster.put(DEPLOYMENTS, deployment())

    def refuse(ref: ObjectRef, _new: dict[str, Any]) -> dict[str, Any]:
        raise cluster.denial(ref, 'admission webhook "w" does not support dry run', status=400)

    cluster.admit(refuse)
    with pytest.raises(ClusterAnswerError) as refused:
        cluster.dry_run(TRAINER, {})
    assert (refused.value.status, refused.value.reason) == (400, "BadRequest")
    assert refused.value.detail == 'admission webhook "w" does not support dry run'


def test_failures_come_as_often_and_where_they_were_asked_for() -> None:
    cluster = MemoryCluster()
    cluster.put(DEPLOYMENTS, deployment())
    cluster.put(DEPLOYMENTS, deployment("other"))
    cluster.fail("get", cluster.failure(503), times=2, when=lambda about: about == TRAINER)
    cluster.fail("list", ClusterUnreachableError("gone"), times=None)
    assert cluster.get(ObjectRef(DEPLOYMENTS, "research", "other"))
    for _ in range(2):
        with pytest.raises(ClusterAnswerError, match="503 ServiceUnavailable"):
            cluster.get(TRAINER)
    assert cluster.get(TRAINER)
    for _ in range(3):
        with pytest.raises(ClusterUnreachableError):
            cluster.list(DEPLOYMENTS, None)
    assert [method for method, _ in cluster.asked] == ["get"] * 4 + ["list"] * 3


def test_a_closed_one_answers_nothing() -> None:
    cluster = MemoryCluster()
    cluster.close()
    with pytest.raises(ClusterUnreachableError):
        cluster.server_version()


def test_a_watch_too_old_is_gone_and_a_watch_that_is_ended_ends_quietly() -> None:
    cluster = MemoryCluster()
    version = cluster.list(DEPLOYMENTS, None).resource_version
    cluster.put(DEPLOYMENTS, deployment())
    events = cluster.watch(DEPLOYMENTS, "research", resource_version=version, stop=NEVER)
    assert next(events).object["metadata"]["name"] == "trainer"
    cluster.delete(TRAINER)
    cluster.bookmark(DEPLOYMENTS)
    assert [next(events).type, next(events).type] == ["DELETED", "BOOKMARK"]
    cluster.end_watches()
    assert list(events) == []
    cluster.compact()
    with pytest.raises(ClusterAnswerError) as gone:
        next(cluster.watch(DEPLOYMENTS, None, resource_version=version, stop=NEVER))
    assert gone.value.status == 410


def pod(*containers: str) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": name} for name in containers]}}


def test_a_log_is_cut_by_time_tail_and_size() -> None:
    start = datetime(2026, 1, 31, 9, tzinfo=UTC)
    cluster = MemoryCluster(now=lambda: start + timedelta(seconds=10))
    cluster.put(PODS, pod("main"))
    log = cluster.log("default", "p", "main")
    for second in range(10):
        log.write(start + timedelta(seconds=second, microseconds=5), b"line %d" % second)

    def read(**limits: Any) -> bytes:
        return b"".join(cluster.logs(LogQuestion(namespace="default", pod="p", **limits), NEVER))

    assert read().count(b"\n") == 10
    assert read(tail_lines=2) == b"line 8\nline 9\n"
    assert read(since_s=3) == b"line 7\nline 8\nline 9\n"
    assert read(since_time="2026-01-31T09:00:08Z") == b"line 8\nline 9\n"
    assert read(tail_lines=2, since_s=1, timestamps=True) == b"2026-01-31T09:00:09.000005000Z line 9\n"
    assert read(limit_bytes=9) == b"line 0\nli"
    log.rotate()
    assert read() == b""


def test_a_followed_log_goes_on_until_the_container_ends_or_the_connection_breaks() -> None:
    cluster = MemoryCluster()
    cluster.put(PODS, pod("main", "sidecar"))
    question = LogQuestion(namespace="default", pod="p", container="main", follow=True)
    log = cluster.log("default", "p", "main")
    chunks = cluster.logs(question, NEVER)
    writer = threading.Timer(0.05, log.write, (datetime(2026, 1, 31, tzinfo=UTC), b"one"))
    writer.start()
    assert next(chunks) == b"one\n"
    log.break_connections()
    with pytest.raises(ClusterUnreachableError):
        next(chunks)
    cluster.restart("default", "p", "main").write(datetime(2026, 1, 31, tzinfo=UTC), b"two")
    again = cluster.logs(question, NEVER)
    assert next(again) == b"two\n"
    cluster.restart("default", "p", "main")
    assert list(again) == []
    previous = LogQuestion(namespace="default", pod="p", container="main", previous=True)
    assert list(cluster.logs(previous, NEVER)) == [b"two\n"]
    with pytest.raises(ClusterAnswerError, match=r"choose one of: \[main sidecar\]"):
        next(cluster.logs(LogQuestion(namespace="default", pod="p"), NEVER))
