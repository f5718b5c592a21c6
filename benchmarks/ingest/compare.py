"""How fast telemetry is read, against plain decoders that do far less. Prints a Markdown table.

    python benchmarks/ingest/compare.py [LINES]

The input is generated: one job's telemetry, with 0.5 % dirt spread evenly. Each contender runs three times in a
process of its own; the best time counts, the memory is the peak of the process.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

LINES = 200_000
DIRT_EVERY = 200
DIRT = (
    b"",
    b"INFO step done",
    b'{"ts":"2026-01-01T00:00:00Z","step":1,"step_time_ms":',
    b"[1,2]",
    b'{"step":1}',
    b'{"ts":"soon","step_time_ms":1.0}',
    b'{"ts":"2026-01-01T00:00:00Z","step_time_ms":"fast"}',
)
ROUNDS = 3
Count = tuple[int, int]


def generate(path: Path, lines: int) -> None:
    import numpy as np  # noqa: PLC0415 - it would weigh on the memory of every contender

    rng = np.random.Generator(np.random.PCG64(1))
    noise = rng.standard_normal((lines, 4))
    with path.open("wb") as file:
        for index in range(lines):
            if index % DIRT_EVERY == DIRT_EVERY - 1:
                file.write(DIRT[index // DIRT_EVERY % len(DIRT)] + b"\n")
                continue
            moment = datetime.fromtimestamp(1_767_225_600 + index, UTC)
            entry = {
                "ts": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "step": index,
                "step_time_ms": round(900.0 + 10.0 * noise[index, 0], 3),
                "loss": round(2.0 + 0.01 * noise[index, 1], 5),
                "throughput": round(580_000.0 + 5000.0 * noise[index, 2], 1),
                "data_wait_ms": round(25.0 + abs(noise[index, 3]), 3),
                "gpu_util_pct": 82.5,
                "node": "node-a",
            }
            file.write(json.dumps(entry, separators=(",", ":")).encode() + b"\n")


def ours(path: Path) -> Count:
    """Everything: decode, check, count by reason, put in order, repair, to columns."""
    from modekeeper.telemetry.file import open_files  # noqa: PLC0415 - each contender pays for its own imports

    source = open_files([str(path)], clock=_Never())
    total = sum(len(block) for block in source.blocks(threading.Event()))
    total += sum(len(block) for block in source.flush())
    return total, source.counters().dropped_total


def stdlib_json(path: Path) -> Count:
    """The standard library: decode, check two fields, count. No order, no columns."""
    accepted = dropped = 0
    with path.open("rb") as file:
        for line in file:
            try:
                entry = json.loads(line)
                ts, value = entry["ts"], entry["step_time_ms"]
                datetime.fromisoformat(ts)
            except (ValueError, TypeError, KeyError):
                dropped += 1
                continue
            if type(value) is float:
                accepted += 1
            else:
                dropped += 1
    return accepted, dropped


class _Record(msgspec.Struct):
    ts: str
    step_time_ms: float
    step: int | None = None
    loss: float | None = None
    throughput: float | None = None
    data_wait_ms: float | None = None
    gpu_util_pct: float | None = None
    node: str | None = None


def msgspec_alone(path: Path) -> Count:
    """msgspec: typed decode of a line, count. Times stay text; no order, no columns."""
    decode = msgspec.json.Decoder(_Record).decode
    accepted = dropped = 0
    with path.open("rb") as file:
        for line in file:
            try:
                decode(line)
            except msgspec.MsgspecError:
                dropped += 1
            else:
                accepted += 1
    return accepted, dropped


class _Never:
    """A clock nobody asks."""

    def now(self) -> datetime:
        raise NotImplementedError

    def monotonic_s(self) -> float:
        raise NotImplementedError

    def sleep(self, duration_s: float, stop: object) -> bool:
        del duration_s, stop
        return True


CONTENDERS: dict[str, Callable[[Path], Count]] = {
    "modekeeper (order, repair, columns)": ours,
    "json (decode, check)": stdlib_json,
    "msgspec (decode)": msgspec_alone,
}


def contest(name: str, path: Path) -> None:
    """One run in this process; prints seconds, counts and peak memory as JSON."""
    started = time.perf_counter()
    accepted, dropped = CONTENDERS[name](path)
    seconds = time.perf_counter() - started
    # Not getrusage: its peak includes the parent, from before the exec.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    peak_mb = int(status["VmHWM"].split()[0]) / 1024
    print(json.dumps([seconds, accepted, dropped, peak_mb]))


def main(lines: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.jsonl"
        generate(path, lines)
        size_mb = path.stat().st_size / 1e6
        dirt_pct = 100 / DIRT_EVERY
        print(f"{lines:,} lines, {size_mb:.0f} MB, {dirt_pct:g} % dirt, best of {ROUNDS}, {os.cpu_count()} cores\n")
        print("| reader | lines/s | s | accepted | dropped | peak MB |")
        print("|---|---:|---:|---:|---:|---:|")
        for name in CONTENDERS:
            command = [sys.executable, __file__, "--contender", name, str(path)]
            runs = [json.loads(subprocess.check_output(command)) for _ in range(ROUNDS)]
            seconds, accepted, dropped, peak_mb = min(runs)
            print(f"| {name} | {lines / seconds:,.0f} | {seconds:.2f} | {accepted:,} | {dropped:,} | {peak_mb:.0f} |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--contender"]:
        contest(sys.argv[2], Path(sys.argv[3]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else LINES)
