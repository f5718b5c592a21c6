"""Which pods belong to a workload, and which container of a pod prints its telemetry."""

from modekeeper.model.cluster import JsonObject, Resource
from modekeeper.model.errors import BadInputError, FailedError
from modekeeper.model.json_fields import said, text_at
from modekeeper.model.pod_selector import POD_MARKS, pod_selector
from modekeeper.telemetry.pods.facts import mapping, text_of

__all__ = ["NAMESPACES", "NODES", "PODS", "SIDECARS", "choose_container", "selector_of"]

PODS = Resource("", "v1", "pods", "Pod")
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
NODES = Resource("", "v1", "nodes", "Node", namespaced=False)

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


def selector_of(kind: str, workload: JsonObject) -> str:
    """The label selector of a workload's pods, as the API takes it.

    Args:
        kind: as ``WORKLOAD_KINDS`` names it.
        workload: its object.

    Raises:
        FailedError: the object says nothing that selects pods, or something no selector may hold.
    """
    found = pod_selector(kind, workload)
    if found is not None:
        return found
    name = said(text_at(workload, "metadata", "name"))
    mark = POD_MARKS.get(kind)
    if mark is None:
        raise FailedError(f"{kind} {name} has no usable spec.selector, so its pods cannot be found.")
    if text_at(workload, *mark.path) is None:
        raise FailedError(
            f"{kind} {name} has no {'.'.join(mark.path)} yet, so no pods to read. Wait until it has started."
        )
    raise FailedError(f"the pods of {kind} {name} cannot be selected: its name is no label value.")


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
