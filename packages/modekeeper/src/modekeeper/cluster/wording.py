"""What is asked of a cluster, in words: one voice for the errors of every adapter."""

from modekeeper.cluster.answers import shown
from modekeeper.model.cluster import LogQuestion, ObjectRef, Resource

__all__ = ["ask_to_get", "ask_to_list", "ask_to_patch", "ask_to_read_log", "ask_to_watch", "group_resource"]

_NAME_LIMIT = 100


def group_resource(resource: Resource) -> str:
    """``deployments.apps``; of the core group ``pods``."""
    name = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
    return shown(name, _NAME_LIMIT)


def ask_to_get(ref: ObjectRef) -> str:
    """``get deployments.apps "trainer" in namespace "research"``."""
    return f"get {_object(ref)}"


def ask_to_patch(ref: ObjectRef) -> str:
    """What a dry run asks."""
    return f"dry-run a patch of {_object(ref)}"


def ask_to_list(resource: Resource, namespace: str | None) -> str:
    """``list pods in namespace "research"``."""
    return f"list {group_resource(resource)}{_where(namespace, resource)}"


def ask_to_watch(resource: Resource, namespace: str | None) -> str:
    """``watch pods in all namespaces``."""
    return f"watch {group_resource(resource)}{_where(namespace, resource)}"


def ask_to_read_log(question: LogQuestion) -> str:
    """``read the log of container "main" of pod "trainer-0" in namespace "research"``."""
    container = f'container "{shown(question.container, _NAME_LIMIT)}" of ' if question.container else ""
    return (
        f'read the log of {container}pod "{shown(question.pod, _NAME_LIMIT)}"'
        f' in namespace "{shown(question.namespace, _NAME_LIMIT)}"'
    )


def _object(ref: ObjectRef) -> str:
    where = f' in namespace "{shown(ref.namespace, _NAME_LIMIT)}"' if ref.namespace is not None else ""
    return f'{group_resource(ref.resource)} "{shown(ref.name, _NAME_LIMIT)}"{where}'


def _where(namespace: str | None, resource: Resource) -> str:
    if namespace is not None:
        return f' in namespace "{shown(namespace, _NAME_LIMIT)}"'
    return " in all namespaces" if resource.namespaced else ""
