"""How a long read is shown to whoever waits for it."""

import io
import sys
from pathlib import Path

import pytest
from tests.cli.test_commands import mk
from tests.telemetry.feeding import stream_of

from modekeeper.cli.console import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Seconds:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def shown(output: Terminal) -> str:
    """What stands in the line now."""
    return output.getvalue().rpartition("\x1b[K")[2]


def test_rate_share_and_time_left_are_shown_after_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, clock = Terminal(), Seconds()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = Progress(clock)
    clock.now_s += 0.9
    progress.advance(3000, lambda: 0.1)
    assert terminal.getvalue() == ""
    clock.now_s += 1.1
    progress.advance(3000, lambda: 0.25)
    assert shown(terminal) == "6,000 samples read, 3,000 a second, 25%, 6 s left"
    clock.now_s += 0.1
    progress.advance(1, lambda: 0.9)
    assert "6,000" in shown(terminal)
    progress.done()
    assert shown(terminal) == ""


@pytest.mark.parametrize(
    ("share", "left"),
    [
        (None, ""),
        (0.0, ""),
        (1.0, ", 100%, 0 s left"),
        (0.01, ", 1%, 3 min 18 s left"),
        (1e-4, ", 0%, 5 h 33 min left"),
    ],
)
def test_what_is_not_known_is_not_said(share: float | None, left: str, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, clock = Terminal(), Seconds()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = Progress(clock)
    clock.now_s += 2
    progress.advance(10, lambda: share)
    assert shown(terminal) == f"10 samples read, 5 a second{left}"


def test_a_pipe_is_shown_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, clock = io.StringIO(), Seconds()
    monkeypatch.setattr(sys, "stderr", pipe)
    progress = Progress(clock)
    clock.now_s += 5
    progress.advance(10, lambda: 0.5)
    progress.done()
    assert pipe.getvalue() == ""


def test_the_number_of_processes_changes_nothing_that_is_written(tmp_path: Path) -> None:
    (tmp_path / "run.jsonl").write_bytes(stream_of(45_000))
    said = {}
    for jobs in ("1", "2"):
        command = ["plan", "--observe-path", "run.jsonl", "--jobs", jobs, "--out", f"out{jobs}"]
        done = mk(*command, cwd=tmp_path, MODEKEEPER_PINNED_CLOCK="2026-01-31T09:00:00Z")
        assert (done.returncode, done.stderr) == (0, "")
        trace = (tmp_path / f"out{jobs}" / "decision_trace_latest.jsonl").read_bytes()
        said[jobs] = trace, done.stdout.replace(f"out{jobs}", "out")
    assert said["1"] == said["2"]


def test_a_number_of_processes_that_makes_no_sense_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "run.jsonl").write_bytes(stream_of(3))
    done = mk("observe", "--path", "run.jsonl", "--jobs", "0", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "--jobs" in done.stderr
