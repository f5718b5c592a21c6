"""What the pod templates of a workload ask for, and what their containers can see.

Downward API volumes: Kubernetes documentation, "Downward API" (an update reaches a mounted volume, never a ``subPath``
mount). Restartable init containers: Kubernetes documentation, "Sidecar Containers".
"""

from collections.abc import Iterator
from typing import NamedTuple

from modekeeper.cluster.preflight.counts import count_at
from modekeeper.cluster.verify.workloads import PodTemplate as FoundTemplate
from modekeeper.cluster.verify.workloads import pod_templates as find_templates
from modekeeper.model.cluster import JsonObject
from modekeeper.model.json_fields import at, items_at, mapping_at, text_at, texts_at

__all__ = ["AnnotationsMount", "PodTemplate", "annotation_mounts", "containers", "gpu_request", "pod_templates"]

GPU_RESOURCE = "nvidia.com/gpu"
_ALL_ANNOTATIONS = "metadata.annotations"


class PodTemplate(NamedTuple):
    """One template, and what its kind calls it; empty where there is only one."""

    role: str
    labels: dict[str, str]
    annotations: dict[str, str]
    spec: JsonObject


class AnnotationsMount(NamedTuple):
    """A file with the annotations of the pod, in one container."""

    container: str
    path: str
    live: bool
    """New values reach it while the pod runs: it is not mounted by ``subPath``."""


def pod_templates(kind: str, workload: JsonObject) -> tuple[PodTemplate, ...]:
    """The templates of a workload of that kind, as ``model/workload.py`` names kinds."""
    return tuple(_template(workload, place) for place in find_templates(kind, workload))


def containers(template: PodTemplate) -> tuple[JsonObject, ...]:
    """The containers that run as long as the pod does, without restartable init containers."""
    return tuple(items_at(template.spec, "containers"))


def gpu_request(template: PodTemplate) -> int:
    """``nvidia.com/gpu`` that a pod of the template is given: by its containers and restartable init containers."""
    sidecars = (c for c in items_at(template.spec, "initContainers") if c.get("restartPolicy") == "Always")
    return sum(_gpus(container) for container in (*containers(template), *sidecars))


def annotation_mounts(template: PodTemplate) -> tuple[AnnotationsMount, ...]:
    """Where the containers find all annotations of their pod in a file."""
    files = {
        name: list(_annotation_files(volume))
        for volume in items_at(template.spec, "volumes")
        if (name := text_at(volume, "name"))
    }
    return tuple(
        AnnotationsMount(text_at(container, "name") or "", path, live)
        for container in containers(template)
        for mount in items_at(container, "volumeMounts")
        for file in files.get(text_at(mount, "name") or "", [])
        for path, live in _mounted(mount, file)
    )


def _template(workload: JsonObject, found: FoundTemplate) -> PodTemplate:
    labels, annotations = (texts_at(found.template, "metadata", of) for of in ("labels", "annotations"))
    return PodTemplate(_role(workload, found.path), labels, annotations, mapping_at(found.template, "spec"))


def _role(workload: JsonObject, path: tuple[str | int, ...]) -> str:
    """What the kind calls the pods of a template: its group's name, or its key; empty where it is the only one."""
    if path == ("spec", "template"):
        return ""
    for end in range(len(path), 0, -1):
        if isinstance(path[end - 1], int):
            group = at(workload, *path[:end])
            return text_at(group, "name") or text_at(group, "groupName") or str(path[end - 1])
    return str(path[-2] if path[-1] == "template" else path[-1])


def _gpus(container: JsonObject) -> int:
    """The API lets both be set only to the same number."""
    return max(count_at(container, "resources", part, GPU_RESOURCE) for part in ("limits", "requests"))


def _annotation_files(volume: JsonObject) -> Iterator[str]:
    sources = [mapping_at(volume, "downwardAPI")]
    sources += [mapping_at(source, "downwardAPI") for source in items_at(volume, "projected", "sources")]
    for source in sources:
        for item in items_at(source, "items"):
            path = text_at(item, "path")
            if path and text_at(item, "fieldRef", "fieldPath") == _ALL_ANNOTATIONS:
                yield path


def _mounted(mount: JsonObject, file: str) -> Iterator[tuple[str, bool]]:
    place = (text_at(mount, "mountPath") or "").rstrip("/")
    if text_at(mount, "subPathExpr"):
        yield place, False
        return
    below = text_at(mount, "subPath")
    if below is None:
        yield f"{place}/{file}", True
    elif below == file:
        yield place, False
    elif file.startswith(f"{below}/"):
        yield f"{place}/{file.removeprefix(f'{below}/')}", False
