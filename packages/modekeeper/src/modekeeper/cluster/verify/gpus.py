"""Whether a rollout that adds a pod before it takes one away can find the GPUs for it.

"Deployments", Kubernetes documentation: of ``maxSurge`` and ``maxUnavailable``, percentages of the replicas are
rounded up for the former and down for the latter; both are 25% by default, and not both may be 0.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from modekeeper.cluster.verify.facts import GpuFacts
from modekeeper.model.cluster import JsonObject
from modekeeper.model.json_fields import at, flag_at, items_at, mapping_at, text_at, whole_at

__all__ = ["GpuVerdict", "gpu_request", "needs_a_spare_pod", "spare_gpus"]

_GPU = re.compile(r"(?:.*/)?(?:gpu|mig-[a-z0-9.]+|gpu\.shared)|habana\.ai/gaudi|google\.com/tpu|gpu\.intel\.com/.+")
_DEFAULT = "25%"
_PERCENT = re.compile(r"(\d{1,6})%")


class GpuVerdict(NamedTuple):
    """Whether one more pod of this size fits somewhere; ``fits`` is ``None`` where it cannot be told."""

    fits: bool | None
    detail: str


def needs_a_spare_pod(deployment: JsonObject) -> bool:
    """Whether a rollout can only begin by adding a pod: no old one may be missing."""
    if text_at(deployment, "spec", "strategy", "type") == "Recreate":
        return False
    replicas = whole_at(deployment, "spec", "replicas")
    replicas = 1 if replicas is None else replicas
    rolling = mapping_at(deployment, "spec", "strategy", "rollingUpdate")
    surge = _resolved(rolling.get("maxSurge", _DEFAULT), replicas, up=True)
    unavailable = _resolved(rolling.get("maxUnavailable", _DEFAULT), replicas, up=False)
    return replicas > 0 and surge > 0 and unavailable == 0


def gpu_request(template: JsonObject) -> dict[str, int]:
    """GPUs one pod of the template asks for, by resource name."""
    return _pod_request(mapping_at(template, "spec"))


def spare_gpus(request: Mapping[str, int], facts: GpuFacts) -> GpuVerdict:
    """Whether a ready, schedulable node has ``request`` to spare."""
    asked = ", ".join(f"{name}: {count}" for name, count in sorted(request.items()))
    if facts.nodes.value is None or facts.pods.value is None:
        return GpuVerdict(fits=None, detail=f"a new pod asks for {asked}, and the nodes could not be read")
    used: dict[str, Counter[str]] = {}
    for pod in facts.pods.value.items:
        node = text_at(pod, "spec", "nodeName")
        if node is not None:
            used.setdefault(node, Counter()).update(_pod_request(mapping_at(pod, "spec")))
    most: Counter[str] = Counter()
    for node_object in facts.nodes.value.items:
        if not _usable(node_object):
            continue
        taken = used.get(text_at(node_object, "metadata", "name") or "", Counter())
        left = {name: _whole(at(node_object, "status", "allocatable", name)) - taken[name] for name in request}
        if all(left[name] >= count for name, count in request.items()):
            return GpuVerdict(fits=True, detail=f"a node has {asked} to spare")
        most |= Counter({name: max(count, 0) for name, count in left.items()})
    spare = ", ".join(f"{name}: {most[name]}" for name in sorted(request))
    return GpuVerdict(fits=False, detail=f"a new pod asks for {asked}, and no ready node can spare more than {spare}")


def _usable(node: JsonObject) -> bool:
    conditions = items_at(node, "status", "conditions")
    ready = any(text_at(c, "type") == "Ready" and text_at(c, "status") == "True" for c in conditions)
    return ready and not flag_at(node, "spec", "unschedulable")


def _pod_request(spec: JsonObject) -> dict[str, int]:
    """Containers run together, init containers before them: the larger of the two counts."""
    together = _sum(items_at(spec, "containers"))
    before: Counter[str] = Counter()
    for container in items_at(spec, "initContainers"):
        before |= _sum([container])
    return dict(together | before)


def _sum(containers: Iterable[JsonObject]) -> Counter[str]:
    total: Counter[str] = Counter()
    for container in containers:
        # An extended resource may be named in either; where it is in both, they are equal.
        wanted = {**mapping_at(container, "resources", "requests"), **mapping_at(container, "resources", "limits")}
        total.update({name: _whole(amount) for name, amount in wanted.items() if _GPU.fullmatch(name)})
    return +total


def _whole(amount: Any) -> int:
    text = str(amount)
    return int(text) if text.isascii() and text.isdecimal() else 0


def _resolved(value: Any, replicas: int, *, up: bool) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return 0
    hundredths = replicas * int(match[1])
    return -(-hundredths // 100) if up else hundredths // 100
