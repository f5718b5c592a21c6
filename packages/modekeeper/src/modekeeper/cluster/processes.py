"""Programs that are asked something: a word list and no shell, bounded output, an end for all they started."""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO, NamedTuple

__all__ = ["Finished", "OutputTooLargeError", "run_program", "running"]

_CHUNK = 1 << 16
_POLL_S = 0.1
_GRACE_S = 1.0
_LOOK = os.WEXITED | os.WNOHANG | os.WNOWAIT
_LOOK_S = 0.01


class OutputTooLargeError(Exception):
    """The program wrote more than it may."""


class Finished(NamedTuple):
    """How a program ended, and what it wrote. ``returncode`` is ``None`` where it was ended for being late."""

    returncode: int | None
    stdout: bytes
    stderr: bytes


@contextmanager
def running(
    words: Sequence[str],
    environment: Mapping[str, str],
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    *,
    inherits: bool = False,
) -> Iterator[subprocess.Popen[bytes]]:
    """A program in a process group of its own, which has ended when the block is left.

    ``inherits``: it keeps the files open that were made inheritable (``os.set_inheritable``), and so their locks.

    Raises:
        OSError: it could not be started.
    """
    process = subprocess.Popen(  # noqa: S603 - a word list, no shell
        list(words),
        env=dict(environment),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        close_fds=not inherits,
    )
    try:
        yield process
    finally:
        _end(process)


def run_program(
    words: Sequence[str],
    environment: Mapping[str, str],
    *,
    timeout_s: float,
    max_bytes: int,
    stdin: bytes | None = None,
    stopped: Callable[[], bool] = lambda: False,
    inherits: bool = False,
) -> Finished:
    """Run a program to its end, or end it after ``timeout_s`` seconds or once ``stopped`` says so.

    ``inherits`` as in :func:`running`.

    Raises:
        OSError: it could not be started.
        OutputTooLargeError: it wrote more than ``max_bytes`` to one of its outputs.
    """
    end_s = time.monotonic() + timeout_s
    source = subprocess.PIPE if stdin is not None else subprocess.DEVNULL
    with running(words, environment, source, inherits=inherits) as process:
        kept = _collect(process, stdin or b"", end_s, max_bytes, stopped)
        if kept is None:
            return Finished(None, b"", b"")
        try:
            return Finished(process.wait(max(0.0, end_s - time.monotonic())), *kept)
        except subprocess.TimeoutExpired:
            return Finished(None, *kept)


def _collect(
    process: subprocess.Popen[bytes], to_write: bytes, end_s: float, max_bytes: int, stopped: Callable[[], bool]
) -> tuple[bytes, bytes] | None:
    assert process.stdout is not None  # noqa: S101 - both are pipes
    assert process.stderr is not None  # noqa: S101
    outputs = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
    order = list(outputs)
    with selectors.DefaultSelector() as selector:
        for descriptor in order:
            selector.register(descriptor, selectors.EVENT_READ)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin.fileno(), selectors.EVENT_WRITE)
        while selector.get_map():
            if time.monotonic() >= end_s or stopped():
                return None
            for key, _ in selector.select(min(_POLL_S, max(0.0, end_s - time.monotonic()))):
                if key.fd in outputs:
                    if not _read(key.fd, outputs[key.fd], max_bytes):
                        selector.unregister(key.fd)
                elif not (to_write := _write(key.fd, to_write)):
                    selector.unregister(key.fd)
                    if process.stdin is not None:
                        process.stdin.close()
    return bytes(outputs[order[0]]), bytes(outputs[order[1]])


def _read(descriptor: int, kept: bytearray, max_bytes: int) -> bool:
    chunk = os.read(descriptor, _CHUNK)
    kept += chunk
    if len(kept) > max_bytes:
        raise OutputTooLargeError
    return bool(chunk)


def _write(descriptor: int, data: bytes) -> bytes:
    """What is left to write."""
    with suppress(BlockingIOError):
        try:
            return data[os.write(descriptor, data[:_CHUNK]) :]
        except BrokenPipeError:
            return b""
    return data


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the program and everything it started, where it has not ended by itself: politely, and after a moment not."""
    if process.poll() is None:
        _signal_group(process, signal.SIGTERM)
        end_s = time.monotonic() + _GRACE_S
        # Looked at, and not waited for: as long as it is not, nobody else's processes get the group's number.
        while os.waitid(os.P_PID, process.pid, _LOOK) is None and time.monotonic() < end_s:
            time.sleep(_LOOK_S)
        _signal_group(process, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
