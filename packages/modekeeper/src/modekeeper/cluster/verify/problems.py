"""Why an item is not verified, one reason at a time."""

from collections.abc import Iterator, Sequence

from modekeeper.artifacts.contracts.k8s_verify import BlockerKind, DryRunPart, DryRunStatus, VerifyProblem
from modekeeper.cluster.rbac import access_hint, forbidden_question, is_rbac_denial
from modekeeper.cluster.verify.asking import ClusterError, Told
from modekeeper.cluster.verify.facts import PODS, ItemFacts, Rights
from modekeeper.cluster.verify.rights import ask_kind, item_questions, may
from modekeeper.cluster.wording import group_resource
from modekeeper.model.cluster import AccessQuestion, ClusterAnswerError
from modekeeper.model.decision import Actuation
from modekeeper.model.json_fields import said, text_at
from modekeeper.model.untrusted import visible, visible_ends

__all__ = ["denied_questions", "is_no_answer", "problems_of"]

_UNAUTHORIZED, _NOT_FOUND = 401, 404


def problems_of(
    facts: ItemFacts, rights: Rights, dry_run: DryRunPart, pod_dry_run: DryRunPart, subject: str | None
) -> tuple[VerifyProblem, ...]:
    """Every reason but the effect; each ``code`` once."""
    found: dict[str, VerifyProblem] = {}
    for problem in _all(facts, rights, dry_run, pod_dry_run, subject):
        found.setdefault(problem.code, problem)
    return tuple(found.values())


def is_no_answer(error: ClusterError | None) -> bool:
    """Whether nobody answered, or nobody who knows us."""
    if isinstance(error, ClusterAnswerError):
        return error.status == _UNAUTHORIZED
    return error is not None


def denied_questions(facts: ItemFacts, rights: Rights) -> list[AccessQuestion]:
    """The rights that are missing for the item, as narrow as they can be asked for."""
    questions = item_questions(facts)
    denied: list[AccessQuestion] = []
    list_pods = (ask_kind("list", PODS, facts.item.namespace),)
    for told, asked in ((facts.live, questions.get[-1:]), (facts.pods, list_pods)):
        denied += _denied(told, asked)
    if not facts.was_got and may(rights, questions.get) is False:
        denied.append(questions.get[-1])
    if may(rights, questions.patch) is False:
        denied.append(questions.patch[-1])
    if may(rights, questions.patch_pods) is False:
        denied.append(questions.patch_pods[-1])
    for tried, asked in ((facts.dry_run, questions.patch[-1:]), (facts.pod_dry_run, questions.patch_pods[-1:])):
        denied += _denied(tried, asked)
    return list(dict.fromkeys(denied))


def _denied(told: Told[object] | None, asked: Sequence[AccessQuestion]) -> Sequence[AccessQuestion]:
    """What an authoriser denied: the question asked, or another one that the API server asks on the way."""
    if told is None or not isinstance(told.error, ClusterAnswerError) or not is_rbac_denial(told.error):
        return []
    read = forbidden_question(told.error)
    return (
        asked
        if read is None or any((q.verb, q.resource) == (read[0].verb, read[0].resource) for q in asked)
        else [read[0]]
    )


def _all(
    facts: ItemFacts, rights: Rights, dry_run: DryRunPart, pod_dry_run: DryRunPart, subject: str | None
) -> Iterator[VerifyProblem]:
    yield from _silence(facts, rights)
    yield from _place(facts)
    for question in denied_questions(facts, rights):
        yield _problem(
            BlockerKind.RBAC_DENIED,
            f"{question.verb}_{question.resource}_denied",
            access_hint(question, subject=subject).message,
        )
    yield from _dry_run(dry_run, f"{facts.item.kind} {said(facts.item.name)}", "dry_run")
    yield from _dry_run(pod_dry_run, "one of its pods", "pod_dry_run")
    yield from _unread(facts)
    if facts.item.actuation is Actuation.HOT and facts.live is not None and facts.live.value is not None:
        yield from _pods(facts)


