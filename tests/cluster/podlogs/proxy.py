"""A way to the API server that can be cut."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Proxy", "running_proxy"]

_PIECE = 1 << 16
_ENDED_S = 5.0

Pair = tuple[socket.socket, socket.socket]


class Proxy:
    """Forwards what it gets on a port of its own to a port of this machine, until somebody cuts it."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._pairs: list[Pair] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self.port: int = self._listener.getsockname()[1]
        self.refusing = False
        self.cuts = 0
        """Connections that were cut."""
        self._start(self._accept)

    def cut(self) -> None:
        """Cut every connection, in the middle of whatever it carries."""
        with self._lock:
            for pair in self._pairs:
                _shut(pair)
            self.cuts += len(self._pairs)

    def close(self) -> None:
        self.refusing = True
        # A socket that somebody accepts on is woken by this, not by closing it.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(_ENDED_S)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.refusing:
                    client.close()
                    continue
                pair = (client, socket.create_connection(("127.0.0.1", self._target)))
                with self._lock:
                    self._pairs.append(pair)
                self._start(self._carry, pair)

    def _carry(self, pair: Pair) -> None:
        there = self._start(_forward, pair)
        _forward((pair[1], pair[0]))
        there.join()
        with self._lock:
            self._pairs.remove(pair)
        for each in pair:
            each.close()

    def _start(self, task: Callable[..., None], *about: Pair) -> threading.Thread:
        thread = threading.Thread(target=task, args=about, daemon=True)
        thread.start()
        self._threads.append(thread)
        return thread


def _forward(pair: Pair) -> None:
    source, sink = pair
    with contextlib.suppress(OSError):
        while data := source.recv(_PIECE):
            sink.sendall(data)
    _shut(pair)


def _shut(pair: Pair) -> None:
    for each in pair:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


@contextmanager
def running_proxy(target: int) -> Iterator[Proxy]:
    proxy = Proxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
