"""What is known of a pod whose log is read, taken from its object. The object is hostile until parsed here."""

from typing import Annotated, Any

import msgspec

from modekeeper.model.cluster import JsonObject
from modekeeper.telemetry.pods.order import PodOrder, pod_order
from modekeeper.telemetry.values import clean_text

__all__ = ["JSONL_VALUE", "TELEMETRY_ANNOTATION", "PodFacts", "facts_of", "mapping", "says_jsonl", "text_of"]

TELEMETRY_ANNOTATION = "modekeeper/telemetry"
JSONL_VALUE = "stdout-jsonl"
_NAME_CHARS = 253

_Name = Annotated[str, msgspec.Meta(max_length=_NAME_CHARS)]


class PodFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One container of one pod, and what its samples should know of it. Everything in it is printable."""

    namespace: _Name
    pod: _Name
    uid: _Name
    container: _Name
    node: _Name | None = None
    gpu_model: _Name | None = None
    strict: bool = False
    """Whether it promises JSON lines (``modekeeper/telemetry=stdout-jsonl``)."""
    order: PodOrder = PodOrder()

    @property
    def key(self) -> str:
        """Tells it from every other one, also from a pod that had its name before."""
        return f"{self.uid}/{self.container}"

    @property
    def label(self) -> str:
        """What reports call it."""
        return f"{self.pod}/{self.container}"


def facts_of(pod: JsonObject, container: str, *, strict: bool) -> PodFacts:
    """The facts of one container of a pod; ``strict`` where the workload promises JSON lines already."""
    metadata, spec = mapping(pod.get("metadata")), mapping(pod.get("spec"))
    return PodFacts(
        namespace=text_of(metadata.get("namespace")) or "",
        pod=text_of(metadata.get("name")) or "",
        uid=text_of(metadata.get("uid")) or "",
        container=container,
        node=text_of(spec.get("nodeName")),
        strict=strict or says_jsonl(pod),
        order=pod_order(pod),
    )


def says_jsonl(found: JsonObject) -> bool:
    """Whether an object, or the template of its pods, is annotated ``modekeeper/telemetry=stdout-jsonl``."""
    template = mapping(mapping(found.get("spec")).get("template"))
    for holder in (found, template):
        annotations = mapping(mapping(holder.get("metadata")).get("annotations"))
        if annotations.get(TELEMETRY_ANNOTATION) == JSONL_VALUE:
            return True
    return False


def mapping(value: object) -> dict[str, Any]:
    """A JSON object, or an empty one where there is none."""
    return value if isinstance(value, dict) else {}


def text_of(value: object) -> str | None:
    """A name as it may be printed, or nothing."""
    return (clean_text(value, _NAME_CHARS) or None) if isinstance(value, str) else None
