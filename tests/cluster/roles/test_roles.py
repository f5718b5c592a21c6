"""The roles we ship, on a real API server: what they grant, what they refuse, and that nothing more is needed."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.cluster import audit
from tests.cluster.control_plane import ControlPlane
from tests.cluster.roles.shipped import DEPLOY, Rules, bind, bind_in_the_cluster, rules_of, unbind_in_the_cluster

from modekeeper.cluster.preflight.facts import Subject
from modekeeper.cluster.preflight.rights import rights
from modekeeper.model.cluster import AccessQuestion
from modekeeper.model.workload import WORKLOAD_KINDS

READING = {"get", "list", "watch"}
METHODS = {"create": "POST", "update": "PUT", "patch": "PATCH", "delete": "DELETE", "deletecollection": "DELETE"}
SELF_REVIEWS = {"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"}
"""What every user may create: questions about oneself, which are kept nowhere."""


@pytest.fixture
def observed(control_plane: ControlPlane, namespace: str) -> Iterator[str]:
    """A namespace where the observer has both of its roles."""
    bind(control_plane, "observer", namespace, "observer")
    binding = bind_in_the_cluster(control_plane, "observer")
    yield namespace
    unbind_in_the_cluster(control_plane, "observer", binding)


def granted(rules: Rules, question: AccessQuestion) -> bool:
    """Whether one of the rules names it; ``*`` is no name."""
    plural = f"{question.resource}/{question.subresource}" if question.subresource else question.resource
    return any(
        question.group in rule["apiGroups"] and plural in rule["resources"] and question.verb in rule["verbs"]
        for rule in rules
    )


def verbs_of(rules: Rules) -> set[str]:
    return {verb for rule in rules for verb in rule["verbs"]}


@pytest.mark.parametrize("kind", WORKLOAD_KINDS, ids=lambda kind: kind.kind)
def test_the_roles_name_what_the_commands_need_for_every_kind(
    control_plane: ControlPlane, observed: str, kind: Any
) -> None:
    bind(control_plane, "verifier", observed, "verifier")
    needed = rights(Subject(kind=kind, namespace=observed, name="trainer"))
    observer, verifier = (rules_of(control_plane, role, observed) for role in ("observer", "verifier"))
    assert {right.command for right in needed} == {"observe", "verify"}
    for right in needed:
        assert granted(observer if right.command == "observe" else verifier, right.question), right


def test_the_observers_roles_hold_reading_verbs_of_named_resources_and_no_secret(
    control_plane: ControlPlane, observed: str
) -> None:
    rules = rules_of(control_plane, "observer", observed) + rules_of(control_plane, "observer", None)
    assert verbs_of(rules) == READING
    named = {name for rule in rules for part in ("apiGroups", "resources") for name in rule[part]}
    assert "*" not in named
    assert named.isdisjoint({"secrets", "pods/exec", "pods/attach", "pods/portforward", "nodes/proxy"})
    maps = [rule for rule in rules if "configmaps" in rule["resources"]]
    assert [(rule["verbs"], rule["resourceNames"]) for rule in maps] == [(["get"], ["modekeeper-kill-switch"])]
    assert all("nonResourceURLs" not in rule for rule in rules)


def test_the_verifiers_role_adds_patching_and_nothing_else(control_plane: ControlPlane, observed: str) -> None:
    bind(control_plane, "verifier", observed, "verifier")
    rules = rules_of(control_plane, "verifier", observed)
    assert verbs_of(rules) == {"patch"}
    kinds = {(kind.group, kind.plural) for kind in WORKLOAD_KINDS} | {("", "pods")}
    assert {(group, name) for rule in rules for group in rule["apiGroups"] for name in rule["resources"]} == kinds


def test_the_role_of_the_kill_switch_opens_one_config_map(control_plane: ControlPlane, namespace: str) -> None:
    bind(control_plane, "guest", namespace, "kill-switch")
    assert rules_of(control_plane, "kill-switch", namespace) == [
        {
            "apiGroups": [""],
            "resources": ["configmaps"],
            "resourceNames": ["modekeeper-kill-switch"],
            "verbs": ["get"],
        }
    ]


def test_each_file_says_how_it_is_bound() -> None:
    for path in DEPLOY.glob("*.yaml"):
        assert f"kubectl apply {'' if 'cluster' in path.name else '--namespace=NAMESPACE '}-f" in path.read_text()
        assert "binding modekeeper-" in path.read_text()


def test_what_the_observer_may_do_by_its_own_word_is_reading(control_plane: ControlPlane, observed: str) -> None:
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": observed},
    }
    answer = control_plane.request("observer", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", "POST", review)
    assert answer.status == 201
    assert answer.body["status"]["incomplete"] is False
    for rule in answer.body["status"]["resourceRules"]:
        assert set(rule["verbs"]) <= READING or (
            rule["verbs"] == ["create"] and set(rule["resources"]) <= SELF_REVIEWS
        ), rule
    assert {verb for rule in answer.body["status"]["nonResourceRules"] for verb in rule["verbs"]} == {"get"}


def resources(plane: ControlPlane) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every resource and subresource the API server knows, in the version it prefers, with the path of its version."""
    yield from (("/api/v1", each) for each in plane.request("admin", "/api/v1").body["resources"])
    for group in plane.request("admin", "/apis").body["groups"]:
        path = f"/apis/{group['preferredVersion']['groupVersion']}"
        yield from ((path, each) for each in plane.request("admin", path).body["resources"])


