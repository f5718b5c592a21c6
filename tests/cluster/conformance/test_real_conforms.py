"""Both real readers do what every reader does, and say the same, against a real API server."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.cluster.conformance.rules import NEVER, NODES, RULES, UNKNOWN, config_map, deployment, refused
from tests.cluster.conformance.world import DEPLOYMENTS, Client, RealWorld, World
from tests.cluster.control_plane import ControlPlane, wait_until

from modekeeper.cluster.memory import CONFIG_MAPS, NAMESPACES, PODS
from modekeeper.model.cluster import (
    FIELD_MANAGER,
    AccessQuestion,
    ClusterAnswerError,
    LogQuestion,
    ObjectRef,
)
from modekeeper.model.errors import ModeKeeperError
from modekeeper.ports.cluster import ClusterReader


@pytest.fixture(params=["api", "kubectl"])
def world(request: pytest.FixtureRequest, control_plane: ControlPlane, namespace: str) -> Iterator[RealWorld]:
    client: Client = request.param
    made = RealWorld(control_plane, namespace, client)
    yield made
    made.close()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_real(world: RealWorld, rule: Callable[[World], None]) -> None:
    rule(world)


Question = Callable[[ClusterReader, str], Any]

SAME: dict[str, Question] = {
    "context": lambda reader, _: reader.context,
    "version": lambda reader, _: reader.server_version(),
    "served versions": lambda reader, _: [
        reader.served_versions(group) for group in ("", "apps", "batch", "autoscaling")
    ],
    "object": lambda reader, here: reader.get(ObjectRef(DEPLOYMENTS, here, "trainer")),
    "namespace": lambda reader, here: reader.get(ObjectRef(NAMESPACES, None, here)),
    "list": lambda reader, here: reader.list(CONFIG_MAPS, here).items,
    "selected": lambda reader, here: (
        reader.list(CONFIG_MAPS, here, labels="a in (b)", fields="metadata.name=one").items
    ),
    "pods": lambda reader, here: reader.list(PODS, here).items,
    "nodes": lambda reader, _: reader.list(NODES, None).items,
    "access": lambda reader, here: reader.can_i(
        AccessQuestion(verb="patch", group="apps", resource="deployments", namespace=here)
    ),
    "nothing": lambda reader, here: reader.get(ObjectRef(DEPLOYMENTS, here, "none")),
    "no such kind": lambda reader, here: reader.list(UNKNOWN, here),
    "bad selector": lambda reader, here: reader.list(PODS, here, labels="a in b"),
    "bad field": lambda reader, here: reader.list(PODS, here, fields="spec.nothing=1"),
    "dry run of nothing": lambda reader, here: reader.dry_run(ObjectRef(DEPLOYMENTS, here, "none"), {}),
    "no pod's log": lambda reader, here: list(reader.logs(LogQuestion(namespace=here, pod="none"), NEVER)),
    "waiting pod's log": lambda reader, here: list(reader.logs(LogQuestion(namespace=here, pod="waiting"), NEVER)),
    "hostile name": lambda reader, here: reader.get(ObjectRef(PODS, here, "$(id) \"x\" 'y'\n--help")),
}


def answered(reader: ClusterReader, question: Question, namespace: str) -> Any:
    try:
        return question(reader, namespace)
    except ClusterAnswerError as error:
        return (str(error), int(error.status), error.reason, error.detail)
    except ModeKeeperError as error:
        return (type(error), str(error))


@pytest.mark.parametrize("user", ["admin", "stranger"])
def test_api_and_kubectl_say_the_same(control_plane: ControlPlane, namespace: str, user: str) -> None:
    world = RealWorld(control_plane, namespace, "api")
    world.put(DEPLOYMENTS, deployment())
    world.put(CONFIG_MAPS, config_map("one", {"a": "b"}, key="välue"))
    containers = [{"name": "main", "image": "registry.invalid/trainer:1"}]
    world.put(PODS, {"metadata": {"name": "waiting"}, "spec": {"containers": containers, "nodeName": ""}})
    readers = [world.opened(user, client) for client in ("api", "kubectl")]
    try:
        # kubectl reads what it patches: who may not, is refused that.
        left_out = {"dry run of nothing"} if user == "stranger" else set()
        for name, question in SAME.items():
            if name in left_out:
                continue
            api, kubectl = (answered(reader, question, namespace) for reader in readers)
            assert api == kubectl, (name, api, kubectl)
    finally:
        world.close()


def without_times(found: dict[str, Any]) -> dict[str, Any]:
    """Without what moves while the two ask: a moment, and what a controller writes about a new object."""
    moving = {"managedFields", "resourceVersion"}
    metadata = {key: value for key, value in found["metadata"].items() if key not in moving}
    managers = {each["manager"] for each in found["metadata"]["managedFields"]}
    return {**found, "metadata": metadata, "status": None, "manager": managers & {FIELD_MANAGER}}


def test_api_and_kubectl_dry_run_the_same(control_plane: ControlPlane, namespace: str) -> None:
    world = RealWorld(control_plane, namespace, "api")
    world.put(DEPLOYMENTS, deployment())
    world.put(CONFIG_MAPS, config_map("one", None, key="value"))
    trainer = ObjectRef(DEPLOYMENTS, namespace, "trainer")
    wait_until(lambda: "status" in world.reader.get(trainer), "the controller saw the deployment")
    api, kubectl = (world.opened("admin", client) for client in ("api", "kubectl"))
    annotated = {"metadata": {"annotations": {"modekeeper/knob.a": "4", "deployment.kubernetes.io/revision": "1"}}}
    try:
        for ref in (trainer, ObjectRef(CONFIG_MAPS, namespace, "one"), ObjectRef(NAMESPACES, None, namespace)):
            answers = [reader.dry_run(ref, annotated) for reader in (api, kubectl)]
            assert without_times(answers[0].object) == without_times(answers[1].object)
            assert without_times(answers[0].object)["manager"] == {FIELD_MANAGER}
            assert answers[0].warnings == answers[1].warnings
    finally:
        world.close()


def test_fields_are_validated_strictly(world: RealWorld) -> None:
    world.put(DEPLOYMENTS, deployment())
    ref = ObjectRef(DEPLOYMENTS, world.namespace, "trainer")
    error = refused(lambda: world.reader.dry_run(ref, {"spec": {"template": {"spec": {"nonsense": 1}}}}))
    assert (error.status, error.reason) == (422, "Invalid")
    assert 'unknown field "spec.template.spec.nonsense"' in error.detail
    error = refused(lambda: world.reader.dry_run(ref, {"spec": {"replicas": "three"}}))
    assert error.status == 422
    assert "cannot unmarshal string" in error.detail
    error = refused(lambda: world.reader.dry_run(ref, {"spec": {"selector": {"matchLabels": {"app": "x"}}}}))
    assert (error.status, error.reason) == (422, "Invalid")
    assert "selector" in error.detail
    assert len(error.detail) < 1000


def test_warnings_of_the_api_come_with_the_answer(world: RealWorld) -> None:
    world.put(DEPLOYMENTS, deployment())
    ref = ObjectRef(DEPLOYMENTS, world.namespace, "trainer")
    deprecated = {
        "spec": {"template": {"metadata": {"annotations": {"scheduler.alpha.kubernetes.io/critical-pod": ""}}}}
    }
    answer = world.reader.dry_run(ref, deprecated)
    assert any("critical-pod" in warning for warning in answer.warnings)


def test_a_watch_from_a_version_that_cannot_be_is_refused(world: RealWorld) -> None:
    error = refused(lambda: next(world.reader.watch(PODS, world.namespace, resource_version="nonsense", stop=NEVER)))
    assert "nonsense" in error.detail


def test_a_long_list_is_read_page_by_page(control_plane: ControlPlane, namespace: str) -> None:
    world = RealWorld(control_plane, namespace, "api")
    for number in range(520):
        world.put(CONFIG_MAPS, config_map(f"map-{number:03d}", {"of": "many"}))
    try:
        found = world.reader.list(CONFIG_MAPS, namespace, labels="of=many").items
        assert [each["metadata"]["name"] for each in found] == [f"map-{number:03d}" for number in range(520)]
    finally:
        world.close()
