"""Who may do what in the cluster held in memory, and how it says no: in the words of the real API server."""

from collections.abc import Iterable

import msgspec

from modekeeper.model.cluster import AccessQuestion, ObjectRef, Resource

__all__ = ["Rule", "allows", "asks", "forbidden_text"]


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """What one rule of a Role allows (rbac.authorization.k8s.io/v1). ``*`` stands for all."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...] = ("",)
    resources: tuple[str, ...] = ("*",)
    """Plurals; a subresource is ``pods/log``."""
    names: tuple[str, ...] = ()
    """Empty: any name. With names a rule allows no list and no watch, since those name nothing."""
    namespaces: tuple[str, ...] | None = None
    """``None``: a ClusterRole bound in the whole cluster."""

    def allows(self, question: AccessQuestion) -> bool:
        """Whether the rule allows it."""
        resource = f"{question.resource}/{question.subresource}" if question.subresource else question.resource
        return (
            _has(self.verbs, question.verb)
            and _has(self.groups, question.group)
            and _has(self.resources, resource)
            and (not self.names or question.name in self.names)
            and (self.namespaces is None or question.namespace in self.namespaces)
        )


def allows(rules: Iterable[Rule] | None, question: AccessQuestion) -> bool:
    """Whether one of the rules allows it; ``None`` allows everything."""
    return rules is None or any(rule.allows(question) for rule in rules)


def asks(
    verb: str, resource: Resource, namespace: str | None, name: str | None = None, subresource: str = ""
) -> AccessQuestion:
    """The question the API server's authoriser is asked before it answers a request."""
    return AccessQuestion(
        verb=verb,
        group=resource.group,
        resource=resource.plural,
        subresource=subresource,
        namespace=namespace,
        name=name,
    )


def forbidden_text(user: str, question: AccessQuestion) -> str:
    """The message of a 403 (apiserver, ``responsewriters.Forbidden``)."""
    plural = f"{question.resource}/{question.subresource}" if question.subresource else question.resource
    kind = f"{question.resource}.{question.group}" if question.group else question.resource
    named = f'{kind} "{question.name}"' if question.name else kind
    where = "at the cluster scope" if question.namespace is None else f'in the namespace "{question.namespace}"'
    return (
        f'{named} is forbidden: User "{user}" cannot {question.verb} resource "{plural}"'
        f' in API group "{question.group}" {where}'
    )


def not_found_text(ref: ObjectRef) -> str:
    """The message of a 404 for an object."""
    resource = ref.resource
    kind = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
    return f'{kind} "{ref.name}" not found'


def _has(words: tuple[str, ...], word: str) -> bool:
    return "*" in words or word in words
