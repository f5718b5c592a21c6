"""What the tests of ``watch`` share: sessions in this process, sessions as a process, and what is on disk after."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import msgspec

from modekeeper.artifacts.contracts.bundle import Provenance
from modekeeper.artifacts.provenance import provenance
from modekeeper.artifacts.store import FolderStore
from modekeeper.cli.clocks import PinnedClock
from modekeeper.gates.kill_switch import NOT_ACTIVE
from modekeeper.loop.apply_request import NO_APPLY, ApplyRequest, KillSwitchLook
from modekeeper.loop.settings import LoopSettings
from modekeeper.model.decision import Target
from modekeeper.model.trace import TraceEvent
from modekeeper.policy.catalog import load_default
from modekeeper.ports.clock import Clock, StopSignal
from modekeeper.reports.folder.decision_facts import CatalogUse
from modekeeper.reports.folder.watch_report import WatchRollUp
from modekeeper.reports.folder.watch_session import WatchPlan, WatchSession
from modekeeper.telemetry.file import open_files
from modekeeper.value.opportunity import CostModel

DATA = Path(__file__).parents[1] / "data" / "observe"
PINNED = "2026-01-01T00:00:00Z"
SETTINGS = LoopSettings(target=Target(namespace="ml", kind="Deployment", name="trainer"), catalog=load_default())
PROVENANCE: Provenance = provenance()

SCHEMAS = {
    r"closed_loop_.*\.json": "closed_loop.v0",
    r"watch_(latest|\d{8}T\d{9}Z)\.json": "watch.v0",
    r"watch_state\.json": "watch_state.v0",
    r"k8s_plan(_applied)?\.json": "k8s_plan.v0",
    r"k8s_apply_.*\.json": "k8s_apply.v0",
    r"k8s_verify_.*\.json": "k8s_verify.v0",
    r"policy_bundle_.*\.json": "policy_bundle.v1",
    r"rollback_plan_.*\.json": "rollback_plan.v0",
    r"decision_trace_.*\.jsonl": "decision_trace_event.v0",
    r"explain\.jsonl": "explain_event",
}
FREE_TEXT = {"summary.md", "watch_summary.md", "k8s_plan.kubectl.sh", "k8s_verify_summary.md"}


class Going:
    """A stop signal that is set when the test says so."""

    def __init__(self) -> None:
        self.stopped = False

    def is_set(self) -> bool:
        return self.stopped

    def wait(self, timeout: float | None = None) -> bool:
        del timeout
        return self.stopped


class ActingClock(PinnedClock):
    """A pinned clock that lets something happen in the world while ``watch`` sleeps."""

    def __init__(self, meanwhile: Callable[[int], None] = lambda _number: None) -> None:
        super().__init__(datetime(2026, 1, 1, tzinfo=UTC))
        self._meanwhile = meanwhile
        self.sleeps: list[float] = []

    def sleep(self, duration_s: float, stop: StopSignal) -> bool:
        self.sleeps.append(duration_s)
        self._meanwhile(len(self.sleeps))
        return super().sleep(duration_s, stop)


def run_session(
    out: Path,
    telemetry: Path,
    *,
    clock: Clock | None = None,
    iterations: int | None,
    keep: int = 10_000,
    fresh: bool = False,
    settings: LoopSettings = SETTINGS,
    apply: ApplyRequest = NO_APPLY,
    kill_switch: KillSwitchLook = lambda: NOT_ACTIVE,
    stop: StopSignal | None = None,
    interval_s: float = 30.0,
    after_iteration: Callable[[WatchRollUp], None] = lambda _roll_up: None,
) -> WatchRollUp:
    """One process's worth of a session over one file, in this process."""
    clock = clock or ActingClock()
    source = open_files([telemetry.as_posix()], clock=clock)
    plan = WatchPlan(
        name="job",
        watched=telemetry.as_posix(),
        settings=settings,
        interval_s=interval_s,
        max_iterations=iterations,
        keep=keep,
        apply=apply,
        kill_switch=kill_switch,
        catalog=CatalogUse(source="built-in", trusted=True),
        cost=CostModel(),
        provenance=PROVENANCE,
    )
    try:
        session = WatchSession(
            FolderStore(out),
            source,
            plan,
            clock,
            describe_source=lambda: _part(source.describe, source.notes),
            describe_recording=lambda: None,
            fresh=fresh,
        )
        return session.run(stop or Going(), after_iteration)
    finally:
        source.close()


