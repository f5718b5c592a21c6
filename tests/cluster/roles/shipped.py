"""The roles of ``deploy/rbac/``, put into a control plane as their files say, and bound to users of the tests."""

import json
from functools import partial
from pathlib import Path
from typing import Any

from tests.cluster.control_plane import ControlPlane, wait_until
from tests.cluster.rbac import allowed

DEPLOY = Path(__file__).parents[3] / "deploy" / "rbac"

Rules = list[dict[str, Any]]


def admin(plane: ControlPlane, *words: str) -> str:
    """Run kubectl as the administrator who follows the first lines of a file."""
    done = plane.kubectl("admin", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def bind(plane: ControlPlane, user: str, namespace: str, *roles: str) -> None:
    """Apply the files of Roles in a namespace and bind a user to them."""
    for role in roles:
        admin(plane, "apply", f"--namespace={namespace}", f"--filename={DEPLOY / f'{role}.yaml'}")
        name = f"modekeeper-{role}"
        binding = f"{name}-{user}"
        admin(plane, "create", "rolebinding", binding, f"--namespace={namespace}", f"--role={name}", f"--user={user}")
        wait_until(partial(_has, plane, user, namespace, rules_of(plane, role, namespace)), f"{user} has {role}")


def _has(plane: ControlPlane, user: str, namespace: str, rules: Rules) -> bool:
    return all(allowed(plane, user, namespace, rule) for rule in rules)


def bind_in_the_cluster(plane: ControlPlane, user: str) -> str:
    """Apply the ClusterRole and bind a user to it; the name of the binding, for ``unbind_in_the_cluster``."""
    admin(plane, "apply", f"--filename={DEPLOY / 'observer-cluster.yaml'}")
    binding = f"modekeeper-observer-{user}"
    admin(plane, "create", "clusterrolebinding", binding, "--clusterrole=modekeeper-observer", f"--user={user}")
    wait_until(lambda: plane.request(user, "/api/v1/nodes?limit=1").status == 200, f"{user} may list nodes")
    return binding


def unbind_in_the_cluster(plane: ControlPlane, user: str, binding: str) -> None:
    """Take the ClusterRole from a user again, so that the next test begins without it."""
    admin(plane, "delete", "clusterrolebinding", binding)
    wait_until(lambda: plane.request(user, "/api/v1/nodes?limit=1").status == 403, f"{user} may not list nodes")


def rules_of(plane: ControlPlane, role: str, namespace: str | None) -> Rules:
    """The rules of a shipped role as the API server understood its file."""
    words = ("get", "clusterrole") if namespace is None else ("get", "role", f"--namespace={namespace}")
    rules: Rules = json.loads(admin(plane, *words, f"modekeeper-{role}", "--output=json"))["rules"]
    return rules
