"""The other side of ``zygote.py``: applies and rollbacks in processes of their own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.door.stages import Applying, Client, Stage

from modekeeper.artifacts.canonical import document

__all__ = ["Zygote", "starting"]


@dataclass
class Zygote:
    """See ``zygote.py``."""

    process: subprocess.Popen[str]
    stage: Stage

    def run(self, door: Applying, client: Client, operation: str, **killed: Any) -> int:
        """An apply or a rollback in a process of its own; its return code."""
        self.begin(door, client, operation, **killed)
        return self.ended()

    def begin(
        self, door: Applying, client: Client, operation: str, *, kubectl: str | None = None, **killed: Any
    ) -> None:
        plane = self.stage.plane
        (door.folder / "plan.json").write_bytes(document(door.plan))
        (door.folder / "verification.json").write_bytes(door.verification)
        asked = {
            "folder": str(door.folder),
            "kubeconfig": str(plane.kubeconfig("admin")),
            "environment": plane.environment("admin") | {"KUBECTL": kubectl or str(plane.binaries / "kubectl")},
            "client": client,
            "operation": operation,
            "plan": str(door.folder / "plan.json"),
            "verification": str(door.folder / "verification.json"),
            **killed,
        }
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()

    def ended(self) -> int:
        assert self.process.stdout is not None
        ended: int = json.loads(self.process.stdout.readline())["returncode"]
        return ended


@contextmanager
def starting(stage: Stage) -> Iterator[Zygote]:
    environment = {"PATH": os.defpath, "PYTHONPATH": ":".join(sys.path)}
    words = [sys.executable, "-m", "tests.cluster.door.zygote"]
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=root
    ) as process:
        yield Zygote(process, stage)
        assert process.stdin is not None
        process.stdin.close()
