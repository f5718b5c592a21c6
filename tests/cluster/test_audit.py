"""The audit log tells who asked what, and which of it would have changed the cluster."""

import json
from pathlib import Path

import pytest
from tests.cluster import audit
from tests.cluster.control_plane import ControlPlane
from tests.cluster.rbac import allowed, grant, granted_everywhere

DEPLOYMENTS = "/apis/apps/v1/namespaces/{}/deployments"
SELF_REVIEW = {
    "apiVersion": "authorization.k8s.io/v1",
    "kind": "SelfSubjectAccessReview",
    "spec": {"resourceAttributes": {"verb": "patch", "group": "apps", "resource": "deployments"}},
}


def test_each_request_of_a_user_is_told_once_with_its_object(control_plane: ControlPlane, namespace: str) -> None:
    since = audit.position(control_plane)
    path = f"{DEPLOYMENTS.format(namespace)}/trainer?pretty=true"
    assert control_plane.request("guest", path).status == 403
    assert control_plane.request("stranger", path).status == 403
    (event,) = audit.events(control_plane, "guest", since)
    assert (event.verb, event.path, event.status) == ("get", path, 403)
    assert (event.group, event.resource, event.namespace, event.name) == ("apps", "deployments", namespace, "trainer")
    assert not event.mutates


@pytest.mark.parametrize(
    ("method", "path", "mutates"),
    [
        ("GET", DEPLOYMENTS, False),
        ("POST", DEPLOYMENTS, True),
        ("POST", DEPLOYMENTS + "?dryRun=All", False),
        ("POST", DEPLOYMENTS + "?dryRun=", True),
        ("PATCH", DEPLOYMENTS + "/trainer?fieldManager=x&dryRun=All", False),
        ("PATCH", DEPLOYMENTS + "/trainer?fieldManager=dryRun%3DAll", True),
        ("PUT", DEPLOYMENTS + "/trainer/scale", True),
        ("DELETE", DEPLOYMENTS + "/trainer", True),
        ("DELETE", DEPLOYMENTS, True),
        ("GET", "/api/v1/namespaces/{}/pods/trainer/log?follow=true", False),
        ("GET", "/api/v1/namespaces/{}/pods/trainer/exec?command=true", True),
        ("POST", "/api/v1/namespaces/{}/pods/trainer/eviction", True),
        ("GET", "/version", False),
    ],
)
def test_it_is_known_what_would_change_the_cluster_even_if_refused(
    control_plane: ControlPlane, namespace: str, method: str, path: str, mutates: bool
) -> None:
    since = audit.position(control_plane)
    control_plane.request("stranger", path.format(namespace), method, {} if method != "GET" else None)
    (event,) = audit.events(control_plane, "stranger", since)
    assert event.mutates == mutates
    assert audit.mutations(control_plane, "stranger", since) == ([event] if mutates else [])


def test_a_question_about_oneself_changes_nothing(control_plane: ControlPlane) -> None:
    since = audit.position(control_plane)
    answer = control_plane.request(
        "stranger", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "POST", SELF_REVIEW
    )
    assert answer.status == 201
    (event,) = audit.events(control_plane, "stranger", since)
    assert (event.verb, event.resource, event.mutates) == ("create", "selfsubjectaccessreviews", False)


def test_what_kubectl_does_for_a_user_is_told_with_its_name(control_plane: ControlPlane, namespace: str) -> None:
    since = audit.position(control_plane)
    words = ("create", "configmap", "settings", f"--namespace={namespace}")
    assert control_plane.kubectl("guest", *words).returncode != 0
    (event,) = audit.mutations(control_plane, "guest", since)
    assert (event.verb, event.resource, event.status) == ("create", "configmaps", 403)
    assert event.user_agent.startswith("kubectl/")


def test_granted_rights_are_in_force_and_are_no_more_than_said(control_plane: ControlPlane, namespace: str) -> None:
    rule = {"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]}
    named = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["patch"], "resourceNames": ["trainer"]}
    assert not allowed(control_plane, "observer", namespace, rule)
    grant(control_plane, "observer", namespace, [rule, named])
    assert control_plane.request("observer", f"/api/v1/namespaces/{namespace}/pods").status == 200
    patched = f"{DEPLOYMENTS.format(namespace)}/trainer"
    assert control_plane.request("observer", patched, "PATCH", {}).status != 403
    assert control_plane.request("observer", f"{patched}-2", "PATCH", {}).status == 403
    assert control_plane.request("observer", "/api/v1/namespaces/default/pods").status == 403
    assert not allowed(control_plane, "verifier", namespace, rule)


def test_rights_in_the_whole_cluster_end_with_the_block(control_plane: ControlPlane, namespace: str) -> None:
    rule = {"apiGroups": [""], "resources": ["nodes", "namespaces"], "verbs": ["get", "list"]}
    with granted_everywhere(control_plane, "verifier", [rule]):
        assert control_plane.request("verifier", "/api/v1/nodes").status == 200
        assert control_plane.request("verifier", "/api/v1/namespaces/kube-system").status == 200
    assert control_plane.request("verifier", "/api/v1/nodes").status == 403


def test_a_kubeconfig_may_name_a_namespace_and_its_context(
    control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    path = control_plane.write_kubeconfig(tmp_path / "config", "admin", namespace=namespace, context="site a")
    assert path.stat().st_mode & 0o077 == 0
    where = ("--kubeconfig", str(path), "--context", "site a")
    done = control_plane.kubectl("stranger", *where, "create", "configmap", "settings")
    assert done.returncode == 0, done.stderr
    found = control_plane.kubectl("admin", "get", "configmap", "settings", f"--namespace={namespace}", "--output=json")
    assert json.loads(found.stdout)["metadata"]["namespace"] == namespace
