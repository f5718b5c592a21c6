"""The effect of one item: from the owners of the object, the dry run's answer, and what its kind does."""

from dataclasses import dataclass

from modekeeper.artifacts.contracts.k8s_verify import (
    BlockerKind,
    DryRunPart,
    DryRunStatus,
    Effect,
    EffectPart,
    VerifyProblem,
)
from modekeeper.cluster.verify.asking import Told
from modekeeper.cluster.verify.cold import cold_effect, misses_template, queue_of
from modekeeper.cluster.verify.compare import annotations_place, live_values, wanted_values
from modekeeper.cluster.verify.facts import GpuFacts, ItemFacts
from modekeeper.cluster.verify.gpus import gpu_request, needs_a_spare_pod, spare_gpus
from modekeeper.cluster.verify.hot import hot_effect
from modekeeper.cluster.verify.owners import controller_of, declared_by, repository_owner
from modekeeper.cluster.verify.workloads import pod_templates, reaches_a_template
from modekeeper.model.cluster import JsonObject
from modekeeper.model.decision import Actuation, PlanItem
from modekeeper.model.json_fields import at, said

__all__ = ["UNREAD", "Prediction", "gpu_wanted", "is_no_op", "predict"]

_NO_OBJECT, _NO_PODS = "object_not_read", "pods_not_read"
UNREAD = frozenset({_NO_OBJECT, _NO_PODS})
"""Reasons for an unknown effect that only repeat why something could not be read."""
_NEVER_ASKED = "what it would do is not known: the live object could not be read"


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """An effect, and what else is to be said of it."""

    effect: EffectPart
    problems: tuple[VerifyProblem, ...] = ()
    notes: tuple[str, ...] = ()


def predict(facts: ItemFacts, gpus: GpuFacts | None, dry_run: DryRunPart, pod_dry_run: DryRunPart) -> Prediction:
    """What the item's patch would do to the pods of its object."""
    found = facts.live.value if facts.live is not None else None
    if found is None:
        return Prediction(effect=_part(Effect.UNKNOWN, _NO_OBJECT, _NEVER_ASKED))
    effect = _refused(facts, found, dry_run, pod_dry_run)
    effect = effect or _owned(found, facts.item) or _no_op(facts) or _checked(_by_kind(facts, found), dry_run)
    problems, notes = _surge(facts, found, gpus) if effect.effect is Effect.RESTART else ((), [])
    return Prediction(effect=effect, problems=problems, notes=(*notes, *_notes(facts.item, found, effect)))


def gpu_wanted(facts: ItemFacts) -> dict[str, int]:
    """GPUs a rollout of the item needs beside those in use; empty where it needs none."""
    found = facts.live.value if facts.live is not None else None
    if found is None or facts.item.actuation is not Actuation.COLD or facts.item.kind != "Deployment":
        return {}
    if not needs_a_spare_pod(found):
        return {}
    return next((gpu_request(template) for _, template in pod_templates("Deployment", found)), {})


def is_no_op(facts: ItemFacts) -> bool:
    """Whether every value is where the item would put it."""
    found = facts.live.value if facts.live is not None else None
    item = facts.item
    if found is None or not _holds(item.patch, found):
        return False
    if item.actuation is Actuation.COLD:
        return True
    pods = facts.pods.value if facts.pods is not None else None
    return pods is not None and all(_holds(item.pod_patch or {}, pod) for pod in pods)


def _holds(patch: JsonObject, found: JsonObject) -> bool:
    return dict(live_values(patch, found)) == wanted_values(patch)


def _part(effect: Effect, reason: str, detail: str) -> EffectPart:
    return EffectPart(effect=effect, reason=reason, detail=detail)


def _refused(facts: ItemFacts, found: JsonObject, dry_run: DryRunPart, pod_dry_run: DryRunPart) -> EffectPart | None:
    """The API server said no. What is known of the kind says it better where it agrees."""
    refused = next((part for part in (dry_run, pod_dry_run) if part.status is DryRunStatus.REJECTED), None)
    if refused is None:
        return None
    item = facts.item
    if item.actuation is Actuation.COLD:
        known = cold_effect(item.kind, found, item.patch)
        if known.effect is Effect.REJECTED:
            return _part(Effect.REJECTED, known.reason, f"{known.detail}; {refused.detail}")
        if not reaches_a_template(item.kind, found, item.patch):
            known = misses_template(item.kind)
            return _part(Effect.REJECTED, known.reason, f"{known.detail}; {refused.detail}")
    return _part(Effect.REJECTED, "refused_by_api_server", refused.detail)


