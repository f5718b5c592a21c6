"""A day of ``mk watch`` in minutes: does it grow, does it slow down?

    python benchmarks/soak/watch_soak.py [--hours 24] [--interval-s 30]

A session runs in this process under a virtual clock, which moves only while it sleeps; meanwhile a job writes its
telemetry into the watched file, one record a second of virtual time, with an incident every ten minutes. After
every iteration the memory of the process and the CPU time spent are noted. Slopes are least squares over all
iterations after the warm-up, which is over once everything with a limit is full: the folders of iterations, the
findings and the stays in a mode that are kept. That takes this job a day and a half; before it, reports grow with
what they have to tell.
"""

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from modekeeper.artifacts.contracts.parts import SourcePart
from modekeeper.artifacts.provenance import provenance
from modekeeper.artifacts.store import FolderStore
from modekeeper.cli.clocks import PinnedClock
from modekeeper.cli.stopping import StopRequest
from modekeeper.gates.kill_switch import NOT_ACTIVE
from modekeeper.loop.apply_request import NO_APPLY
from modekeeper.loop.settings import LoopSettings
from modekeeper.model.decision import Target
from modekeeper.policy.catalog import load_default
from modekeeper.ports.clock import StopSignal
from modekeeper.reports.folder.decision_facts import CatalogUse
from modekeeper.reports.folder.watch_report import WatchRollUp
from modekeeper.reports.folder.watch_session import WatchPlan, WatchSession
from modekeeper.telemetry.file import open_files
from modekeeper.value.opportunity import CostModel

__all__ = ["Soak", "soak", "table"]

_KEEP = 100
_RECORDS_A_ROUND = 1200
_START_MS = 1_767_225_600_000
_PAGE_BYTES = resource.getpagesize()
_DECILES = 10


@dataclass(frozen=True, kw_only=True)
class Soak:
    """What was noted after each iteration."""

    hours: float
    interval_s: float
    rss_mb: list[float]
    cpu_ms: list[float]
    """CPU time of each iteration, the writing of the telemetry left out."""
    disk_mb: list[float]
    ticks: int
    transitions: int
    records: int
    warm_up: int
    """Iterations until everything that is bounded was full; where that did not happen, those of ``--keep``."""
    full: bool

    def steady(self, values: list[float]) -> list[float]:
        """The values after the warm-up."""
        return values[self.warm_up :]


class _Job(PinnedClock):
    """A clock, and a job that writes a record for every second that passes on it."""

    def __init__(self, path: Path, seed: int) -> None:
        super().__init__(datetime(2026, 1, 1, tzinfo=UTC))
        self._path = path
        self._noise = np.random.default_rng(seed)
        self.records = 0
        self.cpu_s = 0.0

    def sleep(self, duration_s: float, stop: StopSignal) -> bool:
        began_s = time.process_time()
        stopped = super().sleep(duration_s, stop)
        wanted = int(self.monotonic_s())
        lines = [self._line(number) for number in range(self.records, wanted)]
        with self._path.open("ab") as file:
            file.writelines(lines)
        self.records = max(self.records, wanted)
        self.cpu_s += time.process_time() - began_s
        return stopped

    def _line(self, number: int) -> bytes:
        """Twenty minutes of it: healthy, input-bound from second 300 to 540, a straggler from second 820 to 980."""
        at = number % _RECORDS_A_ROUND
        wait_ms = 95.0 if 300 <= at < 540 else 12.0
        noise = self._noise.normal(0, 1, 5)
        workers = 200 + 2 * noise[:4]
        if 820 <= at < 980:
            workers[2] *= 1.8
        record = {
            "ts_ms": _START_MS + number * 1000,
            "step": number,
            "step_time_ms": round(float(workers.max() + wait_ms), 3),
            "data_wait_ms": round(wait_ms + 0.3 * float(noise[4]), 3),
            "loss": round(2 + 4 / (1 + number / 2000) + 0.01 * float(noise[4]), 4),
            "worker_latencies_ms": [round(float(value), 3) for value in workers],
            "gpu_util_pct": 82.0,
            "node": "node-a",
            "gpu_model": "H100",
            "knobs": {"dataloader_prefetch_factor": 2, "concurrency": 4},
        }
        return json.dumps(record).encode() + b"\n"


def _rss_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * _PAGE_BYTES / 1e6


