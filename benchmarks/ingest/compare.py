"""How fast telemetry is read, against plain decoders that do far less. Prints Markdown tables.

    python benchmarks/ingest/compare.py [LINES] [--memory]

The input is generated: one job's telemetry, with 0.5 % dirt spread evenly; as JSON lines, plain and compressed, and as
CSV. Every round runs each contender once, in a process of its own, so that a busy machine troubles all of them alike;
medians count. ``x orjson`` is the median of the ratios to the orjson loop of the same round. Times include imports.
The memory is the peak of the process, and that of the largest one beside it where several read.

``--memory`` compares the peaks at 1 and at 20 million lines. That takes minutes, and 3.5 GB in the temporary folder.
"""

import argparse
import gzip
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import msgspec

LINES = 2_000_000
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
ROUNDS = 5
REFERENCE = "orjson (decode, check, count)"
MEMORY_LINES = (1_000_000, 20_000_000)
CHUNK = 100_000
Count = tuple[int, int]


def entries(lines: int) -> Iterator[dict[str, object] | None]:
    """Records; ``None`` where a dirty line belongs."""
    import numpy as np  # noqa: PLC0415 - it would weigh on the memory of every contender

    rng = np.random.Generator(np.random.PCG64(1))
    for first in range(0, lines, CHUNK):
        noise = rng.standard_normal((min(CHUNK, lines - first), 4)).tolist()
        for index, (a, b, c, d) in enumerate(noise, first):
            if index % DIRT_EVERY == DIRT_EVERY - 1:
                yield None
                continue
            moment = datetime.fromtimestamp(1_767_225_600 + index, UTC)
            yield {
                "ts": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "step": index,
                "step_time_ms": round(900.0 + 10.0 * a, 3),
                "loss": round(2.0 + 0.01 * b, 5),
                "throughput": round(580_000.0 + 5000.0 * c, 1),
                "data_wait_ms": round(25.0 + abs(d), 3),
                "gpu_util_pct": 82.5,
                "node": "node-a",
            }


