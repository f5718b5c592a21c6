"""Options that say which telemetry to read, and the choice they parse to."""

from collections.abc import Callable
from typing import Any

import click
import msgspec

from modekeeper.cli.cluster_options import ClusterOptions, cluster_options
from modekeeper.cli.options import DEFAULT_TARGET, DURATION, gathered, target_options
from modekeeper.model.decision import Target
from modekeeper.model.errors import BadInputError

__all__ = ["PrometheusOptions", "TelemetryChoice", "jobs_option", "live_options", "telemetry_options"]

_MOST_JOBS = 64


SOURCES = ("file", "synthetic", "k8s", "prometheus")


class PrometheusOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What only a Prometheus server needs to be told."""

    url: str | None = None
    step_s: float | None = None
    settle_s: float | None = None
    pods: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    gpu: bool = True


class TelemetryChoice(msgspec.Struct, frozen=True, kw_only=True):
    """Which telemetry to read, as asked for on the command line."""

    source: str | None = None
    paths: tuple[str, ...] = ()
    follow: bool = False
    scenario: str | None = None
    seed: int = 0
    duration_s: float | None = None
    record_raw: str | None = None
    prefix: str = ""
    """What the options are called in this command begins with it."""
    label: str | None = None
    """What reports call it, where its path means nothing to the user."""
    jobs: int | msgspec.UnsetType = msgspec.UNSET
    """Processes that read it; decided by its size where nobody says. It makes no other telemetry of it."""
    container: str | None = None
    prometheus: PrometheusOptions = PrometheusOptions()
    target: Target = DEFAULT_TARGET
    """The workload whose pods are read; only where a cluster or Prometheus is."""
    cluster: ClusterOptions = ClusterOptions()

    @property
    def path_option(self) -> str:
        """The option that names files."""
        return f"--{self.prefix}path"

    @property
    def is_live(self) -> bool:
        """Whether it comes from something that runs, not from a file or a scenario."""
        return self.kind in {"k8s", "prometheus"}

    @property
    def kind(self) -> str:
        """One of ``SOURCES``: what was asked for, or what the other options imply.

        Raises:
            BadInputError: nothing names any telemetry, or the options contradict each other.
        """
        kind = self.source or self._implied()
        if kind != "file" and self.paths:
            raise BadInputError(f"{kind} telemetry and {self.path_option} contradict each other. Give one of the two.")
        if kind == "file" and not self.paths:
            raise BadInputError(
                f"no telemetry named. Give {self.path_option} a JSON-lines or CSV file, or '-' for standard input."
            )
        if kind != "synthetic" and self.scenario is not None:
            what = self.path_option if kind == "file" else f"--{self.prefix}source {kind}"
            raise BadInputError(f"--scenario goes with synthetic telemetry, not with {what}. Give one of the two.")
        if kind == "prometheus" and self.prometheus.url is None:
            raise BadInputError(
                f"no Prometheus server named. Give --{self.prefix}prometheus-url, such as http://localhost:9090."
            )
        return kind

    def of(self, target: Target, cluster: ClusterOptions) -> "TelemetryChoice":
        """The same, of one workload of one cluster."""
        return msgspec.structs.replace(self, target=target, cluster=cluster)

    def _implied(self) -> str:
        if self.paths:
            return "file"
        if self.scenario is not None:
            return "synthetic"
        if self.prometheus.url is not None:
            return "prometheus"
        raise BadInputError(
            f"no telemetry named. Give {self.path_option} a JSON-lines or CSV file ('-' for standard input), "
            f"--scenario a name, or --{self.prefix}source k8s or prometheus."
        )


def telemetry_options(
    prefix: str = "", *, to_its_end: bool = True
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Options that name telemetry, each with ``prefix`` (``observe-``); the command gets ``telemetry``.

    ``--jobs`` goes with commands that read it ``to_its_end``.
    """
    options = [*_telemetry(prefix), *_prometheus(prefix)]
    if to_its_end:
        options.append(_jobs("telemetry__jobs"))
    return gathered("telemetry", lambda given: _choice(prefix, given), options)


