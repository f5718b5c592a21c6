"""What was asked of the cluster, and what it answered: everything the checks may look at."""

from enum import StrEnum

import msgspec

from modekeeper.model.cluster import AccessQuestion, ClusterContext, JsonObject, Resource, ServerVersion
from modekeeper.model.decision import Target
from modekeeper.model.workload import WorkloadKind

__all__ = ["Facts", "NoAnswer", "Subject", "Why"]


class Why(StrEnum):
    """Why a question has no answer."""

    DENIED = "denied"
    MISSING = "missing"
    UNREACHABLE = "unreachable"
    UNAUTHENTICATED = "unauthenticated"
    BAD_CONFIG = "bad_config"
    FAILED = "failed"
    NOT_ASKED = "not_asked"


class NoAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A question without an answer."""

    why: Why
    detail: str
    """One line for a person."""
    needs: AccessQuestion | None = None
    """The right that would have answered it."""
    identity: str | None = None
    """Who was denied it, as the API server calls us."""


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What the preflight is about."""

    kind: WorkloadKind
    namespace: str
    name: str
    container: str | None = None
    """The container that somebody named."""

    @property
    def target(self) -> Target:
        """As reports carry it."""
        return Target(namespace=self.namespace, kind=self.kind.kind, name=self.name)


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a cluster."""

    subject: Subject
    context: ClusterContext | None
    version: ServerVersion | NoAnswer
    resource: Resource | NoAnswer
    """The workload's kind, in a version that is both served and known here."""
    namespace: JsonObject | NoAnswer
    workload: JsonObject | NoAnswer
    names: tuple[str, ...] | NoAnswer
    """Other workloads of the kind; asked for only where ours is missing."""
    access: dict[AccessQuestion, bool | NoAnswer]
    nodes: tuple[JsonObject, ...] | NoAnswer
    nodes_cut: bool
    """There are more nodes than were read."""
    daemon_sets: tuple[JsonObject, ...] | NoAnswer
    horizontal_autoscalers: tuple[JsonObject, ...] | NoAnswer
    vertical_autoscalers: tuple[JsonObject, ...] | NoAnswer
    """None where the cluster has no such kind."""
    sidecars: frozenset[str] = frozenset()
    """Names of containers that are known not to train."""

    @property
    def identity(self) -> str | None:
        """Who we are, where a denial said so."""
        answers = (self.workload, self.namespace, self.nodes, self.daemon_sets, self.names)
        more = (self.horizontal_autoscalers, self.vertical_autoscalers, *self.access.values())
        return next((a.identity for a in (*answers, *more) if isinstance(a, NoAnswer) and a.identity), None)

    @property
    def answers(self) -> tuple[object, ...]:
        """Everything that was asked for, whether it was answered or not."""
        fields = (self.version, self.namespace, self.workload, self.names, self.nodes, self.daemon_sets)
        return (*fields, self.horizontal_autoscalers, self.vertical_autoscalers, *self.access.values())