def _part(describe: str, notes: tuple[str, ...]) -> Any:
    from modekeeper.artifacts.contracts.parts import SourcePart  # noqa: PLC0415

    return SourcePart(kind="file", describe=describe, notes=notes)


def environment(**more: str) -> dict[str, str]:
    """A clean one, under a pinned clock unless ``MODEKEEPER_PINNED_CLOCK`` is given as empty."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MODEKEEPER", "KUBE"))}
    return clean | {"MODEKEEPER_PINNED_CLOCK": PINNED} | more


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "modekeeper", *words]


def mk(*words: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run ``mk`` to its end."""
    done = subprocess.run(
        command(*words),
        cwd=cwd,
        env=environment(**more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


@contextmanager
def started(*words: str, cwd: Path, **more: str) -> Iterator[subprocess.Popen[str]]:
    """``mk`` in the background, on the machine's clock; ended when the block ends."""
    process = subprocess.Popen(
        command(*words),
        cwd=cwd,
        env=environment(MODEKEEPER_PINNED_CLOCK="", PYTHONUNBUFFERED="1", **more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=60)


def read_json(path: Path) -> Any:
    return json.loads(path.read_bytes())


def events_of(path: Path) -> list[TraceEvent]:
    """The lines of a trace; fails on half a line, and on one that is no event."""
    data = path.read_bytes()
    assert not data or data.endswith(b"\n")
    return [msgspec.json.decode(line, type=TraceEvent) for line in data.splitlines()]


def one_error_line(stderr: str) -> str:
    """The only line of ``stderr`` that is no warning, without its prefix."""
    lines = [line for line in stderr.splitlines() if not line.startswith("going on after iteration")]
    assert len(lines) == 1, stderr
    assert lines[0].startswith("ERROR: ")
    return lines[0].removeprefix("ERROR: ")


@cache
def _validator(name: str) -> Any:
    text = files("modekeeper.artifacts").joinpath("schemas", f"{name}.schema.json").read_text()
    return jsonschema.Draft202012Validator(json.loads(text))


def check_folder(out: Path, *, unfinished_allowed: bool = False, since: int = 0) -> int:
    """Every artifact below ``out`` is whole and valid by its published schema; how many there are.

    Args:
        out: the folder of a session.
        unfinished_allowed: files that a killed process was writing may lie there, hidden.
        since: iterations before this one have been checked already.
    """
    checked = 0
    for path in sorted(out.rglob("*")):
        number = re.fullmatch(r"iter_(\d+)", path.parent.name)
        of_the_door = path.relative_to(out).parts[0] in {"door", "door.lock"}
        if path.is_dir() or path.name == ".watch.lock" or of_the_door or (number and int(number[1]) < since):
            continue
        if path.name.startswith(".unfinished-"):
            assert unfinished_allowed, path
            continue
        checked += 1
        _check_file(path)
    return checked


def _check_file(path: Path) -> None:
    data = path.read_bytes()
    assert not data or data.endswith(b"\n"), path
    if path.name in FREE_TEXT:
        assert data, path
        return
    schema = next(schema for pattern, schema in SCHEMAS.items() if re.fullmatch(pattern, path.name))
    texts = data.splitlines() if path.suffix == ".jsonl" else [data]
    for text in texts:
        _validator(schema).validate(json.loads(text))
