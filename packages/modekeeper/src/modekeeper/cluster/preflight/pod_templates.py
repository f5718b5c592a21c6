"""The pod templates of a workload, wherever its kind keeps them, and what they ask for.

Where the templates are: the API references named in ``model/workload.py``. Downward API volumes: Kubernetes
documentation, "Downward API" (an update reaches a mounted volume, never a ``subPath`` mount). Restartable init
containers: Kubernetes documentation, "Sidecar Containers".
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from modekeeper.cluster.preflight.reading import count_at, mapping_at, objects_at, text_at, texts_at

__all__ = ["AnnotationsMount", "PodTemplate", "annotation_mounts", "containers", "gpu_request", "pod_templates"]

GPU_RESOURCE = "nvidia.com/gpu"
_ALL_ANNOTATIONS = "metadata.annotations"

_Json = Mapping[str, Any]


class PodTemplate(NamedTuple):
    """One template, and what its kind calls it; empty where there is only one."""

    role: str
    labels: dict[str, str]
    annotations: dict[str, str]
    spec: _Json


class AnnotationsMount(NamedTuple):
    """A file with the annotations of the pod, in one container."""

    container: str
    path: str
    live: bool
    """New values reach it while the pod runs: it is not mounted by ``subPath``."""


def pod_templates(kind: str, workload: _Json) -> tuple[PodTemplate, ...]:
    """The templates of a workload of that kind (as ``model/workload.py`` names kinds), in the object's order."""
    find = _TEMPLATES.get(kind)
    return () if find is None else tuple(find(workload))


def containers(template: PodTemplate) -> tuple[_Json, ...]:
    """The containers that run as long as the pod does, without restartable init containers."""
    return tuple(objects_at(template.spec, "containers"))


def gpu_request(template: PodTemplate) -> int:
    """``nvidia.com/gpu`` that a pod of the template is given: by its containers and restartable init containers."""
    sidecars = (c for c in objects_at(template.spec, "initContainers") if c.get("restartPolicy") == "Always")
    return sum(_gpus(container) for container in (*containers(template), *sidecars))


def annotation_mounts(template: PodTemplate) -> tuple[AnnotationsMount, ...]:
    """Where the containers find all annotations of their pod in a file."""
    files = {
        name: list(_annotation_files(volume))
        for volume in objects_at(template.spec, "volumes")
        if (name := text_at(volume, "name"))
    }
    return tuple(
        AnnotationsMount(text_at(container, "name") or "", path, live)
        for container in containers(template)
        for mount in objects_at(container, "volumeMounts")
        for file in files.get(text_at(mount, "name") or "", [])
        for path, live in _mounted(mount, file)
    )


def _gpus(container: _Json) -> int:
    """The API lets both be set only to the same number."""
    return max(count_at(container, "resources", part, GPU_RESOURCE) for part in ("limits", "requests"))


def _annotation_files(volume: _Json) -> Iterator[str]:
    sources = [mapping_at(volume, "downwardAPI")]
    sources += [mapping_at(source, "downwardAPI") for source in objects_at(volume, "projected", "sources")]
    for source in sources:
        for item in objects_at(source, "items"):
            path = text_at(item, "path")
            if path and text_at(item, "fieldRef", "fieldPath") == _ALL_ANNOTATIONS:
                yield path


def _mounted(mount: _Json, file: str) -> Iterator[tuple[str, bool]]:
    at = (text_at(mount, "mountPath") or "").rstrip("/")
    if text_at(mount, "subPathExpr"):
        yield at, False
        return
    below = text_at(mount, "subPath")
    if below is None:
        yield f"{at}/{file}", True
    elif below == file:
        yield at, False
    elif file.startswith(f"{below}/"):
        yield f"{at}/{file.removeprefix(f'{below}/')}", False


def _template(role: str, template: _Json) -> PodTemplate:
    labels, annotations = (texts_at(template, "metadata", of) for of in ("labels", "annotations"))
    return PodTemplate(role, labels, annotations, mapping_at(template, "spec"))


def _only(workload: _Json) -> Iterator[PodTemplate]:
    yield _template("", mapping_at(workload, "spec", "template"))


def _of_job_set(workload: _Json) -> Iterator[PodTemplate]:
    for job in objects_at(workload, "spec", "replicatedJobs"):
        yield _template(text_at(job, "name") or "", mapping_at(job, "template", "spec", "template"))


def _of_leader_worker_set(workload: _Json) -> Iterator[PodTemplate]:
    group = mapping_at(workload, "spec", "leaderWorkerTemplate")
    for role, key in (("leader", "leaderTemplate"), ("worker", "workerTemplate")):
        if mapping_at(group, key):
            yield _template(role, mapping_at(group, key))


def _of_pytorch_job(workload: _Json) -> Iterator[PodTemplate]:
    for role, spec in mapping_at(workload, "spec", "pytorchReplicaSpecs").items():
        yield _template(str(role), mapping_at(spec, "template"))


def _of_ray_cluster(workload: _Json, *path: str) -> Iterator[PodTemplate]:
    spec = mapping_at(workload, "spec", *path)
    yield _template("head", mapping_at(spec, "headGroupSpec", "template"))
    for group in objects_at(spec, "workerGroupSpecs"):
        yield _template(text_at(group, "groupName") or "", mapping_at(group, "template"))


def _of_ray_job(workload: _Json) -> Iterator[PodTemplate]:
    return _of_ray_cluster(workload, "rayClusterSpec")


def _of_volcano_job(workload: _Json) -> Iterator[PodTemplate]:
    for task in objects_at(workload, "spec", "tasks"):
        yield _template(text_at(task, "name") or "", mapping_at(task, "template"))


_TEMPLATES: dict[str, Callable[[_Json], Iterator[PodTemplate]]] = {
    "Deployment": _only,
    "StatefulSet": _only,
    "Job": _only,
    "JobSet": _of_job_set,
    "LeaderWorkerSet": _of_leader_worker_set,
    "PyTorchJob": _of_pytorch_job,
    "RayCluster": _of_ray_cluster,
    "RayJob": _of_ray_job,
    "VolcanoJob": _of_volcano_job,
}
"""A TrainJob has none: its pods come from the runtime it refers to."""
