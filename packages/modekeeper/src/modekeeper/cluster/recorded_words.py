"""Questions and answers as a recording writes them, and back."""

import base64
from typing import Any

import msgspec

from modekeeper.model.cluster import (
    AccessAnswer,
    ClusterAnswerError,
    ClusterConfigError,
    ClusterUnreachableError,
    DryRunAnswer,
    ObjectList,
    ServerVersion,
    WatchEvent,
)
from modekeeper.model.errors import ModeKeeperError

__all__ = [
    "ANSWER_TYPES",
    "SCHEMA_VERSION",
    "asked_as",
    "chunk_read",
    "chunk_written",
    "error_read",
    "error_written",
]

SCHEMA_VERSION = "cluster_recording.v0"

ANSWER_TYPES: dict[str, Any] = {
    "server_version": ServerVersion,
    "served_versions": tuple[str, ...],
    "get": dict[str, Any],
    "list": ObjectList,
    "watch": WatchEvent,
    "can_i": AccessAnswer,
    "dry_run": DryRunAnswer,
}
"""What the method of that name gives; of ``watch`` one event."""

_ERRORS = {"config": ClusterConfigError, "unreachable": ClusterUnreachableError}


def asked_as(method: str, **words: Any) -> dict[str, Any]:
    """A question as plain JSON: the method of the port and its arguments."""
    plain: dict[str, Any] = msgspec.to_builtins({"method": method, **words})
    return plain


def chunk_written(chunk: bytes) -> Any:
    """A chunk of a log: as text where it is UTF-8."""
    try:
        return chunk.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(chunk).decode()}


def chunk_read(item: Any) -> bytes:
    """The chunk again.

    Raises:
        ValueError: it is none.
    """
    if isinstance(item, str):
        return item.encode()
    if isinstance(item, dict) and isinstance(item.get("base64"), str):
        return base64.b64decode(item["base64"], validate=True)
    raise ValueError("no chunk of a log")


def error_written(error: ModeKeeperError) -> dict[str, Any]:
    """An error of the port."""
    if isinstance(error, ClusterAnswerError):
        facts = {"status": int(error.status), "reason": error.reason, "detail": error.detail}
        return {"kind": "answer", "message": str(error), **facts}
    kind = "config" if isinstance(error, ClusterConfigError) else "unreachable"
    return {"kind": kind, "message": str(error)}


def error_read(found: dict[str, Any]) -> ModeKeeperError:
    """The error again.

    Raises:
        KeyError: it is none.
    """
    message = str(found["message"])
    if found["kind"] == "answer":
        return ClusterAnswerError(
            message, status=int(found["status"]), reason=str(found["reason"]), detail=str(found["detail"])
        )
    return _ERRORS[found["kind"]](message)
