"""What it costs to read the logs of many pods at once. Prints two Markdown tables.

    python -m benchmarks.pod_logs [STEPS] [--rounds N] [--only made-up|kwok]

A workload of 10, 50, 100 and 200 pods, each a rank that prints one JSON line a step. Each size and each way has a
process of its own; they take turns. ``once`` reads to the end and stops; ``live`` follows every pod in a thread until
all steps are there. A sample is lost where a step is missing, or lacks a rank.

- ``made-up``: the pure cost. The logs are made up as they are read, in pieces of 32 KiB, and what that takes is taken
  off. The peer is the same number of such lines read from a file by ``--source file``.
- ``kwok``: through a real API server, from pods that kwok says it runs, with all that connections cost. Of the live
  ones the second half is printed when the first has been read.
"""

import argparse
import json
import multiprocessing
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from benchmarks.pod_logs_kwok import NAMESPACE, running_workloads
from tests.cluster.control_plane import ControlPlaneError

from modekeeper.cli.clocks import SystemClock
from modekeeper.cluster.opening import ClusterChoice, open_reader
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
HELD = 64
MADE_UP_MS = 1000
PRINTED_MS = 100
"""From step to step. What is printed at once has to lie within the time that ranks wait for each other, two minutes."""
T0 = datetime(2026, 1, 31, 9, tzinfo=UTC)
Cost = tuple[float, int]
"""Seconds of CPU, and samples lost."""
LABELS = {"app": "trainer"}


def moment_of(pod: int, step: int, every_ms: int) -> datetime:
    return T0 + timedelta(milliseconds=every_ms * step + pod)


def line(pod: int, step: int, every_ms: int = MADE_UP_MS) -> bytes:
    moment = moment_of(pod, step, every_ms)
    record = {"ts": moment.isoformat(), "step": step, "step_time_ms": 400.0 + pod / 100 + step % 7, "loss": 2.5}
    return json.dumps(record).encode()


class Measured(NamedTuple):
    """What one process took."""

    cpu_s: float
    wall_s: float
    peak_mib: float
    lost: int


def printed(pod: int, first: int, stop: int) -> list[str]:
    """Lines with the node's time."""
    return [
        f"{moment_of(pod, step, PRINTED_MS):%Y-%m-%dT%H:%M:%S.%f}000Z {line(pod, step, PRINTED_MS).decode()}"
        for step in range(first, stop)
    ]


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
            moment = moment_of(pod, step, MADE_UP_MS)
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


class Reached(NamedTuple):
    """Where the pods of kwok are."""

    kubeconfig: Path
    environment: Mapping[str, str]


