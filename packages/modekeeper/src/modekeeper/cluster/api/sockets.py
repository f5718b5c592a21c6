"""A connection on which no read and no write outlasts its limit."""

import io
import socket
import ssl
import threading
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from typing import Any, cast

from modekeeper.cluster.access.settings import Proxy, Server
from modekeeper.cluster.api.limits import Limit

__all__ = ["NameNotFoundError", "ProxyError", "TimedSocket", "open_socket"]

_BUFFER = 1 << 16
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""A connection whose other side is gone without a word is noticed after about a minute."""


class NameNotFoundError(OSError):
    """The host's name cannot be resolved."""


class ProxyError(OSError):
    """The proxy would not connect."""


class TimedSocket:
    """As much of a socket as ``http.client`` wants, each wait bounded by ``limit``."""

    def __init__(self, connected: socket.socket, limit: Limit) -> None:
        self.limit = limit
        self._socket = connected
        self._readers = 0
        self._closed = False

    def sendall(self, data: bytes) -> None:
        """Send everything."""
        self._socket.settimeout(self.limit.left_s())
        self._socket.sendall(data)

    def receive_into(self, buffer: Any) -> int:
        """What there is, as soon as there is something."""
        while True:
            self._socket.settimeout(self.limit.poll_s())
            try:
                return self._socket.recv_into(buffer)
            except TimeoutError:
                continue

    def makefile(self, _mode: str = "rb", _buffering: int | None = None) -> io.BufferedReader:
        """A reader, which keeps the connection open until it is closed itself."""
        self._readers += 1
        return io.BufferedReader(_Reader(self), _BUFFER)

    def reader_closed(self) -> None:
        """One reader less."""
        self._readers -= 1
        if self._closed and not self._readers:
            self._socket.close()

    def close(self) -> None:
        """Close, once no reader is left."""
        self._closed = True
        if not self._readers:
            self._socket.close()


class _Reader(io.RawIOBase):
    def __init__(self, owner: TimedSocket) -> None:
        self._owner = owner

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._owner.receive_into(buffer)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._owner.reader_closed()


def open_socket(server: Server, tls: ssl.SSLContext | None, limit: Limit, connect_s: float) -> TimedSocket:
    """Connect, through the proxy where there is one, and agree on TLS.

    Raises:
        OSError: it did not work; ``TimeoutError``, ``ssl.SSLError`` and the two of this module are such.
    """
    proxy = server.proxy
    near = (proxy.host, proxy.port) if proxy is not None else (server.host, server.port)
    connected = _connected(*near, limit, connect_s)
    try:
        if proxy is not None:
            _tunnel(connected, proxy, server, limit)
        if tls is not None:
            connected.settimeout(min(connect_s, limit.left_s()))
            connected = tls.wrap_socket(connected, server_hostname=server.tls_server_name or server.host)
    except BaseException:
        connected.close()
        raise
    return TimedSocket(connected, limit)


def _connected(host: str, port: int, limit: Limit, connect_s: float) -> socket.socket:
    failed: OSError = NameNotFoundError(host)
    for family, kind, protocol, _, address in _addresses(host, port, min(connect_s, limit.left_s())):
        connecting = socket.socket(family, kind, protocol)
        try:
            connecting.settimeout(min(connect_s, limit.left_s()))
            connecting.connect(address)
            connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connecting.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _KEEPALIVE.items():
                with suppress(AttributeError, OSError):
                    connecting.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        except OSError as error:
            connecting.close()
            failed = error
        except BaseException:
            connecting.close()
            raise
        else:
            return connecting
    raise failed


def _addresses(host: str, port: int, timeout_s: float) -> list[Any]:
    """The addresses of a name. The system's resolver knows no deadline, so it is waited for from beside."""
    with suppress(OSError):
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    found: list[Any] = []

    def look_up() -> None:
        with suppress(OSError, UnicodeError):
            found.extend(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))

    resolver = threading.Thread(target=look_up, daemon=True)
    resolver.start()
    resolver.join(timeout_s)
    return list(found)


def _tunnel(connected: socket.socket, proxy: Proxy, server: Server, limit: Limit) -> None:
    """Ask the proxy for a connection to the server (RFC 9110, section 9.3.6)."""
    host = f"[{server.host}]" if ":" in server.host else server.host
    lines = [f"CONNECT {host}:{server.port} HTTP/1.1", f"Host: {host}:{server.port}"]
    if proxy.authorization is not None:
        lines.append(f"Proxy-Authorization: {proxy.authorization.reveal()}")
    timed = TimedSocket(connected, limit)
    timed.sendall("\r\n".join([*lines, "", ""]).encode("ascii"))
    # What follows the answer is the server's; it says nothing before we do, so that nothing is read too far.
    response = HTTPResponse(cast("socket.socket", timed), method="CONNECT")
    try:
        response.begin()
    except HTTPException as error:
        raise ProxyError("what it answered is no HTTP") from error
    if response.status != 200:  # noqa: PLR2004
        raise ProxyError(f"it answered {response.status}")
