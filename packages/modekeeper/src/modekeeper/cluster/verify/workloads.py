"""Where the kinds of workload keep their pod templates.

Labels and fields are those of the sources in ``model/workload.py``.
"""

from collections.abc import Iterator
from typing import NamedTuple

from modekeeper.model.cluster import JsonObject
from modekeeper.model.json_fields import at, mapping_at

__all__ = ["PodTemplate", "pod_templates", "reaches_a_template"]

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
