"""From an answer to a table on the grid: one row a series, checked, each point counted once."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modekeeper.model.block import FloatColumn
from modekeeper.model.ingest import DropReason, RepairReason
from modekeeper.telemetry.counting import escape
from modekeeper.telemetry.prometheus.account import Account, Place
from modekeeper.telemetry.prometheus.answer import NO_TIME, Answer, Series
from modekeeper.telemetry.prometheus.promql import PodSelector, is_object_name
from modekeeper.telemetry.prometheus.queries import Kind, Query
from modekeeper.telemetry.prometheus.windows import Window

__all__ = ["Entity", "Row", "Table", "tabulate"]

_BLANK = float(0x7FFFFFF0)
"""DCGM's smallest "there is no value"; those of 64-bit integers and of floats are larger. No figure asked for is."""
_LARGEST = 2.0**53
"""No measurement is larger; steps beyond it would not be whole."""
_LONGEST_RANK = 63
_RANK_LABELS = ("rank", "global_rank", "worker_rank", "local_rank")

Entity = tuple[str, str]
"""What a series is of: a pod and its rank label, or a GPU and its MIG instance."""


@dataclass(frozen=True, slots=True)
class Row:
    """One series on the grid: ``values`` is ``float64[points]`` in the field's unit, ``NaN`` where there is none."""

    entity: Entity
    labels: Mapping[str, str]
    values: FloatColumn


@dataclass(frozen=True, slots=True)
class Table:
    """The usable points of one answer; of each entity at most one at a time."""

    rows: tuple[Row, ...]

    def by_entity(self) -> dict[Entity, FloatColumn]:
        """The values of each entity, its series put together."""
        found: dict[Entity, FloatColumn] = {}
        for row in self.rows:
            known = found.get(row.entity)
            found[row.entity] = row.values if known is None else np.fmax(known, row.values)
        return found


def tabulate(
    query: Query, answer: Answer, window: Window, selector: PodSelector, *, number: int, account: Account
) -> Table:
    """Check every point of an answer, and put the usable ones on the grid.

    Args:
        query: what was asked.
        answer: the answer.
        window: the grid points that were asked for.
        selector: whose pods.
        number: which question of the plan it is.
        account: gets the fate of every point.
    """
    rows: list[Row] = []
    taken: dict[Entity, NDArray[np.bool_]] = {}
    for position, series in enumerate(answer.series):
        entity = _entity(query.kind, series.labels, selector)
        of = "" if isinstance(entity, DropReason) else " ".join(filter(None, entity))
        place = Place(number, position, escape(query.metric.encode("utf-8", "replace"), 80), of)
        shapeless = np.full(series.shapeless, -1)
        account.note(DropReason.WRONG_SHAPE, place, shapeless, np.full(series.shapeless, np.nan))
        if isinstance(entity, DropReason):
            account.note(entity, place, _points(series, window), series.values)
            continue
        values = _on_the_grid(query, series, window, place, account)
        usable = ~np.isnan(values)
        if (before := taken.get(entity)) is not None:
            double = np.flatnonzero(usable & before)
            account.note(DropReason.DUPLICATE, place, double, values[double])
            values[double] = np.nan
            usable |= before
        taken[entity] = usable
        _count_usable(values, place, account)
        rows.append(Row(entity, series.labels, values))
    return Table(tuple(rows))


def _entity(kind: Kind, labels: Mapping[str, str], selector: PodSelector) -> Entity | DropReason:
    """Whose series it is, or why nobody can use it."""
    if kind is Kind.JOB:
        # An expression says itself what it is of; without a pod each of its series is something else.
        pod = labels.get("exported_pod") or labels.get("pod", "")
        return (pod, _rank(labels)) if is_object_name(pod) else ("", repr(sorted(labels.items())))
    pod_of_ours = selector.pod_of(labels)
    if pod_of_ours is None:
        return DropReason.WRONG_SHAPE
    if kind is Kind.WORKER:
        return pod_of_ours, _rank(labels)
    gpu = labels.get("UUID") or f"{labels.get('Hostname', '')}/{labels.get('gpu', '')}"
    return DropReason.MISSING_FIELD if gpu.endswith("/") else (gpu, labels.get("GPU_I_ID", ""))


def _rank(labels: Mapping[str, str]) -> str:
    found = next((labels[name] for name in _RANK_LABELS if name in labels), "")
    return found if len(found) <= _LONGEST_RANK and found.isprintable() else ""


def _points(series: Series, window: Window) -> NDArray[np.int64]:
    """The grid point of each point of a series; -1 where it lies on none."""
    points, off = np.divmod(series.times_ms - window.start_ms, window.step_ms)
    inside = (series.times_ms != NO_TIME) & (off == 0) & (points >= 0) & (points < window.points)
    return np.where(inside, points, -1)


def _on_the_grid(query: Query, series: Series, window: Window, place: Place, account: Account) -> FloatColumn:
    points, values = _points(series, window), series.values
    inside = points >= 0
    account.note(DropReason.OUT_OF_ORDER, place, points[~inside], values[~inside])
    points, values = points[inside], values[inside]
    first = np.zeros(len(points), np.bool_)
    first[np.unique(points, return_index=True)[1]] = True
    account.note(DropReason.DUPLICATE, place, points[~first], values[~first])
    points, values = points[first], values[first]
    if query.part == "loss":
        # A loss that is not finite is news.
        values = np.where(np.isfinite(values), values, np.inf)
    usable = _usable(query, values)
    account.note(DropReason.NOT_A_NUMBER, place, points[~usable], values[~usable])
    if query.dcgm:
        account.blanks += int(np.count_nonzero((values >= _BLANK) & np.isfinite(values)))
    row = np.full(window.points, np.nan)
    row[points[usable]] = _scaled(query, values[usable])
    return row


def _count_usable(values: FloatColumn, place: Place, account: Account) -> None:
    lost = np.flatnonzero(np.isinf(values))
    account.note(RepairReason.NON_FINITE, place, lost, values[lost])
    account.accept(int(np.count_nonzero(np.isfinite(values))))


def _usable(query: Query, values: FloatColumn) -> NDArray[np.bool_]:
    if query.part == "loss":
        return ~np.isnan(values)
    usable = np.isfinite(values)
    if query.part != "gpu_temp_c":
        usable &= values >= 0.0
    if query.dcgm:
        usable &= values < _BLANK
    if query.highest is not None:
        usable &= values <= query.highest / query.factor
    # What the unit makes of it must be a number too.
    return usable & (np.abs(values) <= _LARGEST)


def _scaled(query: Query, values: FloatColumn) -> FloatColumn:
    scaled = values * query.factor
    return scaled if query.highest is None else np.minimum(scaled, 100.0)
