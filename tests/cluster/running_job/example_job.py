"""The trainer of ``examples/trainer`` in a pod of the real node, and the commands of a user who watches it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.control_plane import ControlPlane, wait_until
from tests.cluster.images import interpreter, interpreter_mounts
from tests.cluster.workloads import created, deployment, log_of, ready_pods
from tests.installed_pro import installed_pro

from modekeeper.artifacts.canonical import document
from modekeeper.cli.clocks import SystemClock
from modekeeper_license_gate.work import DEVELOPMENT_KEYRING, make_development_licence

TRAINER = Path(__file__).parents[3] / "examples" / "trainer" / "modekeeper_trainer.py"
PREFETCH = "dataloader_prefetch_factor"
KEY = f"modekeeper/knob.{PREFETCH}"
NAME = "trainer"


def trainer(prefetch: int, *, name: str = NAME, **environment: str) -> dict[str, Any]:
    """A Deployment of one trainer that begins with a prefetch factor; ``environment`` is that of the program."""
    return deployment(
        name,
        [interpreter(), "-c", TRAINER.read_text()],
        annotations={"modekeeper/telemetry": "stdout-jsonl", KEY: str(prefetch)},
        environment=environment,
        folders=interpreter_mounts(),
    )


def licensed(folder: Path) -> dict[str, str]:
    """Install the licensed package for one folder's processes, and make a development licence beside it."""
    (folder / "pro").mkdir()
    # A command that is run in the folder finds the licence by itself.
    make_development_licence(folder, now=SystemClock().now(), days=1, entitlements=("apply",))
    return installed_pro(folder / "pro") | {
        "MK_LICENSE_GATE_PUBLIC_KEYS_PATH": str(folder / DEVELOPMENT_KEYRING),
        "XDG_STATE_HOME": str(folder / "state"),
    }


@dataclass(frozen=True)
class ExampleJob:
    """A running trainer, and ``user``, who runs the commands in ``folder``."""

    plane: ControlPlane
    namespace: str
    folder: Path
    environment: Mapping[str, str]
    user: str = "admin"
    name: str = NAME
    """Of the Deployment."""

    def start(self, manifest: Mapping[str, Any]) -> None:
        created(self.plane, self.namespace, manifest)
        pod = self.pod()
        wait_until(lambda: "\n" in log_of(self.plane, pod), "the trainer has trained")
        wait_until(self._is_settled, "the rollout is over")

    def _is_settled(self) -> bool:
        found = self.workload()
        return bool(found["status"].get("observedGeneration") == found["metadata"]["generation"])

    def workload(self) -> dict[str, Any]:
        found: dict[str, Any] = self.plane.request("admin", self._path).body
        return found

    def delete(self) -> None:
        """Take the Deployment away, with its pod."""
        assert self.plane.request("admin", self._path, "DELETE").status == 200

    @property
    def _path(self) -> str:
        return f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{self.name}"

    def pod(self) -> dict[str, Any]:
        (found,) = ready_pods(self.plane, self.namespace, selector=f"app={self.name}")
        return found

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "modekeeper", *words]

    def surroundings(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH",) if name in os.environ}
        mine = {"KUBECTL": str(self.plane.binaries / "kubectl"), "KUBECONFIG": str(self.plane.kubeconfig(self.user))}
        return kept | self.plane.environment(self.user) | mine | dict(self.environment)

    def mk(self, *words: str, code: int = 0) -> str:
        """Run a command to its end, hold it to its exit code, and return what it printed."""
        done = subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=self.surroundings(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def report(self, name: str) -> Any:
        return json.loads((self.folder / name).read_bytes())

    def written(self, name: str, data: object) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(document(data))
        return name


def annotations(thing: Mapping[str, Any]) -> dict[str, str]:
    """Ours and everybody's, as they are; none at all is an empty one."""
    return dict(thing["metadata"].get("annotations") or {})


def records(log: str) -> list[dict[str, Any]]:
    """The telemetry of a log, without a last line that is not whole."""
    return [json.loads(line) for line in log.splitlines()[: log.count("\n")] if line.startswith("{")]


def restarts(pod: Mapping[str, Any]) -> int:
    count: int = pod["status"]["containerStatuses"][0]["restartCount"]
    return count
