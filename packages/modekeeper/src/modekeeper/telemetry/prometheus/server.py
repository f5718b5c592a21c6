"""A live server: which grid points are due, and their answers, with patience where that may help."""

import itertools
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime

from modekeeper.ports.clock import Clock, StopSignal
from modekeeper.telemetry.prometheus.choice import PrometheusChoice
from modekeeper.telemetry.prometheus.credentials import Credentials
from modekeeper.telemetry.prometheus.failures import Asked, failure, may_pass
from modekeeper.telemetry.prometheus.queries import Query
from modekeeper.telemetry.prometheus.recording import ExchangeRecorder
from modekeeper.telemetry.prometheus.transport import Lost, Reply, Transport, checked_url, is_loopback
from modekeeper.telemetry.prometheus.windows import Window, aligned_down, cut

__all__ = ["LiveServer"]

_PATH = "/api/v1/query_range"
_WAITS_S = (0.5, 1.0, 2.0)
"""Before the second, third and fourth try."""
_MOST_WAIT_S = 30.0
_LONGEST_GAP_MS = 31 * 86_400_000
_GAP_NOTE = "nothing was read for more than 31 days: what is older is left out"
_OK = 200
_LEAST_SKEW_S = 5.0
"""What the second in a Date header and the time of an answer explain."""


class LiveServer:
    """Asks a server. Each question has a deadline; 429, 5xx and lost connections are tried again, three times at most.

    A question that ran into its deadline is not tried again: the server would only have more to do.
    """

    def __init__(
        self,
        choice: PrometheusChoice,
        *,
        clock: Clock,
        environment: Mapping[str, str],
        recorder: ExchangeRecorder | None,
    ) -> None:
        self._choice = choice
        self._url = checked_url(choice.url)
        self._clock = clock
        self._recorder = recorder
        credentials = Credentials(environment)
        self._notes: list[str] = []
        self._ahead = False
        if credentials.kind != "none" and self._url.startswith("http:") and not is_loopback(self._url):
            self._notes.append(f"the {credentials.kind} goes to {self._url} unencrypted")
        self._transport = Transport(self._url + _PATH, credentials, choice.timeout_s)

    @property
    def describe(self) -> str:
        """What is read, for a person."""
        choice = self._choice
        whose = choice.workload or f"{len(choice.pods)} pods"
        return f"Prometheus {self._url}, {choice.namespace}/{whose}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know about the connection."""
        return tuple(self._notes)

    def windows(self, next_ms: int | None) -> Iterator[Window]:
        """The grid points that are settled and were not read: from ``next_ms``, or from the beginning."""
        choice, step_ms = self._choice, self._choice.step_ms
        now_ms = int(self._clock.now().timestamp() * 1000)
        end_ms = now_ms - round(choice.settle_s * 1000)
        if choice.end_ms is not None:
            end_ms = min(end_ms, choice.end_ms)
        last_ms = aligned_down(end_ms, step_ms)
        start_ms = next_ms
        if start_ms is None:
            start_ms = aligned_down(end_ms - round(choice.window_s * 1000), step_ms) + step_ms
        elif last_ms - start_ms > _LONGEST_GAP_MS:
            start_ms = aligned_down(last_ms - _LONGEST_GAP_MS, step_ms)
            if _GAP_NOTE not in self._notes:
                self._notes.append(_GAP_NOTE)
        yield from cut(max(start_ms, 0), last_ms, step_ms)

    def ask(self, query: Query, window: Window, stop: StopSignal) -> bytes | None:
        """The body of the server's answer, or ``None`` when the user wants to stop.

        Raises:
            BadInputError: it will never answer this.
            TooMuchError: the answer is too long.
            FailedError: it did not answer.
        """
        form = {
            "query": query.promql,
            "start": f"{window.start_ms / 1000:.3f}",
            "end": f"{window.end_ms / 1000:.3f}",
            "step": f"{window.step_ms / 1000:.3f}",
            "timeout": f"{round(self._choice.timeout_s * 1000)}ms",
        }
        for wait_s in itertools.chain(_WAITS_S, [None]):
            if stop.is_set():
                return None
            found = self._transport.post(form, stop)
            if isinstance(found, Reply):
                if found.whole and not found.moved_to and self._recorder is not None:
                    self._recorder.record(query, window, found)
                if found.status == _OK and found.whole:
                    self._compare_clocks(found.date)
                    return found.body
            elif found.how == "stopped":
                return None
            if wait_s is None or not may_pass(found):
                raise failure(found, Asked(self._url, query.metric[:80], self._choice.timeout_s))
            if self._clock.sleep(_wait_s(found, wait_s), stop):
                return None
        return None

    def _compare_clocks(self, date: str) -> None:
        """A clock that is ahead of the server's calls settled what the server has not got yet."""
        try:
            server_s = parsedate_to_datetime(date).timestamp()
        except (ValueError, OverflowError):
            return
        ahead_s = self._clock.now().timestamp() - server_s
        if ahead_s > max(_LEAST_SKEW_S, self._choice.settle_s / 2) and not self._ahead:
            self._ahead = True
            self._notes.append(
                f"this machine's clock is {ahead_s:.0f} s ahead of the server's: points may be asked for before they "
                "are there. Correct it, or let them settle longer"
            )

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()


def _wait_s(found: Reply | Lost, wait_s: float) -> float:
    """What the server asks for, within reason; else ``wait_s``."""
    if isinstance(found, Reply) and found.retry_after.isdecimal():
        return min(max(wait_s, float(found.retry_after)), _MOST_WAIT_S)
    return wait_s