def addresses(path: str, resource: dict[str, Any], namespace: str, name: str) -> Iterator[tuple[str, str, str]]:
    """Verb, method and path of everything but reading that can be asked of a resource."""
    plural, _, subresource = resource["name"].partition("/")
    where = f"{path}/namespaces/{namespace}" if resource["namespaced"] else path
    one = f"{where}/{plural}/{name}" + (f"/{subresource}" if subresource else "")
    for verb in sorted(set(resource["verbs"]) - READING):
        on_all = verb in {"create", "deletecollection"} and not subresource
        yield verb, METHODS[verb], f"{where}/{plural}" if on_all else one


def test_every_other_verb_of_everything_the_server_knows_is_refused_to_the_observer(
    control_plane: ControlPlane, observed: str
) -> None:
    since = audit.position(control_plane)
    tried = refused = 0
    for path, resource in resources(control_plane):
        for namespace in (observed, "kube-system"):
            for verb, method, address in addresses(path, resource, namespace, "trainer"):
                if resource["name"] in SELF_REVIEWS:
                    continue
                tried += 1
                answer = control_plane.request("observer", address, method, {})
                assert answer.status == 403, (verb, address, answer)
                refused += 1
    assert tried == refused > 300
    found = audit.mutations(control_plane, "observer", since)
    assert len(found) >= tried
    assert {event.status for event in found} == {403}


@pytest.mark.parametrize("subresource", ["exec?command=true", "attach", "portforward", "proxy/"])
def test_no_way_into_a_pod_is_open_to_the_observer(
    control_plane: ControlPlane, observed: str, subresource: str
) -> None:
    path = f"/api/v1/namespaces/{observed}/pods/trainer/{subresource}"
    for method in ("GET", "POST"):
        assert control_plane.request("observer", path, method).status == 403


def test_the_observer_may_not_become_somebody_else_or_read_secrets(control_plane: ControlPlane, observed: str) -> None:
    done = control_plane.kubectl("observer", "get", "pods", f"--namespace={observed}", "--as=admin")
    assert done.returncode != 0
    assert "cannot impersonate" in done.stderr
    for kind in ("secrets", "configmaps"):
        for namespace in (observed, "kube-system"):
            assert control_plane.request("observer", f"/api/v1/namespaces/{namespace}/{kind}").status == 403


def test_the_verifier_may_patch_the_job_and_nothing_around_it(control_plane: ControlPlane, observed: str) -> None:
    bind(control_plane, "verifier", observed, "verifier")
    admitted = set()
    for path, resource in resources(control_plane):
        for verb, method, address in addresses(path, resource, observed, "no-such-object"):
            if resource["name"] in SELF_REVIEWS:
                continue
            answer = control_plane.request("verifier", address, method, {})
            if answer.status != 403:
                admitted.add((verb, resource["name"]))
    served = {"deployments", "statefulsets", "jobs", "pods"}
    assert admitted == {("patch", name) for name in served}
