"""Words for what is asked of a cluster and what it answers. Objects stay JSON: they are hostile until parsed."""

from enum import StrEnum
from typing import Any

import msgspec

from modekeeper.model.errors import BadInputError, FailedError

__all__ = [
    "FIELD_MANAGER",
    "AccessAnswer",
    "AccessQuestion",
    "ClusterAnswerError",
    "ClusterConfigError",
    "ClusterContext",
    "ClusterUnreachableError",
    "DryRunAnswer",
    "JsonObject",
    "LogQuestion",
    "ObjectList",
    "ObjectRef",
    "Resource",
    "ServerVersion",
    "WatchEvent",
    "WatchEventType",
]

FIELD_MANAGER = "modekeeper"
"""The one field manager of every dry run, and of every change the licensed package makes."""

JsonObject = dict[str, Any]
"""A Kubernetes object as its JSON says it."""


class Resource(msgspec.Struct, frozen=True, order=True):
    """A kind of object, as the API addresses it: ``apps``, ``v1``, ``deployments``, ``Deployment``."""

    group: str
    """Empty for the core group."""
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """``apps/v1``; of the core group ``v1``."""
        return f"{self.group}/{self.version}" if self.group else self.version


class ObjectRef(msgspec.Struct, frozen=True, order=True):
    """One object. ``namespace`` is ``None`` exactly where the resource has none."""

    resource: Resource
    namespace: str | None
    name: str


class ClusterContext(msgspec.Struct, frozen=True, kw_only=True):
    """Where the answers come from. Nothing in it is a secret."""

    name: str | None
    """Of the kubeconfig; ``None`` inside a cluster."""
    server: str
    """Scheme, host and port; without user information, path and query."""
    namespace: str
    """The namespace meant where nobody names one."""
    user: str | None
    """The kubeconfig's name of the user, never its credentials."""


class ServerVersion(msgspec.Struct, frozen=True, kw_only=True):
    """What ``/version`` says."""

    git_version: str
    major: str
    minor: str


class ObjectList(msgspec.Struct, frozen=True, kw_only=True):
    """All objects of a list, however many pages it took. Each has its ``apiVersion`` and ``kind``, as from ``get``."""

    items: tuple[JsonObject, ...]
    resource_version: str
    """From where a watch goes on."""


class WatchEventType(StrEnum):
    """What happened to an object. An ``ERROR`` of the API is raised instead."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"


class WatchEvent(msgspec.Struct, frozen=True):
    """One line of a watch."""

    type: WatchEventType
    object: JsonObject


class AccessQuestion(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """May I? As a SelfSubjectAccessReview asks it (authorization.k8s.io/v1, ``resourceAttributes``)."""

    verb: str
    group: str
    resource: str
    """The plural."""
    subresource: str = ""
    namespace: str | None = None
    """``None``: in all namespaces."""
    name: str | None = None
    """``None``: any name."""


class AccessAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Whether it is allowed. ``reason`` is the authoriser's, for a person: escaped, one line, often empty."""

    allowed: bool
    reason: str = ""


class LogQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """Which lines of which container. Without a limit: everything the node still has."""

    namespace: str
    pod: str
    container: str | None = None
    """``None``: the only one; where there are several the API asks back (status 400)."""
    since_time: str | None = None
    """RFC 3339, whole seconds; lines from then on."""
    since_s: int | None = None
    """Lines of the last so many seconds. Not together with ``since_time``."""
    tail_lines: int | None = None
    follow: bool = False
    previous: bool = False
    """The container instance before the present one."""
    timestamps: bool = False
    """Each line begins with the node's RFC 3339 time in nanoseconds, and a space."""
    limit_bytes: int | None = None


class DryRunAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The object as it would be, mutating admission included, and the API's warnings (escaped, one line each)."""

    object: JsonObject
    warnings: tuple[str, ...] = ()


class ClusterConfigError(BadInputError):
    """The way to the cluster cannot be told: no kubeconfig, a damaged one, no such context, a failing login plugin."""


class ClusterUnreachableError(FailedError):
    """No answer: refused, not resolved, not trusted, broken off, or not within the deadline."""


class ClusterAnswerError(FailedError):
    """The API said no.

    Attributes:
        status: the HTTP status: 401, 403, 404, 409, 422, 429, 500 …
        reason: the ``reason`` of the Status object (``NotFound``, ``Forbidden``, ``Conflict``, ``Invalid`` …), or
            what the HTTP status means where the answer was no Status.
        detail: its message: escaped, one line, cut.
    """

    def __init__(self, message: str, *, status: int, reason: str, detail: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.detail = detail
