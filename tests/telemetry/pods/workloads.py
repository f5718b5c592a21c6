"""Workloads in a cluster held in memory, and what their pods print."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.telemetry.feeding import Row, Running, rows_of

from modekeeper.cluster.memory import PODS, MemoryCluster
from modekeeper.model.cluster import JsonObject, ObjectRef, Resource
from modekeeper.model.workload import find_workload_kind
from modekeeper.telemetry.pods.opening import PodLogsChoice, open_pod_logs
from modekeeper.telemetry.pods.replay import PodRecordingSource
from modekeeper.telemetry.pods.source import PodLogSource

T0 = datetime(2026, 1, 31, 9, tzinfo=UTC)
NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
LABELS = {"app": "trainer"}


def deployment(cluster: MemoryCluster, *, jsonl: bool = True) -> None:
    kind = find_workload_kind("Deployment")
    assert kind is not None
    metadata: JsonObject = {"name": "trainer"}
    if jsonl:
        metadata["annotations"] = {"modekeeper/telemetry": "stdout-jsonl"}
    cluster.put(kind.resource(), {"metadata": metadata, "spec": {"selector": {"matchLabels": LABELS}}})


def pod(cluster: MemoryCluster, name: str, *, node: str | None = "node-a", **more: Any) -> JsonObject:
    metadata = {"name": name, "labels": {**LABELS, **more.pop("labels", {})}, **more.pop("metadata", {})}
    spec: JsonObject = {"containers": more.pop("containers", [{"name": "train"}])}
    if node is not None:
        spec["nodeName"] = node
    return cluster.put(PODS, {"metadata": metadata, "spec": spec, "status": more.pop("status", {"phase": "Running"})})


def at(second: float) -> datetime:
    return T0 + timedelta(seconds=second)


def record(step: int, second: float, step_time_ms: float = 100.0, **more: Any) -> bytes:
    return json.dumps({"ts": at(second).isoformat(), "step": step, "step_time_ms": step_time_ms, **more}).encode()


def write(cluster: MemoryCluster, name: str, lines: Iterable[tuple[float, bytes]], container: str = "train") -> None:
    log = cluster.log("default", name, container)
    for second, line in lines:
        log.write(at(second), line)


def source_of(cluster: MemoryCluster, *, live: bool = False, **more: Any) -> PodLogSource:
    passed = {name: more.pop(name) for name in ("recorder", "limits", "merging", "following") if name in more}
    choice = PodLogsChoice(**{"workload": "trainer", "settle_s": 0.02, **more})
    return open_pod_logs(cluster, choice, live=live, **passed)


def drained(source: PodLogSource | PodRecordingSource) -> list[Row]:
    stop = Running()
    try:
        return rows_of([*source.blocks(stop), *source.flush()])
    finally:
        source.close()


def ref(name: str) -> ObjectRef:
    return ObjectRef(PODS, "default", name)


def column(rows: Sequence[Row], name: str) -> list[Any]:
    return [row.get(name) for row in rows]
