"""Who may log in to the control plane of the tests, and the kubeconfig files that let them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

NODE_NAME = "127.0.0.1"
"""The name of the one real node. A kubelet takes a name that is an address for its address, and asks no interface."""

GROUPS: Mapping[str, Sequence[str]] = {
    "admin": ("system:masters",),
    "stranger": (),
    "guest": (),
    "observer": (),
    "verifier": (),
    "system:kube-controller-manager": (),
    "system:kube-scheduler": (),
    f"system:node:{NODE_NAME}": ("system:nodes",),
    "system:kwok": ("system:masters",),
}
"""Who may log in, and the groups they are in. ``stranger`` has no rights; ``guest``, ``observer`` and ``verifier`` have
those that a test binds."""


def kubeconfig(
    *, server: str, authority: Path, user: str, token: str, namespace: str | None = None, context: str = "test"
) -> dict[str, Any]:
    """A kubeconfig with one cluster, one user and one context, which is the current one.

    ``authority`` is the path of the certificate that the server's is signed with.
    """
    where = {"cluster": "test", "user": user} | ({} if namespace is None else {"namespace": namespace})
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": server, "certificate-authority": str(authority)}}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": context, "context": where}],
        "current-context": context,
    }


def write_kubeconfig(path: Path, document: Mapping[str, Any]) -> Path:
    """Write a kubeconfig that only its owner may read, and return its path."""
    path.touch(mode=0o600)
    path.write_text(json.dumps(document))  # every JSON document is a YAML document
    return path
