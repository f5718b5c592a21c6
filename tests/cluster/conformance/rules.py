"""What every reader does. Each rule is a function of a world; the tests beside it run all of them on every reader."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.cluster.conformance.world import DEPLOYMENTS, World

from modekeeper.cluster.memory import CONFIG_MAPS, NAMESPACES, PODS, Rule
from modekeeper.model.cluster import (
    FIELD_MANAGER,
    AccessQuestion,
    ClusterAnswerError,
    ClusterUnreachableError,
    JsonObject,
    LogQuestion,
    ObjectRef,
    Resource,
)
from modekeeper.model.errors import RefusedError

NEVER = threading.Event()
NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
UNKNOWN = Resource("nobody.example.com", "v1", "things", "Thing")


def config_map(name: str, labels: dict[str, str] | None = None, **data: str) -> JsonObject:
    return {"metadata": {"name": name, "labels": labels or {}}, "data": data}


def deployment(name: str = "trainer", replicas: int = 0) -> JsonObject:
    labels = {"app": name}
    container = {"name": "main", "image": "registry.invalid/trainer:1"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": name}, "spec": spec}


def refused(call: Callable[[], Any]) -> ClusterAnswerError:
    with pytest.raises(ClusterAnswerError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return caught.value


def the_server_says_its_version(world: World) -> None:
    version = world.reader.server_version()
    assert version.git_version.startswith("v1.")
    assert (version.major, version.minor.rstrip("+")) == ("1", version.git_version.split(".")[1])


def a_group_has_its_versions_and_an_unknown_one_has_none(world: World) -> None:
    assert world.reader.served_versions("") == ("v1",)
    assert world.reader.served_versions("apps") == ("v1",)
    assert world.reader.served_versions("nobody.example.com") == ()


def an_object_is_found_with_its_kind(world: World) -> None:
    world.put(CONFIG_MAPS, config_map("one", {"a": "b"}, key="välue 😀\n"))
    found = world.reader.get(ObjectRef(CONFIG_MAPS, world.namespace, "one"))
    assert (found["apiVersion"], found["kind"]) == ("v1", "ConfigMap")
    assert found["data"] == {"key": "välue 😀\n"}
    assert found["metadata"]["uid"]
    assert found["metadata"]["resourceVersion"]
    assert world.reader.get(ObjectRef(NAMESPACES, None, world.namespace))["kind"] == "Namespace"


def what_is_not_there_is_404(world: World) -> None:
    error = refused(lambda: world.reader.get(ObjectRef(DEPLOYMENTS, world.namespace, "none")))
    assert (error.status, error.reason) == (404, "NotFound")
    assert error.detail == 'deployments.apps "none" not found'
    assert refused(lambda: world.reader.get(ObjectRef(UNKNOWN, world.namespace, "none"))).status == 404
    assert refused(lambda: world.reader.list(UNKNOWN, None)).status == 404


def a_list_is_in_order_with_kinds_and_all_there_is(world: World) -> None:
    for name in ("c", "a", "b"):
        world.put(CONFIG_MAPS, config_map(name))
    found = world.reader.list(CONFIG_MAPS, world.namespace, fields="metadata.name!=kube-root-ca.crt")
    assert [each["metadata"]["name"] for each in found.items] == ["a", "b", "c"]
    assert {(each["apiVersion"], each["kind"]) for each in found.items} == {("v1", "ConfigMap")}
    assert int(found.resource_version) > 0


def a_list_ends_at_its_limit(world: World) -> None:
    for name in ("c", "a", "b"):
        world.put(CONFIG_MAPS, config_map(name, {"of": "limit"}))
    found = world.reader.list(CONFIG_MAPS, world.namespace, labels="of=limit", limit=2)
    assert [each["metadata"]["name"] for each in found.items] == ["a", "b"]


def selectors_select(world: World) -> None:
    world.put(CONFIG_MAPS, config_map("one", {"app": "a", "tier": "x"}))
    world.put(CONFIG_MAPS, config_map("two", {"app": "b"}))
    world.put(CONFIG_MAPS, config_map("three", {"app": "c"}))

    def names(labels: str, fields: str = "metadata.name!=kube-root-ca.crt") -> set[str]:
        found = world.reader.list(CONFIG_MAPS, world.namespace, labels=labels, fields=fields)
        return {each["metadata"]["name"] for each in found.items}

    assert names("app=a") == {"one"}
    assert names("app!=a") == {"two", "three"}
    assert names("app in (a,b)") == {"one", "two"}
    assert names("app notin (a, b)") == {"three"}
    assert names("app,!tier") == {"two", "three"}
    assert names("app==b,tier!=x") == {"two"}
    assert names("", "metadata.name=two") == {"two"}
    assert refused(lambda: world.reader.list(CONFIG_MAPS, world.namespace, labels="app in a")).status == 400


def all_namespaces_are_read_at_once(world: World) -> None:
    world.put(CONFIG_MAPS, config_map("one", {"where": world.namespace}))
    found = world.reader.list(CONFIG_MAPS, None, labels=f"where={world.namespace}").items
    assert [each["metadata"]["namespace"] for each in found] == [world.namespace]
    assert "kube-system" in {each["metadata"]["name"] for each in world.reader.list(NAMESPACES, None).items}


def a_watch_tells_what_happens_and_ends_when_stopped(world: World) -> None:
    world.put(CONFIG_MAPS, config_map("before", {"of": "watch"}))
    version = world.reader.list(CONFIG_MAPS, world.namespace).resource_version
    world.put(CONFIG_MAPS, config_map("new", {"of": "watch"}))
    world.put(CONFIG_MAPS, config_map("other", {"of": "nothing"}))
    world.put(CONFIG_MAPS, config_map("new", {"of": "watch"}, key="changed"))
    world.delete(ObjectRef(CONFIG_MAPS, world.namespace, "before"))
    stop = threading.Event()
    events = world.reader.watch(CONFIG_MAPS, world.namespace, resource_version=version, stop=stop, labels="of=watch")
    seen = [next(events) for _ in range(3)]
    assert [(event.type.value, event.object["metadata"]["name"]) for event in seen] == [
        ("ADDED", "new"),
        ("MODIFIED", "new"),
        ("DELETED", "before"),
    ]
    assert {event.object["kind"] for event in seen} == {"ConfigMap"}
    threading.Timer(0.2, stop.set).start()
    assert list(events) == []


def a_user_is_refused_what_no_rule_allows(world: World) -> None:
    world.put(DEPLOYMENTS, deployment())
    guest = world.limited([Rule(verbs=("get", "list"), groups=("apps",), resources=("deployments",))])
    ref = ObjectRef(DEPLOYMENTS, world.namespace, "trainer")
    assert guest.get(ref)["kind"] == "Deployment"
    where = f'in the namespace "{world.namespace}"'
    error = refused(lambda: guest.dry_run(ref, {}))
    assert (error.status, error.reason) == (403, "Forbidden")
    assert error.detail == (
        f'deployments.apps "trainer" is forbidden: User "guest" cannot patch resource "deployments" in API group "apps"'
        f" {where}"
    )
    error = refused(lambda: guest.list(PODS, world.namespace))
    assert error.detail == f'pods is forbidden: User "guest" cannot list resource "pods" in API group "" {where}'
    error = refused(lambda: guest.list(NODES, None))
    assert error.detail.endswith('cannot list resource "nodes" in API group "" at the cluster scope')
    error = refused(lambda: next(guest.logs(LogQuestion(namespace=world.namespace, pod="p"), NEVER)))
    assert error.detail.endswith(f'cannot get resource "pods/log" in API group "" {where}')


def access_is_told_as_it_is(world: World) -> None:
    guest = world.limited([Rule(verbs=("get",), groups=("apps",), resources=("deployments",), names=("trainer",))])

    def may(verb: str, resource: str = "deployments", name: str | None = "trainer", group: str = "apps") -> bool:
        question = AccessQuestion(verb=verb, group=group, resource=resource, namespace=world.namespace, name=name)
        return guest.can_i(question).allowed

    assert may("get")
    assert not may("get", name="other")
    assert not may("get", name=None)
    assert not may("patch")
    assert not may("get", group="")
    assert not guest.can_i(AccessQuestion(verb="get", group="apps", resource="deployments", name="trainer")).allowed
    log = AccessQuestion(verb="get", group="", resource="pods", subresource="log", namespace=world.namespace)
    assert not guest.can_i(log).allowed
    assert world.reader.can_i(log).allowed


def a_dry_run_shows_what_would_be_and_stores_nothing(world: World) -> None:
    world.put(DEPLOYMENTS, deployment())
    ref = ObjectRef(DEPLOYMENTS, world.namespace, "trainer")
    awkward = "$(touch /tmp/x) \"quoted\" 'single'\n--flag"
    patch = {"metadata": {"annotations": {"modekeeper/knob.a": awkward}}, "spec": {"replicas": 3}}
    answer = world.reader.dry_run(ref, patch)
    assert answer.object["metadata"]["annotations"]["modekeeper/knob.a"] == awkward
    assert answer.object["spec"]["replicas"] == 3
    assert answer.object["spec"]["selector"] == {"matchLabels": {"app": "trainer"}}
    assert (answer.object["apiVersion"], answer.object["kind"]) == ("apps/v1", "Deployment")
    found = world.reader.get(ref)
    assert found["spec"]["replicas"] == 0
    assert "modekeeper/knob.a" not in found["metadata"].get("annotations", {})
    assert FIELD_MANAGER not in {each["manager"] for each in found["metadata"].get("managedFields", [])}
    assert refused(lambda: world.reader.dry_run(ObjectRef(DEPLOYMENTS, world.namespace, "no"), patch)).status == 404


def a_null_takes_a_key_away(world: World) -> None:
    world.put(CONFIG_MAPS, config_map("one", None, keep="1", gone="2"))
    answer = world.reader.dry_run(ObjectRef(CONFIG_MAPS, world.namespace, "one"), {"data": {"gone": None}})
    assert answer.object["data"] == {"keep": "1"}


def names_that_are_none_are_refused_before_anybody_is_asked(world: World) -> None:
    for name in ("..", ".", "", "a/b", "x/status", "a%2fb", "y" * 300):
        assert refused(lambda name=name: world.reader.get(ObjectRef(PODS, world.namespace, name))).status == 400  # type: ignore[misc]
    for name in ("--all", "$(id)", "a b", "a\nb", 'a"b', "a?watch=true", "a#b", "ä"):
        ref = ObjectRef(CONFIG_MAPS, world.namespace, name)
        assert refused(lambda ref=ref: world.reader.get(ref)).status == 404  # type: ignore[misc]
        assert refused(lambda ref=ref: world.reader.dry_run(ref, {})).status in {400, 404, 422}  # type: ignore[misc]


def secrets_are_never_read(world: World) -> None:
    secrets = Resource("", "v1", "secrets", "Secret")
    with pytest.raises(RefusedError):
        world.reader.get(ObjectRef(secrets, world.namespace, "x"))
    with pytest.raises(RefusedError):
        world.reader.list(secrets, world.namespace)


def many_threads_may_ask_at_once(world: World) -> None:
    world.put(CONFIG_MAPS, config_map("one", None, key="value"))
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            for _ in range(3):
                assert world.reader.get(ObjectRef(CONFIG_MAPS, world.namespace, "one"))["data"] == {"key": "value"}
        except BaseException as error:  # noqa: BLE001 - told by the test below
            failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert not any(thread.is_alive() for thread in threads)


def a_log_of_no_pod_is_404(world: World) -> None:
    error = refused(lambda: list(world.reader.logs(LogQuestion(namespace=world.namespace, pod="none"), NEVER)))
    assert (error.status, error.detail) == (404, 'pods "none" not found')


def a_log_of_which_container_is_asked_back(world: World) -> None:
    containers = [{"name": name, "image": "registry.invalid/trainer:1"} for name in ("main", "side")]
    world.put(PODS, {"metadata": {"name": "two"}, "spec": {"containers": containers}})
    error = refused(lambda: list(world.reader.logs(LogQuestion(namespace=world.namespace, pod="two"), NEVER)))
    assert error.status == 400
    assert "a container name must be specified for pod two, choose one of: [main side]" in error.detail


def a_closed_reader_answers_nothing(world: World) -> None:
    world.reader.close()
    with pytest.raises(ClusterUnreachableError):
        world.reader.server_version()
    with pytest.raises(ClusterUnreachableError):
        list(world.reader.logs(LogQuestion(namespace=world.namespace, pod="none"), NEVER))


RULES = (
    the_server_says_its_version,
    a_group_has_its_versions_and_an_unknown_one_has_none,
    an_object_is_found_with_its_kind,
    what_is_not_there_is_404,
    a_list_is_in_order_with_kinds_and_all_there_is,
    a_list_ends_at_its_limit,
    selectors_select,
    all_namespaces_are_read_at_once,
    a_watch_tells_what_happens_and_ends_when_stopped,
    a_user_is_refused_what_no_rule_allows,
    access_is_told_as_it_is,
    a_dry_run_shows_what_would_be_and_stores_nothing,
    a_null_takes_a_key_away,
    names_that_are_none_are_refused_before_anybody_is_asked,
    secrets_are_never_read,
    many_threads_may_ask_at_once,
    a_log_of_no_pod_is_404,
    a_log_of_which_container_is_asked_back,
    a_closed_reader_answers_nothing,
)
