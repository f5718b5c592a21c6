"""Requests over HTTP/1.1 and TLS, with the standard library (docs/adr/0009)."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http.client import HTTPException, HTTPResponse, IncompleteRead
from typing import Any, NoReturn

import msgspec

from modekeeper.cluster.access.credentials import Credentials, Identity
from modekeeper.cluster.access.settings import ClusterAccess
from modekeeper.cluster.answers import status_error
from modekeeper.cluster.api.connections import Connection, Connections
from modekeeper.cluster.api.failures import asking_again_helps, not_kubernetes, too_large, unreachable
from modekeeper.cluster.api.limits import Limit, StoppedError
from modekeeper.cluster.api.warning_headers import warnings_of
from modekeeper.cluster.api.wire import Wired, wired
from modekeeper.cluster.requests import WATCH_S, Answered, Get, Request, Streaming
from modekeeper.cluster.retrying import RETRIED_STATUSES, AskAgainError, retried
from modekeeper.model.cluster import ClusterContext, ClusterUnreachableError
from modekeeper.ports.clock import Clock, StopSignal

__all__ = ["ApiTransport"]

_MAX_ANSWER_BYTES = 64 * 2**20
_MAX_ERROR_BYTES = 2**20
_CHUNK = 1 << 16
_NO_END_S = 10 * 365 * 86400.0
_ONCE_TIMES = 20
_WATCH_SLACK_S = 30
_OK = range(200, 300)
_REDIRECT = range(300, 400)
_UNAUTHORIZED = 401


class ApiTransport:
    """Gets requests to the API server of one context. All its threads share one set of connections.

    Args:
        access: the way there.
        clock: waits between attempts, and tells when printed credentials end.
        environment: of login programs.
        request_timeout_s: how long one request may take, all its attempts included.
    """

    def __init__(
        self, access: ClusterAccess, *, clock: Clock, environment: Mapping[str, str], request_timeout_s: float
    ) -> None:
        self._access = access
        self._clock = clock
        self._timeout_s = request_timeout_s
        self._credentials = Credentials(access, clock, environment)
        self._connections = Connections(access)
        self._closed = threading.Event()

    @property
    def context(self) -> ClusterContext:
        """As the port says."""
        return self._access.context

    def close(self) -> None:
        """As the port says. What is under way in other threads ends with an error."""
        self._closed.set()
        self._connections.close()

    def ask(self, asked: str, request: Request) -> Answered:
        """The whole answer, of 64 MiB at most."""
        end_s = time.monotonic() + self._timeout_s
        limit = Limit(end_s, self._closed)
        sent = wired(request)
        try:
            return retried(
                lambda: self._ask_once(asked, sent, limit), end_s=end_s, clock=self._clock, stop=self._closed
            )
        except StoppedError:
            raise _closed() from None

    def stream(self, asked: str, request: Get, stop: StopSignal, streaming: Streaming) -> Iterator[bytes]:
        """The body as it comes. Opening it is tried again like any request; what breaks off after that is not."""
        begin_s = time.monotonic() + (_NO_END_S if streaming is Streaming.FOLLOW else self._timeout_s)
        sent = wired(request)
        opening = Limit(begin_s, self._closed, stop)
        try:
            connection, response = retried(
                lambda: self._open_once(asked, sent, opening), end_s=begin_s, clock=self._clock, stop=stop
            )
            try:
                connection.limit(Limit(time.monotonic() + self._longest_s(streaming), self._closed, stop))
                yield from self._chunks(asked, response, streaming)
            finally:
                response.close()
                connection.close()
        except StoppedError:
            if self._closed.is_set():
                raise _closed() from None

    def _longest_s(self, streaming: Streaming) -> float:
        match streaming:
            case Streaming.ONCE:
                return self._timeout_s * _ONCE_TIMES
            case Streaming.WATCH:
                return WATCH_S + _WATCH_SLACK_S
            case Streaming.FOLLOW:
                return _NO_END_S

    def _chunks(self, asked: str, response: HTTPResponse, streaming: Streaming) -> Iterator[bytes]:
        delimited = _delimited(response)
        while True:
            try:
                chunk = response.read1(_CHUNK)
            except TimeoutError as error:
                if streaming is Streaming.WATCH:
                    return
                raise self._unreachable(asked, error) from None
            except (OSError, HTTPException, ValueError) as error:
                raise self._unreachable(asked, error) from None
            if not chunk:
                if response.length or not delimited:
                    raise self._unreachable(asked, IncompleteRead(b"")) from None
                return
            yield chunk

    def _ask_once(self, asked: str, sent: Wired, limit: Limit) -> Answered:
        connection, response = self._open_once(asked, sent, limit)
        delimited = _delimited(response)
        data = self._body(asked, connection, response, _MAX_ANSWER_BYTES)
        if data is None:
            raise too_large(asked, _MAX_ANSWER_BYTES)
        try:
            body = msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if not delimited:
                raise self._failed(asked, IncompleteRead(data)) from None
            raise not_kubernetes(self._access, asked, "something else than JSON") from None
        return Answered(body, warnings_of(response.headers.get_all("Warning", [])))

    def _open_once(self, asked: str, sent: Wired, limit: Limit) -> tuple[Connection, HTTPResponse]:
        """An answer that is no refusal, its body not read yet."""
        identity = self._credentials.current()
        connection, response = self._send(asked, sent, identity, limit)
        if response.status == _UNAUTHORIZED and self._credentials.refused(identity):
            self._body(asked, connection, response, _MAX_ERROR_BYTES)
            connection, response = self._send(asked, sent, self._credentials.current(), limit)
        if response.status not in _OK:
            self._refused(asked, connection, response)
        return connection, response

    def _send(self, asked: str, sent: Wired, identity: Identity, limit: Limit) -> tuple[Connection, HTTPResponse]:
        try:
            connection = self._connections.take(identity, limit)
        except OSError as error:
            raise self._failed(asked, error) from None
        try:
            return connection, connection.exchange(sent, identity.headers, limit)
        except (OSError, HTTPException, ValueError) as error:
            connection.close()
            stale = connection.used and not isinstance(error, TimeoutError)
            if stale:
                self._connections.drop_idle()
            raise self._failed(asked, error, stale=stale) from None
        except StoppedError:
            connection.close()
            raise

    def _refused(self, asked: str, connection: Connection, response: HTTPResponse) -> NoReturn:
        data = self._body(asked, connection, response, _MAX_ERROR_BYTES)
        if response.status in _REDIRECT or response.status < _OK.start:
            raise not_kubernetes(self._access, asked, f"the HTTP status {response.status}")
        error = status_error(asked, response.status, _said(data, response))
        if response.status in RETRIED_STATUSES:
            raise AskAgainError(error, wait_s=_retry_after_s(response))
        raise error

    def _body(self, asked: str, connection: Connection, response: HTTPResponse, most: int) -> bytes | None:
        """The body, after which the connection serves the next request; ``None`` where it is larger than ``most``."""
        kept = bytearray()
        too_large_by_itself = (response.length or 0) > most
        try:
            while not too_large_by_itself and len(kept) <= most and (chunk := response.read(_CHUNK)):
                kept += chunk
            if response.length and not too_large_by_itself:
                raise IncompleteRead(bytes(kept), response.length)
        except (OSError, HTTPException, ValueError) as error:
            connection.close()
            raise self._failed(asked, error) from None
        except StoppedError:
            connection.close()
            raise
        if too_large_by_itself or len(kept) > most:
            response.close()
            connection.close()
            return None
        self._connections.give_back(connection)
        return bytes(kept)

    def _failed(self, asked: str, error: Exception, *, stale: bool = False) -> Exception:
        unanswered = self._unreachable(asked, error)
        return AskAgainError(unanswered, stale=stale) if asking_again_helps(error) else unanswered

    def _unreachable(self, asked: str, error: Exception) -> ClusterUnreachableError:
        return unreachable(self._access, asked, error, self._timeout_s)


def _said(data: bytes | None, response: HTTPResponse) -> Any:
    """What a refusal says: a Status, a line of plain text, or nothing a person could use."""
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return msgspec.json.decode(data or b"")
    plain = response.headers.get_content_type() == "text/plain"
    return (data or b"").decode(errors="replace") if plain else ""


def _delimited(response: HTTPResponse) -> bool:
    """Whether its end can be told from a connection that broke: an API server always sees to that."""
    return bool(response.chunked) or response.length is not None


def _retry_after_s(response: HTTPResponse) -> float | None:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 7 else None  # noqa: PLR2004


def _closed() -> ClusterUnreachableError:
    return ClusterUnreachableError("The connection to the cluster is closed.")
