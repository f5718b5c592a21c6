"""Runs every benchmark and prints its Markdown tables: ``make bench``."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
BENCHMARKS = (
    "benchmarks.startup.startup",
    "benchmarks.detect.score",
    "benchmarks.detect.speed",
    "benchmarks.ingest.compare",
    "benchmarks.soak.watch_soak",
    "benchmarks.preflight_speed",
    "benchmarks.cluster.verify_speed",
    "benchmarks.cluster.door_speed",
    "benchmarks.pod_logs",
)
"""The last four say in one line what they lack where the programs of Kubernetes are not there, and go on without."""


def main() -> int:
    failed = []
    # Not installed beside the public package: found where it lies.
    licensed = str(REPOSITORY / "packages" / "modekeeper-pro" / "src")
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([licensed, *filter(None, [os.environ.get("PYTHONPATH")])])
    }
    for name in BENCHMARKS:
        print(f"\n## {name}\n", flush=True)
        if subprocess.run([sys.executable, "-m", name], cwd=REPOSITORY, env=environment, check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
