"""Who else changes the object: GitOps and Helm, autoscalers, Kueue."""

from collections.abc import Mapping
from typing import Any

from modekeeper.artifacts.contracts.preflight import PreflightCheck
from modekeeper.cluster.preflight.checks.verdicts import noted, passed, unread, untold
from modekeeper.cluster.preflight.facts import Facts, NoAnswer
from modekeeper.cluster.preflight.pod_templates import pod_templates
from modekeeper.cluster.verify.owners import controller_of, repository_owner
from modekeeper.model.json_fields import text_at, texts_at
from modekeeper.policy.wording import listed, shown

__all__ = ["horizontal_autoscaler", "kueue", "owner", "vertical_autoscaler"]

_QUEUE = "kueue.x-k8s.io/queue-name"


def owner(facts: Facts) -> PreflightCheck:
    """Whether something keeps the object as a repository or another object says."""
    if isinstance(facts.workload, NoAnswer):
        return untold("owner", "the workload could not be read")
    hint = "a change of the live object is undone; take the plan's patch to where the object comes from"
    keeper = repository_owner(facts.workload)
    if keeper is not None:
        return noted("owner", f"kept by {keeper.tool} ({keeper.evidence})", hint)
    controller = controller_of(facts.workload)
    if controller is not None:
        who = f"{shown(controller[0])} {shown(controller[1], 253)}"
        return noted("owner", f"made by {who}, which may undo a change", "plan for that object instead")
    return passed("owner", "no mark of Argo CD, Flux, Helm or a controller")


def horizontal_autoscaler(facts: Facts) -> PreflightCheck:
    """Whether the number of pods is somebody else's business."""
    found = facts.horizontal_autoscalers
    if isinstance(found, NoAnswer):
        return unread("horizontal_autoscaler", facts, found)
    aiming = [name for item in found if (name := _aims(item, "scaleTargetRef", facts)) is not None]
    if not aiming:
        return passed("horizontal_autoscaler", "none for this workload")
    hint = "the number of pods moves by itself: ranks come and go while ModeKeeper measures"
    return noted("horizontal_autoscaler", f"scaled by {listed(aiming)}", hint)


def vertical_autoscaler(facts: Facts) -> PreflightCheck:
    """Whether the resources of the pods are somebody else's business."""
    found = facts.vertical_autoscalers
    if isinstance(found, NoAnswer):
        return unread("vertical_autoscaler", facts, found)
    aiming = [
        f"{name} (updateMode {text_at(item, 'spec', 'updatePolicy', 'updateMode') or 'by default'})"
        for item in found
        if (name := _aims(item, "targetRef", facts)) is not None
    ]
    if not aiming:
        return passed("vertical_autoscaler", "none for this workload")
    hint = "unless its updateMode is Off or Initial it may restart pods while ModeKeeper measures"
    return noted("vertical_autoscaler", f"resources set by {listed(aiming)}", hint)


def kueue(facts: Facts) -> PreflightCheck:
    """Whether Kueue admits the workload."""
    if isinstance(facts.workload, NoAnswer):
        return untold("kueue", "the workload could not be read")
    queue = texts_at(facts.workload, "metadata", "labels").get(_QUEUE)
    if queue is None and facts.subject.kind.kind in {"Deployment", "StatefulSet"}:
        labels = (t.labels for t in pod_templates(facts.subject.kind.kind, facts.workload))
        queue = next((of[_QUEUE] for of in labels if _QUEUE in of), None)
    if queue is None:
        return passed("kueue", "not queued by Kueue")
    hint = "Kueue may suspend it, and admits it anew after a restart"
    return noted("kueue", f"admitted by Kueue, queue {shown(queue)!r}", hint)


def _aims(item: Mapping[str, Any], ref: str, facts: Facts) -> str | None:
    """The name of the autoscaler, where the workload is what it is for."""
    kind = facts.subject.kind
    if text_at(item, "spec", ref, "kind") != kind.api_kind or text_at(item, "spec", ref, "name") != facts.subject.name:
        return None
    group = (text_at(item, "spec", ref, "apiVersion") or kind.group).partition("/")[0]
    return text_at(item, "metadata", "name") if group == kind.group else None
