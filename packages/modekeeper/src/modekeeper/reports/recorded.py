"""What a run left in its folder, read back for pictures and pages. Nothing is computed again."""

import hashlib
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeAlias, TypeVar

import msgspec

from modekeeper.artifacts.contracts.parts import Answer, Findings, ModeSpan, Telemetry
from modekeeper.artifacts.contracts.reports import ClosedLoopReport, EvalReport, ObserveReport, WatchReport
from modekeeper.model.decision import Action
from modekeeper.model.errors import BadInputError
from modekeeper.model.trace import TraceEvent

__all__ = ["Recorded", "RecordedFile", "load_recorded"]

RunReport: TypeAlias = ClosedLoopReport | EvalReport | ObserveReport | WatchReport
_Document = TypeVar("_Document", bound=RunReport)

_CLOSED_LOOP = "closed_loop_latest.json"
_WATCH = "watch_latest.json"
_OBSERVE = "observe_latest.json"
_EVAL = "eval_latest.json"
_TRACE = "decision_trace_latest.jsonl"

_REPORT_LIMIT_BYTES = 128 << 20
_TRACE_LIMIT_BYTES = 1 << 30
_LINE_LIMIT_BYTES = 4 << 20
_TURNS_KEPT = 400
"""A page with more decisions is not read; the trace itself has them all."""

