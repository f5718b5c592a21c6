"""GPUs: on the nodes, through a device plugin, asked for by the workload. None of it stops anything."""

from collections.abc import Mapping
from typing import Any

from modekeeper.artifacts.contracts.preflight import PreflightCheck
from modekeeper.cluster.preflight.checks.verdicts import noted, passed, unread, untold
from modekeeper.cluster.preflight.counts import count_at
from modekeeper.cluster.preflight.facts import Facts, NoAnswer
from modekeeper.cluster.preflight.pod_templates import GPU_RESOURCE, gpu_request, pod_templates
from modekeeper.model.json_fields import items_at, mapping_at, text_at, texts_at
from modekeeper.model.wording import count
from modekeeper.policy.wording import shown

__all__ = [
    "device_plugin",
    "device_plugin_present",
    "gpu_allocatable",
    "gpu_capacity",
    "gpu_capacity_present",
    "gpu_requested",
    "workload_gpus",
]

_GPU_RESOURCES = (GPU_RESOURCE, "nvidia.com/gpu.shared")
_MIG_PREFIX = "nvidia.com/mig-"
_PLUGIN = ("nvidia-device-plugin", "k8s-device-plugin", "nvidia-gpu-device-plugin")
"""In the name or an image of the DaemonSet: NVIDIA's own and the GPU operator's, its image, GKE's."""


def gpu_allocatable(facts: Facts) -> int | None:
    """GPUs, shared GPUs and MIG slices the nodes that were read can give; ``None`` where none could be read."""
    if isinstance(facts.nodes, NoAnswer):
        return None
    return sum(_gpus_of(node) for node in facts.nodes)


def gpu_capacity_present(facts: Facts) -> bool | None:
    """Whether a node has GPUs; ``None`` where that cannot be told."""
    found = gpu_allocatable(facts)
    return None if found is None or (found == 0 and facts.nodes_cut) else found > 0


def device_plugin_present(facts: Facts) -> bool | None:
    """Whether a device plugin is there: its DaemonSet is, or GPUs that only a plugin can have announced."""
    if gpu_allocatable(facts):
        return True
    if isinstance(facts.daemon_sets, NoAnswer):
        return None
    return any(map(_is_plugin, facts.daemon_sets))


def gpu_requested(facts: Facts) -> int | None:
    """``nvidia.com/gpu`` asked for by the pod templates, each counted once; ``None`` without a template."""
    if isinstance(facts.workload, NoAnswer):
        return None
    templates = pod_templates(facts.subject.kind.kind, facts.workload)
    return sum(map(gpu_request, templates)) if templates else None


def gpu_capacity(facts: Facts) -> PreflightCheck:
    """What the nodes have to give."""
    if isinstance(facts.nodes, NoAnswer):
        return unread("gpu_capacity", facts, facts.nodes)
    gpus = gpu_allocatable(facts) or 0
    having = sum(1 for node in facts.nodes if _gpus_of(node))
    seen = f"the first {count(len(facts.nodes), 'node')}" if facts.nodes_cut else count(len(facts.nodes), "node")
    if gpus:
        return passed("gpu_capacity", f"{count(gpus, 'GPU')} on {having:,} of {seen}")
    if facts.nodes_cut:
        return untold("gpu_capacity", f"no GPU on {seen}; the others were not read")
    return noted("gpu_capacity", f"no GPU on {seen}", "without one there is no GPU telemetry; everything else works")


def device_plugin(facts: Facts) -> PreflightCheck:
    """What hands the GPUs out."""
    if not isinstance(facts.daemon_sets, NoAnswer):
        plugin = next(filter(_is_plugin, facts.daemon_sets), None)
        if plugin is not None:
            name = f"{text_at(plugin, 'metadata', 'namespace')}/{text_at(plugin, 'metadata', 'name')}"
            return passed("device_plugin", f"DaemonSet {shown(name, 253)}")
    if gpu_allocatable(facts):
        return passed("device_plugin", "nodes offer nvidia.com GPUs, which only a device plugin announces")
    if isinstance(facts.daemon_sets, NoAnswer):
        return unread("device_plugin", facts, facts.daemon_sets)
    return noted("device_plugin", "no NVIDIA device plugin seen", "without one no pod is given a GPU")


def workload_gpus(facts: Facts) -> PreflightCheck:
    """What the workload asks for."""
    if isinstance(facts.workload, NoAnswer):
        return untold("gpu_request", "the workload could not be read")
    wanted = gpu_requested(facts)
    if wanted is None:
        return untold("gpu_request", f"a {facts.subject.kind.kind} has no pod template of its own")
    if wanted:
        return passed("gpu_request", f"asks for {count(wanted, 'GPU')} ({GPU_RESOURCE}) a pod, replicas not counted")
    templates = pod_templates(facts.subject.kind.kind, facts.workload)
    claims = any(True for template in templates for _ in items_at(template.spec, "resourceClaims"))
    more = "; it has resource claims, whose devices are not counted" if claims else ""
    return noted("gpu_request", f"asks for no {GPU_RESOURCE}{more}")


def _gpus_of(node: Mapping[str, Any]) -> int:
    allocatable = mapping_at(node, "status", "allocatable")
    named = [name for name in allocatable if name in _GPU_RESOURCES or str(name).startswith(_MIG_PREFIX)]
    return sum(count_at(allocatable, name) for name in named)


def _is_plugin(daemon_set: Mapping[str, Any]) -> bool:
    template = mapping_at(daemon_set, "spec", "template", "spec")
    words = [text_at(daemon_set, "metadata", "name") or ""]
    words += texts_at(daemon_set, "metadata", "labels").values()
    words += [text_at(container, "image") or "" for container in items_at(template, "containers")]
    return any(mark in word for word in words for mark in _PLUGIN)
