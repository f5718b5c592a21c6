"""Who else writes to an object: the controller that made it, or a tool that keeps it as a repository says.

Sources: Kubernetes "Owners and Dependents"; Argo CD "Resource Tracking"; Flux "Kustomization" and "HelmRelease" API
references; Helm "Labels and Annotations".
"""

from typing import NamedTuple

from modekeeper.model.cluster import JsonObject
from modekeeper.model.json_fields import items_at, labels_of, mapping_at, said, text_at, texts_at

__all__ = ["Owner", "controller_of", "declared_by", "repository_owner"]


class Owner(NamedTuple):
    """A tool that keeps the object as a repository says."""

    tool: str
    evidence: str


_LABELS = (
    ("argocd.argoproj.io/instance", "Argo CD"),
    ("kustomize.toolkit.fluxcd.io/name", "Flux"),
    ("helm.toolkit.fluxcd.io/name", "Flux"),
)
_ANNOTATIONS = (("argocd.argoproj.io/tracking-id", "Argo CD"), ("meta.helm.sh/release-name", "Helm"))
_MANAGERS = {
    "argocd-controller": "Argo CD",
    "argocd-application-controller": "Argo CD",
    "kustomize-controller": "Flux",
    "helm-controller": "Flux",
    "helm": "Helm",
}
_FLUX_OFF = "kustomize.toolkit.fluxcd.io/reconcile"


def repository_owner(found: JsonObject) -> Owner | None:
    """The tool that would undo a change: by its labels, its annotations, or the fields it manages."""
    labels, annotations = labels_of(found), texts_at(found, "metadata", "annotations")
    owners = [Owner(tool, f"label {key}={said(labels[key])}") for key, tool in _LABELS if key in labels]
    owners += [
        Owner(tool, f"annotation {key}={said(annotations[key])}") for key, tool in _ANNOTATIONS if key in annotations
    ]
    if labels.get("app.kubernetes.io/managed-by") == "Helm":
        owners.append(Owner("Helm", "label app.kubernetes.io/managed-by='Helm'"))
    for entry in items_at(found, "metadata", "managedFields"):
        manager = text_at(entry, "manager") or ""
        if manager in _MANAGERS:
            owners.append(Owner(_MANAGERS[manager], f"field manager {said(manager)}"))
    off = annotations.get(_FLUX_OFF) == "disabled"
    return next((owner for owner in owners if not (off and owner.tool == "Flux")), None)


def declared_by(found: JsonObject, place: tuple[str, ...], keys: list[str]) -> list[str]:
    """Field managers that apply one of the annotation ``keys`` themselves, so that their next apply sets it back.

    Args:
        found: the live object.
        place: where the annotations are: ``("metadata", "annotations")``, or those of the template.
        keys: ours.
    """
    managers = set()
    for entry in items_at(found, "metadata", "managedFields"):
        owned = mapping_at(entry, "fieldsV1", *(f"f:{step}" for step in place))
        if text_at(entry, "operation") == "Apply" and any(f"f:{key}" in owned for key in keys):
            managers.add(text_at(entry, "manager") or "")
    return sorted(managers)


def controller_of(found: JsonObject) -> tuple[str, str] | None:
    """Kind and name of the controller that made the object."""
    for owner in items_at(found, "metadata", "ownerReferences"):
        if owner.get("controller") is True:
            return text_at(owner, "kind") or "object", text_at(owner, "name") or ""
    return None
