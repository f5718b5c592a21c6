"""Rights for the users of the tests: bound by the admin, and in force when the call returns."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from tests.cluster.control_plane import ControlPlane, ControlPlaneError, wait_until

RBAC = "rbac.authorization.k8s.io"


def grant(plane: ControlPlane, user: str, namespace: str, rules: Sequence[Mapping[str, Any]]) -> None:
    """Give a user the rights of a Role's ``rules`` in one namespace, on top of those it has there.

    Raises:
        ControlPlaneError: the Role was refused, or the rights were not in force in time.
    """
    names = {"generateName": f"{user}-", "namespace": namespace}
    role = _created(plane, namespace, "roles", {"kind": "Role", "metadata": names, "rules": list(rules)})
    binding = {
        "kind": "RoleBinding",
        "metadata": names,
        "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": role},
        "subjects": [{"apiGroup": RBAC, "kind": "User", "name": user}],
    }
    _created(plane, namespace, "rolebindings", binding)
    wait_until(lambda: all(allowed(plane, user, namespace, rule) for rule in rules), f"{user} has its rights")


def allowed(plane: ControlPlane, user: str, namespace: str, rule: Mapping[str, Any]) -> bool:
    """Whether a user may do all that a Role's rule says, in one namespace."""
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


def _created(plane: ControlPlane, namespace: str, resource: str, body: Mapping[str, Any]) -> str:
    path = f"/apis/{RBAC}/v1/namespaces/{namespace}/{resource}"
    answer = plane.request("admin", path, "POST", {"apiVersion": f"{RBAC}/v1", **body})
    if answer.status != 201:
        raise ControlPlaneError(f"{body['kind']} was refused: {answer.body.get('message')}")
    name: str = answer.body["metadata"]["name"]
    return name
