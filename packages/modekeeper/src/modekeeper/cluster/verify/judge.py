"""From facts to verdicts: the items, their problems, the first blocker. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from modekeeper.artifacts.contracts.access import AccessHint
from modekeeper.artifacts.contracts.k8s_verify import (
    AccessCheck,
    BlockerKind,
    DryRunPart,
    DryRunStatus,
    Effect,
    EffectPart,
    NamespacePart,
    PodPart,
    PodsPart,
    VerifyBlocker,
    VerifyItem,
    VerifyProblem,
)
from modekeeper.cluster.rbac import access_hint
from modekeeper.cluster.verify.compare import dry_run_part, live_values, wanted_values
from modekeeper.cluster.verify.facts import Facts, ItemFacts, Rights
from modekeeper.cluster.verify.predict import UNREAD, is_no_op, predict
from modekeeper.cluster.verify.problems import denied_questions, problems_of
from modekeeper.cluster.verify.repository import repository_patch
from modekeeper.cluster.verify.rights import item_questions, may, who
from modekeeper.cluster.verify.values import ValuesNow, values_now
from modekeeper.model.cluster import AccessQuestion, JsonObject
from modekeeper.model.decision import Actuation
from modekeeper.model.json_fields import text_at, whole_at

__all__ = ["Judgement", "first_blocker", "judge"]

_APPLICABLE = frozenset({Effect.HOT, Effect.RESTART})
_ORDER = {kind: place for place, kind in enumerate(BlockerKind)}
_MOST_PODS = 50
_MOST_LACKING = 5000


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What follows from the facts."""

    ok: bool
    blocker: VerifyBlocker | None
    items: tuple[VerifyItem, ...]
    namespaces: tuple[NamespacePart, ...]
    denied: tuple[AccessQuestion, ...]
    """Rights that are missing, each once, sorted."""
    subject: str | None
    """Who we are, where an answer says so."""
    hints: tuple[AccessHint, ...]


def judge(facts: Facts) -> Judgement:
    """The verdict on a plan. The same facts in any order of the items lead to the same blocker."""
    subject = who(facts)
    items = tuple(_item(each, facts, subject) for each in facts.items)
    denied = sorted({q for each in facts.items for q in denied_questions(each, facts.rights)}, key=_question_order)
    return Judgement(
        ok=all(item.ok for item in items),
        blocker=first_blocker(items),
        items=items,
        namespaces=tuple(_namespace(name, facts, items) for name in sorted({item.namespace for item in items})),
        denied=tuple(denied),
        subject=subject,
        hints=tuple(access_hint(question, subject=subject) for question in denied),
    )


def first_blocker(items: Iterable[VerifyItem]) -> VerifyBlocker | None:
    """The first problem by kind, then by the order items have in a plan."""
    found = [(item, problem) for item in items for problem in item.problems]
    if not found:
        return None
    item, problem = min(
        found,
        key=lambda each: (
            _ORDER[each[1].kind],
            each[0].namespace,
            each[0].kind,
            each[0].name,
            each[0].actuation.value,
            each[0].problems.index(each[1]),
        ),
    )
    return VerifyBlocker(
        kind=problem.kind, index=item.index, namespace=item.namespace, name=item.name, detail=problem.detail
    )


def _question_order(question: AccessQuestion) -> tuple[str, ...]:
    return (question.namespace or "", question.group, question.resource, question.name or "", question.verb)


def _item(facts: ItemFacts, whole: Facts, subject: str | None) -> VerifyItem:
    item, found = facts.item, facts.live.value if facts.live is not None else None
    dry_run = dry_run_part(item.patch, facts.dry_run)
    now = values_now(facts)
    pods = _pods(facts, now)
    asked_of_pod = pods.dry_run if pods is not None else DryRunPart(status=DryRunStatus.NOT_ASKED)
    prediction = predict(facts, whole.gpus, dry_run, asked_of_pod)
    problems = (*problems_of(facts, whole.rights, dry_run, asked_of_pod, subject), *prediction.problems)
    if prediction.effect.effect not in _APPLICABLE and not _is_told(problems, prediction.effect):
        problems = (
            *problems,
            VerifyProblem(kind=BlockerKind.UNKNOWN, code=prediction.effect.reason, detail=prediction.effect.detail),
        )
    if not problems and not _is_proved(item.actuation, dry_run, pods):
        problems = (VerifyProblem(kind=BlockerKind.UNKNOWN, code="not_proved", detail="the dry run was not made"),)
    problems = tuple(sorted(problems, key=lambda problem: _ORDER[problem.kind]))
    hot = item.actuation is Actuation.HOT
    questions = item_questions(facts)
    return VerifyItem(
        index=facts.index,
        namespace=item.namespace,
        kind=item.kind,
        name=item.name,
        actuation=item.actuation,
        ok=not problems,
        blocker=problems[0].kind if problems else None,
        exists=_exists(facts),
        api_version=facts.ref.resource.api_version if facts.ref is not None else None,
        uid=text_at(found, "metadata", "uid"),
        resource_version=text_at(found, "metadata", "resourceVersion"),
        generation=whole_at(found, "metadata", "generation"),
        live_values=now.live,
        recorded_values=now.recorded,
        new_values=wanted_values(item.patch),
        no_op=is_no_op(facts),
        can_get=True if found is not None and facts.was_got else may(whole.rights, questions.get),
        can_patch=may(whole.rights, questions.patch),
        can_patch_pods=may(whole.rights, questions.patch_pods) if hot else None,
        access=_access(whole.rights, (*questions.get, *questions.patch, *questions.patch_pods)),
        dry_run=dry_run,
        pods=pods,
        effect=prediction.effect,
        problems=problems,
        notes=(
            *now.notes,
            *prediction.notes,
            *_dry_run_notes(dry_run, "the object"),
            *_dry_run_notes(asked_of_pod, "a pod"),
        ),
        repository_patch=_offer(facts, prediction.effect.reason),
    )