def _disk_mb(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def soak(folder: Path, *, hours: float, interval_s: float = 30.0, keep: int = _KEEP, seed: int = 1) -> Soak:
    """Watch a job for so many virtual hours, in ``folder``; what was noted along the way."""
    path, out = folder / "run.jsonl", folder / "out"
    path.write_bytes(b"")
    clock, stop = _Job(path, seed), StopRequest()
    source = open_files([path.as_posix()], clock=clock)
    iterations = round(hours * 3600 / interval_s)
    rss_mb, cpu_ms, disk_mb = [], [], []
    spent_s = time.process_time()

    full_at: int | None = None

    def note(roll_up: WatchRollUp) -> None:
        nonlocal spent_s, full_at
        now_s = time.process_time() - clock.cpu_s
        cpu_ms.append((now_s - spent_s) * 1000)
        rss_mb.append(_rss_mb())
        if full_at is None and _is_full(roll_up, keep):
            full_at = roll_up.iterations
        if roll_up.iterations % max(1, iterations // 50) == 0:
            disk_mb.append(_disk_mb(out))
        spent_s = time.process_time() - clock.cpu_s

    session = WatchSession(
        FolderStore(out),
        source,
        _plan(interval_s, iterations, keep, path.name),
        clock,
        describe_source=lambda: SourcePart(kind="file", describe=source.describe, notes=source.notes),
        describe_recording=lambda: None,
        fresh=True,
    )
    final = session.run(stop, note)
    source.close()
    stop.close()
    return Soak(
        hours=hours,
        interval_s=interval_s,
        rss_mb=rss_mb,
        cpu_ms=cpu_ms,
        disk_mb=disk_mb,
        ticks=final.recorder.totals.ticks,
        transitions=final.recorder.totals.transitions,
        records=final.recorder.series.sample_count,
        warm_up=min(keep, iterations // 2) if full_at is None else full_at,
        full=full_at is not None,
    )


def _is_full(roll_up: WatchRollUp, keep: int) -> bool:
    recorder = roll_up.recorder
    return bool(recorder.mode_spans_left_out and recorder.findings().left_out and roll_up.iterations > keep)


def _plan(interval_s: float, iterations: int, keep: int, watched: str) -> WatchPlan:
    return WatchPlan(
        name="soak",
        watched=watched,
        settings=LoopSettings(target=Target(namespace="ml", kind="Deployment", name="trainer"), catalog=load_default()),
        interval_s=interval_s,
        max_iterations=iterations,
        keep=keep,
        apply=NO_APPLY,
        kill_switch=lambda: NOT_ACTIVE,
        catalog=CatalogUse(source="built-in", trusted=True),
        cost=CostModel(),
        provenance=provenance(),
    )


def slope(values: list[float]) -> float:
    """Least squares, per 1,000 iterations."""
    return float(np.polyfit(np.arange(len(values)), np.array(values), 1)[0]) * 1000


def ends(values: list[float]) -> tuple[float, float]:
    """Medians of the first and the last tenth."""
    tenth = max(1, len(values) // _DECILES)
    return statistics.median(values[:tenth]), statistics.median(values[-tenth:])


def table(found: Soak) -> str:
    """A Markdown table of the slopes, and of the first and the last tenth after the warm-up."""
    head = (
        f"{found.hours:g} virtual hours, {len(found.cpu_ms)} iterations of {found.interval_s:g} s, "
        f"{found.records} records, {found.ticks} ticks, {found.transitions} changes of mode; "
        f"{found.warm_up} iterations of warm-up left out, after which "
        f"{'everything that is bounded was full' if found.full else 'reports still grew with what happened'}"
    )
    lines = [
        head,
        "",
        "| per iteration | slope per 1,000 iterations | first tenth | last tenth | ratio |",
        "|---|--:|--:|--:|--:|",
    ]
    rows: list[tuple[str, str, Callable[[], list[float]]]] = [
        ("resident memory", "MB", lambda: found.steady(found.rss_mb)),
        ("CPU time", "ms", lambda: found.steady(found.cpu_ms)),
    ]
    for name, unit, values_of in rows:
        values = values_of()
        first, last = ends(values)
        lines.append(
            f"| {name} | {slope(values):+.3f} {unit} | {first:.2f} {unit} | {last:.2f} {unit} | {last / first:.3f} |"
        )
    lines += ["", f"Disk use of the session: at most {max(found.disk_mb):.2f} MB, {found.disk_mb[-1]:.2f} at the end."]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--hours", type=float, nargs="+", default=[1.0, 24.0], help="virtual hours, one run each")
    parser.add_argument("--interval-s", type=float, default=30.0, help="between iterations (default: %(default)s)")
    given = parser.parse_args()
    for hours in given.hours:
        with tempfile.TemporaryDirectory() as folder:
            print(table(soak(Path(folder), hours=hours, interval_s=given.interval_s)), end="\n\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
