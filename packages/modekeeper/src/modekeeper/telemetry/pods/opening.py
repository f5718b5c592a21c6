"""From a workload's name to its telemetry."""

import msgspec

from modekeeper.model.cluster import ClusterAnswerError, ClusterUnreachableError, JsonObject, ObjectRef, Resource
from modekeeper.model.errors import BadInputError
from modekeeper.model.json_fields import names_of
from modekeeper.model.workload import WORKLOAD_KINDS, WorkloadKind, find_workload_kind
from modekeeper.policy.wording import did_you_mean
from modekeeper.ports.cluster import ClusterReader
from modekeeper.telemetry.limits import IngestLimits
from modekeeper.telemetry.merge_limits import MergeLimits
from modekeeper.telemetry.pods.facts import says_jsonl
from modekeeper.telemetry.pods.followers import FollowLimits
from modekeeper.telemetry.pods.selection import NAMESPACES, selector_of
from modekeeper.telemetry.pods.source import PodLogSource
from modekeeper.telemetry.pods.workload_logs import Wanted
from modekeeper.telemetry.recorder import RawRecorder

__all__ = ["PodLogsChoice", "open_pod_logs"]

_NOT_FOUND = 404
_LONGEST_NAME = 253
_MOST_NAMES = 500


class PodLogsChoice(msgspec.Struct, frozen=True, kw_only=True):
    """Whose logs to read, as asked for on the command line."""

    namespace: str | None = None
    """``None``: that of the reader's context."""
    workload: str
    """Its name."""
    kind: str = "Deployment"
    """As ``WORKLOAD_KINDS`` names it, upper and lower case alike."""
    container: str | None = None
    """``None``: the only one that may be meant."""
    since_s: int | None = None
    """Only lines of the last so many seconds; of pods that come later all. ``None``: everything the nodes have."""
    settle_s: float = 0.5
    """Live: how long the newest lines wait for those of other pods."""


def open_pod_logs(
    reader: ClusterReader,
    choice: PodLogsChoice,
    *,
    live: bool,
    recorder: RawRecorder | None = None,
    limits: IngestLimits | None = None,
    merging: MergeLimits | None = None,
    following: FollowLimits | None = None,
) -> PodLogSource:
    """The telemetry of one workload. ``close`` it in the end; the reader and the recorder stay open.

    Args:
        reader: the cluster.
        choice: whose logs.
        live: go on reading in threads, so that each call of ``blocks`` gives what came since the last; else everything
            there is is read once.
        recorder: gets what was read, as ``pod_log_recording.v0``.
        limits: bounds on what is tolerated in a line.
        merging: how long a step waits for a rank.
        following: how many read at once, and how long trouble is put up with.

    Raises:
        BadInputError: there is no such kind, or no such workload.
        ClusterConfigError, ClusterUnreachableError, ClusterAnswerError: the workload cannot be read.
        FailedError: its pods cannot be selected.
    """
    kind = find_workload_kind(choice.kind)
    if kind is None:
        known = ", ".join(known.kind for known in WORKLOAD_KINDS)
        raise BadInputError(f"no such kind of workload: {choice.kind[:80]!a}. There is: {known}.")
    if choice.since_s is not None and choice.since_s <= 0:
        raise BadInputError(f"the logs of the last {choice.since_s} seconds were asked for. Give one second or more.")
    namespace = choice.namespace or reader.context.namespace
    found = _workload(reader, kind, namespace, choice.workload)
    limits = limits or IngestLimits()
    wanted = Wanted(
        namespace=namespace,
        workload=f"{kind.kind} {choice.workload}",
        labels=selector_of(kind.kind, found),
        container=choice.container,
        strict=says_jsonl(found),
        since_s=choice.since_s,
        live=live,
        max_line_bytes=limits.max_line_bytes,
    )
    return PodLogSource(
        reader,
        wanted,
        recorder=recorder,
        limits=limits,
        merging=merging or MergeLimits(),
        following=following or FollowLimits(),
        settle_s=choice.settle_s,
    )


def _workload(reader: ClusterReader, kind: WorkloadKind, namespace: str, name: str) -> JsonObject:
    try:
        return reader.get(ObjectRef(_resource(reader, kind), namespace, name))
    except ClusterAnswerError as error:
        if error.status != _NOT_FOUND:
            raise
        raise BadInputError(_not_there(reader, kind, namespace, name)) from error


def _not_there(reader: ClusterReader, kind: WorkloadKind, namespace: str, name: str) -> str:
    """What is not there, and what may have been meant, as far as that may be listed."""
    there = _names(reader, _resource(reader, kind), namespace)
    if there:
        hint = did_you_mean(name, there)
        return f"there is no {kind.kind} '{name[:_LONGEST_NAME]}' in namespace '{namespace}': {hint}"
    namespaces = _names(reader, NAMESPACES, None)
    if namespaces and namespace not in namespaces:
        return f"there is no namespace '{namespace[:_LONGEST_NAME]}': {did_you_mean(namespace, namespaces)}"
    none_at_all = f", nor any other {kind.kind}" if there is not None else ""
    return (
        f"there is no {kind.kind} '{name[:_LONGEST_NAME]}' in namespace '{namespace}'{none_at_all}. Name another one, "
        "or another namespace or kind."
    )


def _names(reader: ClusterReader, resource: Resource, namespace: str | None) -> tuple[str, ...] | None:
    """``None`` where they may not be listed."""
    try:
        return names_of(reader.list(resource, namespace, limit=_MOST_NAMES).items)
    except (ClusterAnswerError, ClusterUnreachableError):
        return None


def _resource(reader: ClusterReader, kind: WorkloadKind) -> Resource:
    """The resource in a version that the server has, of those known here."""
    if len(kind.versions) == 1:
        return kind.resource()
    served = reader.served_versions(kind.group)
    return kind.resource(next((version for version in kind.versions if version in served), None))
