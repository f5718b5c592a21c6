"""From what was asked for to a source."""

from collections.abc import Mapping
from pathlib import Path

from modekeeper.ports.clock import Clock
from modekeeper.telemetry.prometheus.choice import PrometheusChoice
from modekeeper.telemetry.prometheus.promql import PodSelector
from modekeeper.telemetry.prometheus.queries import plan_queries
from modekeeper.telemetry.prometheus.recording import ExchangeRecorder, RecordedAnswers, choice_recorded_in
from modekeeper.telemetry.prometheus.server import LiveServer
from modekeeper.telemetry.prometheus.source import PrometheusSource
from modekeeper.telemetry.recorder import RawRecorder

__all__ = ["open_prometheus", "open_prometheus_recording"]


def open_prometheus(
    choice: PrometheusChoice,
    *,
    clock: Clock,
    environment: Mapping[str, str],
    recorder: RawRecorder | None = None,
) -> PrometheusSource:
    """A source over a Prometheus server. Nothing is asked before ``blocks``.

    Args:
        choice: which server, whose pods, which metrics, which time.
        clock: says which grid points have settled, and waits before another try.
        environment: names the files with credentials; see :mod:`modekeeper.telemetry.prometheus.credentials`.
        recorder: gets every question and answer, one a line.

    Raises:
        BadInputError: something in ``choice`` or in the environment cannot be used.
    """
    selector = PodSelector(choice)
    plan = plan_queries(choice, selector)
    exchanges = None if recorder is None else ExchangeRecorder(recorder, choice)
    server = LiveServer(choice, clock=clock, environment=environment, recorder=exchanges)
    return PrometheusSource(server, plan, selector, exchanges)


def open_prometheus_recording(path: Path) -> PrometheusSource:
    """A source over what ``open_prometheus`` recorded: the same samples, counters and warnings.

    Raises:
        BadInputError: it is no such recording, or is damaged.
    """
    choice = choice_recorded_in(path)
    selector = PodSelector(choice)
    plan = plan_queries(choice, selector)
    return PrometheusSource(RecordedAnswers(path, plan), plan, selector, None)
