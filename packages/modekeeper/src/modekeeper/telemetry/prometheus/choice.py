"""What to read from a Prometheus server, as asked for, and the bounds of it."""

import math

import msgspec

from modekeeper.model.errors import BadInputError

__all__ = ["PrometheusChoice", "check_choice"]

_LEAST_STEP_S, _MOST_STEP_S = 1.0, 3600.0
_MOST_WINDOW_S = 31 * 86400.0
_MOST_SETTLE_S = 3600.0
_LEAST_TIMEOUT_S, _MOST_TIMEOUT_S = 0.1, 600.0


class PrometheusChoice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which server, whose pods, which metrics, which time. Credentials are not here: they come from files."""

    url: str
    """Address of the server, with the path in front of ``/api/v1`` if there is one; no user name, no query."""
    namespace: str
    workload: str | None = None
    """Name of the workload: its pods are the ones called so, with one or two parts behind the name."""
    pods: tuple[str, ...] = ()
    """The exact pods, where somebody knows them; ``workload`` then selects nothing."""
    container: str | None = None
    """Only series of this container."""
    metrics: tuple[str, ...] = ()
    """``FIELD=METRIC`` or ``FIELD=PROMQL`` each: the trainer's own metrics."""
    gpu: bool = True
    """Ask for the metrics of dcgm-exporter too, except for fields that ``metrics`` names."""
    step_s: float = 15.0
    """One sample every so many seconds. At least the scrape interval: what is scraped less often leaves gaps."""
    window_s: float = 3600.0
    """How far back the first read goes."""
    settle_s: float = 30.0
    """Time a scrape has to arrive: later grid points are left for the next read. Three default scrape timeouts."""
    end_ms: int | None = None
    """Read up to here and no further, Unix milliseconds; up to now, less ``settle_s``, by default."""
    timeout_s: float = 30.0
    """Most seconds one question may take, from looking up the host to the last byte."""

    @property
    def step_ms(self) -> int:
        """``step_s`` in whole milliseconds."""
        return round(self.step_s * 1000)


def check_choice(choice: PrometheusChoice) -> PrometheusChoice:
    """``choice`` itself, where its numbers make sense.

    Raises:
        BadInputError: one of them is out of range, or nobody says whose pods.
    """
    _within("step", choice.step_s, _LEAST_STEP_S, _MOST_STEP_S)
    if abs(choice.step_s * 1000 - choice.step_ms) > 1e-6:  # noqa: PLR2004 - rounding of a decimal fraction
        raise BadInputError(f"the Prometheus step of {choice.step_s:g} s is no whole number of milliseconds.")
    _within("window", choice.window_s, choice.step_s, _MOST_WINDOW_S)
    _within("settling time", choice.settle_s, 0.0, _MOST_SETTLE_S)
    _within("timeout", choice.timeout_s, _LEAST_TIMEOUT_S, _MOST_TIMEOUT_S)
    if choice.workload is None and not choice.pods:
        raise BadInputError("nothing says whose pods to look at in Prometheus. Give the workload's name, or its pods.")
    if not choice.gpu and not choice.metrics:
        raise BadInputError("no metric to ask Prometheus for. Give one as FIELD=METRIC, or do not leave out the GPUs'.")
    return choice


def _within(what: str, value: float, least: float, most: float) -> None:
    if not (math.isfinite(value) and least <= value <= most):
        raise BadInputError(
            f"the Prometheus {what} of {value:g} s is out of range. Give {least:g} to {most:g} seconds."
        )
