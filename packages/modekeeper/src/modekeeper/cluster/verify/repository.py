"""The same change for whoever keeps the object in a repository: a patch file that Kustomize and Argo CD take."""

import json
from typing import Any

from modekeeper.model.cluster import JsonObject, ObjectRef

__all__ = ["repository_patch"]


def repository_patch(ref: ObjectRef, patch: JsonObject) -> str:
    """A strategic merge patch as YAML: which object, and what the plan would change in it."""
    identity: JsonObject = {
        "apiVersion": ref.resource.api_version,
        "kind": ref.resource.kind,
        "metadata": {"name": ref.name, "namespace": ref.namespace},
    }
    metadata = {**identity["metadata"], **patch.get("metadata", {})}
    return "".join(f"{line}\n" for line in _yaml({**identity, **patch, "metadata": metadata}))


def _yaml(value: dict[str, Any], indent: str = "") -> list[str]:
    lines = []
    for key, inner in value.items():
        if isinstance(inner, dict):
            lines += [f"{indent}{_word(key)}:", *_yaml(inner, indent + "  ")]
        else:
            lines.append(f"{indent}{_word(key)}: {json.dumps(inner)}")
    return lines


def _word(key: str) -> str:
    return key if key.isascii() and key.replace("_", "").isalnum() else json.dumps(key)
