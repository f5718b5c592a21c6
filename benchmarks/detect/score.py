"""Scores of the detectors: on traces of real runs, on changes made from them, and against theory.

    python -m benchmarks.detect.score --data ../shared/data
    python -m benchmarks.detect.score --no-peers --only splices,suites,bursts,theory

Prints Markdown: one line for each bar first, the tables behind it. ``--out FOLDER`` writes them there with a plot.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.detect.bursts import bursts_section
from benchmarks.detect.columns import settings_of
from benchmarks.detect.protocol import Detector, our_detector
from benchmarks.detect.splices import splices_section
from benchmarks.detect.suites import suites_section
from benchmarks.detect.tables import Section, bars_table
from benchmarks.detect.theory import TheorySize, theory_section
from benchmarks.detect.traces import TraceFolder

__all__ = ["main"]

REPOSITORY = Path(__file__).resolve().parents[2]
PARTS = ("suites", "splices", "bursts", "theory")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Score the detectors on labelled traces of real training runs.")
    parser.add_argument("--data", type=Path, default=REPOSITORY / ".." / "shared" / "data", help="folder of the traces")
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts to run, by comma: {', '.join(PARTS)}")
    parser.add_argument("--no-peers", action="store_true", help="ours alone")
    parser.add_argument("--quick", action="store_true", help="fewer seeds and samples, no held-out suites")
    parser.add_argument("--bars-only", action="store_true", help="print the bars, not the tables")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, help="how many seeds (default 3)")
    parser.add_argument("--each", type=int, help="splices of each seed, band and direction (default 12)")
    parser.add_argument("--null-samples", type=int, help="Gaussian samples without a change (default 200,000)")
    parser.add_argument("--trials", type=int, help="Gaussian streams with each size of change (default 100)")
    parser.add_argument("--ar-samples", type=int, help="samples of each AR(1) coefficient (default 60,000)")
    parser.add_argument("--step-ms", type=float, default=10_000.0, help="mean step time of the AR(1) streams")
    parser.add_argument("--false-alarms-per-day", type=float, help="the detectors' setting, where not the default")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    wanted = [part.strip() for part in options.only.split(",")]
    if unknown := [part for part in wanted if part not in PARTS]:
        sys.stderr.write(f"ERROR: no such part: {unknown[0]!r}. Choose from {', '.join(PARTS)}.\n")
        return 2
    if not (options.data / "labels.json").is_file():
        sys.stderr.write(f"ERROR: no labels.json in {str(options.data)!r}. Give --data the folder of the traces.\n")
        return 2
    sections = []
    for part in wanted:
        begin = time.perf_counter()
        sections.append(RUN[part](options, TraceFolder(options.data)))
        sys.stderr.write(f"{part}: {time.perf_counter() - begin:.1f} s\n")
    print(bars_table([bar for section in sections for bar in section.bars]).markdown())
    if not options.bars_only:
        print("\n" + "\n\n".join(section.markdown() for section in sections))
    return 0


def detectors(options: argparse.Namespace) -> dict[str, Detector]:
    return {"modekeeper": our_detector(settings_of(options.false_alarms_per_day))}


def _suites(options: argparse.Namespace, traces: TraceFolder) -> Section:
    return suites_section(traces, detectors(options), early={}, held_out=not options.quick)


def _splices(options: argparse.Namespace, traces: TraceFolder) -> Section:
    seeds = range(options.seed, options.seed + (options.seeds or (1 if options.quick else 3)))
    section, _ = splices_section(traces, detectors(options), seeds=seeds, each=options.each or 12, early={})
    return section


def _bursts(options: argparse.Namespace, traces: TraceFolder) -> Section:
    return bursts_section(traces, settings_of(options.false_alarms_per_day), detectors(options))


def _theory(options: argparse.Namespace, _traces: TraceFolder) -> Section:
    quick = options.quick
    size = TheorySize(
        options.null_samples or (50_000 if quick else 200_000),
        options.trials or (30 if quick else 100),
        options.ar_samples or (20_000 if quick else 60_000),
        options.step_ms,
        options.seed,
    )
    return theory_section(size, settings_of(options.false_alarms_per_day))


RUN: dict[str, Callable[[argparse.Namespace, TraceFolder], Section]] = {
    "suites": _suites,
    "splices": _splices,
    "bursts": _bursts,
    "theory": _theory,
}

if __name__ == "__main__":
    sys.exit(main())
