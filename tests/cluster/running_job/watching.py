"""``mk watch --apply`` beside a running job, as a process of its own, and what it has written so far."""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.cluster.running_job.example_job import NAME, ExampleJob

OUT = "watch"
RAW = "raw.jsonl"
INTERVAL = "3s"
END_DEADLINE_S = 60.0
NEW_POD_WITHIN_S = 150.0
"""A change that comes while a pod starts may wait for the kubelet's next full sync of the pod, 60 to 90 s later."""


class Watching:
    """A session of ``watch``. Its folder is ``OUT``, its recording ``RAW``, both in the job's folder."""

    def __init__(self, job: ExampleJob, process: subprocess.Popen[bytes]) -> None:
        self.folder = job.folder / OUT
        self._process = process
        self._said = job.folder / "watch.txt"

    @property
    def apply(self) -> dict[str, Any]:
        """The part of the roll-up that says what was done; empty while there is no roll-up."""
        with suppress(FileNotFoundError):
            part: dict[str, Any] | None = json.loads((self.folder / "watch_latest.json").read_bytes())["apply"]
            return part or {}
        return {}

    def events(self, name: str) -> list[dict[str, Any]]:
        """What the session told under a name."""
        with suppress(FileNotFoundError):
            lines = (self.folder / "explain.jsonl").read_text().splitlines()
            return [each for line in lines if (each := json.loads(line))["event"] == name]
        return []

    def wait(self, what: str, until: Callable[[], bool], within_s: float) -> None:
        """Wait until something is so; the session must still run by then."""
        deadline = time.monotonic() + within_s
        while not until():
            assert self._process.poll() is None, f"watch ended: {self._said.read_text()}"
            assert time.monotonic() < deadline, f"not within {within_s:.0f} s: {what}; {self.apply}"
            time.sleep(0.2)

    def end(self) -> int:
        """Let it finish its iteration, and return its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(END_DEADLINE_S)


@contextmanager
def watching(job: ExampleJob, *words: str) -> Iterator[Watching]:
    """Watch the job's Deployment and apply; ended when the block is left, however it is left."""
    where = ("--k8s-namespace", job.namespace, "--k8s-deployment", NAME)
    what = ("watch", "--apply", "--observe-source", "k8s", *where, "--observe-record-raw", RAW)
    command = job.command(*what, "--interval", INTERVAL, "--out", OUT, *words)
    with (job.folder / "watch.txt").open("wb") as said:
        process = subprocess.Popen(
            command, cwd=job.folder, env=job.surroundings(), stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
    try:
        yield Watching(job, process)
    finally:
        process.kill()
        process.wait()


def artifact(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_bytes())
