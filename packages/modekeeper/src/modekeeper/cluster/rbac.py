"""From a denied question to the exact role to ask an administrator for. Pure: nobody is asked anything here.

Roles, bindings and what ``resourceNames`` can narrow: Kubernetes documentation, "Using RBAC Authorization". The text
of a denial is made by ``forbiddenMessage`` of k8s.io/apiserver (pkg/endpoints/handlers/responsewriters/errors.go).
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable
from typing import TypeAlias

from modekeeper.artifacts.canonical import canonical_digest
from modekeeper.artifacts.contracts.access import AccessHint
from modekeeper.model.cluster import AccessAnswer, AccessQuestion, ClusterAnswerError
from modekeeper.policy.wording import shown

__all__ = [
    "access_hint",
    "denied_hint",
    "forbidden_question",
    "is_rbac_denial",
    "question_line",
    "role_yaml",
]

_FORBIDDEN = 403
_NARROWED_BY_NAME = frozenset({"get", "patch", "update", "delete"})
"""Verbs that a rule can allow for one name; a list or a watch carries none."""
_PLACEHOLDER = "PUT-YOUR-USER-HERE"
_SERVICE_ACCOUNT = re.compile(r"system:serviceaccount:([^:]+):([^:]+)")
_DENIAL = re.compile(
    r'User "(?P<user>(?:[^"\\]|\\.)*)" cannot (?P<verb>[a-z]+) resource "(?P<resource>[^"/]+)(?:/(?P<sub>[^"]+))?"'
    r' in API group "(?P<group>[^"]*)"(?: in the namespace "(?P<namespace>[^"]+)"| at the cluster scope)'
)
_NAMED = re.compile(r'^[^"]*?\S+ "(?P<name>[^"]+)" is forbidden: ')
_PLAIN_WORD = re.compile(r"[a-z](?:[a-z0-9./-]*[a-z0-9])?")
_MEANS_SOMETHING = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""Words that YAML 1.1 takes for something else than text."""

_Rule: TypeAlias = tuple[str, str, tuple[str, ...], tuple[str, ...]]


def is_rbac_denial(error: ClusterAnswerError) -> bool:
    """Whether an authoriser denied it. Admission answers 403 too, and no role helps against that."""
    return error.status == _FORBIDDEN and _DENIAL.search(error.detail) is not None


def forbidden_question(error: ClusterAnswerError) -> tuple[AccessQuestion, str] | None:
    """What was denied and to whom, read from the API server's own words; ``None`` where it is no such denial."""
    found = _DENIAL.search(error.detail) if error.status == _FORBIDDEN else None
    if found is None:
        return None
    named = _NAMED.match(error.detail)
    question = AccessQuestion(
        verb=found["verb"],
        group=found["group"],
        resource=found["resource"],
        subresource=found["sub"] or "",
        namespace=found["namespace"],
        name=named["name"] if named else None,
    )
    return question, found["user"]


def denied_hint(error: ClusterAnswerError, asked: AccessQuestion) -> AccessHint | None:
    """What to ask for after a 403; ``None`` where it was no authoriser who said no.

    Args:
        error: the answer.
        asked: what was asked, for what the answer does not repeat.
    """
    found = forbidden_question(error)
    if found is None:
        return None
    question, user = found
    same = (question.verb, question.group, question.resource) == (asked.verb, asked.group, asked.resource)
    return access_hint(asked if same else question, subject=user)


def access_hint(
    question: AccessQuestion, answer: AccessAnswer | None = None, *, subject: str | None = None
) -> AccessHint:
    """What to ask an administrator for, so that ``question`` is answered with yes.

    Args:
        question: what is denied.
        answer: the API server's, where its reason is worth telling.
        subject: who we are, as the API server calls us; else the text says where to put that.
    """
    who = f"{shown(subject)!r}" if subject else "this identity"
    why = f" ({shown(answer.reason, 160)})" if answer is not None and answer.reason else ""
    return AccessHint(
        verb=question.verb,
        api_group=question.group,
        resource=_resource(question),
        namespace=question.namespace,
        name=question.name,
        subject=subject,
        message=f"{who} may not {question_line(question)}{why}: ask for this one rule",
        role_yaml=role_yaml([question], subject=subject),
    )


