"""Which pods belong to a workload: those its selector selects, or those its controller has marked.

Labels are those of the sources in ``model/workload.py``.
"""

import re
from typing import Any, NamedTuple

from modekeeper.model.cluster import JsonObject
from modekeeper.model.json_fields import at, items_at, mapping_at, text_at

__all__ = ["POD_MARKS", "PodMark", "pod_selector"]


class PodMark(NamedTuple):
    """The label all pods of an object carry, and where the object holds its value."""

    label: str
    path: tuple[str, ...] = ("metadata", "name")


POD_MARKS = {
    "JobSet": PodMark("jobset.sigs.k8s.io/jobset-name"),
    "TrainJob": PodMark("jobset.sigs.k8s.io/jobset-name"),  # it makes a JobSet of its own name
    "LeaderWorkerSet": PodMark("leaderworkerset.sigs.k8s.io/name"),
    "PyTorchJob": PodMark("training.kubeflow.org/job-name"),
    "RayCluster": PodMark("ray.io/cluster"),
    "RayJob": PodMark("ray.io/cluster", ("status", "rayClusterName")),
    "VolcanoJob": PodMark("volcano.sh/job-name"),
}
"""The kinds whose objects have no selector."""

_KEY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,315}[A-Za-z0-9])?")
_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
_OPERATORS = {
    "In": "{key} in ({values})",
    "NotIn": "{key} notin ({values})",
    "Exists": "{key}",
    "DoesNotExist": "!{key}",
}
_WITH_VALUES = frozenset({"In", "NotIn"})


def pod_selector(kind: str, workload: JsonObject) -> str | None:
    """A label selector of the object's pods, as the API takes it; ``None`` where it cannot be told.

    An empty selector would mean every pod of the namespace: it is none here. Nor is one with something that could be
    taken for more than one label and its value.

    Args:
        kind: as ``WORKLOAD_KINDS`` names it.
        workload: its object.
    """
    mark = POD_MARKS.get(kind)
    if mark is not None:
        value = text_at(workload, *mark.path)
        return f"{mark.label}={value}" if value and _VALUE.fullmatch(value) else None
    return _written(at(workload, "spec", "selector"))


def _written(selector: Any) -> str | None:
    labels = mapping_at(selector, "matchLabels")
    if not all(_is_label(key, value) for key, value in labels.items()):
        return None
    terms = [f"{key}={labels[key]}" for key in sorted(labels)]
    for each in items_at(selector, "matchExpressions"):
        key, operator, values = each.get("key"), each.get("operator"), each.get("values") or []
        known = isinstance(values, list) and all(_is_label(key, value) for value in values) and _is_label(key, "")
        if operator not in _OPERATORS or not known or (operator in _WITH_VALUES and not values):
            return None
        terms.append(_OPERATORS[operator].format(key=key, values=",".join(values)))
    return ",".join(terms) or None


def _is_label(key: Any, value: Any) -> bool:
    return isinstance(key, str) and isinstance(value, str) and bool(_KEY.fullmatch(key) and _VALUE.fullmatch(value))
