"""A real Prometheus server in a folder of its own, on a loopback port."""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.telemetry.prometheus.exporter import HOST

PROGRAM_VARIABLE = "MODEKEEPER_PROMETHEUS"
_READY_S = 30.0
_END_S = 10.0
_ATTEMPTS = 3


def find_program() -> str | None:
    """The program: what ``MODEKEEPER_PROMETHEUS`` names, else the one in ``PATH``."""
    return shutil.which(os.environ.get(PROGRAM_VARIABLE) or "prometheus")


def job(name: str, target: str, path: str, *, honor_labels: bool, labels: dict[str, str]) -> dict[str, Any]:
    """One scrape job, as the Prometheus operator would write it for a pod with these target labels."""
    return {
        "job_name": name,
        "honor_labels": honor_labels,
        "metrics_path": path,
        "static_configs": [{"targets": [target], "labels": labels}],
    }


@contextmanager
def running_prometheus(folder: Path, program: str, jobs: Sequence[dict[str, Any]], interval: str) -> Iterator[str]:
    """A server that scrapes ``jobs`` every ``interval``; gives its address. JSON is YAML to it."""
    config = folder / "prometheus.yml"
    timing = {"scrape_interval": interval, "scrape_timeout": interval}
    config.write_text(json.dumps({"global": timing, "scrape_configs": list(jobs)}))
    for attempt in range(_ATTEMPTS):
        port = _free_port()
        with (folder / "prometheus.log").open("ab") as log:
            process = subprocess.Popen(
                [
                    program,
                    f"--config.file={config}",
                    f"--storage.tsdb.path={folder / f'data-{attempt}'}",
                    f"--web.listen-address={HOST}:{port}",
                    "--log.level=warn",
                ],
                stdout=log,
                stderr=log,
                cwd=folder,
            )
        try:
            url = f"http://{HOST}:{port}"
            if _is_ready(process, url):
                yield url
                return
        finally:
            process.terminate()
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    raise RuntimeError(f"Prometheus did not start:\n{(folder / 'prometheus.log').read_text()[-2000:]}")


def query(url: str, expression: str) -> list[Any]:
    """What the server answers to an instant query; used to wait for a scrape, never to compute what is expected."""
    form = urllib.parse.quote(expression)
    found: list[Any] = json.loads(_get(f"{url}/api/v1/query?query={form}"))["data"]["result"]
    return found


def _is_ready(process: subprocess.Popen[bytes], url: str) -> bool:
    until = time.monotonic() + _READY_S
    while process.poll() is None and time.monotonic() < until:
        try:
            _get(f"{url}/-/ready")
        except OSError:
            time.sleep(0.1)
        else:
            return True
    return False


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 - an address of our own on loopback
        body: bytes = response.read()
        return body


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
