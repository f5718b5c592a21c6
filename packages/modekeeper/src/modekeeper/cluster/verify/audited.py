"""The audit after the fact in a verification: a change in our name without a receipt is a problem of its item."""

from collections import defaultdict
from dataclasses import replace

import msgspec

from modekeeper.artifacts.contracts.k8s_verify import (
    AuditIncident,
    AuditPart,
    BlockerKind,
    NamespacePart,
    VerifyItem,
    VerifyProblem,
)
from modekeeper.cluster.audit.looking import Audit
from modekeeper.cluster.verify.judge import Judgement, first_blocker
from modekeeper.model.decision import Target

__all__ = ["audit_part", "audited"]

INCIDENT, UNREAD = "unreceipted_change", "audit_incomplete"
_MOST_INCIDENTS = 200
_MOST_OF_AN_ITEM = 10
_ORDER = {kind: place for place, kind in enumerate(BlockerKind)}


def audit_part(audit: Audit | None) -> AuditPart:
    """As the report says it; without receipts nothing was checked."""
    if audit is None:
        return AuditPart()
    return AuditPart(
        checked=audit.complete,
        receipts_path=audit.folder,
        receipts=audit.receipts,
        objects=audit.objects,
        untold=audit.untold,
        incidents_total=len(audit.incidents),
        incidents=tuple(
            AuditIncident(
                kind=each.change.kind,
                namespace=each.change.namespace,
                name=each.change.name,
                uid=each.change.uid,
                values=dict(each.change.keys),
                changed_at=each.change.changed_at,
                detail=each.change.text,
            )
            for each in audit.incidents[:_MOST_INCIDENTS]
        ),
        unread=tuple(each.text for each in audit.unread),
    )


def audited(judgement: Judgement, audit: Audit | None) -> Judgement:
    """The judgement, with what the audit found among the problems. What it could not look at is one too."""
    if audit is None:
        return judgement
    found: dict[Target, list[VerifyProblem]] = defaultdict(list)
    for each in audit.incidents:
        found[each.target].append(_problem(INCIDENT, each.change.text))
    for silent in audit.unread:
        found[silent.target].append(_problem(UNREAD, f"the audit is not complete: {silent.text}"))
    items = tuple(_with(item, found[_target(item)]) for item in judgement.items)
    return replace(
        judgement,
        ok=all(item.ok for item in items),
        blocker=first_blocker(items),
        items=items,
        namespaces=tuple(_counted(namespace, items) for namespace in judgement.namespaces),
    )


def _problem(code: str, detail: str) -> VerifyProblem:
    return VerifyProblem(kind=BlockerKind.UNKNOWN, code=code, detail=detail)


def _target(item: VerifyItem) -> Target:
    return Target(namespace=item.namespace, kind=item.kind, name=item.name)


def _with(item: VerifyItem, more: list[VerifyProblem]) -> VerifyItem:
    if not more:
        return item
    # Before the item's own problems of the same kind: this one says more.
    left_out = len(more) - _MOST_OF_AN_ITEM
    if left_out > 0:
        more = [*more[:_MOST_OF_AN_ITEM], _problem(INCIDENT, f"and {left_out} more: see audit in the report")]
    problems = tuple(sorted((*more, *item.problems), key=lambda problem: _ORDER[problem.kind]))
    return msgspec.structs.replace(item, ok=False, blocker=problems[0].kind, problems=problems)


def _counted(namespace: NamespacePart, items: tuple[VerifyItem, ...]) -> NamespacePart:
    inside = [items[index] for index in namespace.items]
    ok = sum(item.ok for item in inside)
    return msgspec.structs.replace(namespace, items_ok=ok, ok=ok == len(inside))
