"""A cluster, to look at. Nothing behind this seam can change one."""

from collections.abc import Iterator
from typing import Protocol

from modekeeper.model.cluster import (
    AccessAnswer,
    AccessQuestion,
    ClusterContext,
    DryRunAnswer,
    JsonObject,
    LogQuestion,
    ObjectList,
    ObjectRef,
    Resource,
    ServerVersion,
    WatchEvent,
)
from modekeeper.ports.clock import StopSignal

__all__ = ["ClusterReader"]


class ClusterReader(Protocol):
    """Questions to a Kubernetes API server.

    Every call has a deadline and comes back: a call that only asks is tried again, with growing waits, where the
    answer was 429 or 5xx or the connection was lost, as long as the deadline allows. All calls may be made from
    several threads at once.

    Every call raises one of these, and nothing else, where it cannot answer (a watch and a log when they are read):

        ClusterConfigError: the way to the cluster cannot be told.
        ClusterUnreachableError: no answer within the deadline.
        ClusterAnswerError: the API said no; its ``status`` and ``reason`` say why.

    Secret objects are never asked for: a ``RefusedError``, before anything is sent.
    """

    @property
    def context(self) -> ClusterContext:
        """Where the answers come from. Asks nobody."""
        ...

    def server_version(self) -> ServerVersion:
        """What the API server says it is."""
        ...

    def served_versions(self, group: str) -> tuple[str, ...]:
        """The versions of an API group the server has, its preferred one first; none where it has no such group."""
        ...

    def get(self, ref: ObjectRef) -> JsonObject:
        """One object; ``ClusterAnswerError`` with status 404 where there is none."""
        ...

    def list(
        self, resource: Resource, namespace: str | None, *, labels: str = "", fields: str = "", limit: int | None = None
    ) -> ObjectList:
        """Objects of a kind, read page by page, in the order of the API.

        Args:
            resource: which kind.
            namespace: ``None``: of all namespaces, or of a kind that has none.
            labels: a label selector.
            fields: a field selector.
            limit: stop after so many objects.
        """
        ...

    def watch(
        self,
        resource: Resource,
        namespace: str | None,
        *,
        resource_version: str,
        stop: StopSignal,
        labels: str = "",
        fields: str = "",
    ) -> Iterator[WatchEvent]:
        """What happens from ``resource_version`` on, until ``stop`` is set or the server ends the watch.

        It ends quietly when the server closes it: list again, or watch from the last seen version. A version that is
        too old is a ``ClusterAnswerError`` with status 410. ``stop`` is looked at several times a second.
        """
        ...

    def logs(self, question: LogQuestion, stop: StopSignal) -> Iterator[bytes]:
        """The log of one container, in chunks as they come, cut anywhere.

        A log that is followed goes on until the container ends, the server closes the connection (both end it
        quietly), ``stop`` is set, or the connection breaks (``ClusterUnreachableError``). It is not tried again here:
        only the caller knows which lines it has. ``stop`` is looked at several times a second.
        """
        ...

    def can_i(self, question: AccessQuestion) -> AccessAnswer:
        """Whether our own identity may do something (SelfSubjectAccessReview)."""
        ...

    def dry_run(self, ref: ObjectRef, patch: JsonObject) -> DryRunAnswer:
        """What a JSON merge patch (RFC 7396) of the object would make of it: ``dryRun=All``, strict field validation.

        Authorised exactly like the real patch. Nothing is stored.
        """
        ...

    def close(self) -> None:
        """Let go of connections. Calls after it raise ``ClusterUnreachableError``."""
        ...
