"""Ask a cluster everything the checks look at. Reads and access reviews, nothing else."""

from collections.abc import Callable
from typing import Any

import msgspec

from modekeeper.cluster.preflight.asking import Question, answer_of, ask_all
from modekeeper.cluster.preflight.facts import Facts, NoAnswer, Subject, Why
from modekeeper.cluster.preflight.rights import rights
from modekeeper.model.cluster import AccessQuestion, ClusterContext, JsonObject, ObjectRef, Resource
from modekeeper.model.json_fields import names_of
from modekeeper.policy.wording import listed
from modekeeper.ports.cluster import ClusterReader

__all__ = ["gather", "no_facts"]

MOST_NODES = 500
"""Nodes that are read. What they offer is counted over these; a note says where there are more."""
MOST_NAMES = 500
_MOST_AUTOSCALERS = 500
THREADS = 4
"""More would open more connections, and opening one costs as much as several questions."""

_NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
_NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
_DAEMON_SETS = Resource("apps", "v1", "daemonsets", "DaemonSet")
_HPA = Resource("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
_VPA_GROUP = "autoscaling.k8s.io"
_VPA = Resource(_VPA_GROUP, "v1", "verticalpodautoscalers", "VerticalPodAutoscaler")
_BUILT_IN_GROUPS = frozenset({"apps", "batch"})
"""Groups every API server serves in the versions known here: nobody needs to be asked."""

_Objects = tuple[JsonObject, ...]


def gather(
    reader: ClusterReader, subject: Subject, *, threads: int = THREADS, meanwhile: Callable[[], object] = lambda: None
) -> Facts:
    """Everything that is to be known, asked by several threads at once; each gap says why it is one.

    Args:
        reader: the cluster.
        subject: the workload.
        threads: how many questions may be under way at the same time.
        meanwhile: what the caller's own thread does while the cluster is thinking.
    """
    needed = [right.question for right in rights(subject)]
    seen: list[Resource] = []
    lookups: list[Question[Any]] = [
        Question(reader.server_version),
        Question(lambda: _workload(reader, subject, seen), needed[0]),
        *(_may_i(reader, question) for question in needed),
        _one(reader, _NAMESPACES, subject.namespace, within=subject.namespace),
        _many(reader, _NODES, None, MOST_NODES),
        _many(reader, _DAEMON_SETS, None),
        _many(reader, _HPA, subject.namespace, _MOST_AUTOSCALERS),
        Question(lambda: _vertical(reader, subject.namespace), _right_to_list(_VPA, subject.namespace)),
    ]
    version, workload, *rest = ask_all(lookups, threads, meanwhile)
    access, others = rest[: len(needed)], rest[len(needed) :]
    namespace, nodes, daemon_sets, horizontal, vertical = others
    facts = Facts(
        subject=subject,
        context=reader.context,
        version=version,
        resource=seen[0] if seen else workload,
        namespace=namespace,
        workload=workload,
        names=NoAnswer(why=Why.NOT_ASKED, detail="not asked"),
        access=dict(zip(needed, access, strict=True)),
        nodes=nodes,
        nodes_cut=isinstance(nodes, tuple) and len(nodes) >= MOST_NODES,
        daemon_sets=daemon_sets,
        horizontal_autoscalers=horizontal,
        vertical_autoscalers=vertical,
    )
    return _with_names(reader, facts)


def no_facts(subject: Subject, why: NoAnswer, context: ClusterContext | None = None) -> Facts:
    """What is known where no cluster can be asked."""
    unasked = NoAnswer(why=Why.NOT_ASKED, detail="not asked: there is no way to the cluster")
    return Facts(
        subject=subject,
        context=context,
        version=why,
        resource=unasked,
        namespace=unasked,
        workload=unasked,
        names=unasked,
        access={right.question: unasked for right in rights(subject)},
        nodes=unasked,
        nodes_cut=False,
        daemon_sets=unasked,
        horizontal_autoscalers=unasked,
        vertical_autoscalers=unasked,
    )


def _workload(reader: ClusterReader, subject: Subject, seen: list[Resource]) -> JsonObject | NoAnswer:
    """The workload in a version to read it in, which is put into ``seen``."""
    kind = subject.kind
    version = kind.versions[0]
    if kind.group not in _BUILT_IN_GROUPS:
        served = reader.served_versions(kind.group)
        known = next((known for known in kind.versions if known in served), None)
        if known is None:
            has = f"serves {listed(served)} of it" if served else "does not have it"
            detail = f"{kind.kind} is {kind.group}/{' or '.join(kind.versions)}; the cluster {has}"
            return NoAnswer(why=Why.MISSING, detail=detail)
        version = known
    seen.append(kind.resource(version))
    return reader.get(ObjectRef(seen[0], subject.namespace, subject.name))


def _vertical(reader: ClusterReader, namespace: str) -> _Objects:
    """The vertical autoscalers; none where the cluster does not know the kind."""
    if _VPA.version not in reader.served_versions(_VPA_GROUP):
        return ()
    return reader.list(_VPA, namespace, limit=_MOST_AUTOSCALERS).items


def _with_names(reader: ClusterReader, facts: Facts) -> Facts:
    resource, workload, subject = facts.resource, facts.workload, facts.subject
    if not isinstance(resource, Resource) or not isinstance(workload, NoAnswer) or workload.why is not Why.MISSING:
        return facts
    needs = _right_to_list(resource, subject.namespace)
    listed = answer_of(Question(lambda: reader.list(resource, subject.namespace, limit=MOST_NAMES).items, needs))
    if isinstance(listed, NoAnswer):
        return msgspec.structs.replace(facts, names=listed)
    return msgspec.structs.replace(facts, names=names_of(listed))


def _may_i(reader: ClusterReader, question: AccessQuestion) -> Question[bool]:
    return Question(lambda: reader.can_i(question).allowed)


def _one(reader: ClusterReader, resource: Resource, name: str, *, within: str | None) -> Question[JsonObject]:
    """One object without a namespace. A role within a namespace may allow the reading of that namespace itself."""
    needs = AccessQuestion(verb="get", group=resource.group, resource=resource.plural, namespace=within, name=name)
    return Question(lambda: reader.get(ObjectRef(resource, None, name)), needs)


def _many(
    reader: ClusterReader, resource: Resource, namespace: str | None, limit: int | None = None
) -> Question[_Objects]:
    return Question(lambda: reader.list(resource, namespace, limit=limit).items, _right_to_list(resource, namespace))


def _right_to_list(resource: Resource, namespace: str | None) -> AccessQuestion:
    return AccessQuestion(verb="list", group=resource.group, resource=resource.plural, namespace=namespace)