def _owned(found: JsonObject, item: PlanItem) -> EffectPart | None:
    if at(found, "metadata", "deletionTimestamp") is not None:
        return _part(Effect.INERT, "being_deleted", "the object is being deleted")
    controller = controller_of(found)
    if controller is not None:
        kind, name = controller
        detail = f"it was made by {said(kind)} {said(name)}, which may put it back: change that object instead"
        return _part(Effect.REVERTED, "owned_by_controller", detail)
    owner = repository_owner(found)
    if owner is None:
        return None
    declared = declared_by(found, annotations_place(item.patch), list(wanted_values(item.patch)))
    sure = f"; {', '.join(map(said, declared))} sets the very key" if declared else ""
    detail = f"{owner.tool} keeps it as its repository says ({owner.evidence}{sure}): change it there"
    return _part(Effect.REVERTED, "owned_by_repository", detail)


def _no_op(facts: ItemFacts) -> EffectPart | None:
    """A plan that changes nothing is not to be applied: what it was made for is over, or done."""
    if not is_no_op(facts):
        return None
    hot = facts.item.actuation is Actuation.HOT
    where = "the pods already carry every value" if hot else "the pod template already holds every value"
    return _part(Effect.INERT, "already_set", f"nothing to do: {where}; make a new plan")


def _by_kind(facts: ItemFacts, found: JsonObject) -> EffectPart:
    item = facts.item
    if item.actuation is Actuation.COLD:
        return cold_effect(item.kind, found, item.patch)
    pods = facts.pods.value if facts.pods is not None else None
    if pods is None:
        return _part(Effect.UNKNOWN, _NO_PODS, "whether the pods would see it is not known: they were not read")
    return hot_effect(pods, wanted_values(item.pod_patch or {}))


def _checked(effect: EffectPart, dry_run: DryRunPart) -> EffectPart:
    """What is known of a kind, against what this very cluster answered."""
    if effect.reason == "template_immutable" and dry_run.status is DryRunStatus.ACCEPTED:
        detail = f"{effect.detail}, says its documentation; this API server would accept the patch"
        return _part(Effect.UNKNOWN, "accepted_against_documentation", detail)
    return effect


def _surge(facts: ItemFacts, found: JsonObject, gpus: GpuFacts | None) -> tuple[tuple[VerifyProblem, ...], list[str]]:
    """A rollout that has to add a pod first waits for ever where no GPU is spare for it."""
    wanted = gpu_wanted(facts)
    if not wanted:
        return (), []
    verdict = spare_gpus(wanted, gpus or GpuFacts(nodes=Told(), pods=Told()))
    if verdict.fits:
        return (), [f"the rollout adds a pod before it takes one away: {verdict.detail}"]
    code = "spare_gpu_unknown" if verdict.fits is None else "no_spare_gpu"
    name = said(at(found, "metadata", "name"))
    detail = (
        f"{verdict.detail}; the rollout of {name} adds a pod before it takes one away and would wait for ever: "
        "set maxSurge: 0 and maxUnavailable: 1 in its strategy"
    )
    return (VerifyProblem(kind=BlockerKind.UNKNOWN, code=code, detail=detail),), []


def _notes(item: PlanItem, found: JsonObject, effect: EffectPart) -> list[str]:
    notes = []
    queue = queue_of(found)
    if queue and effect.effect is Effect.RESTART:
        notes.append(f"new pods wait in the Kueue queue {said(queue)} until there is quota for them")
    if effect.effect in (Effect.HOT, Effect.RESTART):
        declared = declared_by(found, annotations_place(item.patch), list(wanted_values(item.patch)))
        notes += [f"{said(manager)} applies the same key: its next apply sets it back" for manager in declared]
    if effect.effect is Effect.RESTART and _rolling(found):
        notes.append("a rollout of it is under way")
    return notes


def _rolling(found: JsonObject) -> bool:
    wanted, updated = at(found, "spec", "replicas"), at(found, "status", "updatedReplicas")
    return isinstance(wanted, int) and isinstance(updated, int) and updated < wanted
