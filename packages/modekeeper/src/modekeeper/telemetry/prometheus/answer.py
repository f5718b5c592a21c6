"""What the server said, parsed: series of points, warnings. https://prometheus.io/docs/prometheus/latest/querying/api/"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from modekeeper.model.block import FloatColumn
from modekeeper.model.errors import FailedError
from modekeeper.telemetry.counting import escape

__all__ = ["NO_TIME", "Answer", "Series", "error_of", "is_success", "parse_answer"]

NO_TIME = -1
_LATEST_MS = 1e15


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an answer.

    Attributes:
        labels: the labels, the metric's name among them.
        times_ms: ``int64[n]``; ``NO_TIME`` where the server named none that can be.
        values: ``float64[n]``; ``NaN`` where the server said so, or said what is no number.
        shapeless: points that are no pairs; histograms among them.
    """

    labels: dict[str, str]
    times_ms: NDArray[np.int64]
    values: FloatColumn
    shapeless: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: the series in the order of their labels, so that the server's order means nothing."""

    series: tuple[Series, ...]
    warnings: tuple[str, ...]
    infos: tuple[str, ...]


class _Numbers(msgspec.Struct):
    metric: dict[str, str] = {}
    values: list[tuple[float, float]] = []
    histograms: list[msgspec.Raw] = []


class _Points(msgspec.Struct):
    metric: dict[str, str] = {}
    values: list[msgspec.Raw] = []
    histograms: list[msgspec.Raw] = []


class _NumberData(msgspec.Struct, rename="camel"):
    result_type: str
    result: list[_Numbers]


class _PointData(msgspec.Struct, rename="camel"):
    result_type: str
    result: list[_Points]


class _Head(msgspec.Struct, rename="camel"):
    status: str
    error_type: str = ""
    error: str = ""
    warnings: list[str] | None = None
    infos: list[str] | None = None


class _NumberAnswer(_Head, rename="camel"):
    data: _NumberData | None = None


class _PointAnswer(_Head, rename="camel"):
    data: _PointData | None = None


_AS_NUMBERS = msgspec.json.Decoder(_NumberAnswer, strict=False)
_AS_POINTS = msgspec.json.Decoder(_PointAnswer)
_AS_HEAD = msgspec.json.Decoder(_Head)
_POINT = msgspec.json.Decoder(tuple[float | str, float | str])
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?([eE][+-]?\d{1,4})?|Inf)")


def parse_answer(body: bytes) -> Answer:
    """The series of an answer to a range query.

    Raises:
        FailedError: it is not one, or the server says that it failed.
    """
    found: _NumberAnswer | _PointAnswer
    try:
        found = _AS_NUMBERS.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        # An infinity is no number to the decoder; a point that is none spoils only itself.
        try:
            found = _AS_POINTS.decode(body)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise _no_answer(body) from error
    if found.status != "success":
        kind, text = _shown(found.error_type) or "unknown", _shown(found.error)
        raise FailedError(f"Prometheus could not answer ({kind}): {text or 'it gave no reason'}. Look at its log.")
    if found.data is None or found.data.result_type != "matrix":
        raise _no_answer(body)
    series = [_series(each) for each in found.data.result]
    series.sort(key=lambda each: sorted(each.labels.items()))
    return Answer(tuple(series), _texts(found.warnings), _texts(found.infos))


def error_of(body: bytes) -> str | None:
    """What the server says went wrong, safe to print; ``None`` where the body is no answer of Prometheus."""
    try:
        head = _AS_HEAD.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return None
    return _shown(head.error) or None


def is_success(body: bytes) -> bool:
    """Whether the body is an answer in which the server says that it succeeded."""
    try:
        return _AS_HEAD.decode(body).status == "success"
    except (msgspec.MsgspecError, RecursionError):
        return False


def _series(found: _Numbers | _Points) -> Series:
    shapeless = len(found.histograms)
    pairs: Sequence[tuple[float, float]]
    if isinstance(found, _Points):
        pairs = [pair for raw in found.values if (pair := _pair(raw)) is not None]
        shapeless += len(found.values) - len(pairs)
    else:
        pairs = found.values
    table = np.array(pairs, dtype=np.float64).reshape(len(pairs), 2)
    with np.errstate(over="ignore"):
        times = np.rint(table[:, 0] * 1000.0)
    possible = np.isfinite(times) & (times >= 0) & (times < _LATEST_MS)
    times_ms = np.where(possible, times, NO_TIME).astype(np.int64)
    return Series(found.metric, times_ms, np.ascontiguousarray(table[:, 1]), shapeless)


def _pair(raw: msgspec.Raw) -> tuple[float, float] | None:
    try:
        time_s, value = _POINT.decode(raw)
    except (msgspec.MsgspecError, RecursionError):
        return None
    return _number(time_s), _number(value)


def _number(found: float | str) -> float:
    if isinstance(found, str):
        return float(found) if _NUMBER.fullmatch(found) else math.nan
    return found


def _texts(found: list[str] | None) -> tuple[str, ...]:
    return tuple(_shown(text) for text in found or ())


def _shown(text: str) -> str:
    return escape(text.encode("utf-8", "replace"), 200)


def _no_answer(body: bytes) -> FailedError:
    return FailedError(
        f"what came back is no answer of Prometheus: '{escape(body, 60)}'. Is this the address of a Prometheus server?"
    )
