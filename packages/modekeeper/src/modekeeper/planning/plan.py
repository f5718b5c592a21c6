"""Approved changes as Kubernetes patches, with a digest that covers every byte of them."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from modekeeper.artifacts.canonical import canonical_digest
from modekeeper.model.decision import Actuation, PassportRef, Plan, PlanItem, Proposal, Target
from modekeeper.model.errors import BadInputError
from modekeeper.model.workload import find_workload_kind
from modekeeper.planning.names import check_target
from modekeeper.policy.knobs import find_knob, format_value
from modekeeper.policy.wording import listed, shown

__all__ = [
    "KNOB_ANNOTATION",
    "PLAN_SCHEMA",
    "ApprovedChange",
    "build_plan",
    "knob_annotations",
    "patches",
    "plan_digest",
    "verify_digest",
]

PLAN_SCHEMA = "k8s_plan.v0"
KNOB_ANNOTATION = "modekeeper/knob."


class ApprovedChange(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal every gate let pass, and the workload it is for."""

    target: Target
    proposal: Proposal


def build_plan(changes: Sequence[ApprovedChange], passport: PassportRef | None = None) -> Plan:
    """The patches for ``changes``: one item for each object and actuation, sorted; no actions, no items.

    Args:
        changes: what every gate let pass.
        passport: the one they were judged under, which the plan names; ``None`` stands for the built-in ``safe``.

    Raises:
        BadInputError: a name cannot exist in a cluster, a value is none of its knob, two changes want different
            values for one knob of one object, or a cold change is out of reach (see ``patches``).
    """
    values: dict[tuple[Target, str], str] = {}
    knobs: dict[tuple[Target, Actuation], dict[str, str]] = defaultdict(dict)
    chords: dict[tuple[Target, Actuation], set[str]] = defaultdict(set)
    for change in changes:
        for name, text, actuation in _wanted(change.proposal):
            target = check_target(change.target)
            before = values.setdefault((target, name), text)
            if before != text:
                raise BadInputError(
                    f"two changes want {name} of {target.kind}/{target.name} to be {before} and {text}: approve one"
                )
            knobs[target, actuation][name] = text
            chords[target, actuation].add(change.proposal.chord_id)
    order = sorted(knobs, key=lambda key: (key[0].namespace, key[0].kind, key[0].name, key[1]))
    return _with_digest((_item(*key, knobs[key], chords[key]) for key in order), passport)


def plan_digest(plan: Plan) -> str:
    """``sha256:<hex>`` over the canonical JSON (sorted keys, no whitespace, UTF-8) of all but the digest."""
    fields = msgspec.to_builtins(plan)
    del fields["digest"]
    return canonical_digest(fields)


def verify_digest(plan: Plan) -> bool:
    """Whether the plan is, to the byte, the one its digest was made from."""
    return plan.digest == plan_digest(plan)


def knob_annotations(knobs: dict[str, str]) -> dict[str, str]:
    """The annotations that carry ``knobs``, sorted."""
    return {f"{KNOB_ANNOTATION}{name}": knobs[name] for name in sorted(knobs)}


def patches(
    kind: str, actuation: Actuation, annotations: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The merge patch (RFC 7396) of an object of ``kind``, and that of each live pod where pods are touched.

    Hot changes are written to the object's own metadata too: the record that pods created later are given again.

    Raises:
        BadInputError: a cold change, and no such patch reaches the pod template of the kind.
    """
    metadata: dict[str, Any] = {"metadata": {"annotations": annotations}}
    if actuation is Actuation.COLD:
        known = find_workload_kind(kind)
        if known is None or known.template is None:
            raise BadInputError(
                f"no patch of a plan reaches the pod template of a {shown(kind)}: set "
                f"{listed(list(annotations))} in the file it comes from, or leave its cold knobs alone"
            )
        for step in reversed(known.template):
            metadata = {step: metadata}
        return metadata, None
    return metadata, {"metadata": {"annotations": dict(annotations)}}


def _wanted(proposal: Proposal) -> Iterable[tuple[str, str, Actuation]]:
    for action in proposal.actions:
        knob = find_knob(action.knob)
        if knob is None:
            raise BadInputError(f"{shown(action.knob)!r} is no knob of this release: it cannot be planned")
        try:
            yield knob.name, format_value(knob, action.target), action.actuation
        except ValueError as error:
            raise BadInputError(f"cannot plan {knob.name}: {error}") from None


def _item(target: Target, actuation: Actuation, knobs: dict[str, str], chords: set[str]) -> PlanItem:
    patch, pod_patch = patches(target.kind, actuation, knob_annotations(knobs))
    return PlanItem(
        kind=target.kind,
        namespace=target.namespace,
        name=target.name,
        actuation=actuation,
        chord_id=",".join(sorted(chords)),
        knobs={name: knobs[name] for name in sorted(knobs)},
        patch=patch,
        pod_patch=pod_patch,
    )


def _with_digest(items: Iterable[PlanItem], passport: PassportRef | None) -> Plan:
    plan = Plan(schema_version=PLAN_SCHEMA, digest="", items=tuple(items), passport=passport)
    return msgspec.structs.replace(plan, digest=plan_digest(plan))
