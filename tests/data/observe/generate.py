"""Writes the golden traces of this folder. ``python -m tests.data.observe.generate`` writes those that differ.

All are made up, by the seeded scenarios of the product, then dirtied by hand where the name says so.
"""

import json
import math
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from modekeeper.telemetry.synthetic import Scenario, Segment, SyntheticSource

Record = dict[str, Any]

FOLDER = Path(__file__).parent
START_TS_MS = 1_772_355_600_000
"""2026-03-01T09:00:00Z."""
HEALTHY_FIELDS = ("step_time_ms", "loss", "throughput", "data_wait_ms", "gpu_util_pct", "gpu_mem_used_mb")


def iso(ts_ms: int) -> str:
    moment = datetime.fromtimestamp(ts_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def steady(samples: int) -> Segment:
    return Segment(name="steady", samples=samples)


def records(seed: int, *segments: Segment, workers: bool = False) -> list[Record]:
    """Clean records of a scenario."""
    source = SyntheticSource(Scenario("golden", "", segments), seed=seed, start_ts_ms=START_TS_MS)
    made: list[Record] = []
    for block in source.blocks(threading.Event()):
        for i in range(len(block)):
            entry: Record = {"ts": iso(int(block.ts_ms[i])), "step": int(block.step[i])}
            entry |= {name: float(block.metrics[name][i]) for name in HEALTHY_FIELDS}
            if workers:
                entry["worker_latencies_ms"] = [float(value) for value in block.workers[i]]
                entry["worker_groups"] = list(block.worker_groups[i] or ())
            made.append(entry | {"node": block.node[i], "gpu_model": block.gpu_model[i], "knobs": block.knobs[i]})
    return made


def lines(entries: Iterable[Record | bytes]) -> bytes:
    """JSON lines; bytes are written as they are."""
    return b"".join(
        (entry if isinstance(entry, bytes) else json.dumps(entry, separators=(",", ":")).encode()) + b"\n"
        for entry in entries
    )


def shifted(entry: Record, by_s: float) -> Record:
    ts_ms = round(datetime.fromisoformat(entry["ts"]).timestamp() * 1000)
    return entry | {"ts": iso(ts_ms + round(by_s * 1000))}


def stable() -> bytes:
    return lines(records(1, steady(300)))


def drift() -> bytes:
    return lines(records(2, steady(140), Segment(name="drift", samples=220, data_wait_ms=330.0, ramp=40)))


def burst() -> bytes:
    return lines(records(3, steady(150), Segment(name="burst", samples=90, spikes=12), steady(120)))


def straggler() -> bytes:
    slow = Segment(name="straggler", samples=160, slow_worker=1.9)
    return lines(records(4, steady(140), slow, workers=True))


def sparse() -> bytes:
    """A record every 20 seconds to 25 minutes, most of them without most fields."""
    rng = np.random.Generator(np.random.PCG64(5))
    clean = records(5, steady(80))
    gaps_s = np.cumsum(rng.uniform(20.0, 1500.0, len(clean)))
    kept: list[Record] = []
    for number, (entry, gap_s) in enumerate(zip(clean, gaps_s, strict=True)):
        names = ["ts", "step", "step_time_ms"] + [name for name in ("loss", "node") if number % 3 == 0]
        kept.append(shifted({name: entry[name] for name in names}, float(gap_s) - number))
    return lines(kept)


def out_of_order() -> bytes:
    """Neighbours swapped, a few records late within the window, three too late for it."""
    entries = records(6, steady(200))
    for at in range(10, 190, 20):
        entries[at], entries[at + 1] = entries[at + 1], entries[at]
    for at, late in ((35, 4), (75, 3), (155, 4), (50, 20), (100, 30), (140, 25)):
        entries.insert(at + late, entries.pop(at))
    return lines(entries)


JUNK: tuple[bytes, ...] = (
    b"",
    b"   ",
    b"INFO 2026-03-01 trainer: starting step",
    b'{"ts":"2026-03-01T09:00:12.000Z","step":12,"step_time_ms":8',
    b"[1,2,3]",
    b"42",
    b'"text"',
    b"null",
    b'{"step":14,"step_time_ms":860.1}',
    b'{"ts":"2026-03-01T09:00:15.000Z","step":15}',
    b'{"ts":"yesterday","step":16,"step_time_ms":860.1}',
    b'{"ts":"2026-03-01T09:00:17.000Z","step":17,"step_time_ms":"fast"}',
    b'{"ts":"2026-03-01T09:00:18.000Z","step":18,"step_time_ms":-3.5}',
    b'{"ts":true,"step_time_ms":860.1}',
    b"\x00\x00\x00\x00",
    b"\xff\xfe{\x00}\x00",
    b"[" * 200 + b"]" * 200,
    b"Traceback (most recent call last):",
    b"</script><script>alert(1)</script>",
    b"\x1b]0;title\x07\x1b[2J",
)


def corrupted() -> bytes:
    """Every kind of line that is no record, and every kind that can be mended, between healthy ones."""
    entries: list[Record | bytes] = list(records(7, steady(200)))
    clean = [entry for entry in entries if isinstance(entry, dict)]
    entries[40] = lines([clean[40] | {"loss": math.nan}]).rstrip()
    entries[41] = lines([clean[41] | {"loss": math.inf, "gpu_util_pct": -math.inf}]).rstrip()
    entries[42] = clean[42] | {"throughput": "n/a", "gpu_util_pct": "a lot"}
    entries[43] = clean[43] | {"worker_latencies_ms": "[1, oops"}
    entries[44] = b"\xef\xbb\xbf" + lines([clean[44]]).rstrip()
    entries[45] = lines([clean[45] | {"node": "caf?"}]).rstrip().replace(b"caf?", b"caf\xe9")
    for number, line in enumerate(JUNK):
        entries.insert(60 + 6 * number, line)
    return lines(entries)


def duplicates() -> bytes:
    """Records sent twice, at once, a little later, and with a new time."""
    entries = records(8, steady(150))
    for at in range(20, 140, 30):
        entries.insert(at + 1, dict(entries[at]))
        entries.insert(at + 6, dict(entries[at + 2]))
        entries.insert(at + 12, shifted(entries[at + 8], 2.25))
    return lines(entries)


def clock_skew() -> bytes:
    """Three single clocks gone wrong, one real gap of two hours, and a clock set back by a quarter of an hour."""
    entries = records(9, steady(240))
    entries = [shifted(entry, 7200) if at >= 80 else entry for at, entry in enumerate(entries)]
    entries = [shifted(entry, -900) if at >= 160 else entry for at, entry in enumerate(entries)]
    for at, by_s in ((30, 86_400.0), (55, -86_400.0), (120, 3.15e8)):
        entries[at] = shifted(entries[at], by_s)
    return lines(entries)


def realistic_dirty() -> bytes:
    """What a log of a real job looks like: a straggler, between noise, repetitions, late and skewed records."""
    slow = Segment(name="straggler", samples=120, slow_worker=1.9)
    clean = records(10, steady(140), slow, steady(60), workers=True)
    entries: list[Record | bytes] = list(clean)
    for at in (25, 90, 170, 250):
        entries[at], entries[at + 2] = entries[at + 2], entries[at]
    entries[70] = shifted(clean[70], 43_200)
    entries[210] = shifted(clean[210], -43_200)
    entries[33] = lines([clean[33] | {"loss": math.nan}]).rstrip()
    entries[205] = clean[205] | {"worker_latencies_ms": None}
    for number, at in enumerate(range(12, 320, 22)):
        entries.insert(at, JUNK[(3 * number) % len(JUNK)])
    for at in (60, 130, 222):
        entries.insert(at + 3, entries[at])
    entries.insert(300, lines([clean[100]]).rstrip())
    return lines(entries)


def mixed_env() -> bytes:
    """Two machines with different GPUs take turns; the names of the fields are the other ones."""
    entries = records(11, Segment(name="mixed", samples=240, mixed=True))
    renames = {"step_time_ms": "latency_ms", "node": "node_name", "gpu_model": "gpu_name", "ts": "timestamp"}
    return lines({renames.get(name, name): value for name, value in entry.items()} for entry in entries)


TRACES: dict[str, Callable[[], bytes]] = {
    f"{make.__name__}.jsonl": make
    for make in (
        stable, drift, burst, straggler, sparse, out_of_order, corrupted, duplicates, clock_skew, realistic_dirty,
        mixed_env,
    )
}  # fmt: skip


def stale() -> Iterator[str]:
    """Names of traces that are not what this file makes."""
    for name, make in TRACES.items():
        path = FOLDER / name
        if not path.exists() or path.read_bytes() != make():
            yield name


def main() -> int:
    for name in list(stale()):
        (FOLDER / name).write_bytes(TRACES[name]())
        sys.stdout.write(f"written: {name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
