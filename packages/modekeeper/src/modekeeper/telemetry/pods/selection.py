"""Which pods belong to a workload, and which container of a pod prints its telemetry."""

import re
from typing import Any

from modekeeper.model.cluster import JsonObject, Resource
from modekeeper.model.errors import BadInputError, FailedError
from modekeeper.telemetry.pods.facts import mapping, text_of

__all__ = ["NODES", "PODS", "POD_LABELS", "SIDECARS", "choose_container", "selector_of"]

PODS = Resource("", "v1", "pods", "Pod")
NODES = Resource("", "v1", "nodes", "Node", namespaced=False)

POD_LABELS: dict[str, str] = {
    "JobSet": "jobset.sigs.k8s.io/jobset-name",
    "LeaderWorkerSet": "leaderworkerset.sigs.k8s.io/name",
    "PyTorchJob": "training.kubeflow.org/job-name",
    "TrainJob": "jobset.sigs.k8s.io/jobset-name",
    "RayCluster": "ray.io/cluster",
    "RayJob": "ray.io/cluster",
    "VolcanoJob": "volcano.sh/job-name",
}
"""The label by which a controller marks the pods of a workload whose object has no selector. A TrainJob has a JobSet
of its name; a RayJob names its cluster in its status."""

SIDECARS = frozenset(
    {
        "istio-proxy", "istio-init", "istio-validation", "linkerd-proxy", "linkerd-init", "envoy", "envoy-sidecar",
        "daprd", "queue-proxy", "vault-agent", "vault-agent-init", "cloud-sql-proxy", "cloudsql-proxy",
        "gke-gcsfuse-sidecar", "kube-rbac-proxy", "oauth2-proxy", "fluent-bit", "fluentbit", "fluentd", "filebeat",
        "promtail", "vector", "otel-collector", "otc-container", "opentelemetry-collector",
        "opentelemetry-auto-instrumentation", "aws-otel-collector", "datadog-agent",
        "dcgm-exporter", "node-exporter", "autoscaler",
    }
)  # fmt: skip
"""Names under which well-known injectors and operators add containers that do not train."""

_DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
_LABEL_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?\Z")
_LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?\Z")
_OPERATORS = {"In": "in", "NotIn": "notin"}


def selector_of(kind: str, workload: JsonObject) -> str:
    """The label selector of a workload's pods, as the API takes it.

    Args:
        kind: as ``WORKLOAD_KINDS`` names it.
        workload: its object.

    Raises:
        FailedError: the object says nothing that selects pods, or something no selector may hold.
    """
    name = text_of(mapping(workload.get("metadata")).get("name")) or ""
    label = POD_LABELS.get(kind)
    if label is None:
        return _written(kind, name, mapping(mapping(workload.get("spec")).get("selector")))
    if kind == "RayJob":
        cluster = text_of(mapping(workload.get("status")).get("rayClusterName"))
        if cluster is None:
            raise FailedError(f"RayJob '{name}' has no cluster yet, so no pods to read. Wait until it has started.")
        name = cluster
    if not _LABEL_VALUE.match(name) or not name:
        raise FailedError(f"the pods of {kind} '{name[:80]}' cannot be selected: its name is no label value.")
    return f"{label}={name}"


def _written(kind: str, name: str, selector: dict[str, Any]) -> str:
    parts = [f"{key}={value}" for key, value in sorted(mapping(selector.get("matchLabels")).items())]
    checked: list[tuple[Any, Any]] = [*mapping(selector.get("matchLabels")).items()]
    expressions = selector.get("matchExpressions")
    for each in expressions if isinstance(expressions, list) else ():
        key, operator, values = (mapping(each).get(part) for part in ("key", "operator", "values"))
        listed = values if isinstance(values, list) else []
        checked += [(key, value) for value in listed] or [(key, "")]
        if operator in _OPERATORS and listed:
            parts.append(f"{key} {_OPERATORS[operator]} ({','.join(map(str, listed))})")
        elif operator in {"Exists", "DoesNotExist"}:
            parts.append(f"{'' if operator == 'Exists' else '!'}{key}")
        else:
            checked.append((None, None))
    safe = all(
        isinstance(key, str) and isinstance(value, str) and _LABEL_NAME.match(key) and _LABEL_VALUE.match(value)
        for key, value in checked
    )
    if not parts or not safe:
        raise FailedError(f"{kind} '{name}' has no usable spec.selector, so its pods cannot be found.")
    return ",".join(parts)


def choose_container(pod: JsonObject, wanted: str | None) -> str | None:
    """The container whose log is read; ``None`` where the pod does not have the one that was asked for.

    Without a wish: the one that ``kubectl.kubernetes.io/default-container`` names, else the only one that is no
    well-known sidecar. Init containers never are.

    Raises:
        BadInputError: there are several. The message names them.
    """
    metadata, containers = mapping(pod.get("metadata")), mapping(pod.get("spec")).get("containers")
    listed = containers if isinstance(containers, list) else []
    names = [name for name in (text_of(mapping(each).get("name")) for each in listed) if name]
    if wanted is not None:
        return wanted if wanted in names else None
    default = mapping(metadata.get("annotations")).get(_DEFAULT_CONTAINER)
    if default in names:
        return str(default)
    candidates = names if len(names) == 1 else [name for name in names if name not in SIDECARS]
    if len(candidates) == 1:
        return candidates[0]
    if not names:
        return None
    pod_name = text_of(metadata.get("name")) or "?"
    raise BadInputError(
        f"pod '{pod_name}' has several containers that may print telemetry: {', '.join(candidates or names)}. "
        "Name one of them with --container."
    )
