"""The way back: the inverse of our own keys, and of nothing else."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from modekeeper.artifacts.canonical import canonical_digest
from modekeeper.model.decision import Actuation, CurrentValueSource, Plan, PlanItem, Target
from modekeeper.planning.plan import KNOB_ANNOTATION, patches
from modekeeper.policy.knobs import Knob, find_knob, format_value, is_on_grid
from modekeeper.policy.situation import KnownValue

__all__ = [
    "UNKNOWN_SOURCE",
    "PreviousValue",
    "RollbackItem",
    "RollbackPlan",
    "rollback_plan",
    "rollback_plan_of",
    "undo_patches",
]

UNKNOWN_SOURCE = "unknown"


class PreviousValue(msgspec.Struct, frozen=True, kw_only=True):
    """What an annotation held before the change."""

    value: str | None
    """``None``: it was not there, and the way back removes it."""
    source: str
    """``cluster`` (the annotation itself was read), ``telemetry`` or ``operator`` (what the job ran with), or
    ``unknown``: nobody knows, and removing the key lets the job fall back to its own configuration."""


class RollbackItem(msgspec.Struct, frozen=True, kw_only=True):
    """The way back of one item of the plan."""

    kind: str
    namespace: str
    name: str
    actuation: Actuation
    keys: dict[str, PreviousValue]
    """By annotation key."""


class RollbackPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The inverse of the plan with ``plan_digest``; ``digest`` covers everything but itself."""

    schema_version: Literal["rollback_plan.v0"] = "rollback_plan.v0"
    digest: str
    plan_digest: str
    items: tuple[RollbackItem, ...] = ()


def rollback_plan(
    plan: Plan,
    known: Mapping[str, KnownValue],
    annotations: Mapping[Target, Mapping[str, str]] | None = None,
) -> RollbackPlan:
    """How to take ``plan`` back.

    Args:
        plan: what is about to be done.
        known: knob values as they are now, under any of their names.
        annotations: for each object that was read, all annotations at the place the plan patches (the pod template
            for cold items); a key that is missing there is known to be absent. These outrank ``known``.
    """
    return _made(plan, tuple(_inverse(item, known, annotations or {}) for item in plan.items))


def rollback_plan_of(plan: Plan, held: Sequence[Mapping[str, str | None]]) -> RollbackPlan:
    """How to take ``plan`` back where the cluster itself was asked.

    Args:
        plan: what is about to be done.
        held: for each of its items, by annotation key, what is there at the place the item patches; ``None``: nothing.
    """
    source = CurrentValueSource.CLUSTER.value
    items = tuple(
        _item(item, {key: PreviousValue(value=before[key], source=source) for key in sorted(before)})
        for item, before in zip(plan.items, held, strict=True)
    )
    return _made(plan, items)


def _made(plan: Plan, items: tuple[RollbackItem, ...]) -> RollbackPlan:
    made = RollbackPlan(digest="", plan_digest=plan.digest, items=items)
    fields = msgspec.to_builtins(made)
    del fields["digest"]
    return msgspec.structs.replace(made, digest=canonical_digest(fields))


def undo_patches(item: RollbackItem) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The merge patches (RFC 7396) of the way back: of the object, and of each live pod for hot items."""
    return patches(item.kind, item.actuation, {key: item.keys[key].value for key in sorted(item.keys)})


def _inverse(
    item: PlanItem, known: Mapping[str, KnownValue], annotations: Mapping[Target, Mapping[str, str]]
) -> RollbackItem:
    read = annotations.get(Target(namespace=item.namespace, kind=item.kind, name=item.name))
    return _item(item, {f"{KNOB_ANNOTATION}{name}": _previous(name, known, read) for name in sorted(item.knobs)})


def _item(item: PlanItem, keys: dict[str, PreviousValue]) -> RollbackItem:
    return RollbackItem(kind=item.kind, namespace=item.namespace, name=item.name, actuation=item.actuation, keys=keys)


def _previous(name: str, known: Mapping[str, KnownValue], read: Mapping[str, str] | None) -> PreviousValue:
    if read is not None:
        return PreviousValue(value=read.get(f"{KNOB_ANNOTATION}{name}"), source=CurrentValueSource.CLUSTER.value)
    knob = find_knob(name)
    if knob is None:
        return PreviousValue(value=None, source=UNKNOWN_SOURCE)
    names = (knob.name, *knob.aliases)
    found = next((known[alias] for alias in names if alias in known), None)
    if found is None or (text := _text(knob, found.value)) is None:
        return PreviousValue(value=None, source=UNKNOWN_SOURCE)
    return PreviousValue(value=text, source=found.source.value)


def _text(knob: Knob, value: float) -> str | None:
    return format_value(knob, value) if is_on_grid(knob, value) else None
