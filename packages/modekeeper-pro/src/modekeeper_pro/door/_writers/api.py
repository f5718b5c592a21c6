"""Changes over HTTP/1.1 and TLS, on the connections the public package reads with."""

import threading
import time
from collections.abc import Mapping
from http.client import HTTPException, HTTPResponse
from typing import Any

import msgspec

from modekeeper.cluster.access.credentials import Credentials, Identity
from modekeeper.cluster.access.settings import ClusterAccess
from modekeeper.cluster.answers import status_error
from modekeeper.cluster.api.connections import Connection, Connections
from modekeeper.cluster.api.failures import not_kubernetes, unreachable
from modekeeper.cluster.api.limits import Limit, StoppedError
from modekeeper.cluster.api.transport import ApiTransport
from modekeeper.cluster.api.wire import Wired
from modekeeper.cluster.requests import object_path
from modekeeper.cluster.rest_reader import RestReader
from modekeeper.model.cluster import FIELD_MANAGER, ClusterUnreachableError, DryRunAnswer, JsonObject
from modekeeper.ports.clock import Clock
from modekeeper_pro.door._writers.words import ask_to_change
from modekeeper_pro.door.change import Change

__all__ = ["ApiWriter"]

_QUERY = f"fieldValidation=Strict&fieldManager={FIELD_MANAGER}"
_MAX_ANSWER_BYTES = 64 * 2**20
_CHUNK = 1 << 16
_OK = range(200, 300)
_REDIRECT = range(300, 400)
_UNAUTHORIZED = 401


class ApiWriter:
    """A ``Writer`` that talks to the API server itself.

    Args:
        access: the way there.
        clock: tells when printed credentials end.
        environment: of login programs.
        request_timeout_s: how long one change may take.
    """

    def __init__(
        self, access: ClusterAccess, *, clock: Clock, environment: Mapping[str, str], request_timeout_s: float
    ) -> None:
        self._access = access
        self._timeout_s = request_timeout_s
        self._credentials = Credentials(access, clock, environment)
        self._connections = Connections(access)
        self._closed = threading.Event()
        self._reader = RestReader(
            ApiTransport(access, clock=clock, environment=environment, request_timeout_s=request_timeout_s)
        )

    def dry_run(self, change: Change) -> DryRunAnswer:
        """As the port says; by the public package's dry run, which cannot do anything else."""
        return self._reader.dry_run(change.ref, change.patch)

    def write(self, change: Change) -> JsonObject:
        """As the port says. A 401 is answered once with newer credentials: such a request did nothing."""
        asked = ask_to_change(change)
        limit = Limit(time.monotonic() + self._timeout_s, self._closed)
        sent = _patch_request(change)
        identity = self._credentials.current()
        status, body = self._exchange(asked, sent, identity, limit)
        if status == _UNAUTHORIZED and self._credentials.refused(identity):
            status, body = self._exchange(asked, sent, self._credentials.current(), limit)
        if status in _REDIRECT or status < _OK.start:
            raise not_kubernetes(self._access, asked, f"the HTTP status {status}")
        if status not in _OK:
            raise status_error(asked, status, body)
        if not isinstance(body, dict):
            raise not_kubernetes(self._access, asked, "no object")
        return body

    def close(self) -> None:
        """As the port says."""
        self._closed.set()
        self._connections.close()
        self._reader.close()

    def _exchange(self, asked: str, sent: Wired, identity: Identity, limit: Limit) -> tuple[int, Any]:
        connection: Connection | None = None
        try:
            connection = self._connections.take(identity, limit)
            response = connection.exchange(sent, identity.headers, limit)
            data = _whole(response)
        except StoppedError:
            _close(connection)
            raise ClusterUnreachableError("The connection to the cluster is closed.") from None
        except (OSError, HTTPException, ValueError) as error:
            _close(connection)
            self._connections.drop_idle()
            raise unreachable(self._access, asked, error, self._timeout_s) from None
        except BaseException:
            _close(connection)
            raise
        self._connections.give_back(connection)
        return response.status, _decoded(data)


def _patch_request(change: Change) -> Wired:
    """The only request of the product that changes something."""
    headers = (("Content-Type", "application/merge-patch+json"),)
    return Wired("PATCH", f"{object_path(change.ref)}?{_QUERY}", headers, msgspec.json.encode(change.patch))


def _whole(response: HTTPResponse) -> bytes:
    """The body to its end.

    Raises:
        HTTPException: it is cut off, or larger than any object.
    """
    kept = bytearray()
    while chunk := response.read(_CHUNK):
        kept += chunk
        if len(kept) > _MAX_ANSWER_BYTES:
            raise HTTPException("the answer is too large")
    if response.length:
        raise HTTPException("the answer is cut off")
    return bytes(kept)


def _decoded(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return data.decode(errors="replace")


def _close(connection: Connection | None) -> None:
    if connection is not None:
        connection.close()
