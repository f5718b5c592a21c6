"""Which code decided, and where."""

import platform
import re
import socket
import subprocess
from pathlib import Path

from modekeeper import __version__
from modekeeper.artifacts.contracts.bundle import Provenance

__all__ = ["provenance"]

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_PACKAGE = Path(__file__).resolve().parents[1]


def provenance() -> Provenance:
    """Version, commit and host of the running product. Never raises: what cannot be told is ``None``."""
    checkout = _checkout()
    return Provenance(
        version=__version__,
        git_commit=None if checkout is None else _commit(checkout),
        git_dirty=None if checkout is None else _dirty(checkout),
        host=socket.gethostname(),
        python=platform.python_version(),
    )


def _checkout() -> Path | None:
    """The checkout this package runs from; ``None`` when it was installed."""
    for folder in _PACKAGE.parents:
        if (folder / "packages" / "modekeeper" / "pyproject.toml").is_file() and (folder / ".git").exists():
            return folder
    return None


def _commit(checkout: Path) -> str | None:
    """The commit of ``HEAD``, read from git's files: no program of the checkout's choosing is run."""
    git = checkout / ".git"
    try:
        head = (git / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head if _COMMIT.fullmatch(head) else None
        name = head.removeprefix("ref: ")
        loose = git / name
        if loose.is_file():
            commit = loose.read_text().strip()
            return commit if _COMMIT.fullmatch(commit) else None
        for line in (git / "packed-refs").read_text().splitlines():
            if line.endswith(f" {name}"):
                return line.partition(" ")[0]
    except (OSError, ValueError):
        return None
    return None


def _dirty(checkout: Path) -> bool | None:
    """Whether tracked files differ from the commit. Hooks and monitors the checkout may name stay off."""
    command = ["git", "-C", str(checkout), "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"]
    command += ["--no-optional-locks", "status", "--porcelain", "--untracked-files=no"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=5, check=True)  # noqa: S603 - fixed words
    except (OSError, subprocess.SubprocessError):
        return None
    return bool(done.stdout.strip())
