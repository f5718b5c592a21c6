"""Where the kinds of workload keep their pod templates, and which pods are theirs.

Labels and fields are those of the sources in ``model/workload.py``.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from modekeeper.cluster.verify.fields import at, items_at, mapping_at, text_at
from modekeeper.model.cluster import JsonObject

__all__ = ["PodTemplate", "pod_selector", "pod_templates", "reaches_a_template"]

_TEMPLATE = ("spec", "template")


class PodTemplate(NamedTuple):
    """One pod template inside an object."""

    path: tuple[str | int, ...]
    template: JsonObject


def pod_templates(kind: str, found: JsonObject) -> list[PodTemplate]:
    """Every pod template of the object; a TrainJob has none, its pods come from a runtime."""
    return [PodTemplate(path, mapping_at(found, *path)) for path in _paths(kind, found)]


def reaches_a_template(kind: str, found: JsonObject, patch: JsonObject) -> bool:
    """Whether a merge patch changes one of them. In a list it can only replace the whole list."""
    for template in pod_templates(kind, found):
        keys = template.path
        whole = next((i for i, step in enumerate(keys) if isinstance(step, int)), len(keys))
        if at(patch, *keys[:whole]) is not None:
            return True
    return False


def pod_selector(kind: str, found: JsonObject) -> str | None:
    """A label selector of the object's pods; ``None`` where it cannot be told."""
    if kind in _BY_LABEL:
        label, path = _BY_LABEL[kind]
        value = text_at(found, *path)
        return f"{label}={value}" if value and _VALUE.fullmatch(value) else None
    return _selector(at(found, "spec", "selector"))


def _selector(selector: Any) -> str | None:
    """A ``LabelSelector`` as text. An empty one would mean every pod of the namespace: it is none here."""
    labels = mapping_at(selector, "matchLabels")
    if not all(_is_label(key, value) for key, value in labels.items()):
        return None
    terms = [f"{key}={labels[key]}" for key in sorted(labels)]
    for each in items_at(selector, "matchExpressions"):
        key, operator, values = each.get("key"), each.get("operator"), each.get("values") or []
        known = isinstance(values, list) and all(_is_label(key, value) for value in values) and _is_label(key, "")
        if operator not in _OPERATORS or not known:
            return None
        terms.append(_OPERATORS[operator].format(key=key, values=",".join(values)))
    return ",".join(terms) or None


def _is_label(key: Any, value: Any) -> bool:
    """Whether it can stand in a selector without being taken for more than one label and its value."""
    return isinstance(key, str) and isinstance(value, str) and bool(_KEY.fullmatch(key) and _VALUE.fullmatch(value))


_KEY = re.compile(r"[A-Za-z0-9./_-]{1,317}")
_VALUE = re.compile(r"[A-Za-z0-9._-]{0,63}")
_OPERATORS = {
    "In": "{key} in ({values})",
    "NotIn": "{key} notin ({values})",
    "Exists": "{key}",
    "DoesNotExist": "!{key}",
}


_NAME = ("metadata", "name")
_BY_LABEL = {
    "JobSet": ("jobset.sigs.k8s.io/jobset-name", _NAME),
    "TrainJob": ("jobset.sigs.k8s.io/jobset-name", _NAME),  # it makes a JobSet of its own name
    "LeaderWorkerSet": ("leaderworkerset.sigs.k8s.io/name", _NAME),
    "PyTorchJob": ("training.kubeflow.org/job-name", _NAME),
    "RayCluster": ("ray.io/cluster", _NAME),
    "RayJob": ("ray.io/cluster", ("status", "rayClusterName")),
    "VolcanoJob": ("volcano.sh/job-name", _NAME),
}
"""The label all pods of an object carry, and where the object holds its value."""


def _paths(kind: str, found: JsonObject) -> Iterator[tuple[str | int, ...]]:
    match kind:
        case "Deployment" | "StatefulSet" | "Job":
            yield _TEMPLATE
        case "JobSet":
            yield from (
                ("spec", "replicatedJobs", number, "template", *_TEMPLATE)
                for number in _numbers(found, "spec", "replicatedJobs")
            )
        case "LeaderWorkerSet":
            place = ("spec", "leaderWorkerTemplate")
            yield from ((*place, key) for key in ("leaderTemplate", "workerTemplate") if mapping_at(found, *place, key))
        case "PyTorchJob":
            place = ("spec", "pytorchReplicaSpecs")
            yield from ((*place, role, "template") for role in sorted(mapping_at(found, *place)))
        case "RayCluster":
            yield from _ray(found, ("spec",))
        case "RayJob":
            yield from _ray(found, ("spec", "rayClusterSpec"))
        case "VolcanoJob":
            yield from (("spec", "tasks", number, "template") for number in _numbers(found, "spec", "tasks"))


def _ray(found: JsonObject, place: tuple[str, ...]) -> Iterator[tuple[str | int, ...]]:
    if mapping_at(found, *place, "headGroupSpec"):
        yield (*place, "headGroupSpec", "template")
    for number in _numbers(found, *place, "workerGroupSpecs"):
        yield (*place, "workerGroupSpecs", number, "template")


def _numbers(found: JsonObject, *path: str | int) -> range:
    value = at(found, *path)
    return range(len(value)) if isinstance(value, list) else range(0)
