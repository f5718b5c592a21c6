"""May our identity do what the commands do."""

from collections.abc import Sequence
from typing import Literal

from modekeeper.artifacts.contracts.preflight import PreflightAccess, PreflightCheck
from modekeeper.cluster.preflight.checks.verdicts import HOW_TO_ASK, blocked, noted, passed, untold
from modekeeper.cluster.preflight.facts import Facts, NoAnswer
from modekeeper.cluster.preflight.rights import Right, rights
from modekeeper.cluster.rbac import access_hint, question_line, role_yaml
from modekeeper.model.wording import count

__all__ = ["access_list", "observe_access", "verify_access"]


def observe_access(facts: Facts) -> PreflightCheck:
    """What ``mk observe`` and ``mk watch`` need: without it nothing can be seen."""
    needed = _of(facts, "observe")
    denied, unsaid = _denied(facts, needed), _unsaid(facts, needed)
    if denied:
        return blocked("observe_access", "rbac_denied", _lacks(denied), HOW_TO_ASK, role=_role(facts, denied))
    if unsaid:
        return untold("observe_access", _unknown(facts, unsaid), blocker="unknown")
    return passed("observe_access", f"all {count(len(needed), 'right')} that mk observe needs are granted")


def verify_access(facts: Facts) -> PreflightCheck:
    """What ``mk k8s verify`` needs beside: a dry run is authorised like the change itself."""
    needed = _of(facts, "verify")
    denied, unsaid = _denied(facts, needed), _unsaid(facts, needed)
    if denied:
        detail = f"mk k8s verify cannot try a plan: {_lacks(denied)}"
        return noted("verify_access", detail, HOW_TO_ASK, role=_role(facts, denied))
    if unsaid:
        return untold("verify_access", _unknown(facts, unsaid))
    return passed("verify_access", f"both rights that mk k8s verify needs beside are granted: {_lines(needed)}")


def access_list(facts: Facts) -> tuple[PreflightAccess, ...]:
    """Every right, whether it is granted, and what to ask for where it is not."""
    return tuple(_access(facts, right) for right in rights(facts.subject))


def _access(facts: Facts, right: Right) -> PreflightAccess:
    question, answer = right.question, facts.access[right.question]
    return PreflightAccess(
        command=right.command,
        verb=question.verb,
        api_group=question.group,
        resource=f"{question.resource}/{question.subresource}" if question.subresource else question.resource,
        namespace=question.namespace,
        name=question.name,
        allowed=None if isinstance(answer, NoAnswer) else answer,
        hint=access_hint(question, subject=facts.identity) if answer is False else None,
    )


def _of(facts: Facts, command: Literal["observe", "verify"]) -> list[Right]:
    return [right for right in rights(facts.subject) if right.command == command]


def _denied(facts: Facts, needed: Sequence[Right]) -> list[Right]:
    return [right for right in needed if facts.access[right.question] is False]


def _unsaid(facts: Facts, needed: Sequence[Right]) -> list[Right]:
    return [right for right in needed if isinstance(facts.access[right.question], NoAnswer)]


def _lacks(denied: Sequence[Right]) -> str:
    return f"not granted: {_lines(denied)}"


def _lines(needed: Sequence[Right]) -> str:
    return "; ".join(question_line(right.question) for right in needed)


def _role(facts: Facts, denied: Sequence[Right]) -> str:
    return role_yaml((right.question for right in denied), subject=facts.identity)


def _unknown(facts: Facts, unsaid: Sequence[Right]) -> str:
    first = facts.access[unsaid[0].question]
    assert isinstance(first, NoAnswer)  # noqa: S101 - chosen for being one
    return f"the cluster does not say whether we may: {first.detail}"