def read_pods(way: str, pods: int, steps: int, there: Reached, seen: Connection) -> Cost:
    """Read the workload ``pods-N`` through the API server, and say on the way when half of its lines are in."""
    begun = time.process_time()
    chosen = ClusterChoice(kubeconfig=there.kubeconfig)
    reader = open_reader(chosen, clock=SystemClock(), environment=there.environment)
    choice = PodLogsChoice(namespace=NAMESPACE, workload=f"pods-{pods}", settle_s=0.01)
    source = open_pod_logs(reader, choice, live=way == "live")
    stop = threading.Event()
    blocks: list[SampleBlock] = []
    sure = steps
    if way == "live":
        # The newest steps wait to be put in order, and have not been counted.
        sure = steps - HELD
        told = False
        while (read := source.counters().read_total) < pods * sure:
            blocks += source.blocks(stop)
            if not told and read >= pods * (steps // 2 - HELD):
                seen.send("half")
                told = True
            time.sleep(0.1)
    else:
        blocks += source.blocks(stop)
    blocks += source.flush()
    assert not source.gaps, source.notes
    source.close()
    reader.close()
    missing = lost(blocks, pods, sure)
    if missing:
        print(f"of {pods} pods, {way}: {source.notes}, {source.counters().dropped_by_reason}", file=sys.stderr)
    return time.process_time() - begun, missing


def measured(way: str, pods: int, steps: int, there: Reached | None, answer: Connection) -> None:
    began = time.perf_counter()
    cost_s, missing = WAYS[way](pods, steps) if there is None else read_pods(way, pods, steps, there, answer)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    answer.send(Measured(cost_s, time.perf_counter() - began, peak_mib, missing))


def run(
    way: str, pods: int, steps: int, there: Reached | None = None, at_half: Callable[[], None] | None = None
) -> Measured:
    """In a process of its own."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=measured, args=(way, pods, steps, there, sender))
    process.start()
    sender.close()
    result = receiver.recv()
    if result == "half" and at_half is not None:
        at_half()
        result = receiver.recv()
    process.join()
    return cast(Measured, result)


def in_process(steps: int, rounds: int) -> None:
    """The table of the pure cost."""
    print("| pods | lines | way | CPU us a line | x file | peak MiB | steps lost |\n|--:|--:|---|--:|--:|--:|--:|")
    for pods in PODS:
        results: dict[str, list[Measured]] = {way: [] for way in WAYS}
        for _ in range(rounds):
            for way, found in results.items():
                found.append(run(way, pods, steps))
        lines = pods * steps
        made = [each.cpu_s for each in results["making the lines up"]]
        for way in ("file", "once", "live"):
            # A file is written before it is read; the other lines are made up meanwhile.
            own = [0.0] * rounds if way == "file" else made
            costs = [(each.cpu_s - making) / lines * 1e6 for each, making in zip(results[way], own, strict=True)]
            files = [each.cpu_s / lines * 1e6 for each in results["file"]]
            ratio = statistics.median(cost / file for cost, file in zip(costs, files, strict=True))
            figures = (f"{statistics.median(costs):.1f}", f"{ratio:.1f}", *_worst(results[way]))
            print(f"| {pods} | {lines:,} | {way} | {' | '.join(figures)} |", flush=True)


def through_the_api_server(steps: int, rounds: int) -> None:
    """The table of kwok pods.

    Raises:
        ControlPlaneError: Kubernetes or kwok are not there, or did not start.
    """
    results: dict[tuple[str, int], list[Measured]] = {(way, pods): [] for way in ("once", "live") for pods in PODS}
    with running_workloads(PODS, printed) as (kubeconfig, environment, writers):
        there = Reached(kubeconfig, environment)
        for _ in range(rounds):
            for (way, pods), found in results.items():
                writer = writers[pods]
                writer.begin(steps // 2 if way == "live" else steps)
                found.append(run(way, pods, steps, there, lambda w=writer: w.go_on(steps // 2, steps)))  # type: ignore[misc]
    print("| pods | lines | way | CPU ms a pod | x 10 pods | wall ms a pod | CPU us a line | peak MiB | steps lost |")
    print("|--:|--:|---|--:|--:|--:|--:|--:|--:|")
    for (way, pods), found in results.items():
        costs = [each.cpu_s / pods * 1e3 for each in found]
        first = [each.cpu_s / PODS[0] * 1e3 for each in results[way, PODS[0]]]
        ratio = statistics.median(cost / few for cost, few in zip(costs, first, strict=True))
        cost = statistics.median(costs)
        wall = statistics.median(each.wall_s / pods * 1e3 for each in found)
        figures = (f"{cost:.1f}", f"{ratio:.2f}", f"{wall:.1f}", f"{cost / steps * 1e3:.1f}", *_worst(found))
        print(f"| {pods} | {pods * steps:,} | {way} | {' | '.join(figures)} |", flush=True)


def _worst(found: list[Measured]) -> tuple[str, str]:
    return f"{max(each.peak_mib for each in found):.0f}", str(max(each.lost for each in found))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="?", type=int, default=STEPS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", choices=("made-up", "kwok"), help="one of the two tables")
    chosen = parser.parse_args()
    if chosen.only != "kwok":
        in_process(chosen.steps, chosen.rounds)
        print(flush=True)
    if chosen.only != "made-up":
        try:
            through_the_api_server(chosen.steps, chosen.rounds)
        except ControlPlaneError as error:
            print(f"NOT measured against a real Kubernetes: {error}", flush=True)
            return 1 if chosen.only else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
