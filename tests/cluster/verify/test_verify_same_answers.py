"""A plan of many kinds in several namespaces: both clients make one report of it, and two runs ask the same."""

import secrets
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cluster import audit
from tests.cluster.control_plane import ControlPlane, wait_until
from tests.cluster.fake_nodes import FakeNodes
from tests.cluster.rbac import grant
from tests.cluster.verify.on_cluster import RESOURCES, create, create_pod, path_of, pods, wait_for_pods
from tests.cluster.verify.test_verify_command import mk_verify
from tests.cluster_verify.test_effects import POD_LABELS
from tests.cluster_verify.worlds import item

from modekeeper.model.cluster import JsonObject
from modekeeper.model.decision import Actuation, PlanItem

HOT, COLD = Actuation.HOT, Actuation.COLD
PARTS = {
    "apiGroups": ["", "apps", "batch", "leaderworkerset.x-k8s.io", "jobset.x-k8s.io", "ray.io"],
    "resources": [
        *("pods", "deployments", "statefulsets", "jobs"),
        *("leaderworkersets", "jobsets", "rayjobs"),
    ],
}
READ, PATCH = ({**PARTS, "verbs": verbs} for verbs in (["get", "list"], ["patch"]))
DEPLOYMENTS = [f"trainer-{number}" for number in range(5)]
"""So many that they are read in one list."""


@pytest.fixture
def places(custom_kinds: ControlPlane, namespace: str) -> Iterator[tuple[str, str, str]]:
    """Namespaces in which the guest may patch, may read, may do nothing."""
    others = sorted(f"test-{secrets.token_hex(4)}" for _ in range(2))
    for name in others:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        assert custom_kinds.request("admin", "/api/v1/namespaces", "POST", body).status == 201
        account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        wait_until(lambda path=account: custom_kinds.request("admin", path).status == 200, "usable")  # type: ignore[misc]
    grant(custom_kinds, "guest", namespace, [READ, PATCH])
    grant(custom_kinds, "guest", others[0], [READ])
    yield namespace, others[0], others[1]
    for name in others:
        custom_kinds.request("admin", f"/api/v1/namespaces/{name}", "DELETE")


def settled(plane: ControlPlane, namespace: str) -> None:
    """Wait until the controllers have written the last status: a report names the version of each object."""
    seen: list[Counter[str]] = []

    def quiet() -> bool:
        listed = pods(plane, namespace)
        for kind in ("Deployment", "StatefulSet", "Job"):
            listed += plane.request("admin", path_of(RESOURCES[kind], namespace)).body["items"]
        seen.append(Counter(each["metadata"]["resourceVersion"] for each in listed))
        return seen[-10:] == [seen[-1]] * 10

    wait_until(quiet, f"nothing moves in {namespace}", 60)


def plan_items(plane: ControlPlane, places: tuple[str, str, str]) -> list[PlanItem]:
    """The objects, and a plan that meets most verdicts there are."""
    patchable, readable, locked = places
    for name in DEPLOYMENTS:
        create(plane, patchable, "Deployment", name=name, paused=name == DEPLOYMENTS[1], replicas=1)
    create(plane, patchable, "StatefulSet", name="set", serviceName="set", replicas=1)
    create(plane, patchable, "Job", name="job")
    create(plane, patchable, "LeaderWorkerSet", name="groups")
    for kind in ("JobSet", "RayJob"):
        create(plane, patchable, kind)
        create_pod(plane, patchable, f"of-{kind.lower()}", POD_LABELS[kind])
    status = {"status": {"rayClusterName": "trainer-abcde"}}
    path = path_of(RESOURCES["RayJob"], patchable, "trainer")
    assert plane.request("admin", f"{path}/status", "PATCH", status).status == 200
    create(plane, readable, "Deployment", replicas=1)
    create(plane, locked, "Deployment", replicas=1)
    wait_for_pods(plane, patchable, len(DEPLOYMENTS) - 1 + 4)  # one Deployment is paused: it has no pods
    wait_for_pods(plane, readable, 1)
    for name in places:
        settled(plane, name)
    return [
        *(item(way, namespace=patchable, name=name) for name in DEPLOYMENTS for way in (COLD, HOT)),
        item(namespace=patchable, name="absent"),
        *(item(way, namespace=patchable, kind="StatefulSet", name="set") for way in (COLD, HOT)),
        item(namespace=patchable, kind="Job", name="job"),
        item(namespace=patchable, kind="LeaderWorkerSet", name="groups"),
        *(item(HOT, namespace=patchable, kind=kind) for kind in ("JobSet", "RayJob")),
        item(HOT, namespace=readable),
        item(namespace=locked),
        item(namespace="test-nowhere"),
    ]


def ordered(items: list[PlanItem]) -> list[PlanItem]:
    return sorted(items, key=lambda each: (each.namespace, each.kind, each.name, each.actuation))


def test_both_clients_make_one_report_and_two_runs_ask_the_same(
    control_plane: ControlPlane, places: tuple[str, str, str], kwok: FakeNodes, tmp_path: Path
) -> None:
    items = ordered(plan_items(control_plane, places))
    reports: dict[str, JsonObject] = {}
    asked: dict[str, Counter[tuple[str, str, int]]] = {}
    for run, client in (("first", "api"), ("kubectl", "kubectl"), ("second", "api")):
        since = audit.position(control_plane)
        words = ("--cluster-client", client)
        done, reports[run] = mk_verify(control_plane, "guest", tmp_path / run, *items, words=words)
        assert done.returncode == 2, done.stdout + done.stderr
        events = audit.events(control_plane, "guest", since)
        assert [event for event in events if event.mutates] == []
        asked[run] = Counter((event.verb, event.path, event.status) for event in events)
    assert by_item(reports["first"]) == by_item(reports["kubectl"])
    assert reports["first"] == reports["kubectl"] == reports["second"]
    assert asked["first"] == asked["second"]
    once = Counter({question: times for question, times in asked["first"].items() if "selfsubject" not in question[1]})
    dry_runs = Counter({question: times for question, times in once.items() if question[0] == "patch"})
    assert set((once - dry_runs).values()) == {1}, "a question is asked once"
    effects = {each["effect"]["effect"] for each in reports["first"]["items"]}
    assert effects == {"hot", "restart", "rejected", "inert", "unknown"}
    assert {each["blocker"] for each in reports["first"]["items"]} >= {
        *(None, "deployment_missing", "rbac_denied", "dry_run_failed", "unknown")
    }


def by_item(report: JsonObject) -> dict[str, Any]:
    """To see which one differs."""
    return {f"{each['namespace']} {each['kind']} {each['name']} {each['actuation']}": each for each in report["items"]}
