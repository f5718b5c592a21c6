"""Which questions are asked, and what an answer means: field, unit, how the workers' values become one.

dcgm-exporter's names, units and labels: https://docs.nvidia.com/datacenter/dcgm/latest/reference/
"""

from enum import StrEnum

import msgspec

from modekeeper.model.errors import BadInputError
from modekeeper.telemetry.counting import escape
from modekeeper.telemetry.prometheus.choice import PrometheusChoice, check_choice
from modekeeper.telemetry.prometheus.promql import PodSelector, is_metric_name

__all__ = ["JOINED_BY", "Joined", "Kind", "Query", "QueryPlan", "plan_queries"]

_LONGEST_EXPRESSION = 4096
_MOST_METRICS = 64
_PLACEHOLDER = "$pods"
_COUNTERS = ("_total", "_count", "_sum", "_bucket")
"""Names of what only ever rises: https://prometheus.io/docs/practices/naming/."""
_PERCENT_SLACK = 1.05
"""The profiling ratio overshoots a little; what is further beyond the scale is no utilisation."""


class Joined(StrEnum):
    """How the values of several workers or GPUs at one time become the job's value."""

    MEAN = "mean"
    MAX = "max"
    MIN = "min"
    SUM = "sum"
    FULLEST = "of the fullest GPU"


class Kind(StrEnum):
    """What a series is of."""

    GPU = "gpu"
    WORKER = "worker"
    JOB = "job"


JOINED_BY = {
    "step": Joined.MIN,
    "step_time_ms": Joined.MAX,
    "loss": Joined.MEAN,
    "throughput": Joined.SUM,
    "data_wait_ms": Joined.MAX,
    "gpu_util_pct": Joined.MEAN,
    "gpu_mem_used_mb": Joined.FULLEST,
    "gpu_mem_total_mb": Joined.FULLEST,
    "gpu_power_w": Joined.MEAN,
    "gpu_temp_c": Joined.MAX,
    "batch_size": Joined.MAX,
    "seq_len": Joined.MAX,
}
"""The fields of a sample that can be asked for. Why each is joined so is in docs/PROMETHEUS.md."""

_PER_MIB = 1 / (1 << 20)
_TIME = {"_seconds": 1000.0, "_milliseconds": 1.0, "_ms": 1.0}
_SHARE = {"_ratio": 100.0, "_percent": 1.0, "_pct": 1.0}
_MEMORY = {"_bytes": _PER_MIB, "_mb": 1.0, "_mib": 1.0}
_FACTORS: dict[str, dict[str, float]] = {
    "step_time_ms": _TIME,
    "data_wait_ms": _TIME,
    "gpu_util_pct": _SHARE,
    "gpu_mem_used_mb": _MEMORY,
    "gpu_mem_total_mb": _MEMORY,
    "gpu_power_w": {"_watts": 1.0},
    "gpu_temp_c": {"_celsius": 1.0},
}
"""By which suffix of a metric's name its unit is told. Fields that are not here have no unit."""
_HIGHEST = {"gpu_util_pct": 100.0 * _PERCENT_SLACK}


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """One question, asked once for each window."""

    metric: str
    """The metric's name or the expression, as reports show it."""
    part: str
    """The field of a sample, or the part of one: ``gpu_engine_pct``, ``gpu_mem_free_mb``."""
    kind: Kind
    promql: str
    factor: float = 1.0
    """From the metric's unit to the field's."""
    highest: float | None = None
    """Most that makes sense, in the field's unit."""
    dcgm: bool = False
    """Whether a very large number says that there is no value."""
    own: bool = True
    """Whether the user named it, and should hear when there is no such series."""


class QueryPlan(msgspec.Struct, frozen=True, kw_only=True):
    """All questions, in the order they are asked."""

    queries: tuple[Query, ...]
    step_ms: int


class _Dcgm(msgspec.Struct, frozen=True):
    metric: str
    part: str
    field: str
    """Left out where the user names a metric of his own for this field."""
    factor: float = 1.0