def jobs_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--jobs``: the command gets ``jobs``, which is ``None`` where nobody says."""
    with_jobs: Callable[..., Any] = _jobs("jobs")(function)
    return with_jobs


def live_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The workload and the cluster it is in: the command gets ``target`` and ``cluster``."""
    return target_options(cluster_options(function))


def _choice(prefix: str, given: dict[str, Any]) -> TelemetryChoice:
    jobs = given.pop("jobs", None)
    own = {key.removeprefix("prometheus_"): given.pop(key) for key in list(given) if key.startswith("prometheus_")}
    return TelemetryChoice(prefix=prefix, jobs=jobs or msgspec.UNSET, prometheus=PrometheusOptions(**own), **given)


def _telemetry(prefix: str) -> list[Callable[..., Any]]:
    return [
        click.option(
            f"--{prefix}source",
            "telemetry__source",
            type=click.Choice(SOURCES),
            help=f"Where telemetry comes from: pods of the workload (k8s), a Prometheus server, a file or a scenario. "
            f"Implied by --{prefix}path, --scenario or --{prefix}prometheus-url.",
        ),
        click.option(
            f"--{prefix}path",
            "telemetry__paths",
            multiple=True,
            metavar="FILE",
            help="JSON lines or CSV, plain, gzip or zstd; a glob; '-' is standard input. May be repeated.",
        ),
        click.option(
            f"--{prefix}follow",
            "telemetry__follow",
            is_flag=True,
            help="Keep reading what comes, until interrupted or for --duration.",
        ),
        click.option(
            "--scenario",
            "telemetry__scenario",
            metavar="NAME",
            help="Synthetic telemetry: stable, drift, burst, straggler, gpu_saturated, mixed_environment "
            "or incident_and_recovery.",
        ),
        click.option(
            "--seed",
            "telemetry__seed",
            type=click.IntRange(min=0),
            default=0,
            show_default=True,
            help="Seed of a scenario.",
        ),
        click.option(
            f"--{prefix}duration",
            "telemetry__duration_s",
            type=DURATION,
            help="Read so much telemetry time at most: 90, 90s, 5m, 1h. Of pods and Prometheus: the last so much, or "
            "with --follow so long.",
        ),
        click.option(
            f"--{prefix}record-raw",
            "telemetry__record_raw",
            metavar="FILE",
            help="Keep what was read, byte for byte, for a later replay.",
        ),
    ]


def _prometheus(prefix: str) -> list[Callable[..., Any]]:
    return [
        click.option(
            f"--{prefix}container",
            "telemetry__container",
            metavar="NAME",
            help="Container of the pods, where there is more than one candidate.",
        ),
        click.option(
            f"--{prefix}prometheus-url",
            "telemetry__prometheus_url",
            metavar="URL",
            help="Prometheus server; credentials come from files, see docs/PROMETHEUS.md.",
        ),
        click.option(
            f"--{prefix}prometheus-step",
            "telemetry__prometheus_step_s",
            type=DURATION,
            help="One sample every so long; at least the scrape interval. 15s by default.",
        ),
        click.option(
            f"--{prefix}prometheus-settle",
            "telemetry__prometheus_settle_s",
            type=DURATION,
            help="How long a scrape may take to arrive: samples are so old when they are read. 30s by default.",
        ),
        click.option(
            f"--{prefix}prometheus-pod",
            "telemetry__prometheus_pods",
            multiple=True,
            metavar="NAME",
            help="The exact pods, instead of those that are called after the workload. May be repeated.",
        ),
        click.option(
            f"--{prefix}prometheus-metric",
            "telemetry__prometheus_metrics",
            multiple=True,
            metavar="FIELD=METRIC",
            help="A metric of the trainer's own, or a PromQL expression: step_time_ms=trainer_step_seconds. "
            "May be repeated.",
        ),
        click.option(
            f"--{prefix}prometheus-gpu/--{prefix}no-prometheus-gpu",
            "telemetry__prometheus_gpu",
            default=True,
            help="Ask for the metrics of dcgm-exporter too (the default).",
        ),
    ]


def _jobs(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(
        "--jobs",
        name,
        type=click.IntRange(min=1, max=_MOST_JOBS),
        metavar="N",
        help="Processes that read large files together; by default as many as the file and the machine are good for. "
        "The result is the same.",
    )
