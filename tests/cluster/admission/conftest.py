"""The policy of ``deploy/admission/`` in force on the tests' control plane, for an actuator that RBAC does not hold."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.control_plane import Answer, ControlPlane, wait_until
from tests.cluster.rbac import grant

POLICY = Path(__file__).parents[3] / "deploy" / "admission" / "actuator-policy.yaml"
SHIPPED_IDENTITY = "system:serviceaccount:modekeeper:modekeeper-actuator"
ACCOUNT = "modekeeper-actuator"
EVERYTHING = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]


@dataclass(frozen=True)
class Actuator:
    """The identity that the policy names: it has every right in its namespace."""

    plane: ControlPlane
    user: str
    namespace: str

    def request(self, path: str, method: str = "GET", body: Any = None) -> Answer:
        return self.plane.request(self.user, path, method, body)


def _signed_in(plane: ControlPlane, namespace: str) -> Actuator:
    """A service account with a token of its own, as a pod would have it."""
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    assert plane.request("admin", accounts, "POST", {"metadata": {"name": ACCOUNT}}).status == 201
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    answer = plane.request("admin", f"{accounts}/{ACCOUNT}/token", "POST", asked)
    assert answer.status == 201, answer.body
    user = f"system:serviceaccount:{namespace}:{ACCOUNT}"
    grant(plane, user, namespace, EVERYTHING)
    return Actuator(replace(plane, tokens={**plane.tokens, user: answer.body["status"]["token"]}), user, namespace)


def _is_in_force(actuator: Actuator) -> bool:
    """Whether the API server, which reads policies from a cache, denies what the policy denies."""
    path = f"/api/v1/namespaces/{actuator.namespace}/configmaps?dryRun=All"
    answer = actuator.request(path, "POST", {"metadata": {"name": "is-it-in-force"}})
    return answer.status == 422 and "rule operation" in answer.body["message"]


@pytest.fixture(scope="module")
def shared_namespace(control_plane: ControlPlane) -> Iterator[str]:
    """A new namespace for the tests of one module, whose objects have names of their own."""
    name = f"test-{secrets.token_hex(4)}"
    assert control_plane.request("admin", "/api/v1/namespaces", "POST", {"metadata": {"name": name}}).status == 201
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    wait_until(lambda: control_plane.request("admin", account).status == 200, f"namespace {name} is usable")
    yield name
    control_plane.request("admin", f"/api/v1/namespaces/{name}", "DELETE")


@pytest.fixture(scope="module")
def actuator(control_plane: ControlPlane, shared_namespace: str) -> Iterator[Actuator]:
    """The actuator of a new namespace, with the policy in force for it, installed as the README says."""
    found = _signed_in(control_plane, shared_namespace)
    text = POLICY.read_text(encoding="utf-8")
    assert text.count(f"'{SHIPPED_IDENTITY}'") == 1
    done = control_plane.kubectl("admin", "apply", "-f", "-", stdin=text.replace(SHIPPED_IDENTITY, found.user))
    assert done.returncode == 0, done.stderr
    wait_until(partial(_is_in_force, found), "the policy is in force")
    yield found
    done = control_plane.kubectl("admin", "delete", "-f", str(POLICY))
    assert done.returncode == 0, done.stderr
