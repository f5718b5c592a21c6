"""How long ``mk`` takes to say something, as a multiple of the interpreter's own start.

    python benchmarks/startup/startup.py [--runs 40] [--check]

Runs are interleaved, so that a busy machine slows all rows alike; ratios are what to look at. ``--check`` fails when
a bar is missed.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

__all__ = ["BARS", "measure", "table"]

BARS = {"mk --help": 4.0, "mk chords list": 6.0}
"""Most times as long as ``python -c pass`` that each command may take."""
_BASE = "python -c pass"


def _commands() -> dict[str, list[str]]:
    beside = Path(sys.executable).with_name("mk")
    mk = beside.as_posix() if beside.exists() else shutil.which("mk")
    if mk is None:
        raise SystemExit("there is no mk beside this interpreter: install the package first")
    return {_BASE: [sys.executable, "-c", "pass"]} | {name: [mk, *name.split()[1:]] for name in BARS}


def measure(runs: int) -> dict[str, list[float]]:
    """Wall times in milliseconds of ``runs`` interleaved runs of each command, after one that is not counted."""
    commands = _commands()
    times_ms: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(runs + 1):
        for name, command in commands.items():
            began = time.perf_counter()
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
            if turn:
                times_ms[name].append((time.perf_counter() - began) * 1000)
    return times_ms


def table(times_ms: dict[str, list[float]]) -> str:
    """A Markdown table: medians, and how many times the interpreter's own start that is."""
    base_ms = statistics.median(times_ms[_BASE])
    lines = [
        f"| command | median ms | times `{_BASE}` | bar | fastest ms | runs |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, taken in times_ms.items():
        median_ms = statistics.median(taken)
        bar = f"< {BARS[name]:g}" if name in BARS else "-"
        lines.append(
            f"| `{name}` | {median_ms:.1f} | {median_ms / base_ms:.2f} | {bar} | {min(taken):.1f} | {len(taken)} |"
        )
    return "\n".join(lines)


def missed(times_ms: dict[str, list[float]]) -> list[str]:
    """The commands above their bars."""
    base_ms = statistics.median(times_ms[_BASE])
    return [name for name, bar in BARS.items() if statistics.median(times_ms[name]) >= bar * base_ms]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=40, help="runs of each command (default: %(default)s)")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a bar is missed")
    given = parser.parse_args()
    times_ms = measure(max(1, given.runs))
    print(table(times_ms))
    over = missed(times_ms)
    if over:
        print(f"above the bar: {', '.join(over)}")
    return 1 if over and given.check else 0


if __name__ == "__main__":
    sys.exit(main())
