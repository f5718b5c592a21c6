"""The three things that may be asked of an API server. There is no fourth, and none of them stores anything.

Both adapters take requests of these types only, and each type has one way onto the wire.
"""

from collections.abc import Iterator, Mapping
from enum import Enum
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol, TypeAlias
from urllib.parse import quote, urlencode

from modekeeper.cluster.answers import shown
from modekeeper.model.cluster import (
    FIELD_MANAGER,
    ClusterAnswerError,
    ClusterContext,
    JsonObject,
    ObjectRef,
    Resource,
)
from modekeeper.model.errors import RefusedError
from modekeeper.ports.clock import StopSignal

__all__ = [
    "ACCESS_REVIEW_PATH",
    "DRY_RUN_QUERY",
    "WATCH_S",
    "AccessReview",
    "Answered",
    "DryRun",
    "Get",
    "Request",
    "Streaming",
    "Transport",
    "collection_path",
    "object_path",
    "refuse_secrets",
    "segment",
]

ACCESS_REVIEW_PATH = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
DRY_RUN_QUERY = f"dryRun=All&fieldValidation=Strict&fieldManager={FIELD_MANAGER}"

_NOT_IN_A_NAME = frozenset("/%")
_SEGMENT_LIMIT = 253


class Get(NamedTuple):
    """Read something: ``GET``."""

    path: str
    query: tuple[tuple[str, str], ...] = ()

    @property
    def target(self) -> str:
        """Path and query as they go onto the wire."""
        return f"{self.path}?{urlencode(self.query)}" if self.query else self.path


class AccessReview(NamedTuple):
    """Ask what we may do: a ``SelfSubjectAccessReview``, which is answered and never stored."""

    attributes: Mapping[str, str]

    @property
    def body(self) -> JsonObject:
        """The object."""
        return {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": dict(self.attributes)},
        }


class DryRun(NamedTuple):
    """Ask what a merge patch would make of an object. Always with ``dryRun=All``: nothing here can leave that out."""

    ref: ObjectRef
    patch: JsonObject

    @property
    def target(self) -> str:
        """Path and query as they go onto the wire."""
        return f"{object_path(self.ref)}?{DRY_RUN_QUERY}"


Request: TypeAlias = Get | AccessReview | DryRun


class Answered(NamedTuple):
    """A decoded body, and the warnings that came with it."""

    body: Any
    warnings: tuple[str, ...] = ()


class Streaming(Enum):
    """How long a stream may take."""

    ONCE = "once"
    """It begins within the deadline, and is whole within 20 times that: the log of the past."""
    WATCH = "watch"
    """It begins within the deadline, and ends quietly when its time is over."""
    FOLLOW = "follow"
    """It begins when there is something, and goes on: a container that is silent sends nothing, not even a status."""


WATCH_S = 290
"""The server is asked to end a watch after so long; proxies in between often cut one after 5 minutes."""


class Transport(Protocol):
    """How an adapter gets a request to the API server and the answer back; errors as the port says."""

    @property
    def context(self) -> ClusterContext:
        """Where the answers come from."""
        ...

    def ask(self, asked: str, request: Request) -> Answered:
        """The whole answer. ``asked`` says for a person what is asked."""
        ...

    def stream(self, asked: str, request: Get, stop: StopSignal, streaming: Streaming) -> Iterator[bytes]:
        """The body of the answer as it comes, until it ends or ``stop`` is set, which is looked at often."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


def collection_path(resource: Resource, namespace: str | None) -> str:
    """Where the objects of a kind are: of one namespace, of all, or of a kind without namespaces."""
    refuse_secrets(resource)
    version = segment(resource.version)
    root = f"/apis/{segment(resource.group)}/{version}" if resource.group else f"/api/{version}"
    within = f"/namespaces/{segment(namespace)}" if namespace is not None and resource.namespaced else ""
    return f"{root}{within}/{segment(resource.plural)}"


def object_path(ref: ObjectRef) -> str:
    """Where one object is."""
    return f"{collection_path(ref.resource, ref.namespace)}/{segment(ref.name)}"


def segment(name: str) -> str:
    """A name as one part of a path.

    Raises:
        ClusterAnswerError: it is none (apimachinery, ``IsValidPathSegmentName``); nothing is sent.
    """
    if not name or name in {".", ".."} or _NOT_IN_A_NAME & set(name) or len(name) > _SEGMENT_LIMIT:
        detail = f"{shown(name, 60)!r} cannot be the name of anything in a cluster"
        raise ClusterAnswerError(
            f"{detail}. Correct the name.", status=HTTPStatus.BAD_REQUEST, reason="BadRequest", detail=detail
        )
    return quote(name, safe="")


def refuse_secrets(resource: Resource) -> None:
    """Secret objects are never asked for, by nobody in this package.

    Raises:
        RefusedError: the resource is that of Secrets.
    """
    if resource.group == "" and resource.plural.lower() == "secrets":
        raise RefusedError("Secret objects are never read.")
