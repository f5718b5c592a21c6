"""Which rights an item needs, and what the answers say."""

from collections.abc import Iterable
from typing import NamedTuple

from modekeeper.cluster.rbac import forbidden_question
from modekeeper.cluster.verify.asking import Told
from modekeeper.cluster.verify.facts import PODS, Facts, ItemFacts, Rights
from modekeeper.model.cluster import AccessQuestion, ClusterAnswerError, ObjectRef, Resource
from modekeeper.model.decision import Actuation
from modekeeper.model.workload import WorkloadKind

__all__ = ["ItemQuestions", "ask_kind", "ask_named", "item_questions", "kind_questions", "may", "who"]


class ItemQuestions(NamedTuple):
    """The questions about an item's rights; of several, one yes is enough."""

    get: tuple[AccessQuestion, ...] = ()
    patch: tuple[AccessQuestion, ...] = ()
    patch_pods: tuple[AccessQuestion, ...] = ()


def ask_kind(verb: str, resource: Resource, namespace: str) -> AccessQuestion:
    """May we do it to any object of the kind?"""
    return AccessQuestion(verb=verb, group=resource.group, resource=resource.plural, namespace=namespace)


def ask_named(verb: str, ref: ObjectRef) -> AccessQuestion:
    """May we do it to this object?"""
    resource = ref.resource
    return AccessQuestion(
        verb=verb, group=resource.group, resource=resource.plural, namespace=ref.namespace, name=ref.name
    )


def kind_questions(kind: WorkloadKind, namespace: str, actuation: Actuation) -> list[AccessQuestion]:
    """What is asked once for all items of a kind in a namespace."""
    questions = [ask_kind(verb, kind.resource(), namespace) for verb in ("get", "patch")]
    return [*questions, ask_kind("patch", PODS, namespace)] if actuation is Actuation.HOT else questions


def item_questions(facts: ItemFacts) -> ItemQuestions:
    """The questions about one item, those that were not asked included."""
    item = facts.item
    pods = (ask_kind("patch", PODS, item.namespace),) if item.actuation is Actuation.HOT else ()
    if facts.kind is None:
        return ItemQuestions()
    resource = facts.kind.resource()
    named = ObjectRef(resource, item.namespace, item.name)
    return ItemQuestions(
        get=(ask_kind("get", resource, item.namespace), ask_named("get", named)),
        patch=(ask_kind("patch", resource, item.namespace), ask_named("patch", named)),
        patch_pods=pods,
    )


def may(rights: Rights, questions: Iterable[AccessQuestion]) -> bool | None:
    """Whether one of the questions was answered with yes; ``None`` where none was answered with yes or no."""
    answers = [told.value.allowed for q in questions if (told := rights.get(q)) is not None and told.value is not None]
    return any(answers) if answers else None


def who(facts: Facts) -> str | None:
    """Our own name, as the API server wrote it into the first denial of a fixed order."""
    told: list[Told[object] | None] = [facts.identity]
    told += [facts.namespaces[name] for name in sorted(facts.namespaces)]
    for item in sorted(facts.items, key=lambda each: (each.item.namespace, each.item.kind, each.item.name)):
        told += [item.live, item.pods, item.dry_run, item.pod_dry_run]
    for each in told:
        if each is not None and isinstance(each.error, ClusterAnswerError):
            found = forbidden_question(each.error)
            if found is not None:
                return found[1]
    return None
