"""Many questions at once, each of them once."""

import threading
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from modekeeper.model.cluster import ClusterAnswerError, ClusterConfigError, ClusterUnreachableError

__all__ = ["Asking", "ClusterError", "Told"]

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")
_Told_co = TypeVar("_Told_co", covariant=True)

ClusterError: TypeAlias = ClusterConfigError | ClusterUnreachableError | ClusterAnswerError

_GIVE_UP_AFTER = 8
"""Questions in a row without any answer; each of them took a whole deadline."""


@dataclass(frozen=True)
class Told(Generic[_Told_co]):
    """The answer to one question: ``value``, or ``error`` where there is none."""

    value: _Told_co | None = None
    error: ClusterError | None = None

    @property
    def status(self) -> int | None:
        """The HTTP status of the API server's no."""
        return self.error.status if isinstance(self.error, ClusterAnswerError) else None


class Asking:
    """Puts questions to a bounded number of threads.

    Where the cluster stopped answering, what is left is not asked any more: it gets the same error.
    """

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._lock = threading.Lock()
        self._silent = 0
        self._gone: ClusterUnreachableError | None = None

    def begin(self, calls: Mapping[_Key, Callable[[], _Value]]) -> dict[_Key, Future[Told[_Value]]]:
        """Begin to ask; the keys tell the questions apart."""
        return {key: self._pool.submit(self._ask, call) for key, call in calls.items()}

    def ask(self, calls: Mapping[_Key, Callable[[], _Value]]) -> dict[_Key, Told[_Value]]:
        """Ask, and wait for every answer."""
        return self.answers(self.begin(calls))

    @staticmethod
    def answers(begun: Mapping[_Key, Future[Told[_Value]]]) -> dict[_Key, Told[_Value]]:
        """Wait for every answer."""
        return {key: future.result() for key, future in begun.items()}

    def _ask(self, call: Callable[[], _Value]) -> Told[_Value]:
        with self._lock:
            gone = self._gone
        if gone is not None:
            return Told(error=gone)
        try:
            told = Told(value=call())
        except ClusterUnreachableError as error:
            with self._lock:
                self._silent += 1
                if self._silent >= _GIVE_UP_AFTER:
                    self._gone = error
            return Told(error=error)
        except (ClusterConfigError, ClusterAnswerError) as error:
            told = Told(error=error)
        with self._lock:
            self._silent = 0
        return told
