"""Requests through kubectl processes: word lists, no shell, one process a question, each with its deadline."""

import os
import select
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import assert_never

import msgspec

from modekeeper.cluster.access.finding import find_context
from modekeeper.cluster.answers import answer_error
from modekeeper.cluster.kubectl.answers import failure, unknown_fields, warnings_of
from modekeeper.cluster.kubectl.program import GRACE_S, MAX_ANSWER_BYTES, KubectlProgram
from modekeeper.cluster.processes import Finished, OutputTooLargeError, running
from modekeeper.cluster.requests import (
    ACCESS_REVIEW_PATH,
    WATCH_S,
    AccessReview,
    Answered,
    DryRun,
    Get,
    Request,
    Streaming,
    object_path,
)
from modekeeper.cluster.retrying import AskAgainError, retried
from modekeeper.model.cluster import FIELD_MANAGER, ClusterContext, ClusterUnreachableError
from modekeeper.ports.clock import Clock, StopSignal

__all__ = ["KubectlTransport"]

_MAX_ERROR_BYTES = 2**20
_CHUNK = 1 << 16
_POLL_S = 0.2
_ONCE_TIMES = 20
_WATCH_SLACK_S = 30


class KubectlTransport:
    """Gets requests to the API server by kubectl.

    Args:
        kubeconfig: instead of ``KUBECONFIG`` and ``~/.kube/config``.
        context: instead of the current one.
        clock: waits between attempts.
        environment: of kubectl, and of the login programs it starts. ``KUBECTL`` may name the program.
        request_timeout_s: how long one request may take, all its attempts included.

    Raises:
        ClusterConfigError: there is no kubectl, or no such context.
    """

    def __init__(
        self,
        *,
        kubeconfig: Path | None,
        context: str | None,
        clock: Clock,
        environment: Mapping[str, str],
        request_timeout_s: float,
    ) -> None:
        self._program = KubectlProgram(environment, kubeconfig, context)
        self._context = find_context(environment, kubeconfig, context)
        self._clock = clock
        self._timeout_s = request_timeout_s
        self._closed = threading.Event()

    @property
    def context(self) -> ClusterContext:
        """As the port says."""
        return self._context

    def close(self) -> None:
        """As the port says. What is under way in other threads ends with an error."""
        self._closed.set()

    def ask(self, asked: str, request: Request) -> Answered:
        """The whole answer, of 64 MiB at most."""
        end_s = time.monotonic() + self._timeout_s
        words, stdin = _words(request)
        return retried(
            lambda: self._ask_once(asked, request, words, stdin, end_s),
            end_s=end_s,
            clock=self._clock,
            stop=self._closed,
        )

    def stream(self, asked: str, request: Get, stop: StopSignal, streaming: Streaming) -> Iterator[bytes]:
        """What kubectl writes, as it comes."""
        self._check_open()
        longest_s = {Streaming.ONCE: self._timeout_s * _ONCE_TIMES, Streaming.WATCH: WATCH_S + _WATCH_SLACK_S}
        end_s = time.monotonic() + longest_s.get(streaming, float("inf"))
        words = self._program.command(*_words(request)[0], timeout_s=None)
        with running(words, self._program.environment) as process:
            assert process.stdout is not None  # noqa: S101 - both are pipes
            assert process.stderr is not None  # noqa: S101
            output, errors, said = process.stdout.fileno(), process.stderr.fileno(), b""
            opened = {output, errors}
            while opened:
                if stop.is_set():
                    return
                self._check_open()
                if time.monotonic() >= end_s:
                    if streaming is Streaming.WATCH:
                        return
                    raise self._late(asked)
                for ready in select.select(list(opened), [], [], _POLL_S)[0]:
                    chunk = os.read(ready, _CHUNK)
                    if not chunk:
                        opened.discard(ready)
                    elif ready == output:
                        yield chunk
                    else:
                        said = (said + chunk)[-_MAX_ERROR_BYTES:]
            if process.wait(GRACE_S) != 0:
                raise _final(failure(asked, said.decode(errors="replace")))

    def _ask_once(self, asked: str, request: Request, words: list[str], stdin: bytes | None, end_s: float) -> Answered:
        self._check_open()
        done = self._run(asked, words, stdin, end_s - time.monotonic())
        said = done.stderr.decode(errors="replace")
        if done.returncode != 0:
            raise failure(asked, said, request.ref.resource.group if isinstance(request, DryRun) else "")
        warnings = warnings_of(said)
        refused = unknown_fields(warnings) if isinstance(request, DryRun) else ()
        if refused:
            raise answer_error(asked, 422, "Invalid", f"strict decoding error: {', '.join(refused)}")
        try:
            return Answered(msgspec.json.decode(done.stdout), warnings)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise ClusterUnreachableError(
                f"kubectl, asked to {asked}, printed no JSON. Look at the server of the context, and at KUBECTL."
            ) from None

    def _run(self, asked: str, words: list[str], stdin: bytes | None, timeout_s: float) -> Finished:
        try:
            done = self._program.run(*words, timeout_s=timeout_s, stopped=self._closed.is_set, stdin=stdin)
        except OutputTooLargeError:
            raise ClusterUnreachableError(
                f"The answer when asked to {asked} is larger than {MAX_ANSWER_BYTES // 2**20} MiB. Ask for less."
            ) from None
        if done.returncode is None:
            self._check_open()
            raise self._late(asked)
        return done

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise ClusterUnreachableError("The connection to the cluster is closed.")

    def _late(self, asked: str) -> ClusterUnreachableError:
        return ClusterUnreachableError(
            f"kubectl did not {asked} within {self._timeout_s:g} s. Try again, or allow more time."
        )


def _words(request: Request) -> tuple[list[str], bytes | None]:
    """The only place where a request becomes a kubectl command. There are three, and none of them changes anything."""
    match request:
        case Get():
            return ["get", "--raw", request.target], None
        case AccessReview():
            return ["create", "--raw", ACCESS_REVIEW_PATH, "--filename=-"], msgspec.json.encode(request.body)
        case DryRun():
            return _dry_run_words(request), None
        case _:
            assert_never(request)


def _dry_run_words(request: DryRun) -> list[str]:
    ref = request.ref
    object_path(ref)  # refuses names that could be taken for something else
    resource = ref.resource
    return [
        "patch",
        "--dry-run=server",
        "--type=merge",
        f"--field-manager={FIELD_MANAGER}",
        "--output=json",
        "--show-managed-fields=true",
        *([] if ref.namespace is None else [f"--namespace={ref.namespace}"]),
        f"--patch={msgspec.json.encode(request.patch).decode()}",
        "--",
        f"{resource.plural}.{resource.version}.{resource.group}",
        ref.name,
    ]


def _final(error: Exception) -> Exception:
    return error.error if isinstance(error, AskAgainError) else error
