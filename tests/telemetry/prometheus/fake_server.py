"""A server on loopback that does to each connection what a script says, good and bad."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import parse_qs

from tests.telemetry.prometheus.exporter import HOST

from modekeeper.ports.clock import StopSignal

Act = Callable[[socket.socket], None]
"""What is done to a connection once its request has been read; afterwards it is closed."""


class StandingClock:
    """A clock that stands still, and remembers what it was asked to wait."""

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s
        self.waits: list[float] = []

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.now_s, tz=UTC)

    def monotonic_s(self) -> float:
        return self.now_s

    def sleep(self, duration_s: float, stop: StopSignal) -> bool:
        self.waits.append(duration_s)
        return stop.is_set()


@dataclass
class Request:
    """What arrived."""

    target: str
    headers: dict[str, str]
    body: str

    @property
    def form(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.body, strict_parsing=True).items()}


@dataclass
class FakeServer:
    """``acts`` are done in turn, the last one again and again."""

    url: str
    acts: Sequence[Act]
    requests: list[Request] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)


def answer(status: int, body: bytes = b"", **headers: str) -> Act:
    """A whole HTTP answer."""

    def act(connection: socket.socket) -> None:
        named = {"Content-Length": str(len(body)), "Connection": "close"}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{k}: {v}" for k, v in named.items())]
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)

    return act


def hang_up(_: socket.socket) -> None:
    """Close without a word."""


def raw(data: bytes) -> Act:
    """These bytes, then close."""
    return lambda connection: connection.sendall(data)


def never(server_over: threading.Event) -> Act:
    """Say nothing until the test is over."""

    def act(_: socket.socket) -> None:
        server_over.wait(30)

    return act


def drip(server_over: threading.Event) -> Act:
    """A byte every 50 ms for as long as anybody listens: no single read ever waits long."""

    def act(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not server_over.wait(0.05):
            connection.sendall(b" ")

    return act


@contextmanager
def fake_server(*acts: Act, tls: ssl.SSLContext | None = None) -> Iterator[FakeServer]:
    """A listening server that does ``acts``; may be given some by its ``acts`` later."""
    listener = socket.create_server((HOST, 0))
    scheme = "http" if tls is None else "https"
    server = FakeServer(f"{scheme}://{HOST}:{listener.getsockname()[1]}", acts)
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(10)
            talk = connection if tls is None else tls.wrap_socket(connection, server_side=True)
            with talk:
                request = _read(talk)
                number = len(server.requests)
                server.requests.append(request)
                server.acts[min(number, len(server.acts) - 1)](talk)

    def listen() -> None:
        while not server.over.is_set():
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                thread = threading.Thread(target=serve, args=(connection,), daemon=True)
                threads.append(thread)
                thread.start()

    listening = threading.Thread(target=listen, daemon=True)
    listening.start()
    try:
        yield server
    finally:
        server.over.set()
        with contextlib.suppress(OSError):
            socket.create_connection(listener.getsockname(), 1).close()
        listening.join(5)
        listener.close()
        until = time.monotonic() + 5
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))


def _read(connection: socket.socket) -> Request:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536) or _gone()
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        body += connection.recv(65536) or _gone()
    return Request(first.split(" ")[1], headers, body.decode())


def _gone() -> bytes:
    raise ConnectionError
