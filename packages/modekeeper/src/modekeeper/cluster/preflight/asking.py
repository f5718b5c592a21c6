"""Many questions at once, each with its answer or the reason why there is none."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from modekeeper.cluster.preflight.facts import NoAnswer, Why
from modekeeper.cluster.rbac import forbidden_question
from modekeeper.model.cluster import AccessQuestion, ClusterAnswerError, ClusterConfigError, ClusterUnreachableError
from modekeeper.model.untrusted import visible_ends

__all__ = ["Question", "answer_of", "ask_all"]

_LONGEST_DETAIL = 300
_WHY = {401: Why.UNAUTHENTICATED, 403: Why.DENIED, 404: Why.MISSING}

T = TypeVar("T")


class Question(NamedTuple, Generic[T]):
    """One thing to ask, and the right it takes."""

    ask: Callable[[], T]
    needs: AccessQuestion | None = None


def answer_of(question: Question[T]) -> T | NoAnswer:
    """The answer, or why there is none."""
    try:
        return question.ask()
    except ClusterConfigError as error:
        return NoAnswer(why=Why.BAD_CONFIG, detail=visible_ends(str(error), _LONGEST_DETAIL))
    except ClusterUnreachableError as error:
        return NoAnswer(why=Why.UNREACHABLE, detail=visible_ends(str(error), _LONGEST_DETAIL))
    except ClusterAnswerError as error:
        denied = forbidden_question(error)
        return NoAnswer(
            why=_WHY.get(error.status, Why.FAILED),
            detail=visible_ends(str(error), _LONGEST_DETAIL),
            needs=question.needs,
            identity=denied[1] if denied else None,
        )


def ask_all(
    questions: Sequence[Question[Any]], threads: int, meanwhile: Callable[[], object] = lambda: None
) -> list[Any]:
    """The answers in the order of the questions, asked by so many threads at once; the caller's does ``meanwhile``.

    Where the first answers are that nobody answers, the rest is not asked: a cluster that is away is told after one
    deadline, not after one for each question.
    """
    away = NoAnswer(why=Why.NOT_ASKED, detail="not asked: the cluster did not answer")
    answers: list[Any] = [away] * len(questions)
    left = iter(enumerate(questions))
    lock = threading.Lock()
    heard = threading.Event()
    given_up = threading.Event()
    broken: list[BaseException] = []

    def work() -> None:
        while not given_up.is_set():
            with lock:
                place, question = next(left, (-1, None))
            if question is None:
                return
            try:
                answer = answer_of(question)
            except BaseException as error:  # noqa: BLE001 - raised again by who asked
                broken.append(error)
                given_up.set()
                return
            answers[place] = answer
            if not (isinstance(answer, NoAnswer) and answer.why in (Why.UNREACHABLE, Why.BAD_CONFIG)):
                heard.set()
            elif not heard.is_set():
                given_up.set()

    asking = [threading.Thread(target=work, daemon=True) for _ in range(min(threads, len(questions)))]
    for thread in asking:
        thread.start()
    meanwhile()
    for thread in asking:
        thread.join()
    if broken:
        raise broken[0]
    return answers
