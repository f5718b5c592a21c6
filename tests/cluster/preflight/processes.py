"""``mk`` as a process, with a kubeconfig and nothing else of the machine's settings."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tests.cluster.control_plane import ControlPlane


class Done(NamedTuple):
    """What a run of ``mk k8s preflight`` returned, printed and wrote."""

    code: int
    stdout: str
    stderr: str
    report: dict[str, Any]

    @property
    def checks(self) -> dict[str, dict[str, Any]]:
        """The checks by name."""
        return {check["name"]: check for check in self.report["checks"]}

    @property
    def statuses(self) -> dict[str, str]:
        """What each check says."""
        return {name: check["status"] for name, check in self.checks.items()}

    @property
    def errors(self) -> list[str]:
        """The lines on standard error that are errors."""
        return [line for line in self.stderr.splitlines() if line.startswith("ERROR: ")]


def preflight(folder: Path, environment: dict[str, str], *words: str) -> Done:
    """Run it, with its artifacts in ``folder/out``; the report is empty where none was written."""
    kept = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-m", "modekeeper", "k8s", "preflight", "--out", "out", *words],
        cwd=folder,
        env={"PATH": os.defpath} | environment | kept,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "Traceback" not in done.stderr, done.stderr
    written = folder / "out" / "preflight_latest.json"
    report = json.loads(written.read_bytes()) if written.is_file() else {}
    return Done(done.returncode, done.stdout, done.stderr, report)


def as_user(plane: ControlPlane, user: str, folder: Path, *words: str) -> Done:
    """Run it as a user of the tests; kubectl is that of the plane."""
    environment = plane.environment(user) | {"KUBECTL": str(plane.binaries / "kubectl")}
    return preflight(folder, environment, *words)
