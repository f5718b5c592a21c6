"""Both writers on the real API server: the same changes, the same refusals."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.cluster.audit import mutations, position
from tests.cluster.control_plane import ControlPlane, wait_until
from tests.cluster.rbac import grant
from tests.cluster.verify.on_cluster import RESOURCES, create, create_pod, path_of
from tests.cluster.verify.webhook import admitting, allowed
from tests.cluster_verify.worlds import KEY

from modekeeper.cli.clocks import SystemClock
from modekeeper.model.cluster import (
    FIELD_MANAGER,
    ClusterAnswerError,
    ClusterConfigError,
    ClusterUnreachableError,
    JsonObject,
    ObjectRef,
)
from modekeeper_pro.door.change import PODS, RECORD, Change, template_place, values_at
from modekeeper_pro.door.opening import open_writer
from modekeeper_pro.door.writer import Writer

DEPLOYMENTS = RESOURCES["Deployment"]
TEMPLATE = template_place(DEPLOYMENTS) or ()

Opening = Callable[..., Writer]


@pytest.fixture(params=["api", "kubectl"])
def opening(request: pytest.FixtureRequest, control_plane: ControlPlane) -> Iterator[Opening]:
    opened: list[Writer] = []

    def writer(user: str = "admin", kubeconfig: Path | None = None) -> Writer:
        environment = control_plane.environment(user) | {"KUBECTL": str(control_plane.binaries / "kubectl")}
        opened.append(
            open_writer(
                request.param,
                kubeconfig=kubeconfig or control_plane.kubeconfig(user),
                context=None,
                clock=SystemClock(),
                environment=environment,
                request_timeout_s=20,
            )
        )
        return opened[-1]

    yield writer
    for each in opened:
        each.close()


@pytest.fixture
def found(control_plane: ControlPlane, namespace: str) -> JsonObject:
    return create(control_plane, namespace, "Deployment", replicas=0)


def change_of(found: JsonObject, place: tuple[str, ...] = TEMPLATE, value: str | None = "4") -> Change:
    metadata = found["metadata"]
    return Change(
        ref=ObjectRef(PODS if found.get("kind") == "Pod" else DEPLOYMENTS, metadata["namespace"], metadata["name"]),
        place=place,
        values=((KEY, value),),
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
    )


def stored(plane: ControlPlane, found: JsonObject) -> JsonObject:
    path = path_of(DEPLOYMENTS, found["metadata"]["namespace"], found["metadata"]["name"])
    body: JsonObject = plane.request("admin", path).body
    return body


@pytest.mark.parametrize("place", [RECORD, TEMPLATE], ids=["record", "template"])
def test_a_dry_run_stores_nothing_and_a_write_stores_what_it_said(
    opening: Opening, control_plane: ControlPlane, found: JsonObject, place: tuple[str, ...]
) -> None:
    writer, current = opening(), settled(control_plane, found)
    change = change_of(current, place)
    since = position(control_plane)

    said = writer.dry_run(change).object
    assert values_at(said, place, [KEY]) == {KEY: "4"}
    assert stored(control_plane, found) == current
    assert mutations(control_plane, "admin", since) == []

    written = writer.write(change)
    after = stored(control_plane, found)
    assert values_at(after, place, [KEY]) == {KEY: "4"}
    assert written["metadata"]["uid"] == found["metadata"]["uid"]
    assert [event.status for event in mutations(control_plane, "admin", since)] == [200]
    assert FIELD_MANAGER in {each["manager"] for each in after["metadata"]["managedFields"]}
    assert after["spec"]["replicas"] == current["spec"]["replicas"]

    removed = in_time(writer.write, lambda: change_of(stored(control_plane, found), place, None))
    assert values_at(removed, place, [KEY]) == {KEY: None}


def test_a_pod_is_told(opening: Opening, control_plane: ControlPlane, namespace: str) -> None:
    create_pod(control_plane, namespace, "trainer-0", {"app": "trainer"})
    path = f"/api/v1/namespaces/{namespace}/pods/trainer-0"
    in_time(opening().write, lambda: change_of(control_plane.request("admin", path).body | {"kind": "Pod"}, RECORD))
    assert values_at(control_plane.request("admin", path).body, RECORD, [KEY]) == {KEY: "4"}


def settled(plane: ControlPlane, found: JsonObject) -> JsonObject:
    """The object once its controller has seen it, and so writes its status no more."""
    seen: list[JsonObject] = []

    def observed() -> bool:
        seen[:] = [stored(plane, found)]
        status, generation = seen[0].get("status", {}), seen[0]["metadata"]["generation"]
        conditions = {each["type"] for each in status.get("conditions", [])}
        return status.get("observedGeneration") == generation and "Progressing" in conditions

    wait_until(observed, "the controller is done with it", 20)
    return stored(plane, found)


def in_time(call: Callable[[Change], Any], make: Callable[[], Change]) -> Any:
    """Its controllers write the status of an object meanwhile: look again where it moved, as the door does."""
    answers: list[Any] = []

    def stands_still() -> bool:
        try:
            answers[:] = [call(make())]
        except ClusterAnswerError as error:
            if error.status != 409:
                raise
        return bool(answers)

    wait_until(stands_still, "the object stands still", 20)
    return answers[0]


def refusal(call: Callable[[Change], Any], change: Change) -> ClusterAnswerError:
    with pytest.raises(ClusterAnswerError) as caught:
        call(change)
    return caught.value


def test_an_object_that_moved_is_a_conflict(opening: Opening, control_plane: ControlPlane, found: JsonObject) -> None:
    writer, current = opening(), settled(control_plane, found)
    path = path_of(DEPLOYMENTS, found["metadata"]["namespace"], "trainer")
    moved = {"metadata": {"annotations": {"somebody/else": "1"}}}
    assert control_plane.request("admin", path, "PATCH", moved).status == 200
    for call in (writer.dry_run, writer.write):
        assert refusal(call, change_of(current)).status == 409
    assert values_at(stored(control_plane, found), TEMPLATE, [KEY]) == {KEY: None}


def test_another_object_of_the_same_name_is_a_conflict(
    opening: Opening, control_plane: ControlPlane, found: JsonObject, namespace: str
) -> None:
    writer, old = opening(), stored(control_plane, found)
    path = path_of(DEPLOYMENTS, namespace, "trainer")
    assert control_plane.request("admin", path, "DELETE").status == 200
    wait_until(lambda: control_plane.request("admin", path).status == 404, "the Deployment is gone")
    new = create(control_plane, namespace, "Deployment", replicas=0)
    assert new["metadata"]["uid"] != old["metadata"]["uid"]
    for call in (writer.dry_run, writer.write):
        assert refusal(call, change_of(old)).status == 409
    # The uid alone is enough, were the versions ever the same: the API server then calls it immutable.
    pretended = msgspec.structs.replace(
        change_of(old), resource_version=settled(control_plane, found)["metadata"]["resourceVersion"]
    )
    assert refusal(writer.write, pretended).status == 422
    assert values_at(stored(control_plane, found), TEMPLATE, [KEY]) == {KEY: None}


def test_no_right_no_object_no_validity(
    opening: Opening, control_plane: ControlPlane, found: JsonObject, namespace: str
) -> None:
    current = settled(control_plane, found)
    rule = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]}
    grant(control_plane, "guest", namespace, [rule])
    denied = opening("guest")
    for call in (denied.dry_run, denied.write):
        assert refusal(call, change_of(current)).status == 403
    writer = opening()
    missing = msgspec.structs.replace(change_of(current), ref=ObjectRef(DEPLOYMENTS, namespace, "nobody"))
    for call in (writer.dry_run, writer.write):
        assert refusal(call, missing).status == 404
    job = create(control_plane, namespace, "Job")
    jobs = RESOURCES["Job"]
    statuses: list[int] = []

    def immutable() -> bool:
        """Its controller writes the status of the Job meanwhile, so that it may have moved."""
        live = control_plane.request("admin", path_of(jobs, namespace, "trainer")).body["metadata"]
        change = Change(
            ref=ObjectRef(jobs, namespace, "trainer"),
            place=template_place(jobs) or (),
            values=((KEY, "4"),),
            uid=job["metadata"]["uid"],
            resource_version=live["resourceVersion"],
        )
        statuses[:] = [refusal(call, change).status for call in (writer.dry_run, writer.write)]
        return 409 not in statuses

    wait_until(immutable, "the Job stands still", 20)
    assert statuses == [422, 422]


def test_what_a_webhook_makes_of_it_comes_back(
    opening: Opening, control_plane: ControlPlane, found: JsonObject, namespace: str
) -> None:
    writer = opening()

    def clamp(_request: dict[str, Any]) -> dict[str, Any]:
        pointer = f"/spec/template/metadata/annotations/{KEY.replace('/', '~1')}"
        return allowed({"op": "replace", "path": pointer, "value": "2"})

    def in_force() -> bool:
        said = in_time(writer.dry_run, lambda: change_of(stored(control_plane, found))).object
        return values_at(said, TEMPLATE, [KEY]) == {KEY: "2"}

    with admitting(control_plane, namespace, clamp):
        wait_until(in_force, "the webhook is in force", 20)
        written = in_time(writer.write, lambda: change_of(stored(control_plane, found)))
    assert values_at(written, TEMPLATE, [KEY]) == {KEY: "2"}


def test_a_server_that_is_not_there_is_no_answer(
    opening: Opening, control_plane: ControlPlane, found: JsonObject, tmp_path: Path
) -> None:
    text = control_plane.kubeconfig("admin").read_text().replace(str(control_plane.port), "1")
    nowhere = tmp_path / "nowhere"
    nowhere.write_text(text)
    writer = opening("admin", nowhere)
    with pytest.raises((ClusterUnreachableError, ClusterConfigError)):
        writer.write(change_of(found))
    writer.close()
    with pytest.raises(ClusterUnreachableError):
        writer.write(change_of(found))