def generate(path: Path, lines: int) -> None:
    """JSON lines."""
    with path.open("wb") as file:
        for index, entry in enumerate(entries(lines)):
            dirt = DIRT[index // DIRT_EVERY % len(DIRT)]
            file.write((dirt if entry is None else json.dumps(entry, separators=(",", ":")).encode()) + b"\n")


def generate_table(path: Path, lines: int) -> None:
    """The same as CSV."""
    with path.open("wb") as file:
        for index, entry in enumerate(entries(lines)):
            if entry is not None:
                if index == 0:
                    file.write(",".join(entry).encode() + b"\n")
                file.write(",".join(map(str, entry.values())).encode() + b"\n")
            else:
                file.write(DIRT[index // DIRT_EVERY % len(DIRT)] + b"\n")


def compress(path: Path) -> None:
    """The same lines, packed."""
    zstd = import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    data = path.read_bytes()
    path.with_suffix(".jsonl.gz").write_bytes(gzip.compress(data, 6))
    path.with_suffix(".jsonl.zst").write_bytes(zstd.compress(data))


def to_columns(path: Path, jobs: int = 1) -> Count:
    """Everything: decode, check, count by reason, put in order, repair, to columns."""
    from modekeeper.telemetry.file import open_files  # noqa: PLC0415 - each contender pays for its own imports

    source = open_files([str(path)], clock=_Never(), jobs=jobs)
    total = sum(len(block) for block in source.blocks(threading.Event()))
    total += sum(len(block) for block in source.flush())
    source.close()
    return total, source.counters().dropped_total


def to_decisions(path: Path, jobs: int = 1) -> Count:
    """All the way: every detector, the state machine, the policy, the series of the report, the decision trace."""
    from modekeeper.artifacts.canonical import json_line  # noqa: PLC0415
    from modekeeper.loop.engine import Engine  # noqa: PLC0415
    from modekeeper.loop.recorder import RunRecorder  # noqa: PLC0415
    from modekeeper.loop.run import Feed  # noqa: PLC0415
    from modekeeper.loop.settings import LoopSettings  # noqa: PLC0415
    from modekeeper.model.decision import Target  # noqa: PLC0415
    from modekeeper.model.trace import TraceEvent  # noqa: PLC0415
    from modekeeper.policy.catalog import load_default  # noqa: PLC0415
    from modekeeper.telemetry.file import open_files  # noqa: PLC0415

    target = Target(namespace="default", kind="Deployment", name="trainer")
    engine = Engine(LoopSettings(target=target, catalog=load_default()))
    source = open_files([str(path)], clock=_Never(), jobs=jobs)
    with Path(os.devnull).open("wb") as nowhere:

        def write(event: TraceEvent) -> None:
            nowhere.write(json_line(event))

        feed = Feed(engine, (RunRecorder(),), write)
        for blocks in (source.blocks(threading.Event()), source.flush()):
            for block in blocks:
                feed.take(block)
        feed.record(engine.finish())
    source.close()
    return feed.samples, source.counters().dropped_total


def orjson_loop(path: Path) -> Count:
    """orjson: decode, check the types of two fields, count by reason. No order, no columns."""
    loads = import_module("orjson").loads
    accepted = 0
    dropped: dict[str, int] = {}
    with path.open("rb") as file:
        for line in file:
            try:
                entry = loads(line)
            except ValueError:
                dropped["invalid_json"] = dropped.get("invalid_json", 0) + 1
                continue
            if type(entry) is not dict:
                dropped["wrong_shape"] = dropped.get("wrong_shape", 0) + 1
            elif type(entry.get("ts")) is not str or type(entry.get("step_time_ms")) is not float:
                dropped["not_usable"] = dropped.get("not_usable", 0) + 1
            else:
                accepted += 1
    return accepted, sum(dropped.values())


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


PLAIN, TABLE = "run.jsonl", "run.csv"
CONTENDERS: dict[str, tuple[str, Callable[[Path], Count]]] = {
    REFERENCE: (PLAIN, orjson_loop),
    "json (decode, check)": (PLAIN, stdlib_json),
    "msgspec (decode)": (PLAIN, msgspec_alone),
    "modekeeper to columns": (PLAIN, to_columns),
    "modekeeper to columns, 2 processes": (PLAIN, lambda path: to_columns(path, jobs=2)),
    "modekeeper to decisions": (PLAIN, to_decisions),
    "modekeeper to decisions, 2 processes": (PLAIN, lambda path: to_decisions(path, jobs=2)),
    "modekeeper to columns, CSV": (TABLE, to_columns),
    "modekeeper to columns, gzip": ("run.jsonl.gz", to_columns),
    "modekeeper to columns, zstd": ("run.jsonl.zst", to_columns),
}


class Run(msgspec.Struct, array_like=True):
    """What one process says of itself."""

    seconds: float
    accepted: int
    dropped: int
    peak_mb: float
    beside_mb: float


def contest(name: str, folder: Path) -> None:
    """One run in this process; prints a ``Run``."""
    file, read = CONTENDERS[name]
    started = time.perf_counter()
    accepted, dropped = read(folder / file)
    seconds = time.perf_counter() - started
    # Not getrusage: its peak includes the parent, from before the exec.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    peak_mb = int(status["VmHWM"].split()[0]) / 1024
    beside_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(msgspec.json.encode(Run(seconds, accepted, dropped, peak_mb, beside_mb)).decode())


def run(name: str, folder: Path) -> Run:
    """One run in a process of its own."""
    command = [sys.executable, __file__, "--contender", name, "--folder", str(folder)]
    # As installed: modules are compiled once.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(folder / "compiled")
    return msgspec.json.decode(subprocess.check_output(command, env=environment), type=Run)


def compare(lines: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generate(folder / PLAIN, lines)
        generate_table(folder / TABLE, lines)
        compress(folder / PLAIN)
        size_mb = (folder / PLAIN).stat().st_size / 1e6
        dirt_pct = 100 / DIRT_EVERY
        runs: dict[str, list[Run]] = {contender: [] for contender in CONTENDERS}
        for _ in range(ROUNDS):
            for contender, found in runs.items():
                found.append(run(contender, folder))
    print(f"{lines:,} lines, {size_mb:.0f} MB, {dirt_pct:g} % dirt, median of {ROUNDS}, {os.cpu_count()} cores\n")
    print("| reader | lines/s | s | x orjson | accepted | dropped | peak MB | beside it MB |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for contender, found in runs.items():
        seconds = statistics.median(each.seconds for each in found)
        pairs = zip(found, runs[REFERENCE], strict=True)
        times = statistics.median(each.seconds / reference.seconds for each, reference in pairs)
        last = found[-1]
        peak_mb = max(each.peak_mb for each in found)
        beside = f"{max(each.beside_mb for each in found):.0f}" if last.beside_mb else ""
        print(
            f"| {contender} | {lines / seconds:,.0f} | {seconds:.2f} | {times:.2f} | {last.accepted:,} "
            f"| {last.dropped:,} | {peak_mb:.0f} | {beside} |"
        )


def compare_memory() -> None:
    print("| reader | lines | peak MB | beside it MB |")
    print("|---|---:|---:|---:|")
    contenders = [name for name, (file, _) in CONTENDERS.items() if file == PLAIN and "modekeeper" in name]
    for lines in MEMORY_LINES:
        with tempfile.TemporaryDirectory() as name:
            generate(Path(name) / PLAIN, lines)
            for contender in contenders:
                found = run(contender, Path(name))
                beside = f"{found.beside_mb:.0f}" if found.beside_mb else ""
                print(f"| {contender} | {lines:,} | {found.peak_mb:.0f} | {beside} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lines", nargs="?", type=int, default=LINES, metavar="LINES")
    parser.add_argument("--memory", action="store_true", help="compare the memory at 1 and at 20 million lines")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.contender is not None:
        contest(given.contender, given.folder)
    elif given.memory:
        compare_memory()
    else:
        compare(given.lines)


if __name__ == "__main__":
    main()