def _problem(kind: BlockerKind, code: str, detail: str) -> VerifyProblem:
    return VerifyProblem(kind=kind, code=code, detail=visible_ends(detail))


def _silence(facts: ItemFacts, rights: Rights) -> Iterator[VerifyProblem]:
    questions = item_questions(facts)
    asked = [rights.get(q) for part in questions for q in part]
    told: tuple[Told[object] | None, ...] = (
        facts.namespace,
        facts.versions,
        facts.live,
        facts.pods,
        facts.dry_run,
        facts.pod_dry_run,
        *asked,
    )
    for each in told:
        if each is not None and is_no_answer(each.error):
            code = "unauthorized" if each.status == _UNAUTHORIZED else "no_answer"
            yield _problem(BlockerKind.CLIENT_UNAVAILABLE, code, str(each.error))


def _place(facts: ItemFacts) -> Iterator[VerifyProblem]:
    item = facts.item
    if facts.kind is None:
        yield _problem(BlockerKind.UNKNOWN, "kind_unknown", f"what a {said(item.kind)} is, this release does not know")
        return
    namespace = facts.namespace
    if namespace is not None and namespace.status == _NOT_FOUND:
        detail = f"the cluster has no namespace {said(item.namespace)}"
        yield _problem(BlockerKind.NAMESPACE_MISSING, "namespace_missing", detail)
    elif namespace is not None and text_at(namespace.value, "status", "phase") == "Terminating":
        detail = f"the namespace {said(item.namespace)} is being deleted: no pod can be made in it"
        yield _problem(BlockerKind.UNKNOWN, "namespace_terminating", detail)
    if facts.versions is not None and facts.versions.value == ():
        detail = f"the cluster serves no API group {facts.kind.group!r}, so there is no {item.kind} in it"
        yield _problem(BlockerKind.DEPLOYMENT_MISSING, "kind_not_served", detail)
    elif facts.versions is not None and facts.versions.value is not None and facts.ref is None:
        served = ", ".join(visible(version, 40) for version in facts.versions.value)
        detail = f"the cluster serves {facts.kind.group} as {served}, of which this release knows none"
        yield _problem(BlockerKind.UNKNOWN, "version_unknown", detail)
    if facts.live is not None and facts.live.status == _NOT_FOUND and facts.ref is not None:
        what = f"{group_resource(facts.ref.resource)} {said(item.name)} in namespace {said(item.namespace)}"
        unsure = "" if namespace is not None and namespace.value is not None else "; its namespace may not be looked at"
        yield _problem(BlockerKind.DEPLOYMENT_MISSING, "object_missing", f"there is no {what}{unsure}")


def _unread(facts: ItemFacts) -> Iterator[VerifyProblem]:
    for told, what in ((facts.versions, "its API group"), (facts.live, "the object"), (facts.pods, "its pods")):
        if told is None or not isinstance(told.error, ClusterAnswerError) or is_no_answer(told.error):
            continue
        if told.status != _NOT_FOUND and not is_rbac_denial(told.error):
            yield _problem(BlockerKind.UNKNOWN, "read_failed", f"{what} could not be read: {told.error}")


def _pods(facts: ItemFacts) -> Iterator[VerifyProblem]:
    if facts.pods is None:
        detail = "which pods belong to it cannot be told from the object"
        yield _problem(BlockerKind.UNKNOWN, "pods_not_told", detail)


_FAILED = {
    DryRunStatus.REWRITTEN: "value_rewritten",
    DryRunStatus.REJECTED: "rejected",
    DryRunStatus.UNVERIFIABLE: "unverifiable",
    DryRunStatus.FAILED: "failed",
}


def _dry_run(part: DryRunPart, what: str, code: str) -> Iterator[VerifyProblem]:
    if part.status in _FAILED and part.http_status != _UNAUTHORIZED:
        name = _FAILED[part.status]
        kind = BlockerKind.DEPLOYMENT_MISSING if part.http_status == _NOT_FOUND else BlockerKind.DRY_RUN_FAILED
        yield _problem(kind, name if name == "value_rewritten" else f"{code}_{name}", f"{what}: {part.detail}")
