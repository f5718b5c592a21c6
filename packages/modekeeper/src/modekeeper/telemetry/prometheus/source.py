"""Samples from range queries, a window at a time."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import msgspec

from modekeeper.model.block import SampleBlock
from modekeeper.model.errors import BadInputError
from modekeeper.model.ingest import IngestCounters
from modekeeper.ports.clock import StopSignal
from modekeeper.telemetry.counting import IngestTally, TallyState
from modekeeper.telemetry.prometheus.account import Account
from modekeeper.telemetry.prometheus.answer import Answer, parse_answer
from modekeeper.telemetry.prometheus.failures import TooMuchError
from modekeeper.telemetry.prometheus.joining import gpus_heard, join
from modekeeper.telemetry.prometheus.promql import PodSelector
from modekeeper.telemetry.prometheus.queries import Query, QueryPlan
from modekeeper.telemetry.prometheus.recording import ExchangeRecorder
from modekeeper.telemetry.prometheus.roster import Roster, RosterState
from modekeeper.telemetry.prometheus.tables import tabulate
from modekeeper.telemetry.prometheus.windows import Window
from modekeeper.telemetry.recorder import RecorderPosition

__all__ = ["AnswersQuestions", "PrometheusSource"]

_MOST_NOTES = 20
"""Different warnings that are kept."""


class AnswersQuestions(Protocol):
    """A live server, or a recording of one."""

    @property
    def describe(self) -> str:
        """What is read, for a person."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know about it."""
        ...

    def windows(self, next_ms: int | None) -> Iterator[Window]:
        """What there is to ask for, from ``next_ms`` or from the beginning, in order."""
        ...

    def ask(self, query: Query, window: Window, stop: StopSignal) -> bytes | None:
        """The body of an answer; ``None`` when the user wants to stop."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class _Position(msgspec.Struct, frozen=True, kw_only=True):
    source: Literal["prometheus"]
    version: Literal[1]
    asked: str
    """Digest of the questions: a position is of no use for others."""
    first_ms: int | None
    next_ms: int | None
    given: int
    blanks: int
    seen: list[str]
    notes: list[str]
    tally: TallyState
    workers: RosterState
    gpus: RosterState
    recorder: RecorderPosition | None = None


@dataclass(slots=True)
class _Progress:
    """How far the stream has come; changes only when a whole window is known."""

    first_ms: int | None = None
    next_ms: int | None = None
    given: int = 0
    blanks: int = 0


class PrometheusSource:
    """Samples of a workload from a Prometheus server, or from a recording of one. Made by ``open_prometheus``.

    A record is one grid point of one series: what the server says of one GPU or one worker at one time. It is accepted
    where it is a usable number, whether or not the sample of that time needs it; several make one sample.

    What is read does not depend on when: a grid point is asked for once, when it has settled, and its sample depends on
    it and on what came before. An error leaves everything as it was before the window in which it happened.
    """

    def __init__(
        self, answers: AnswersQuestions, plan: QueryPlan, selector: PodSelector, recorder: ExchangeRecorder | None
    ) -> None:
        self._answers = answers
        self._plan = plan
        self._selector = selector
        self._recorder = recorder
        self._asked = hashlib.sha256(msgspec.json.encode(plan)).hexdigest()
        self._tally = IngestTally()
        self._workers = Roster()
        self._gpus = Roster()
        self._at = _Progress()
        self._seen: set[str] = set()
        self._warnings: list[str] = []

    @property
    def describe(self) -> str:
        """What is read, for a person."""
        return self._answers.describe

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know: warnings of the server, blanks, gaps, metrics that are not there."""
        found = [*self._answers.notes, *self._warnings]
        if self._at.blanks:
            found.append(f"values that were DCGM's sign for no value: {self._at.blanks}")
        for roster, who in ((self._workers, "workers"), (self._gpus, "GPUs")):
            if roster.gappy:
                found.append(
                    f"a third or more of the values of the {who} is missing: is it scraped less often than every "
                    f"{self._plan.step_ms / 1000:g} s, the step that was asked for?"
                )
        if self._at.next_ms is not None:
            found += self._unseen()
        return tuple(found)

    def blocks(self, stop: StopSignal) -> Iterator[SampleBlock]:
        """The samples of all grid points that have settled since the last call, a block a window.

        Raises:
            BadInputError: the server will never answer these questions.
            FailedError: it did not answer, or not understandably.
        """
        for due in self._answers.windows(self._at.next_ms):
            waiting = [due]
            while waiting:
                window = waiting.pop()
                try:
                    answers = self._ask(window, stop)
                except TooMuchError:
                    if window.points == 1:
                        raise
                    waiting += reversed(window.halves())
                    continue
                if answers is None:
                    return
                block = self._take(window, answers)
                if len(block):
                    yield block

    def flush(self) -> Iterator[SampleBlock]:
        """Nothing waits inside: what has not settled has not been asked for."""
        yield from ()

    def counters(self) -> IngestCounters:
        """What happened to the points of the series so far."""
        return self._tally.counters()

    def close(self) -> None:
        """Close the connections. The recorder belongs to whoever made it."""
        self._answers.close()

    def position(self) -> dict[str, Any]:
        """Everything needed to go on from here in another process, as plain JSON values."""
        position = _Position(
            source="prometheus",
            version=1,
            asked=self._asked,
            first_ms=self._at.first_ms,
            next_ms=self._at.next_ms,
            given=self._at.given,
            blanks=self._at.blanks,
            seen=sorted(self._seen),
            notes=self._warnings,
            tally=self._tally.state(),
            workers=self._workers.state,
            gpus=self._gpus.state,
            recorder=self._recorder.position() if self._recorder else None,
        )
        plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(position))
        return plain

    def resume(self, position: dict[str, Any]) -> None:
        """Go on from a ``position`` of an earlier process.

        Raises:
            BadInputError: the position is not one of this source.
        """
        try:
            saved = msgspec.convert(position, _Position)
            tally = IngestTally()
            tally.restore(saved.tally)
        except (msgspec.MsgspecError, ValueError, KeyError) as error:
            raise _not_ours("it is damaged, or of another version") from error
        if saved.asked != self._asked:
            raise _not_ours("it is of other pods, metrics or steps")
        if saved.next_ms is not None and saved.next_ms % self._plan.step_ms:
            raise _not_ours("it is damaged")
        self._tally = tally
        self._workers.state, self._gpus.state = saved.workers, saved.gpus
        self._at = _Progress(saved.first_ms, saved.next_ms, saved.given, saved.blanks)
        self._seen, self._warnings = set(saved.seen), list(saved.notes)
        if self._recorder is not None and saved.recorder is not None:
            self._recorder.resume(saved.recorder)

    def _ask(self, window: Window, stop: StopSignal) -> list[Answer] | None:
        answers = []
        for query in self._plan.queries:
            body = self._answers.ask(query, window, stop)
            if body is None:
                return None
            answers.append(parse_answer(body))
        return answers

    def _take(self, window: Window, answers: list[Answer]) -> SampleBlock:
        """Make samples of one window, and only then remember anything."""
        account = Account()
        asked = list(zip(self._plan.queries, answers, strict=True))
        tables = {
            query.part: tabulate(query, answer, window, self._selector, number=number, account=account)
            for number, (query, answer) in enumerate(asked)
        }
        timed = tables["step_time_ms"].by_entity() if "step_time_ms" in tables else {}
        workers = self._workers.call({who: values for who, values in timed.items() if who[0]}, window)
        from_dcgm = {query.part: tables[query.part] for query in self._plan.queries if query.dcgm}
        gpus = self._gpus.call(gpus_heard(from_dcgm, window.points), window)
        block = join(tables, window, workers, self._at.given)

        at = self._at
        first_ms = window.start_ms if at.first_ms is None else at.first_ms
        account.tell(self._tally, (window.start_ms - first_ms) // window.step_ms + 1)
        self._at = _Progress(
            first_ms, window.end_ms + window.step_ms, at.given + len(block), at.blanks + account.blanks
        )
        self._workers.state, self._gpus.state = workers.after, gpus.after
        for query, answer in asked:
            if answer.series:
                self._seen.add(query.part)
            self._note(query, answer)
        return block

    def _note(self, query: Query, answer: Answer) -> None:
        """A warning says that the answer may not be whole: that must not be lost."""
        said = [(f"{query.metric[:80]} may be incomplete: the server warns", text) for text in answer.warnings]
        said += [(f"{query.metric[:80]}: the server remarks", text) for text in answer.infos]
        for words, text in said:
            note = f"{words}: {text}"
            if note not in self._warnings and len(self._warnings) < _MOST_NOTES:
                self._warnings.append(note)

    def _unseen(self) -> list[str]:
        if not self._seen:
            return ["the server has no series of these pods: are namespace, names and labels right, and who scrapes?"]
        own = [query for query in self._plan.queries if query.own and query.part not in self._seen]
        return [f"the server has no {query.metric[:80]} of these pods" for query in own]


def _not_ours(why: str) -> BadInputError:
    return BadInputError(
        f"cannot go on from the saved position: {why}. Give the same options as before, or start without it."
    )
