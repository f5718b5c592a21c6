"""Readers of a server on loopback, with kubeconfigs written for them."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modekeeper.cluster.memory import PODS
from modekeeper.cluster.opening import ClusterChoice, open_reader
from modekeeper.model.cluster import ObjectRef, Resource
from modekeeper.ports.clock import StopSignal
from modekeeper.ports.cluster import ClusterReader

DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
TRAINER = ObjectRef(DEPLOYMENTS, "research", "trainer")
POD = ObjectRef(PODS, "research", "trainer-0")
POD_BODY = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "trainer-0"}}
TOKEN = "token-that-nobody-may-see"  # noqa: S105 - opens nothing


class StandingClock:
    """Waits take no time, and are remembered."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.time = datetime(2026, 1, 31, 9, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def monotonic_s(self) -> float:
        return sum(self.waits)

    def sleep(self, duration_s: float, stop: StopSignal) -> bool:
        self.waits.append(duration_s)
        return stop.is_set()


def kubeconfig(
    path: Path, server: str, *, cluster: Mapping[str, Any] | None = None, user: Mapping[str, Any] | None = None
) -> Path:
    """A kubeconfig with one context; every JSON document is a YAML document."""
    document = {
        "clusters": [{"name": "lab", "cluster": {"server": server, **(cluster or {})}}],
        "users": [{"name": "me", "user": {"token": TOKEN} if user is None else dict(user)}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "me", "namespace": "research"}}],
        "current-context": "lab",
    }
    path.write_text(json.dumps(document))
    return path


@contextmanager
def reading(
    path: Path,
    *,
    clock: StandingClock | None = None,
    timeout_s: float = 20.0,
    environment: Mapping[str, str] | None = None,
    client: Any = "api",
) -> Iterator[ClusterReader]:
    choice = ClusterChoice(client=client, kubeconfig=path, request_timeout_s=timeout_s)
    reader = open_reader(choice, clock=clock or StandingClock(), environment=environment or {})
    try:
        yield reader
    finally:
        reader.close()
