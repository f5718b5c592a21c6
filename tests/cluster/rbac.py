"""Rights for the users of the tests: bound by the admin, and in force when the call returns."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Any

from tests.cluster.control_plane import ControlPlane, ControlPlaneError, wait_until

RBAC = "rbac.authorization.k8s.io"


def grant(plane: ControlPlane, user: str, namespace: str, rules: Sequence[Mapping[str, Any]]) -> None:
    """Give a user the rights of a Role's ``rules`` in one namespace, for as long as that exists.

    Raises:
        ControlPlaneError: the Role was refused, or the rights were not in force in time.
    """
    _bind(plane, user, f"namespaces/{namespace}/", "Role", rules)
    wait_until(lambda: all(allowed(plane, user, namespace, rule) for rule in rules), f"{user} has its rights")


@contextmanager
def granted_everywhere(plane: ControlPlane, user: str, rules: Sequence[Mapping[str, Any]]) -> Iterator[None]:
    """Give a user the rights of a ClusterRole's ``rules`` in the whole cluster, and take them away afterwards.

    Raises:
        ControlPlaneError: the ClusterRole was refused, or the rights were not in force, or out of it, in time.
    """
    made = _bind(plane, user, "", "ClusterRole", rules)
    try:
        wait_until(lambda: all(allowed(plane, user, "", rule) for rule in rules), f"{user} has its rights")
        yield
    finally:
        for path in made:
            plane.request("admin", path, "DELETE")
        wait_until(lambda: not any(allowed(plane, user, "", rule) for rule in rules), f"{user} has its rights no more")


def _bind(plane: ControlPlane, user: str, where: str, kind: str, rules: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Make a role and its binding; return their paths."""
    names = {"generateName": f"{user}-"}
    path = f"/apis/{RBAC}/v1/{where}{kind.lower()}"
    role = _created(plane, f"{path}s", {"kind": kind, "metadata": names, "rules": list(rules)})
    binding = {
        "kind": f"{kind}Binding",
        "metadata": names,
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": role},
        "subjects": [{"apiGroup": RBAC, "kind": "User", "name": user}],
    }
    return f"{path}s/{role}", f"{path}bindings/{_created(plane, f'{path}bindings', binding)}"


def allowed(plane: ControlPlane, user: str, namespace: str, rule: Mapping[str, Any]) -> bool:
    """Whether a user may do all that a rule says, in one namespace or, where it is empty, in all."""
    parts = ("apiGroups", "resources", "verbs")
    return all(
        _may(plane, user, {"namespace": namespace, "group": group, "resource": resource, "verb": verb, "name": name})
        for group, resource, verb in product(*(rule[part] for part in parts))
        for name in rule.get("resourceNames", [""])
    )


def _may(plane: ControlPlane, user: str, question: Mapping[str, str]) -> bool:
    resource, _, subresource = question["resource"].partition("/")
    attributes = {**question, "resource": resource, "subresource": subresource}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "resourceAttributes": attributes},
    }
    answer = plane.request("admin", "/apis/authorization.k8s.io/v1/subjectaccessreviews", "POST", review)
    return answer.status == 201 and bool(answer.body["status"]["allowed"])


def _created(plane: ControlPlane, path: str, body: Mapping[str, Any]) -> str:
    answer = plane.request("admin", path, "POST", {"apiVersion": f"{RBAC}/v1", **body})
    if answer.status != 201:
        raise ControlPlaneError(f"{body['kind']} was refused: {answer.body.get('message')}")
    name: str = answer.body["metadata"]["name"]
    return name
