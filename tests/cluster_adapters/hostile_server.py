"""An API server on loopback that does to each request what a script says, good and bad, and remembers what came."""

import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"

Act = Callable[[socket.socket], bool]
"""What is done to the connection once a request was read: whether it serves another one."""


@dataclass
class Request:
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for each, value in self.headers if each.lower() == name.lower()), None)


@dataclass
class HostileServer:
    """``acts`` are done in turn, the last one again and again."""

    port: int
    acts: Sequence[Act]
    scheme: str = "http"
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{HOST}:{self.port}"

    def next_act(self, request: Request) -> Act:
        with self.lock:
            self.requests.append(request)
            return self.acts[min(len(self.requests), len(self.acts)) - 1]


def answer(status: int, body: Any, *headers: str, kind: str = "application/json") -> Act:
    """A whole answer, after which the connection serves another request."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()

    def act(connection: socket.socket) -> bool:
        reason = HTTPStatus(status).phrase
        lines = [f"HTTP/1.1 {status} {reason}", f"Content-Type: {kind}", f"Content-Length: {len(data)}", *headers]
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + data)
        return True

    return act


def status(code: int, reason: str, message: str, *headers: str) -> Act:
    """A refusal as the API server writes it."""
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }
    return answer(code, body, *headers)


def raw(*chunks: bytes, pause_s: float = 0.0) -> Act:
    """These bytes, with pauses between them, and then the end of the connection."""

    def act(connection: socket.socket) -> bool:
        for chunk in chunks:
            connection.sendall(chunk)
            time.sleep(pause_s)
        return False

    return act


def silence(connection: socket.socket) -> bool:
    """Nothing, until the other side goes away."""
    with contextlib.suppress(OSError):
        connection.settimeout(30)
        connection.recv(1)
    return False


def hang_up(_connection: socket.socket) -> bool:
    """The end, instead of an answer."""
    return False


def drip(prefix: bytes) -> Act:
    """A byte now and then, forever."""

    def act(connection: socket.socket) -> bool:
        with contextlib.suppress(OSError):
            connection.sendall(prefix)
            for _ in range(3000):
                connection.sendall(b" ")
                time.sleep(0.02)
        return False

    return act


def flood(size: int) -> Act:
    """An answer of so many bytes, without a length."""

    def act(connection: socket.socket) -> bool:
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        with contextlib.suppress(OSError):
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            for _ in range(size // 0x10000):
                connection.sendall(chunk)
        return False

    return act


@contextmanager
def hostile_server(*acts: Act, certificate: Path | None = None) -> Iterator[HostileServer]:
    """A server for the block; ``certificate`` is a PEM file with its key, for TLS."""
    listening = socket.create_server((HOST, 0))
    listening.settimeout(0.05)
    tls = None
    if certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    server = HostileServer(listening.getsockname()[1], acts, "http" if tls is None else "https")
    over = threading.Event()
    threads = [threading.Thread(target=_accept, args=(listening, server, tls, over))]
    threads[0].start()
    try:
        yield server
    finally:
        over.set()
        threads[0].join()
        listening.close()


def _accept(listening: socket.socket, server: HostileServer, tls: ssl.SSLContext | None, over: threading.Event) -> None:
    while not over.is_set():
        with contextlib.suppress(TimeoutError):
            connection, _ = listening.accept()
            with server.lock:
                server.connections += 1
            # A daemon: one that drips outlasts its test by a moment.
            threading.Thread(target=_serve, args=(connection, server, tls), daemon=True).start()


def _serve(connection: socket.socket, server: HostileServer, tls: ssl.SSLContext | None) -> None:
    with contextlib.suppress(OSError):
        connection.settimeout(30)
        if tls is not None:
            connection = tls.wrap_socket(connection, server_side=True)
        reader = connection.makefile("rb")
        while (request := _request(reader)) is not None:
            if not server.next_act(request)(connection):
                break
        reader.close()
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def _request(reader: Any) -> Request | None:
    first = reader.readline().decode()
    if not first.strip():
        return None
    method, target, _ = first.split(" ", 2)
    headers = []
    while (line := reader.readline().decode().strip()) != "":
        name, _, value = line.partition(":")
        headers.append((name, value.strip()))
    length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
    return Request(method, target, headers, reader.read(length))
