"""What the live pods of a workload were last told: the values from which a change starts."""

from modekeeper.model.cluster import JsonObject, ObjectRef, Resource
from modekeeper.model.decision import Target
from modekeeper.model.errors import ModeKeeperError
from modekeeper.model.json_fields import text_at, texts_at
from modekeeper.model.pod_selector import pod_selector
from modekeeper.model.workload import find_workload_kind
from modekeeper.planning.plan import KNOB_ANNOTATION
from modekeeper.policy.knobs import find_knob, is_on_grid
from modekeeper.ports.cluster import ClusterReader

__all__ = ["live_knobs"]

_PODS = Resource("", "v1", "pods", "Pod")
_OVER = frozenset({"Succeeded", "Failed"})


def live_knobs(reader: ClusterReader, target: Target) -> dict[str, float]:
    """Knob to value, for each knob that all live pods carry the same usable value of. Sorted; empty where nobody knows.

    What cannot be read is not known: the command that asks goes on without.
    """
    kind = find_workload_kind(target.kind)
    if kind is None:
        return {}
    try:
        found = reader.get(ObjectRef(kind.resource(), target.namespace, target.name))
        selector = pod_selector(kind.kind, found)
        if selector is None:
            return {}
        pods = reader.list(_PODS, target.namespace, labels=selector).items
    except ModeKeeperError:
        return {}
    live = [pod for pod in pods if _is_live(pod)]
    values = [_knobs(pod) for pod in live]
    agreed = values[0] if values else {}
    return {name: value for name, value in sorted(agreed.items()) if all(v.get(name) == value for v in values)}


def _is_live(pod: JsonObject) -> bool:
    return text_at(pod, "metadata", "deletionTimestamp") is None and text_at(pod, "status", "phase") not in _OVER


def _knobs(pod: JsonObject) -> dict[str, float]:
    knobs: dict[str, float] = {}
    for key, text in texts_at(pod, "metadata", "annotations").items():
        knob = find_knob(key.removeprefix(KNOB_ANNOTATION)) if key.startswith(KNOB_ANNOTATION) else None
        if knob is None:
            continue
        try:
            value = float(text)
        except ValueError:
            continue
        if is_on_grid(knob, value):
            knobs[knob.name] = value
    return knobs
