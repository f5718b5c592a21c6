"""What a server would say, without one: series in memory, answered as range queries answer."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modekeeper.ports.clock import StopSignal
from modekeeper.telemetry.prometheus.choice import PrometheusChoice
from modekeeper.telemetry.prometheus.promql import PodSelector
from modekeeper.telemetry.prometheus.queries import Query, plan_queries
from modekeeper.telemetry.prometheus.source import PrometheusSource
from modekeeper.telemetry.prometheus.windows import Window, cut

T0_MS = 1_767_225_600_000
STEP_MS = 15_000
NAMESPACE = "ml"

Values = Mapping[int, object]
"""By grid point; anything that has a text."""


@dataclass
class Held:
    """A series the server holds: its name, its labels, its values."""

    metric: str
    labels: Mapping[str, str]
    values: Values


def body_of(series: Sequence[tuple[Mapping[str, str], Sequence[tuple[float, object]]]], **more: Any) -> bytes:
    """An answer to a range query."""
    result = [{"metric": dict(labels), "values": [[t, str(v)] for t, v in points]} for labels, points in series]
    answer = {"status": "success", "data": {"resultType": "matrix", "result": result}} | more
    return json.dumps(answer).encode()


@dataclass
class MemoryServer:
    """Answers for the windows it is told to have; ``more`` goes into every answer."""

    held: Sequence[Held]
    spans: Sequence[tuple[int, int]]
    """First and last grid point of each window."""
    more: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    describe: str = "memory"
    asked: list[tuple[str, Window]] = field(default_factory=list)

    def windows(self, next_ms: int | None) -> Iterator[Window]:
        for first, last in self.spans:
            window = Window(T0_MS + first * STEP_MS, T0_MS + last * STEP_MS, STEP_MS)
            start_ms = window.start_ms if next_ms is None else max(window.start_ms, next_ms)
            yield from cut(start_ms, window.end_ms, STEP_MS)
            next_ms = window.end_ms + STEP_MS

    def ask(self, query: Query, window: Window, stop: StopSignal) -> bytes | None:
        if stop.is_set():
            return None
        self.asked.append((query.metric, window))
        found = []
        for held in self.held:
            if held.metric == query.metric:
                times = ((T0_MS + point * STEP_MS, value) for point, value in sorted(held.values.items()))
                inside = [(t / 1000, value) for t, value in times if window.start_ms <= t <= window.end_ms]
                if inside:
                    found.append(({"__name__": held.metric, **held.labels}, inside))
        return body_of(found, **self.more)

    def close(self) -> None:
        """Nothing is open."""


def choice(*metrics: str, **more: Any) -> PrometheusChoice:
    """The pods of ``trainer`` in ``ml``."""
    return PrometheusChoice(
        **{"url": "http://127.0.0.1:9", "namespace": NAMESPACE, "workload": "trainer", "metrics": metrics, **more}
    )


def source_over(server: Any, asked: PrometheusChoice) -> PrometheusSource:
    """A source that asks ``server``."""
    selector = PodSelector(asked)
    return PrometheusSource(server, plan_queries(asked, selector), selector, None)


def pod(name: str, **more: str) -> dict[str, str]:
    """Labels of a trainer's series."""
    return {"namespace": NAMESPACE, "pod": name, **more}


def gpu(number: int, pod_name: str = "trainer-0", **more: str) -> dict[str, str]:
    """Labels of a series of dcgm-exporter, honoured."""
    base = {"gpu": str(number), "UUID": f"GPU-{number}", "modelName": "NVIDIA H100", "Hostname": "node-a"}
    return base | pod(pod_name) | more
