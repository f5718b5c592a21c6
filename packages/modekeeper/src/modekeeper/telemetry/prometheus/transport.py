"""One question over HTTP, under a deadline: it ends by then, whatever hangs. The only module that knows the library.

The question is asked in a thread of its own, which is left alone when it does not come back: neither looking up a host
name nor a server that sends a byte a second can hold up anybody.
"""

import ipaddress
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

import httpx2

from modekeeper.model.errors import BadInputError
from modekeeper.ports.clock import StopSignal
from modekeeper.telemetry.counting import escape
from modekeeper.telemetry.prometheus.credentials import Credentials

__all__ = ["MOST_BYTES", "Lost", "Reply", "Transport", "checked_url", "is_loopback"]

MOST_BYTES = 64 << 20
"""Longest answer that is taken."""
_LONGEST_URL = 2048
_TICK_S = 0.05
_MOST_REDIRECTS = 3
_KEEPS_THE_QUESTION = frozenset({307, 308})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_LONGEST_REASON = 160
_LONGEST_HEADER = 40


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back; ``whole`` is false and there is no body where it was longer than ``MOST_BYTES``."""

    status: int
    body: bytes
    whole: bool = True
    retry_after: str = ""
    date: str = ""
    """The time by the server's clock, as it writes it."""
    moved_to: str = ""
    """Where the server redirects to, if it is no place where the question may be asked; safe to print."""


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer, and why."""

    how: Literal["connection", "certificate", "deadline", "stopped"]
    reason: str = ""


def is_loopback(url: str) -> bool:
    """Whether an address is one of this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def checked_url(url: str) -> str:
    """The address of a server without a slash at its end.

    Raises:
        BadInputError: it is none. The text does not repeat an address that may hold a secret.
    """
    advice = "Give one like http://prometheus.monitoring.svc:9090."
    if len(url) > _LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise BadInputError(f"the Prometheus address has characters that no address has, or too many. {advice}")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise BadInputError(f"the Prometheus address cannot be taken apart. {advice}") from error
    if "@" in parts.netloc:
        raise BadInputError(
            "the Prometheus address holds a user name, and would show it everywhere. Leave it out, and set "
            "MODEKEEPER_PROMETHEUS_USERNAME and MODEKEEPER_PROMETHEUS_PASSWORD_FILE."
        )
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise BadInputError(f"the Prometheus address goes on behind a '?' or '#': give it up to the path. {advice}")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise BadInputError(f"'{url[:80]}' is no address of a Prometheus server. {advice}")
    return url.rstrip("/")


class Transport:
    """Asks one server.

    Args:
        url: the address of the API call.
        credentials: who we are, and whom we trust.
        deadline_s: most seconds for one question.

    Raises:
        BadInputError: the trusted authorities cannot be read.
    """

    def __init__(self, url: str, credentials: Credentials, deadline_s: float) -> None:
        self._url = url
        self._credentials = credentials
        self._deadline_s = deadline_s
        self._trusted = credentials.trusted()
        self._client: httpx2.Client | None = None

    def post(self, form: Mapping[str, str], stop: StopSignal) -> Reply | Lost:
        """Ask once.

        Raises:
            BadInputError: a file with a secret cannot be read.
        """
        headers = self._credentials.headers()
        if self._client is None:
            self._client = self._connect()
        question = _Question(self._client, self._url, dict(form), headers)
        question.start()
        for _ in range(max(1, round(self._deadline_s / _TICK_S))):
            if question.done.wait(_TICK_S):
                return question.outcome
            if stop.is_set():
                self._leave(question)
                return Lost("stopped")
        self._leave(question)
        return Lost("deadline")

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _connect(self) -> httpx2.Client:
        return httpx2.Client(
            verify=self._trusted,
            timeout=self._deadline_s,
            follow_redirects=False,
            headers={"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": "modekeeper"},
        )

    def _leave(self, question: "_Question") -> None:
        """Leave a question alone that did not come back; its thread closes the connection when it notices."""
        client, self._client = self._client, None
        question.left.set()
        if question.done.is_set() and client is not None:
            # It came back this moment, and may not have seen that it was left.
            client.close()


class _Question(threading.Thread):
    """One question, redirects on the same server included."""

    def __init__(self, client: httpx2.Client, url: str, form: dict[str, str], headers: dict[str, str]) -> None:
        super().__init__(name="prometheus-question", daemon=True)
        self._client = client
        self._url = url
        self._form = form
        self._headers = headers
        self.done = threading.Event()
        self.left = threading.Event()
        self.outcome: Reply | Lost = Lost("connection", "it broke off")

    def run(self) -> None:
        """Ask, and keep what came of it."""
        try:
            self.outcome = self._ask()
        except httpx2.TimeoutException:
            self.outcome = Lost("deadline")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer's, and must not be lost in a thread
            how: Literal["certificate", "connection"] = "certificate" if _is_certificate(error) else "connection"
            self.outcome = Lost(how, escape(str(error).encode("utf-8", "replace"), _LONGEST_REASON))
        finally:
            self.done.set()
            if self.left.is_set():
                self._client.close()

    def _ask(self) -> Reply:
        url = httpx2.URL(self._url)
        for _ in range(_MOST_REDIRECTS):
            with self._client.stream("POST", url, data=self._form, headers=self._headers) as response:
                if response.status_code not in _REDIRECTS:
                    return self._reply(response)
                goal = url.join(response.headers.get("Location", ""))
                if goal.origin != url.origin or response.status_code not in _KEEPS_THE_QUESTION:
                    return Reply(response.status_code, b"", moved_to=_place(goal))
                url = goal
        return Reply(response.status_code, b"", moved_to=f"{_place(url)}, and on and on")

    def _reply(self, response: httpx2.Response) -> Reply:
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > MOST_BYTES or self.left.is_set():
                return Reply(response.status_code, b"", whole=False)
        headers = response.headers
        return Reply(
            response.status_code,
            bytes(body),
            retry_after=headers.get("Retry-After", "")[:_LONGEST_HEADER],
            date=headers.get("Date", "")[:_LONGEST_HEADER],
        )


def _place(url: httpx2.URL) -> str:
    """Scheme and host alone: a query may hold a secret."""
    return escape(f"{url.scheme}://{url.netloc.decode('ascii', 'replace')}".encode(), 100)


def _is_certificate(error: BaseException | None) -> bool:
    while error is not None:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
