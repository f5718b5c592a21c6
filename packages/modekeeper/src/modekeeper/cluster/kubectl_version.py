"""Which kubectl is here, if any. It is asked about itself, not about a cluster."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from typing import NamedTuple

from modekeeper.model.untrusted import visible

__all__ = ["KubectlVersion", "kubectl_version"]

_TIMEOUT_S = 5.0
_LONGEST = 64


class KubectlVersion(NamedTuple):
    """``version``, or ``error``: why there is none."""

    version: str | None = None
    error: str | None = None
    rc: int | None = None
    stderr: str | None = None


def kubectl_version(environment: Mapping[str, str]) -> KubectlVersion:
    """The version of the program ``KUBECTL`` names, else of the ``kubectl`` in ``PATH``. Never raises."""
    program = shutil.which(environment.get("KUBECTL") or "kubectl", path=environment.get("PATH"))
    if program is None:
        return KubectlVersion(error="kubectl_not_found")
    try:
        done = subprocess.run(  # noqa: S603 - the user's own program, our own words, no shell
            [program, "version", "--client", "--output=json"],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return KubectlVersion(error="timeout")
    except OSError as error:
        return KubectlVersion(error="not_runnable", stderr=visible(error.strerror or type(error).__name__))
    stderr = visible(done.stderr.decode(errors="replace")) or None
    if done.returncode != 0:
        return KubectlVersion(error="failed", rc=done.returncode, stderr=stderr)
    try:
        version = json.loads(done.stdout)["clientVersion"]["gitVersion"]
    except (ValueError, KeyError, TypeError):
        return KubectlVersion(error="not_understood", rc=done.returncode, stderr=stderr)
    return KubectlVersion(version=visible(str(version), _LONGEST))