_ITERATION = re.compile(r"iter_\d{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """A file that was read, and the digest (SHA-256, hex) of its bytes."""

    path: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """One run as it was written down.

    Attributes:
        report: the report of the run.
        report_file: where it was read.
        trace_file: the decision trace; ``None`` for ``observe`` and ``eval``, which decide nothing, and for
            a session of ``watch``, whose iterations have one each.
        turns: events of the trace at which the mode or a decision became another one, without their signals.
        turns_left_out: how many such events are not in ``turns``: the first half and the newest are kept.
        trace_events: events in the trace.
    """

    report: RunReport
    report_file: RecordedFile
    trace_file: RecordedFile | None = None
    turns: tuple[TraceEvent, ...] = ()
    turns_left_out: int = 0
    trace_events: int = 0

    @property
    def answer(self) -> Answer:
        """The answer for a person; ``observe`` judges nothing and says so."""
        if not isinstance(self.report, ObserveReport):
            return self.report.answer
        return Answer(
            title=self.report.source.describe,
            verdict="observed only, no mode was judged",
            why=(),
            cost="",
            next=(),
        )

    @property
    def telemetry(self) -> Telemetry | None:
        """The recorded series; ``None`` for ``eval``, whose report carries none."""
        return None if isinstance(self.report, EvalReport) else self.report.telemetry

    @property
    def findings(self) -> Findings:
        """What the detectors found."""
        return self.report.findings

    @property
    def mode_spans(self) -> tuple[ModeSpan, ...]:
        """The stays in each mode, in order; empty for ``observe``."""
        return () if isinstance(self.report, ObserveReport) else self.report.mode_spans


def load_recorded(folder: Path) -> Recorded:
    """Read the report in ``folder``, or in its ``plan``, ``observe``, ``eval`` or last ``iter_…`` folder.

    The report of a closed loop comes first: it has the decisions. Its decision trace must lie beside it and be
    the one the report names. A session of ``watch`` comes before its iterations: it has the whole time.

    Raises:
        BadInputError: no report is there, or a file cannot be read, is too large, is not what its name says, or
            the trace belongs to another run.
    """
    for place in _places(folder):
        if _present(place):
            try:
                return _read(place)
            except OSError as error:
                raise _unreadable(place, error) from error
    raise BadInputError(
        f"no report in {str(folder)!r}: neither {_CLOSED_LOOP}, {_WATCH}, {_OBSERVE} nor {_EVAL} is there. "
        "Give the --out folder of mk plan, mk watch, mk observe, mk eval or mk quickstart."
    )


def _read(place: Path) -> Recorded:
    if place.name == _CLOSED_LOOP:
        return _with_trace(place)
    if place.name == _WATCH:
        return Recorded(*_document(place, WatchReport))
    if place.name == _OBSERVE:
        return Recorded(*_document(place, ObserveReport))
    return Recorded(*_document(place, EvalReport))


def _places(folder: Path) -> Iterator[Path]:
    yield folder / _CLOSED_LOOP
    yield folder / "plan" / _CLOSED_LOOP
    yield folder / _WATCH
    last = _last_iteration(folder)
    if last is not None:
        yield last / _CLOSED_LOOP
    for name in (_OBSERVE, _EVAL):
        yield folder / name
    yield folder / "observe" / _OBSERVE
    yield folder / "eval" / _EVAL


def _last_iteration(folder: Path) -> Path | None:
    try:
        found = [p for p in folder.glob("iter_*") if _ITERATION.fullmatch(p.name) and _present(p / _CLOSED_LOOP)]
    except OSError:
        return None
    return max(found, key=lambda path: int(path.name.removeprefix("iter_")), default=None)


def _present(path: Path) -> bool:
    try:
        path.stat()
    except (OSError, ValueError):
        return False
    return True


def _document(path: Path, kind: type[_Document]) -> tuple[_Document, RecordedFile]:
    with _opened(path) as file:
        data = file.read(_REPORT_LIMIT_BYTES + 1)
    if len(data) > _REPORT_LIMIT_BYTES:
        raise _too_large(path, "report", _REPORT_LIMIT_BYTES)
    try:
        report = msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadInputError(
            f"{str(path)!r} is not a report of this version: {_reason(error)}. Run the command that wrote it again."
        ) from error
    return report, RecordedFile(path, hashlib.sha256(data).hexdigest())


def _with_trace(path: Path) -> Recorded:
    report, report_file = _document(path, ClosedLoopReport)
    trace_path = path.with_name(_TRACE)
    turns = _Turns()
    with _opened(trace_path) as file:
        for number, line in enumerate(_lines(file, trace_path), start=1):
            turns.add(_event(line, number, trace_path), line)
    named = report.audit_trace.sha256.removeprefix("sha256:")
    if turns.digest.hexdigest() != named.lower():
        raise BadInputError(
            f"{str(trace_path)!r} is not the decision trace {str(path)!r} was made from: "
            "its digest is another one. Run mk plan again with this --out folder."
        )
    kept, left_out = turns.kept()
    return Recorded(
        report=report,
        report_file=report_file,
        trace_file=RecordedFile(trace_path, turns.digest.hexdigest()),
        turns=kept,
        turns_left_out=left_out,
        trace_events=turns.events,
    )


class _Turns:
    """The events at which something changed, a bounded number of them."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self.events = 0
        self._first: list[TraceEvent] = []
        self._newest: list[TraceEvent] = []
        self._left_out = 0
        self._last: object = None

    def add(self, event: TraceEvent, line: bytes) -> None:
        self.digest.update(line)
        self.events += 1
        state = _state(event)
        if state == self._last:
            return
        self._last = state
        event = msgspec.structs.replace(event, signals=())
        if len(self._first) < _TURNS_KEPT // 2:
            self._first.append(event)
            return
        self._newest.append(event)
        if len(self._newest) > _TURNS_KEPT - _TURNS_KEPT // 2:
            del self._newest[0]
            self._left_out += 1

    def kept(self) -> tuple[tuple[TraceEvent, ...], int]:
        return (*self._first, *self._newest), self._left_out


def _state(event: TraceEvent) -> object:
    return (
        event.mode,
        tuple((d.proposal.chord_id, d.status, d.block_reasons, _changes(d.proposal.actions)) for d in event.decisions),
    )


def _changes(actions: tuple[Action, ...]) -> object:
    return tuple((action.knob, action.current, action.target) for action in actions)


def _lines(file: IO[bytes], path: Path) -> Iterator[bytes]:
    total = 0
    while line := file.readline(_LINE_LIMIT_BYTES + 1):
        total += len(line)
        if len(line) > _LINE_LIMIT_BYTES or total > _TRACE_LIMIT_BYTES:
            raise _too_large(path, "decision trace", _TRACE_LIMIT_BYTES)
        yield line


_DECODER = msgspec.json.Decoder(TraceEvent)


def _event(line: bytes, number: int, path: Path) -> TraceEvent:
    try:
        return _DECODER.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadInputError(
            f"{str(path)!r} line {number} is not an event of a decision trace: {_reason(error)}. "
            "Run mk plan again with this --out folder."
        ) from error


def _opened(path: Path) -> IO[bytes]:
    try:
        # A pipe or a device would be waited for, or never end.
        if not stat.S_ISREG(path.stat().st_mode):
            raise BadInputError(f"cannot read {str(path)!r}: it is not a plain file. Give the folder of a run.")
        return path.open("rb")
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> BadInputError:
    why = (error.strerror or type(error).__name__).lower()
    return BadInputError(f"cannot read {str(path)!r}: {why}. Give the --out folder of a run, with all its files.")


def _too_large(path: Path, what: str, limit_bytes: int) -> BadInputError:
    return BadInputError(
        f"{str(path)!r} is too large for a {what}: more than {limit_bytes >> 20} MiB, or one endless line. "
        "Give the --out folder of a run."
    )


def _reason(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error).partition("\n")[0]
