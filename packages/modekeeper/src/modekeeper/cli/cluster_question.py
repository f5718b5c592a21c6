"""Ask the user's cluster, through the plan's own script, whether it would accept the plan. Nothing is changed."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

__all__ = ["NO_CLUSTER", "ask_cluster", "cluster_answers"]

NO_CLUSTER = "no cluster answered"
_PROBE_S = 10
_DRY_RUN_S = 60
_LONGEST_ANSWER = 200


def cluster_answers(environment: Mapping[str, str]) -> str | None:
    """The version of the cluster ``kubectl`` is set up for; ``None`` where none answers within seconds."""
    kubectl = shutil.which(environment.get("KUBECTL") or "kubectl", path=environment.get("PATH"))
    if kubectl is None:
        return None
    done = _run([kubectl, "version", "--output=json", "--request-timeout=5s"], environment, _PROBE_S)
    try:
        version = json.loads(done.stdout)["serverVersion"]["gitVersion"] if done else None
    except (ValueError, KeyError, TypeError):
        return None
    return version[:40] if isinstance(version, str) else None


def ask_cluster(script: Path, environment: Mapping[str, str]) -> tuple[bool, str]:
    """Run the plan's script with ``--dry-run=server``: whether the cluster would accept it, and its first word."""
    bash = shutil.which("bash", path=environment.get("PATH"))
    if bash is None:
        return False, "bash is not installed"
    words = [bash, str(script), "--dry-run=server", "--request-timeout=15s"]
    done = _run(words, environment, _DRY_RUN_S)
    if done is None:
        return False, f"no answer within {_DRY_RUN_S} s"
    if done.returncode == 0:
        return True, "the cluster would accept the plan (server-side dry run, nothing changed)"
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return False, (lines[-1] if lines else f"exit code {done.returncode}")[:_LONGEST_ANSWER]


def _run(words: list[str], environment: Mapping[str, str], timeout_s: float) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(  # noqa: S603 - programs of the user's PATH, our own words, no shell
            words,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
