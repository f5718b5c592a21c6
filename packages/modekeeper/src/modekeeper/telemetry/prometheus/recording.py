"""Exactly what a server said, a question and its answer a line; and the same answers again from such a file."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from modekeeper.model.errors import BadInputError
from modekeeper.ports.clock import StopSignal
from modekeeper.telemetry.counting import escape
from modekeeper.telemetry.prometheus.answer import is_success
from modekeeper.telemetry.prometheus.choice import PrometheusChoice
from modekeeper.telemetry.prometheus.queries import Query, QueryPlan
from modekeeper.telemetry.prometheus.transport import MOST_BYTES, Reply
from modekeeper.telemetry.prometheus.windows import Window
from modekeeper.telemetry.recorder import RawRecorder, RecorderPosition

__all__ = ["ExchangeRecorder", "RecordedAnswers", "choice_recorded_in"]

_SUCCESS = 200
_LONGEST_LINE = 7 * MOST_BYTES
"""A byte of an answer takes up to six in JSON."""


class _Header(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="prometheus_recording"):
    """First line: what was asked for."""

    version: Literal[1]
    choice: PrometheusChoice


class _Exchange(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="prometheus_exchange", omit_defaults=True
):
    """A question and its answer. An answer that is no UTF-8 is in ``body_base64``."""

    query: str
    start_ms: int
    end_ms: int
    step_ms: int
    status: int
    body: str | None = None
    body_base64: str | None = None


_Line = msgspec.json.Decoder(_Header | _Exchange)


class ExchangeRecorder:
    """Writes every answer, errors too. Requests hold no secret, and so neither does a recording."""

    def __init__(self, raw: RawRecorder, choice: PrometheusChoice) -> None:
        self._raw = raw
        self._choice = choice

    def record(self, query: Query, window: Window, reply: Reply) -> None:
        """One answer.

        Raises:
            FailedError: the disk did not take it.
        """
        if not self._raw.size_bytes:
            self._raw.write(msgspec.json.encode(_Header(version=1, choice=self._choice)) + b"\n")
        try:
            text, other = reply.body.decode("utf-8"), None
        except UnicodeDecodeError:
            text, other = None, base64.b64encode(reply.body).decode("ascii")
        exchange = _Exchange(
            query=query.promql,
            start_ms=window.start_ms,
            end_ms=window.end_ms,
            step_ms=window.step_ms,
            status=reply.status,
            body=text,
            body_base64=other,
        )
        self._raw.write(msgspec.json.encode(exchange) + b"\n")

    def position(self) -> RecorderPosition:
        """How far the recording has come."""
        return self._raw.position()

    def resume(self, position: RecorderPosition) -> None:
        """Take back what was recorded after ``position``."""
        self._raw.resume(position)


def choice_recorded_in(path: Path) -> PrometheusChoice:
    """What a recording was made of.

    Raises:
        BadInputError: it is no recording of a Prometheus server, or cannot be read.
    """
    for _, line in _lines(path):
        if isinstance(line, _Header):
            return line.choice
        break
    raise _unusable(path, 1, "it does not begin with what was asked for")


class RecordedAnswers:
    """The answers of a recording, for the windows that all questions of a plan were answered for.

    Args:
        path: the recording. Only places in it are kept in memory.
        plan: the questions.

    Raises:
        BadInputError: it cannot be read, or is damaged.
    """

    def __init__(self, path: Path, plan: QueryPlan) -> None:
        self._path = path
        self._notes: list[str] = []
        wanted = {query.promql for query in plan.queries}
        places: dict[Window, dict[str, int]] = {}
        first: PrometheusChoice | None = None
        for offset, line in _lines(path):
            if isinstance(line, _Header):
                first = first or line.choice
                if line.choice != first:
                    raise BadInputError(f"'{path}' holds recordings of different questions. Record each into its own.")
            elif line.status == _SUCCESS and line.step_ms == plan.step_ms and is_success(_body(line)):
                places.setdefault(Window(line.start_ms, line.end_ms, line.step_ms), {})[line.query] = offset
        self._places = {window: found for window, found in places.items() if wanted <= found.keys()}
        if len(self._places) < len(places):
            self._notes.append(
                f"windows of the recording that are not whole, and left out: {len(places) - len(self._places)}"
            )

    @property
    def describe(self) -> str:
        """What is read, for a person."""
        return f"recording {escape(self._path.as_posix().encode('utf-8', 'replace'), 200)}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What is wrong with the recording."""
        return tuple(self._notes)

    def windows(self, next_ms: int | None) -> Iterator[Window]:
        """The windows in their order, from ``next_ms``."""
        for window in sorted(self._places):
            if next_ms is None or window.start_ms >= next_ms:
                yield window
                next_ms = window.end_ms + 1
            elif window.end_ms >= next_ms:
                note = "the recording holds some times twice: the second of them is left out"
                if note not in self._notes:
                    self._notes.append(note)

    def ask(self, query: Query, window: Window, stop: StopSignal) -> bytes | None:
        """What the server answered, or ``None`` when the user wants to stop.

        Raises:
            BadInputError: the recording was changed meanwhile.
        """
        if stop.is_set():
            return None
        offset = self._places[window][query.promql]
        for _, line in _lines(self._path, offset):
            if isinstance(line, _Exchange) and line.query == query.promql:
                return _body(line)
            break
        raise _unusable(self._path, 0, "it was changed while it was read")

    def close(self) -> None:
        """Nothing stays open."""


def _body(line: _Exchange) -> bytes:
    return base64.b64decode(line.body_base64 or "") if line.body is None else line.body.encode("utf-8")


def _lines(path: Path, offset: int = 0) -> Iterator[tuple[int, _Header | _Exchange]]:
    number = 0
    try:
        with path.open("rb") as file:
            file.seek(offset)
            while text := file.readline(_LONGEST_LINE):
                number += 1
                if not text.endswith(b"\n"):
                    if len(text) >= _LONGEST_LINE:
                        raise _unusable(path, number, "the line is too long")
                    return  # A line that is still being written, or that a full disk cut off.
                yield offset, _Line.decode(text)
                offset += len(text)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise BadInputError(f"cannot read the recording '{path}': {reason}. Name one that can be read.") from error
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise _unusable(path, number, "it is no line of a recording of a Prometheus server") from error


def _unusable(path: Path, number: int, why: str) -> BadInputError:
    return BadInputError(f"'{path}' cannot be replayed: line {number}: {why}. Name a recording of a Prometheus server.")
