"""Whether what was applied is still there: on the object or in its pod template, and in each live pod."""

import msgspec

from modekeeper.cluster.selectors import SelectorError, label_matcher
from modekeeper.cluster.verify.compare import annotations_place, live_values, wanted_values
from modekeeper.model.cluster import ClusterAnswerError, JsonObject, ObjectRef, Resource
from modekeeper.model.decision import Actuation, Plan, PlanItem
from modekeeper.model.json_fields import mapping_at, text_at
from modekeeper.model.pod_selector import pod_selector
from modekeeper.model.workload import WorkloadKind, find_workload_kind
from modekeeper.ports.cluster import ClusterReader

__all__ = ["Carrying", "carrying"]

_PODS = Resource("", "v1", "pods", "Pod")
_LIVE_PODS = "status.phase!=Succeeded,status.phase!=Failed"
_NOT_FOUND = 404


class Carrying(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of a plan."""

    gone: str = ""
    """Where an object does not hold the plan's values (any more), which, in one line."""
    pods_without: tuple[str, ...] = ()
    """Live pods that lack a value, sorted."""


def carrying(reader: ClusterReader, plan: Plan) -> Carrying:
    """Look at every item of ``plan``.

    Raises:
        ModeKeeperError: the cluster does not say.
    """
    without: list[str] = []
    for item in plan.items:
        name = f"{item.kind}/{item.name}"
        kind = find_workload_kind(item.kind)
        found = _object(reader, kind, item) if kind is not None else None
        if kind is None or found is None:
            return Carrying(gone=f"{name} is gone")
        wanted = wanted_values(item.patch)
        held = mapping_at(found, *annotations_place(item.patch))
        lost = sorted(key for key, value in wanted.items() if held.get(key) != value)
        if lost:
            return Carrying(gone=f"{name} does not record {', '.join(lost)} as it was applied")
        if item.actuation is Actuation.HOT:
            without += _pods_without(reader, kind, item, found)
    return Carrying(pods_without=tuple(sorted(without)))


def _object(reader: ClusterReader, kind: WorkloadKind, item: PlanItem) -> JsonObject | None:
    served = reader.served_versions(kind.group)
    version = next((each for each in kind.versions if each in served), None)
    resource = kind.resource() if version is None else kind.resource(version)
    try:
        return reader.get(ObjectRef(resource, item.namespace, item.name))
    except ClusterAnswerError as error:
        if error.status == _NOT_FOUND:
            return None
        raise


def _pods_without(reader: ClusterReader, kind: WorkloadKind, item: PlanItem, found: JsonObject) -> list[str]:
    selector = pod_selector(kind.kind, found)
    try:
        matches = label_matcher(selector or "")
    except SelectorError:
        return []
    if selector is None:
        return []
    patch = item.pod_patch or {}
    wanted = wanted_values(patch)
    pods = reader.list(_PODS, item.namespace, labels=selector, fields=_LIVE_PODS).items
    live = [pod for pod in pods if matches(pod) and text_at(pod, "metadata", "deletionTimestamp") is None]
    return [text_at(pod, "metadata", "name") or "" for pod in live if live_values(patch, pod) != dict(wanted)]
