"""Two jobs whose every number is known: two workers and two GPUs each, in three chapters."""

import time
from dataclasses import dataclass
from typing import Any

from tests.telemetry.feeding import Row
from tests.telemetry.prometheus.exporter import Exporter, gpu_labels, line
from tests.telemetry.prometheus.real_server import job

from modekeeper.telemetry.prometheus.choice import PrometheusChoice

HONOURED, EXPORTED = "ml-honoured", "ml-exported"
NAMESPACES = (HONOURED, EXPORTED)
"""Namespaces of the two jobs; the exporter's labels are honoured for one, and renamed for the other."""

BLANK = 140737488355328
_SERVICE = {"namespace": "gpu-operator", "pod": "dcgm-exporter-7xk2p", "container": "exporter"}


@dataclass(frozen=True)
class Chapter:
    """What the exporters say, and what the samples must be. ``None`` for a worker: its target is down."""

    util: tuple[float, float]
    power: tuple[float, float]
    workers: tuple[float | None, float | None]
    gpu_part: Row
    worker_part: Row


SAME_GPUS: Row = {
    "gpu_mem_used_mb": 70_000.0,
    "gpu_mem_total_mb": 81_559.0,
    "gpu_temp_c": 71.0,
    "node": "node-a",
    "gpu_model": "NVIDIA H100 80GB HBM3",
}
CALM = Chapter(
    (90, 70),
    (650.25, 550.25),
    (0.5, 0.75),
    SAME_GPUS | {"gpu_util_pct": 80.0, "gpu_power_w": 600.25},
    {"step_time_ms": 750.0, "workers": [500.0, 750.0], "step": 41, "throughput": 3000.0},
)
TROUBLE = Chapter(
    (40, 20),
    (BLANK, 300.5),
    (None, 2.0),
    SAME_GPUS | {"gpu_util_pct": 30.0, "gpu_power_w": 300.5},
    {"step_time_ms": 2000.0, "workers": [None, 2000.0], "step": 42, "throughput": 1500.0},
)
AFTER = Chapter(
    (100, 100),
    (700, 690),
    (0.25, 0.5),
    SAME_GPUS | {"gpu_util_pct": 100.0, "gpu_power_w": 695.0},
    {"step_time_ms": 500.0, "workers": [250.0, 500.0], "step": 41, "throughput": 3000.0},
)
CHAPTERS = (CALM, TROUBLE, AFTER)
METRICS = (
    "step_time_ms=trainer_step_seconds",
    "step=trainer_steps_total",
    "throughput=sum(trainer_tokens_total{$pods}) / 10",
)


class Story:
    """The pages of the exporters, and when they changed."""

    def __init__(self, exporter: Exporter) -> None:
        self._exporter = exporter
        self.url = ""
        self.began_s: list[float] = []
        self.tell(CALM)
        self.began_s.clear()

    def jobs(self) -> list[dict[str, Any]]:
        """A scrape job for dcgm-exporter, and one for each worker, in each namespace."""
        target = self._exporter.target
        found = [
            job(f"gpus-{name}", target, f"/gpus/{name}", honor_labels=name == HONOURED, labels=_SERVICE)
            for name in NAMESPACES
        ]
        for name in NAMESPACES:
            for worker in range(2):
                labels = {"namespace": name, "pod": f"trainer-{worker}", "container": "main"}
                path = f"/workers/{name}/{worker}"
                found.append(job(f"{name}-{worker}", target, path, honor_labels=False, labels=labels))
        return found

    def tell(self, chapter: Chapter) -> None:
        """Change all pages."""
        pages: dict[str, str | None] = {}
        for name in NAMESPACES:
            pages[f"/gpus/{name}"] = _gpus(name, chapter)
            for worker, seconds in enumerate(chapter.workers):
                pages[f"/workers/{name}/{worker}"] = None if seconds is None else _worker(worker, seconds)
        self._exporter.pages = pages
        self.began_s.append(time.time())  # noqa: TID251 - the clock that the server goes by

    def choice(self, namespace: str, **more: Any) -> PrometheusChoice:
        """Everything about one of the jobs, a sample a second."""
        given: dict[str, Any] = {"step_s": 1.0, "window_s": 5.0, "settle_s": 2.5, "metrics": METRICS} | more
        return PrometheusChoice(url=self.url, namespace=namespace, workload="trainer", **given)


def _gpus(namespace: str, chapter: Chapter) -> str:
    """What dcgm-exporter says: our two GPUs, one of another job, and an idle one."""
    said = []
    for number, pod in ((0, "trainer-0"), (1, "trainer-1"), (2, "other-0"), (3, "")):
        ours = number < 2
        labels = gpu_labels(number, pod, namespace)
        used = (1000, 70_000)[number] if ours else 5
        said += [
            line("DCGM_FI_DEV_GPU_UTIL", labels, chapter.util[number] if ours else 3),
            line("DCGM_FI_PROF_GR_ENGINE_ACTIVE", labels, 0.125),
            line("DCGM_FI_DEV_FB_USED", labels, used),
            line("DCGM_FI_DEV_FB_FREE", labels, 81_559 - used),
            line("DCGM_FI_DEV_POWER_USAGE", labels, chapter.power[number] if ours else 75.5),
            line("DCGM_FI_DEV_GPU_TEMP", labels, 70 + number if ours else 99),
        ]
    return "".join(said)


def _worker(worker: int, seconds: float) -> str:
    step = line("trainer_steps_total", {}, 41 + worker)
    return line("trainer_step_seconds", {}, seconds) + step + line("trainer_tokens_total", {}, 15_000)
