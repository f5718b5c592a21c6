"""A cluster whose connections break where a script says, and whose answers come in pieces of any size."""

from collections.abc import Iterator, Sequence
from threading import Lock
from typing import Any

from modekeeper.cluster.memory import MemoryCluster
from modekeeper.model.cluster import ClusterUnreachableError, LogQuestion
from modekeeper.ports.clock import StopSignal


class DisturbedCluster:
    """Reads as ``cluster`` does, but each next connection breaks after the next number of bytes of ``breaks``.

    Args:
        cluster: what is read.
        breaks: bytes until a connection breaks; one that is beyond the script lasts.
        sizes: sizes of the pieces in which bytes come, in turn.
    """

    def __init__(self, cluster: MemoryCluster, breaks: Sequence[int], sizes: Sequence[int] = (1 << 16,)) -> None:
        self._cluster = cluster
        self._breaks = list(breaks)
        self._sizes = list(sizes)
        self._lock = Lock()
        self.connections = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster, name)

    def logs(self, question: LogQuestion, stop: StopSignal) -> Iterator[bytes]:
        with self._lock:
            self.connections += 1
            left = self._breaks.pop(0) if self._breaks else None
        turn = 0
        for chunk in self._cluster.logs(question, stop):
            at = 0
            while at < len(chunk):
                size = self._sizes[turn % len(self._sizes)]
                turn += 1
                piece = chunk[at : at + size]
                at += size
                if left is not None:
                    piece = piece[:left]
                    left -= len(piece)
                if piece:
                    yield piece
                if left == 0:
                    raise ClusterUnreachableError("The connection broke. Look at the network.")
