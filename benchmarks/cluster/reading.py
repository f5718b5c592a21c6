"""What one answer of the API server costs, by the api reader and by kubectl, on the control plane of the tests.

    python -m benchmarks.cluster.reading [--runs 15] [--reads 1000]

Whole processes alternate, so that a busy machine slows both alike; the ratio of the medians is what to look at.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.cluster.control_plane import ControlPlane, find_binaries, running_control_plane

from modekeeper.cli.clocks import SystemClock
from modekeeper.cluster.opening import ClusterChoice, open_reader
from modekeeper.model.cluster import ObjectRef, Resource

__all__ = ["main"]

NAMESPACE = ObjectRef(Resource("", "v1", "namespaces", "Namespace", namespaced=False), None, "default")
THREADS = 16
ONE_READ = f"""
import os
from modekeeper.cli.clocks import SystemClock
from modekeeper.cluster.opening import ClusterChoice, open_reader
from modekeeper.model.cluster import ObjectRef, Resource
ref = ObjectRef(Resource("", "v1", "namespaces", "Namespace", namespaced=False), None, {NAMESPACE.name!r})
reader = open_reader(ClusterChoice(), clock=SystemClock(), environment=os.environ)
assert reader.get(ref)["metadata"]["name"] == ref.name
reader.close()
"""


def _seconds(run: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    run()
    return time.perf_counter() - began_s


def _process(words: Sequence[str | Path], environment: Mapping[str, str]) -> Callable[[], object]:
    return lambda: subprocess.run(words, env=dict(environment), check=True, stdout=subprocess.DEVNULL)


def processes(plane: ControlPlane, runs: int) -> dict[str, float]:
    """The median wall time of a whole process, in seconds."""
    environment = plane.environment("admin") | {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    kubectl = plane.binaries / "kubectl"
    asked = {
        "api: one object": _process([sys.executable, "-c", ONE_READ], environment),
        "kubectl get namespace": _process([kubectl, "get", "namespace", "default", "--output=json"], environment),
        "kubectl version": _process([kubectl, "version"], environment),
    }
    taken: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(runs):
        for name, run in asked.items():
            taken[name].append(_seconds(run))
    return {name: statistics.median(each) for name, each in taken.items()}


def reads(plane: ControlPlane, count: int) -> dict[str, float]:
    """Seconds an object, where one process reads many."""
    environment = plane.environment("admin") | {"KUBECTL": str(plane.binaries / "kubectl")}
    found = {}
    for name, choice, threads, times in (
        (f"api, {THREADS} threads", ClusterChoice(), THREADS, count),
        ("api, 1 thread", ClusterChoice(), 1, count),
        ("kubectl, one after another", ClusterChoice(client="kubectl"), 1, max(1, count // 25)),
    ):
        reader = open_reader(choice, clock=SystemClock(), environment=environment)
        reader.get(NAMESPACE)
        with ThreadPoolExecutor(threads) as pool:
            found[name] = _seconds(lambda: list(pool.map(reader.get, [NAMESPACE] * times))) / times  # noqa: B023
        reader.close()
    return found


def table(title: str, seconds: Mapping[str, float], peer: str) -> str:
    lines = [f"| {title} | ms | times {peer} |", "|---|---|---|"]
    lines += [f"| {name} | {each * 1000:.1f} | {each / seconds[peer]:.2f} |" for name, each in seconds.items()]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--reads", type=int, default=1000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running_control_plane(Path(folder), find_binaries()) as plane:
        print(table("whole process", processes(plane, given.runs), "kubectl version"), end="\n\n")
        print(table("an object", reads(plane, given.reads), "kubectl, one after another"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