def _is_proved(actuation: Actuation, dry_run: DryRunPart, pods: PodsPart | None) -> bool:
    """Missing evidence is never a pass."""
    parts = [dry_run] if actuation is Actuation.COLD else [dry_run, *([pods.dry_run] if pods is not None else [])]
    wanted = 1 if actuation is Actuation.COLD else 2
    return len(parts) == wanted and all(part.status is DryRunStatus.ACCEPTED for part in parts)


def _is_told(problems: Iterable[VerifyProblem], effect: EffectPart) -> bool:
    """Whether the problems say already why the effect is what it is."""
    if effect.reason in UNREAD:
        return any(True for _ in problems)
    return effect.effect is Effect.REJECTED and any(p.kind is BlockerKind.DRY_RUN_FAILED for p in problems)


def _exists(facts: ItemFacts) -> bool | None:
    if facts.live is not None and facts.live.value is not None:
        return True
    missing = [told for told in (facts.live, facts.namespace) if told is not None and told.status == 404]  # noqa: PLR2004
    return False if missing or (facts.versions is not None and facts.versions.value == ()) else None


def _access(rights: Rights, questions: Iterable[AccessQuestion]) -> tuple[AccessCheck, ...]:
    checks = []
    for question in questions:
        told = rights.get(question)
        if told is None:
            continue
        checks.append(
            AccessCheck(
                verb=question.verb,
                api_group=question.group,
                resource=question.resource,
                namespace=question.namespace,
                name=question.name,
                allowed=told.value.allowed if told.value is not None else None,
                reason=told.value.reason if told.value is not None else str(told.error),
            )
        )
    return tuple(checks)


def _pods(facts: ItemFacts, now: ValuesNow) -> PodsPart | None:
    if facts.pods is None or facts.pods.value is None:
        return None
    pods, patch = facts.pods.value, facts.item.pod_patch or {}
    listed = _listed(pods, patch)
    return PodsPart(
        total=len(pods),
        listed=tuple(_pod(pod, patch) for pod in listed),
        left_out=len(pods) - len(listed),
        differ=now.pods_differ,
        dry_run=dry_run_part(patch, facts.pod_dry_run),
    )


def _listed(pods: Sequence[JsonObject], patch: JsonObject) -> Sequence[JsonObject]:
    """The first of them; where some carry every value already, all the others: of each it must be known what it holds.

    That is a plan which was applied, and pods that were made since.
    """
    wanted = wanted_values(patch)
    carry = [live_values(patch, pod) == wanted for pod in pods]
    if not any(carry) or all(carry):
        return pods[:_MOST_PODS]
    lacking = [place for place, carries in enumerate(carry) if not carries][:_MOST_LACKING]
    rest = [place for place, carries in enumerate(carry) if carries][: max(0, _MOST_PODS - len(lacking))]
    return [pods[place] for place in sorted((*lacking, *rest))]


def _pod(pod: JsonObject, patch: JsonObject) -> PodPart:
    return PodPart(
        name=text_at(pod, "metadata", "name") or "",
        uid=text_at(pod, "metadata", "uid") or "",
        resource_version=text_at(pod, "metadata", "resourceVersion") or "",
        live_values=live_values(patch, pod),
    )


def _dry_run_notes(part: DryRunPart, what: str) -> list[str]:
    notes = [f"the API server warns about {what}: {warning}" for warning in part.warnings]
    if part.also_changes:
        notes.append(f"admission would change more of {what}: {', '.join(part.also_changes)}")
    return notes


def _offer(facts: ItemFacts, reason: str) -> str | None:
    if reason != "owned_by_repository" or facts.ref is None:
        return None
    return repository_patch(facts.ref, facts.item.patch)


def _namespace(name: str, facts: Facts, items: tuple[VerifyItem, ...]) -> NamespacePart:
    inside = [item for item in items if item.namespace == name]
    told = facts.namespaces.get(name)
    exists = None if told is None else True if told.value is not None else False if told.status == 404 else None  # noqa: PLR2004
    return NamespacePart(
        name=name,
        exists=exists,
        items=tuple(item.index for item in inside),
        items_ok=sum(item.ok for item in inside),
        ok=all(item.ok for item in inside),
    )
