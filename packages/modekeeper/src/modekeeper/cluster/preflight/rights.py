"""What each command must be allowed to do. The roles in ``deploy/rbac/`` grant this, and a test holds them to it."""

from typing import Literal, NamedTuple

from modekeeper.cluster.preflight.facts import Subject
from modekeeper.model.cluster import AccessQuestion

__all__ = ["Right", "rights"]


class Right(NamedTuple):
    """One thing a command must be allowed to do."""

    command: Literal["observe", "verify"]
    question: AccessQuestion


def rights(subject: Subject) -> tuple[Right, ...]:
    """The rights that observing and verifying the workload take.

    ``observe`` reads the workload, follows its pods and reads their logs. ``verify`` tries its patches as server-side
    dry runs, which are authorised exactly like the real ones: of the workload, and of its pods for hot changes.
    """
    kind, namespace, name = subject.kind, subject.namespace, subject.name
    return (
        Right(
            "observe",
            AccessQuestion(verb="get", group=kind.group, resource=kind.plural, namespace=namespace, name=name),
        ),
        *(
            Right("observe", AccessQuestion(verb=verb, group="", resource="pods", namespace=namespace))
            for verb in ("get", "list", "watch")
        ),
        Right("observe", AccessQuestion(verb="get", group="", resource="pods", subresource="log", namespace=namespace)),
        Right(
            "verify",
            AccessQuestion(verb="patch", group=kind.group, resource=kind.plural, namespace=namespace, name=name),
        ),
        Right("verify", AccessQuestion(verb="patch", group="", resource="pods", namespace=namespace)),
    )
