"""Dry runs by the writer, for the questions of step 2 of docs/DOOR.md: the same one serves steps 3 and 4."""

from collections.abc import Iterator

from modekeeper.cluster.verify.compare import annotations_place, wanted_values
from modekeeper.cluster.verify.facts import DryRun
from modekeeper.model.cluster import (
    AccessAnswer,
    AccessQuestion,
    ClusterAnswerError,
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
from modekeeper.model.json_fields import text_at
from modekeeper.ports.clock import StopSignal
from modekeeper.ports.cluster import ClusterReader
from modekeeper_pro.door.change import Change, uid_of, version_of
from modekeeper_pro.door.writer import Writer

__all__ = ["TryingReader"]

_ATTEMPTS = 5
_CONFLICT = 409


class TryingReader:
    """A ``ClusterReader`` whose dry runs are those of the write itself: by its writer, with its preconditions.

    Args:
        reader: answers everything else.
        writer: makes the dry runs.
    """

    def __init__(self, reader: ClusterReader, writer: Writer) -> None:
        self._reader = reader
        self._writer = writer
        self._seen: dict[ObjectRef, JsonObject] = {}
        self.tried: dict[Change, DryRun] = {}
        """Every dry run that was answered, by the change of one version of one object."""

    def dry_run(self, ref: ObjectRef, patch: JsonObject) -> DryRunAnswer:
        """As the port says, of the object as it was last read here; it is read again where it moved.

        Raises:
            RefusedError: the patch is no change of our own annotations.
        """
        values = tuple(sorted(wanted_values(patch).items()))
        for attempt in range(1, _ATTEMPTS + 1):
            found = self._seen.get(ref) or self.get(ref)
            change = Change(
                ref=ref,
                place=annotations_place(patch),
                values=values,
                uid=uid_of(found) or "",
                resource_version=version_of(found) or "",
            )
            try:
                answer = self._writer.dry_run(change)
            except ClusterAnswerError as error:
                if error.status != _CONFLICT or attempt == _ATTEMPTS:
                    raise
                self.get(ref)
                continue
            self.tried[change] = DryRun(before=found, after=answer)
            return answer
        raise AssertionError  # the last attempt returns or raises

    def get(self, ref: ObjectRef) -> JsonObject:
        """As the port says."""
        found = self._seen[ref] = self._reader.get(ref)
        return found

    def list(
        self, resource: Resource, namespace: str | None, *, labels: str = "", fields: str = "", limit: int | None = None
    ) -> ObjectList:
        """As the port says."""
        found = self._reader.list(resource, namespace, labels=labels, fields=fields, limit=limit)
        for each in found.items:
            where, name = text_at(each, "metadata", "namespace"), text_at(each, "metadata", "name")
            if name is not None:
                self._seen[ObjectRef(resource, where, name)] = each
        return found

    @property
    def context(self) -> ClusterContext:
        """As the port says."""
        return self._reader.context

    def server_version(self) -> ServerVersion:
        """As the port says."""
        return self._reader.server_version()

    def served_versions(self, group: str) -> tuple[str, ...]:
        """As the port says."""
        return self._reader.served_versions(group)

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
        """As the port says."""
        return self._reader.watch(
            resource, namespace, resource_version=resource_version, stop=stop, labels=labels, fields=fields
        )

    def logs(self, question: LogQuestion, stop: StopSignal) -> Iterator[bytes]:
        """As the port says."""
        return self._reader.logs(question, stop)

    def can_i(self, question: AccessQuestion) -> AccessAnswer:
        """As the port says."""
        return self._reader.can_i(question)

    def close(self) -> None:
        """As the port says."""
        self._reader.close()
