"""What a patch of live pods would do: only a Downward API volume carries annotations into a running process.

"Downward API", Kubernetes documentation: files of a volume follow the pod's annotations, environment variables and
``subPath`` mounts never do.
"""

from collections.abc import Iterable
from enum import StrEnum

from modekeeper.artifacts.contracts.k8s_verify import Effect, EffectPart
from modekeeper.model.cluster import JsonObject
from modekeeper.model.json_fields import items_at, said, text_at
from modekeeper.model.wording import count

__all__ = ["Carrier", "carrier", "hot_effect"]

_ALL = "metadata.annotations"


class Carrier(StrEnum):
    """The best way annotations take into the containers of a pod; the best first."""

    VOLUME = "annotations_volume"
    SUB_PATH = "sub_path_mount"
    NOT_MOUNTED = "volume_not_mounted"
    ENVIRONMENT = "environment_variable"
    NONE = "no_annotations_volume"


_WHY_NOT = {
    Carrier.SUB_PATH: "the Downward API volume is mounted with subPath, and such a file never changes",
    Carrier.NOT_MOUNTED: "the pods have a Downward API volume with the annotations that no container mounts",
    Carrier.ENVIRONMENT: "the annotations reach the processes as environment variables, which never change",
    Carrier.NONE: "the pods have no Downward API volume with metadata.annotations",
}
_REMEDY = "mount such a volume without subPath, at /etc/podinfo for example, or plan the change cold"


def hot_effect(pods: tuple[JsonObject, ...], keys: Iterable[str]) -> EffectPart:
    """What new values of the annotations ``keys`` do in the live pods of an object."""
    if not pods:
        return EffectPart(
            effect=Effect.INERT,
            reason="no_live_pods",
            detail="no pod runs: only the record on the object would change",
        )
    wanted = list(keys)
    carriers = [carrier(pod, wanted) for pod in pods]
    reached = carriers.count(Carrier.VOLUME)
    if reached == len(pods):
        detail = (
            f"{count(len(pods), 'live pod sees', 'live pods see')} the values in a mounted file, within about a minute"
        )
        return EffectPart(effect=Effect.HOT, reason=Carrier.VOLUME.value, detail=detail)
    first = next(index for index, way in enumerate(carriers) if way is not Carrier.VOLUME)
    name, why = said(text_at(pods[first], "metadata", "name")), _WHY_NOT[carriers[first]]
    if reached:
        detail = f"{reached} of {len(pods)} live pods would see the values, so ranks would differ; pod {name}: {why}"
        return EffectPart(effect=Effect.UNKNOWN, reason="some_pods_without_volume", detail=detail)
    return EffectPart(effect=Effect.INERT, reason=carriers[first].value, detail=f"{why} (pod {name}): {_REMEDY}")


def carrier(pod: JsonObject, keys: list[str]) -> Carrier:
    """The way all of ``keys`` take into a container of the pod."""
    volumes = {text_at(v, "name") for v in items_at(pod, "spec", "volumes") if _carries(_sources(v), keys)}
    containers = list(items_at(pod, "spec", "containers"))
    mounts = [m for c in containers for m in items_at(c, "volumeMounts") if text_at(m, "name") in volumes]
    if any(not (m.get("subPath") or m.get("subPathExpr")) for m in mounts):
        return Carrier.VOLUME
    if mounts:
        return Carrier.SUB_PATH
    if volumes:
        return Carrier.NOT_MOUNTED
    variables = [text_at(e, "valueFrom", "fieldRef", "fieldPath") for c in containers for e in items_at(c, "env")]
    return Carrier.ENVIRONMENT if any((v or "").startswith(_ALL) for v in variables) else Carrier.NONE


def _sources(volume: JsonObject) -> list[str]:
    """Field paths a volume shows: of a ``downwardAPI`` volume, and of one inside a ``projected`` volume."""
    items = list(items_at(volume, "downwardAPI", "items"))
    for source in items_at(volume, "projected", "sources"):
        items += items_at(source, "downwardAPI", "items")
    return [path for item in items if (path := text_at(item, "fieldRef", "fieldPath")) is not None]


def _carries(paths: list[str], keys: list[str]) -> bool:
    return _ALL in paths or (bool(keys) and all(f"{_ALL}['{key}']" in paths for key in keys))
