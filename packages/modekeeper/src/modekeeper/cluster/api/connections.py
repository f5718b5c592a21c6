"""Connections to one API server, kept for the next request."""

import ssl
import threading
import time
from http.client import HTTPConnection, HTTPResponse

from modekeeper.cluster.access.credentials import Identity
from modekeeper.cluster.access.settings import ClusterAccess, Secret
from modekeeper.cluster.api.limits import Limit
from modekeeper.cluster.api.sockets import TimedSocket, open_socket
from modekeeper.cluster.api.tls import tls_context
from modekeeper.cluster.api.wire import Wired

__all__ = ["Connection", "Connections"]

_KEPT = 32
_KEPT_S = 60.0
_CONNECT_S = 10.0
_AGENT = "modekeeper"


class Connection:
    """One connection; used by one thread at a time."""

    def __init__(self, access: ClusterAccess, opened: TimedSocket, certificate: tuple[Secret, Secret] | None) -> None:
        server = access.server
        host = f"[{server.host}]" if ":" in server.host else server.host
        self._host = f"{host}:{server.port}"
        self._base_path = server.base_path
        self._socket = opened
        self._http = HTTPConnection(server.host, server.port)
        self._http.sock = opened  # as much of a socket as it wants
        self._http.auto_open = 0
        self.certificate = certificate
        self.used = False
        self.kept_since_s = 0.0

    def exchange(self, sent: Wired, identity: tuple[tuple[str, str], ...], limit: Limit) -> HTTPResponse:
        """Send a request, and read the answer up to its body.

        Raises:
            OSError: the connection failed, or ``limit`` came.
            HTTPException: what came back is no HTTP.
        """
        self._socket.limit = limit
        http = self._http
        http.putrequest(sent.method, self._base_path + sent.target, skip_host=True, skip_accept_encoding=True)
        http.putheader("Host", self._host)
        http.putheader("Accept", "application/json, */*;q=0.5")
        http.putheader("User-Agent", _AGENT)
        for name, value in (*identity, *sent.headers):
            http.putheader(name, value)
        if sent.body is not None:
            http.putheader("Content-Length", str(len(sent.body)))
        http.endheaders(sent.body)
        return http.getresponse()

    def limit(self, limit: Limit) -> None:
        """From now on reads are bounded by another limit."""
        self._socket.limit = limit

    @property
    def open(self) -> bool:
        """Whether another request may be sent."""
        return self._http.sock is not None

    def close(self) -> None:
        """Close it."""
        self._http.close()


class Connections:
    """At most 32 idle connections, the last used one first. Each is made with one client certificate."""

    def __init__(self, access: ClusterAccess) -> None:
        self._access = access
        self._idle: list[Connection] = []
        self._contexts: dict[tuple[Secret, Secret] | None, ssl.SSLContext] = {}
        self._lock = threading.Lock()
        self._closed = False

    def take(self, identity: Identity, limit: Limit) -> Connection:
        """An idle connection, or a new one.

        Raises:
            OSError: it could not be made.
            ClusterConfigError: trust or certificate are unusable.
        """
        with self._lock:
            while self._idle:
                kept = self._idle.pop()
                fresh = time.monotonic() - kept.kept_since_s < _KEPT_S
                if fresh and kept.certificate == identity.certificate:
                    return kept
                kept.close()
        opened = open_socket(self._access.server, self._context(identity.certificate), limit, _CONNECT_S)
        return Connection(self._access, opened, identity.certificate)

    def give_back(self, connection: Connection) -> None:
        """Keep it for the next request, where that is possible. Its last answer was read to the end."""
        connection.used = True
        connection.kept_since_s = time.monotonic()
        with self._lock:
            if connection.open and not self._closed and len(self._idle) < _KEPT:
                self._idle.append(connection)
                return
        connection.close()

    def drop_idle(self) -> None:
        """Close what is idle: one of them turned out to be closed by the server."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def close(self) -> None:
        """Close what is idle, and what is given back from now on."""
        with self._lock:
            self._closed = True
        self.drop_idle()

    def _context(self, certificate: tuple[Secret, Secret] | None) -> ssl.SSLContext | None:
        if self._access.server.scheme != "https":
            return None
        with self._lock:
            if certificate not in self._contexts:
                self._contexts.clear()  # a new certificate takes the place of the old one
                self._contexts[certificate] = tls_context(self._access, certificate)
            return self._contexts[certificate]
