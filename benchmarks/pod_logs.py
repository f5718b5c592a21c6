"""What it costs to read the logs of many pods at once. Prints a Markdown table.

    python benchmarks/pod_logs.py [STEPS] [--rounds N]

A workload of 10, 50, 100 and 200 pods, each a rank that prints one JSON line a step. Its logs are made up as they are
read, in pieces of 32 KiB, so the memory is that of reading. The peer is the same number of such lines read from a file
by ``--source file``. Each size and each way has a process of its own; the ways take turns.

``once`` reads to the end and stops; ``live`` follows every pod in a thread until all steps are there. A sample is lost
where a step is missing, or lacks a rank.
"""

import argparse
import json
import multiprocessing
import resource
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np

from modekeeper.cli.clocks import SystemClock
from modekeeper.model.block import SampleBlock
from modekeeper.model.cluster import ClusterContext, LogQuestion, ObjectList, ObjectRef
from modekeeper.ports.clock import StopSignal
from modekeeper.ports.cluster import ClusterReader
from modekeeper.telemetry.file import open_files
from modekeeper.telemetry.pods.opening import PodLogsChoice, open_pod_logs

PODS = (10, 50, 100, 200)
STEPS = 600
ROUNDS = 3
CHUNK = 32 << 10
T0 = datetime(2026, 1, 31, 9, tzinfo=UTC)
Cost = tuple[float, int]
"""Seconds of CPU, and samples lost."""
LABELS = {"app": "trainer"}


def line(pod: int, step: int) -> bytes:
    moment = T0 + timedelta(seconds=step, milliseconds=pod)
    record = {"ts": moment.isoformat(), "step": step, "step_time_ms": 400.0 + pod / 100 + step % 7, "loss": 2.5}
    return json.dumps(record).encode()


class MadeUpCluster:
    """So many pods whose logs are made as they are read."""

    context = ClusterContext(name=None, server="https://made.up", namespace="default", user=None)

    def __init__(self, pods: int, steps: int) -> None:
        self._pods, self._steps = pods, steps

    def get(self, ref: ObjectRef) -> dict[str, Any]:
        if ref.resource.kind == "Node":
            return {"metadata": {"name": ref.name, "labels": {"nvidia.com/gpu.product": "NVIDIA-H100"}}}
        if ref.resource.kind == "Pod":
            return self._pod(int(ref.name.rpartition("-")[2]))
        annotations = {"modekeeper/telemetry": "stdout-jsonl"}
        spec = {"selector": {"matchLabels": LABELS}}
        return {"metadata": {"name": ref.name, "annotations": annotations}, "spec": spec}

    def list(self, *_: object, **__: object) -> ObjectList:
        return ObjectList(items=tuple(self._pod(number) for number in range(self._pods)), resource_version="1")

    def watch(self, *_: object, stop: StopSignal, **__: object) -> Iterator[object]:
        while not stop.wait(0.5):
            yield from ()

    def logs(self, question: LogQuestion, stop: StopSignal) -> Iterator[bytes]:
        pod = int(question.pod.rpartition("-")[2])
        since = datetime.fromisoformat(question.since_time) if question.since_time else T0
        first = max(0, int((since - T0).total_seconds()))
        chunk = bytearray()
        for step in range(first, self._steps):
            moment = T0 + timedelta(seconds=step, milliseconds=pod)
            chunk += f"{moment:%Y-%m-%dT%H:%M:%S.%f}000Z ".encode() + line(pod, step) + b"\n"
            if len(chunk) >= CHUNK:
                yield bytes(chunk)
                chunk.clear()
        yield bytes(chunk)
        while question.follow and not stop.wait(0.2):
            pass

    def _pod(self, number: int) -> dict[str, Any]:
        metadata = {"name": f"trainer-{number}", "uid": f"u{number}", "namespace": "default", "labels": LABELS}
        spec = {"containers": [{"name": "train"}], "nodeName": f"node-{number % 8}"}
        return {"metadata": metadata, "spec": spec, "status": {"phase": "Running"}}