def question_line(question: AccessQuestion) -> str:
    """``patch deployments.apps "trainer" in namespace "train"``: one line, names quoted."""
    group = f".{question.group}" if question.group else ""
    name = f' "{shown(question.name)}"' if question.name else ""
    where = f'in namespace "{shown(question.namespace)}"' if question.namespace else "in the whole cluster"
    return f"{question.verb} {_resource(question)}{group}{name} {where}"


def role_yaml(questions: Iterable[AccessQuestion], *, subject: str | None = None, role: str | None = None) -> str:
    """The least roles that allow all ``questions``, with their bindings, as one YAML text for ``kubectl apply``.

    A ``Role`` for each namespace, and a ``ClusterRole`` for what is asked of the whole cluster; the same questions in
    any order make the same text. Empty where nothing is asked. The name of the roles comes from their rules where
    ``role`` gives none: a role that is asked for later never takes the place of one that was granted before.
    """
    by_namespace: dict[str | None, list[AccessQuestion]] = defaultdict(list)
    for question in questions:
        by_namespace[question.namespace].append(question)
    documents: list[str] = []
    for namespace in sorted(by_namespace, key=lambda name: (name is not None, name or "")):
        rules = _rules(by_namespace[namespace])
        name = role or f"modekeeper-{canonical_digest(rules).removeprefix('sha256:')[:8]}"
        documents += [_role(name, namespace, rules), _binding(name, namespace, subject)]
    return "---\n".join(documents)


def _role(role: str, namespace: str | None, rules: Iterable[_Rule]) -> str:
    lines = _head("ClusterRole" if namespace is None else "Role", role, namespace)
    lines.append("rules:")
    for group, resource, names, verbs in rules:
        lines += [f"- apiGroups: [{_quoted(group)}]", f"  resources: [{_quoted(resource)}]"]
        if names:
            lines.append(f"  resourceNames: [{', '.join(map(_quoted, names))}]")
        lines.append(f"  verbs: [{', '.join(map(_quoted, verbs))}]")
    return "\n".join(lines) + "\n"


def _rules(questions: Iterable[AccessQuestion]) -> list[_Rule]:
    """Group, resource, names and verbs of each rule: the verbs of a name together, then the names of those verbs."""
    verbs: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for question in questions:
        name = question.name if question.name and question.verb in _NARROWED_BY_NAME else ""
        verbs[question.group, _resource(question), name].add(question.verb)
    names: dict[tuple[str, str, tuple[str, ...], bool], list[str]] = defaultdict(list)
    for (group, resource, name), allowed in sorted(verbs.items()):
        names[group, resource, tuple(sorted(allowed)), bool(name)].append(name)
    return sorted(
        (group, resource, tuple(named) if is_named else (), allowed)
        for (group, resource, allowed, is_named), named in names.items()
    )


def _binding(role: str, namespace: str | None, subject: str | None) -> str:
    kind = "ClusterRole" if namespace is None else "Role"
    lines = _head(f"{kind}Binding", role, namespace)
    lines += ["roleRef:", "  apiGroup: rbac.authorization.k8s.io", f"  kind: {kind}", f"  name: {_plain(role)}"]
    lines.append("subjects:")
    account = _SERVICE_ACCOUNT.fullmatch(subject or "")
    if account is not None:
        lines += ["- kind: ServiceAccount", f"  namespace: {_plain(account[1])}", f"  name: {_plain(account[2])}"]
    else:
        lines += ["- apiGroup: rbac.authorization.k8s.io", "  kind: User"]
        lines.append(f"  name: {_plain(subject)}" if subject else f"  name: {_PLACEHOLDER}  # kubectl auth whoami")
    return "\n".join(lines) + "\n"


def _head(kind: str, name: str, namespace: str | None) -> list[str]:
    lines = ["apiVersion: rbac.authorization.k8s.io/v1", f"kind: {kind}", "metadata:", f"  name: {_plain(name)}"]
    return lines if namespace is None else [*lines, f"  namespace: {_plain(namespace)}"]


def _resource(question: AccessQuestion) -> str:
    return f"{question.resource}/{question.subresource}" if question.subresource else question.resource


def _quoted(text: str) -> str:
    """Every JSON string is a YAML one."""
    return json.dumps(text)


def _plain(text: str) -> str:
    return text if _PLAIN_WORD.fullmatch(text) and text not in _MEANS_SOMETHING else _quoted(text)
