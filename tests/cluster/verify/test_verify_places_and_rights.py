"""On the real API server: what is not there, and what we may not do."""

import secrets
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from tests.cluster.control_plane import ControlPlane, wait_until
from tests.cluster.rbac import grant
from tests.cluster.verify.on_cluster import create, grant_yaml, verified, verify
from tests.cluster_verify.worlds import codes, item, plan_of

from modekeeper.artifacts.contracts.access import AccessHint
from modekeeper.artifacts.contracts.k8s_verify import BlockerKind
from modekeeper.cli.clocks import SystemClock
from modekeeper.cluster.opening import ClusterChoice, open_reader
from modekeeper.cluster.verify.gather import gather
from modekeeper.cluster.verify.judge import judge
from modekeeper.model.decision import Actuation, PlanItem

HOT, COLD = Actuation.HOT, Actuation.COLD
READ_DEPLOYMENTS = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list"]}
READ_PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}


def test_a_missing_namespace(control_plane: ControlPlane) -> None:
    judged = verify(control_plane, "admin", item(namespace=f"none-{secrets.token_hex(4)}"))
    assert judged.blocker is not None
    assert judged.blocker.kind is BlockerKind.NAMESPACE_MISSING
    assert codes(judged.items[0]) == ["namespace_missing"]


def test_a_missing_deployment(control_plane: ControlPlane, namespace: str) -> None:
    judged = verify(control_plane, "admin", item(namespace=namespace))
    assert judged.blocker is not None
    assert judged.blocker.kind is BlockerKind.DEPLOYMENT_MISSING
    assert codes(judged.items[0]) == ["object_missing"]


def test_a_missing_kind(control_plane: ControlPlane, namespace: str) -> None:
    """Runs before any custom resource is installed, or finds its object missing: one blocker either way."""
    judged = verify(control_plane, "admin", item(namespace=namespace, kind="JobSet"))
    assert judged.blocker is not None
    assert judged.blocker.kind is BlockerKind.DEPLOYMENT_MISSING


def test_several_namespaces_are_judged_one_by_one(control_plane: ControlPlane, namespace: str) -> None:
    create(control_plane, namespace, "Deployment")
    nowhere = f"zz-none-{secrets.token_hex(4)}"
    judged = verify(control_plane, "admin", item(namespace=namespace), item(namespace=nowhere))
    assert [(each.name, each.exists, each.ok) for each in judged.namespaces] == [
        (namespace, True, True),
        (nowhere, False, False),
    ]
    assert judged.blocker is not None
    assert (judged.blocker.kind, judged.blocker.index) == (BlockerKind.NAMESPACE_MISSING, 1)


def test_a_dry_run_leaves_the_object_as_it_was(control_plane: ControlPlane, namespace: str) -> None:
    made = create(control_plane, namespace, "Deployment")
    judged = verified(control_plane, "admin", item(namespace=namespace))
    assert judged.ok, judged.problems
    assert judged.uid == made["metadata"]["uid"]
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/trainer"
    after = control_plane.request("admin", path).body
    assert after["spec"] == made["spec"]
    assert after["metadata"]["generation"] == made["metadata"]["generation"]


def test_a_reader_is_told_the_one_rule_and_with_it_the_plan_is_verified(
    control_plane: ControlPlane, namespace: str
) -> None:
    create(control_plane, namespace, "Deployment")
    grant(control_plane, "guest", namespace, [READ_DEPLOYMENTS])
    judged = verify(control_plane, "guest", item(namespace=namespace))
    assert judged.blocker is not None
    assert judged.blocker.kind is BlockerKind.RBAC_DENIED
    found = judged.items[0]
    assert (found.exists, found.can_get, found.can_patch) == (True, True, False)
    assert (found.effect.effect, found.effect.reason) == ("restart", "rolling_update")
    assert [(h.verb, h.api_group, h.resource, h.namespace, h.name, h.subject) for h in judged.hints] == [
        ("patch", "apps", "deployments", namespace, "trainer", "guest")
    ]
    grant_yaml(control_plane, judged.hints[0].role_yaml)
    wait_until(lambda: verify(control_plane, "guest", item(namespace=namespace)).ok, "the rule is in force", 10)
    other = verified(control_plane, "guest", item(namespace=namespace, name="other"))
    assert other.can_patch is not True


def hints_differ(plane: ControlPlane, wanted: PlanItem, hints: tuple[AccessHint, ...]) -> bool:
    return verify(plane, "guest", wanted).hints != hints


@pytest.mark.parametrize(
    ("actuation", "rules"),
    [
        (COLD, []),
        (COLD, [READ_PODS]),
        (HOT, [READ_DEPLOYMENTS]),
        (HOT, [READ_DEPLOYMENTS, READ_PODS]),
    ],
)
def test_doing_what_the_hints_say_until_none_is_left_is_enough(
    control_plane: ControlPlane, namespace: str, actuation: Actuation, rules: Sequence[dict[str, Any]]
) -> None:
    create(control_plane, namespace, "Deployment")
    path = f"/api/v1/namespaces/{namespace}/pods"
    wait_until(lambda: len(control_plane.request("admin", path).body["items"]) == 2, "its pods are there")
    if rules:
        grant(control_plane, "guest", namespace, rules)
    wanted = item(actuation, namespace=namespace)
    for _ in range(4):
        judged = verify(control_plane, "guest", wanted)
        if judged.ok:
            break
        assert judged.blocker is not None
        assert judged.blocker.kind is BlockerKind.RBAC_DENIED, judged.blocker
        asked = judged.hints
        for hint in asked:
            grant_yaml(control_plane, hint.role_yaml)
        wait_until(partial(hints_differ, control_plane, wanted, asked), "the rules are in force", 10)
    assert judged.ok


def test_a_stranger_learns_what_is_missing_and_nothing_else(control_plane: ControlPlane, namespace: str) -> None:
    create(control_plane, namespace, "Deployment")
    judged = verify(control_plane, "stranger", item(namespace=namespace))
    assert sorted(codes(judged.items[0])) == ["get_deployments_denied", "patch_deployments_denied"]
    assert judged.items[0].exists is None
    assert judged.subject == "stranger"
    assert judged.namespaces[0].exists is None


def test_somebody_the_server_does_not_know_is_no_answer(control_plane: ControlPlane, namespace: str) -> None:
    path = control_plane.folder / f"unknown-{secrets.token_hex(4)}.json"
    known = control_plane.kubeconfig("guest").read_text()
    path.write_text(known.replace(control_plane.tokens["guest"], "x" * 43))
    reader = open_reader(ClusterChoice(kubeconfig=path), clock=SystemClock(), environment={})
    judged = judge(gather(reader, plan_of(item(namespace=namespace))))
    reader.close()
    assert judged.blocker is not None
    assert judged.blocker.kind is BlockerKind.CLIENT_UNAVAILABLE
    assert codes(judged.items[0]) == ["unauthorized"]