_DCGM = (
    _Dcgm("DCGM_FI_DEV_GPU_UTIL", "gpu_util_pct", "gpu_util_pct"),
    _Dcgm("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "gpu_engine_pct", "gpu_util_pct", 100.0),
    _Dcgm("DCGM_FI_DEV_FB_USED", "gpu_mem_used_mb", "gpu_mem_used_mb"),
    _Dcgm("DCGM_FI_DEV_FB_FREE", "gpu_mem_free_mb", "gpu_mem_used_mb"),
    _Dcgm("DCGM_FI_DEV_POWER_USAGE", "gpu_power_w", "gpu_power_w"),
    _Dcgm("DCGM_FI_DEV_GPU_TEMP", "gpu_temp_c", "gpu_temp_c"),
)


def plan_queries(choice: PrometheusChoice, selector: PodSelector) -> QueryPlan:
    """The questions that ``choice`` asks for.

    A question for a metric asks for its last value within one step of each grid point, so that no scrape counts
    twice: the range is a millisecond shorter than the step, since servers before 3.0 count both of its ends.

    Raises:
        BadInputError: a metric cannot be used for its field, or is named twice.
    """
    check_choice(choice)
    if len(choice.metrics) > _MOST_METRICS:
        raise BadInputError(f"{len(choice.metrics)} metrics are too many to ask for. Give at most {_MOST_METRICS}.")
    own: dict[str, Query] = {}
    range_ms = choice.step_ms - 1
    for text in choice.metrics:
        query = _own_query(text, selector, range_ms)
        if query.part in own:
            raise BadInputError(f"two metrics are given for {query.part}. Give one, or an expression that joins them.")
        own[query.part] = query
    found = [
        Query(
            metric=known.metric,
            part=known.part,
            kind=Kind.GPU,
            promql=selector.series_of(known.metric, range_ms),
            factor=known.factor,
            highest=_HIGHEST.get(known.field),
            dcgm=True,
            own=False,
        )
        for known in _DCGM
        if choice.gpu and known.field not in own
    ]
    return QueryPlan(queries=(*found, *own.values()), step_ms=choice.step_ms)


def _own_query(text: str, selector: PodSelector, range_ms: int) -> Query:
    field, equals, metric = (part.strip() for part in text.partition("="))
    shown = escape(text.encode("utf-8", "replace"), 80)
    if not equals or not metric:
        raise BadInputError(f"'{shown}' is no metric. Give FIELD=METRIC, as in step_time_ms=trainer_step_seconds.")
    if field not in JOINED_BY:
        raise BadInputError(f"'{shown}' names no field that can be asked for. There is: {', '.join(JOINED_BY)}.")
    if len(metric) > _LONGEST_EXPRESSION or not metric.isprintable():
        raise BadInputError(f"'{shown}' is no PromQL: give one line of at most {_LONGEST_EXPRESSION} characters.")
    highest = _HIGHEST.get(field)
    if not is_metric_name(metric):
        promql = metric.replace(_PLACEHOLDER, selector.matchers)
        return Query(metric=metric, part=field, kind=Kind.JOB, promql=promql, highest=highest)
    if metric.endswith(_COUNTERS) and field != "step":
        raise BadInputError(
            f"{metric} is a counter by its name: it tells a sum since the start, and no {field}. "
            f"Give an expression, as in '{field}=rate({metric}{{{_PLACEHOLDER}}}[1m])'."
        )
    promql = selector.series_of(metric, range_ms)
    factor = _factor(field, metric)
    return Query(metric=metric, part=field, kind=Kind.WORKER, promql=promql, factor=factor, highest=highest)


def _factor(field: str, metric: str) -> float:
    known = _FACTORS.get(field)
    if known is None:
        return 1.0
    for suffix, factor in known.items():
        if metric.endswith(suffix):
            return factor
    raise BadInputError(
        f"the name {metric} does not tell its unit, and {field} needs one: {', '.join(known)}. "
        f"Give an expression in the unit of the field, as in '{field}=1 * {metric}{{{_PLACEHOLDER}}}'."
    )