def lost(blocks: list[SampleBlock], pods: int, steps: int) -> int:
    seen = {int(step): row for block in blocks for step, row in zip(block.step, block.workers, strict=True)}
    return sum(step not in seen or seen[step].shape != (pods,) or np.isnan(seen[step]).any() for step in range(steps))


def read_once(pods: int, steps: int) -> Cost:
    begun = time.process_time()
    source = open_pod_logs(cast(ClusterReader, MadeUpCluster(pods, steps)), PodLogsChoice(workload="t"), live=False)
    blocks = [*source.blocks(threading.Event()), *source.flush()]
    source.close()
    return time.process_time() - begun, lost(blocks, pods, steps)


def read_live(pods: int, steps: int) -> Cost:
    begun = time.process_time()
    choice = PodLogsChoice(workload="t", settle_s=0.01)
    source = open_pod_logs(cast(ClusterReader, MadeUpCluster(pods, steps)), choice, live=True)
    stop = threading.Event()
    blocks: list[SampleBlock] = []
    while source.counters().read_total < pods * (steps - 40):
        blocks += source.blocks(stop)
    blocks += source.flush()
    source.close()
    return time.process_time() - begun, lost(blocks, pods, steps)


def make_up(pods: int, steps: int) -> Cost:
    """What making the lines up takes: taken off the others."""
    begun = time.process_time()
    cluster = MadeUpCluster(pods, steps)
    for pod in range(pods):
        for _ in cluster.logs(LogQuestion(namespace="default", pod=f"trainer-{pod}"), threading.Event()):
            pass
    return time.process_time() - begun, 0


def read_file(pods: int, steps: int) -> Cost:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.jsonl"
        with path.open("wb") as file:
            for number in range(pods * steps):
                file.write(line(0, number) + b"\n")
        begun = time.process_time()
        source = open_files([str(path)], clock=SystemClock())
        samples = sum(len(block) for block in source.blocks(threading.Event()))
        samples += sum(len(block) for block in source.flush())
        return time.process_time() - begun, pods * steps - samples


WAYS: dict[str, Callable[[int, int], Cost]] = {
    "making the lines up": make_up,
    "file": read_file,
    "once": read_once,
    "live": read_live,
}


def measured(way: str, pods: int, steps: int, answer: Any) -> None:
    cost_s, missing = WAYS[way](pods, steps)
    answer.send((cost_s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, missing))


def run(way: str, pods: int, steps: int) -> tuple[float, float, int]:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=measured, args=(way, pods, steps, sender))
    process.start()
    result = cast(tuple[float, float, int], receiver.recv())
    process.join()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="?", type=int, default=STEPS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    chosen = parser.parse_args()
    print("| pods | lines | way | CPU us a line | x file | peak MiB | steps lost |\n|--:|--:|---|--:|--:|--:|--:|")
    for pods in PODS:
        results: dict[str, list[tuple[float, float, int]]] = {way: [] for way in WAYS}
        for _ in range(chosen.rounds):
            for way, found in results.items():
                found.append(run(way, pods, chosen.steps))
        lines = pods * chosen.steps
        made = [cost for cost, _, _ in results["making the lines up"]]
        for way in ("file", "once", "live"):
            # A file is written before it is read; the other lines are made up meanwhile.
            own = [0.0] * chosen.rounds if way == "file" else made
            costs = [(cost - making) / lines * 1e6 for (cost, _, _), making in zip(results[way], own, strict=True)]
            files = [cost / lines * 1e6 for cost, _, _ in results["file"]]
            ratio = statistics.median(cost / file for cost, file in zip(costs, files, strict=True))
            peak = max(peak for _, peak, _ in results[way])
            missing = max(missing for _, _, missing in results[way])
            figures = (f"{statistics.median(costs):.1f}", f"{ratio:.1f}", f"{peak:.0f}", str(missing))
            print(f"| {pods} | {lines:,} | {way} | {' | '.join(figures)} |", flush=True)


if __name__ == "__main__":
    main()
