"""How long ``mk k8s preflight`` takes, as a multiple of one ``kubectl version`` against the same server.

    python benchmarks/preflight_speed.py [--runs 21] [--round-trip-ms 20] [--check]
    python benchmarks/preflight_speed.py --kubeconfig FILE --kubectl PROGRAM    # a cluster that is there already

Without ``--kubeconfig`` it starts the control plane of the tests, and asks it twice: on the loopback interface, where a
round trip takes no time and everything is start-up, and as far away as ``--round-trip-ms`` says. Runs alternate, so
that a busy machine slows both alike; the ratio of the medians is what to look at. ``--check`` fails when the bar is
missed in either place.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.far_server import far_away
from tests.cluster.control_plane import ControlPlaneError, find_binaries, running_control_plane

__all__ = ["BAR", "measure", "table"]

BAR = 3.0
"""Most times as long as ``kubectl version`` that a preflight of a reachable cluster may take."""
LEAST_RUNS = 15

JOB = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "trainer", "namespace": "default"},
    "spec": {
        "selector": {"matchLabels": {"app": "trainer"}},
        "template": {
            "metadata": {"labels": {"app": "trainer"}},
            "spec": {"containers": [{"name": "main", "image": "registry.invalid/trainer:1"}]},
        },
    },
}


def _mk() -> str:
    beside = Path(sys.executable).with_name("mk")
    found = beside.as_posix() if beside.exists() else shutil.which("mk")
    if found is None:
        raise SystemExit("there is no mk beside this interpreter: install the package first")
    return found


KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters:
- name: bench
  cluster:
    server: https://127.0.0.1:{port}
    certificate-authority: {authority}
users:
- name: bench
  user:
    token: {token}
contexts:
- name: bench
  context:
    cluster: bench
    user: bench
current-context: bench
"""


@contextmanager
def _clusters(given: argparse.Namespace) -> Iterator[dict[str, tuple[Path, dict[str, str]]]]:
    """By place, the kubectl and the environment in which both programs ask the same cluster as the same user."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    if given.kubeconfig is not None:
        home = os.environ.get("HOME", "/")
        yield {"given": (given.kubectl, kept | {"HOME": home, "KUBECONFIG": str(given.kubeconfig)})}
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        running_control_plane(Path(folder), find_binaries()) as plane,
        far_away(plane.port, given.round_trip_ms) as far,
    ):
        created = plane.request("admin", "/apis/apps/v1/namespaces/default/deployments", "POST", JOB)
        assert created.status == 201, created
        places = {}
        for place, port in (("loopback", plane.port), (f"{given.round_trip_ms:g} ms away", far)):
            config = Path(folder) / f"{port}.yaml"
            authority, token = plane.folder / "ca.crt", plane.tokens["admin"]
            config.write_text(KUBECONFIG.format(port=port, authority=authority, token=token))
            places[place] = (plane.binaries / "kubectl", kept | {"HOME": folder, "KUBECONFIG": str(config)})
        yield places


def measure(kubectl: Path, environment: Mapping[str, str], runs: int) -> dict[str, list[float]]:
    """Wall times in milliseconds of ``runs`` alternating runs of each command, after one that is not counted."""
    times_ms: dict[str, list[float]] = {"kubectl version": [], "mk k8s preflight": []}
    with tempfile.TemporaryDirectory() as out:
        commands = {
            "kubectl version": [str(kubectl), "version"],
            "mk k8s preflight": [_mk(), "k8s", "preflight", "--out", out],
        }
        for turn in range(runs + 1):
            for name, command in commands.items():
                began = time.perf_counter()
                done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)
                taken_ms = (time.perf_counter() - began) * 1000
                if done.returncode != 0:
                    raise SystemExit(f"{name} returned {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
                if turn:
                    times_ms[name].append(taken_ms)
    return times_ms


def ratio(times_ms: Mapping[str, list[float]]) -> float:
    """Median over median."""
    return statistics.median(times_ms["mk k8s preflight"]) / statistics.median(times_ms["kubectl version"])


def table(places: Mapping[str, Mapping[str, list[float]]]) -> str:
    """A Markdown table."""
    lines = [
        "| server | command | median ms | fastest ms | runs | times `kubectl version` | bar |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for place, times_ms in places.items():
        base_ms = statistics.median(times_ms["kubectl version"])
        for name, taken in times_ms.items():
            bar = f"< {BAR:g}" if name == "mk k8s preflight" else "-"
            median_ms = statistics.median(taken)
            lines.append(
                f"| {place} | `{name}` | {median_ms:.1f} | {min(taken):.1f} | {len(taken)} | {median_ms / base_ms:.2f} "
                f"| {bar} |"
            )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--runs", type=int, default=21, help=f"runs of each; {LEAST_RUNS} at least (default: %(default)s)"
    )
    parser.add_argument("--kubeconfig", type=Path, help="of a cluster with a Deployment default/trainer")
    parser.add_argument(
        "--kubectl", type=Path, default=Path("kubectl"), help="with --kubeconfig (default: %(default)s)"
    )
    parser.add_argument("--round-trip-ms", type=float, default=20.0, help="to the server that is far (default: 20)")
    parser.add_argument("--check", action="store_true", help="exit with 1 when the bar is missed")
    given = parser.parse_args()
    try:
        with _clusters(given) as clusters:
            places = {place: measure(*cluster, max(LEAST_RUNS, given.runs)) for place, cluster in clusters.items()}
    except ControlPlaneError as error:
        print(f"NOT measured against a real Kubernetes: {error}")
        return 1 if given.check else 0
    print(table(places))
    missed = [place for place, times_ms in places.items() if ratio(times_ms) >= BAR]
    if missed:
        print(f"above the bar: {', '.join(missed)}")
    return 1 if missed and given.check else 0


if __name__ == "__main__":
    sys.exit(main())
