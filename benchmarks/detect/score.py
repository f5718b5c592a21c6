"""Scores of the detectors: on traces of real runs, on changes made from them, and against theory.

    python -m benchmarks.detect.score --data ../shared/data
    python -m benchmarks.detect.score --no-peers --only splices,suites,bursts,theory --bars-only
    python -m benchmarks.detect.score --out docs/benchmarks

Prints Markdown: one line for each bar first, the tables behind it. Speed is measured by ``benchmarks.detect.speed``.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.detect.bursts import bursts_section
from benchmarks.detect.columns import settings_of
from benchmarks.detect.disturbances import disturbances_section
from benchmarks.detect.peers import OFFLINE, PEERS_TEXT, SLOW, peers
from benchmarks.detect.plot import Scores, draw_splices
from benchmarks.detect.protocol import PROTOCOL_TEXT, Detector, our_detector
from benchmarks.detect.splices import splices_section
from benchmarks.detect.stragglers import stragglers_section
from benchmarks.detect.suites import suites_section
from benchmarks.detect.tables import Section, bars_table
from benchmarks.detect.theory import TheorySize, theory_section
from benchmarks.detect.traces import TraceFolder

from modekeeper.detect.settings import DetectorSettings

__all__ = ["main"]

REPOSITORY = Path(__file__).resolve().parents[2]
PARTS = ("suites", "splices", "bursts", "stragglers", "disturbances", "theory")
PAGE, PLOT = "detectors.md", "splices.svg"
INTRODUCTION = """# Detectors, measured

What the detectors find, how late, and what they say where nothing happens, beside public detectors on the same
streams. The page was written by the command below and nothing on it by hand; the settings are the defaults, the same
for every suite. It holds no wall times: speed depends on the machine, and `python -m benchmarks.detect.speed` measures
it on yours. The detectors are described in [DETECTORS](../DETECTORS.md); the traces are logs of real training runs.
"""


@dataclass(slots=True)
class Run:
    """What is scored, and with what."""

    options: argparse.Namespace
    settings: DetectorSettings
    traces: TraceFolder
    peers: Mapping[str, Detector]
    seeds: Sequence[int]
    curves: Scores = field(default_factory=dict)

    def detectors(self, left_out: Sequence[str] = ()) -> dict[str, Detector]:
        """Ours first."""
        others = {name: detector for name, detector in self.peers.items() if name not in left_out}
        return {"modekeeper": our_detector(self.settings), **others}

    def section(self, part: str) -> Section:
        """Score one part."""
        options, quick = self.options, self.options.quick
        if part == "suites":
            detectors = self.detectors(SLOW if quick else ())
            return suites_section(self.traces, detectors, early=OFFLINE, held_out=not quick)
        if part == "splices":
            section, self.curves = splices_section(
                self.traces, self.detectors(), seeds=self.seeds, each=options.each, early=OFFLINE
            )
            return section
        if part == "bursts":
            return bursts_section(self.traces, self.settings, self.detectors(SLOW if quick else ()))
        if part == "stragglers":
            return stragglers_section(self.traces, self.settings, seeds=self.seeds, streams=options.streams)
        if part == "disturbances":
            return disturbances_section(self.traces, self.settings, seeds=self.seeds, streams=options.disturbed)
        few = 4 if quick else 1
        size = TheorySize(
            options.null_samples // few, options.trials // few, options.ar_samples // few, options.step_ms, options.seed
        )
        return theory_section(size, self.settings)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Score the detectors on labelled traces of real training runs.")
    parser.add_argument("--data", type=Path, default=REPOSITORY / ".." / "shared" / "data", help="folder of the traces")
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts to run, by comma: {', '.join(PARTS)}")
    parser.add_argument("--no-peers", action="store_true", help="ours alone")
    parser.add_argument(
        "--quick", action="store_true", help="one seed, fewer samples, no held-out suites, no slow peer"
    )
    parser.add_argument("--bars-only", action="store_true", help="print the bars, not the tables")
    parser.add_argument("--out", type=Path, help=f"folder for {PAGE} and {PLOT}")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds")
    parser.add_argument("--each", type=int, default=12, help="splices of each seed, band and direction")
    parser.add_argument("--streams", type=int, default=3, help="streams of each seed, straggler scenario and factor")
    parser.add_argument("--disturbed", type=int, default=6, help="streams of each seed and disturbance")
    parser.add_argument("--null-samples", type=int, default=4_000_000, help="Gaussian samples without a change")
    parser.add_argument("--trials", type=int, default=400, help="Gaussian streams with each size of change")
    parser.add_argument("--ar-samples", type=int, default=400_000, help="samples of each AR(1) coefficient")
    parser.add_argument("--step-ms", type=float, default=10_000.0, help="mean step time of the AR(1) streams")
    parser.add_argument("--false-alarms-per-day", type=float, help="the detectors' setting, where not the default")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    wanted = [part.strip() for part in options.only.split(",")]
    if error := complaint(options, wanted):
        sys.stderr.write(f"ERROR: {error}\n")
        return 2
    try:
        settings = settings_of(options.false_alarms_per_day)
    except ValueError as error:
        sys.stderr.write(f"ERROR: {error}. Leave out --false-alarms-per-day.\n")
        return 2
    run = Run(
        options=options,
        settings=settings,
        traces=TraceFolder(options.data),
        peers={} if options.no_peers else peers(),
        seeds=range(options.seed, options.seed + (1 if options.quick else options.seeds)),
    )
    sections = []
    for part in wanted:
        begin = time.perf_counter()
        sections.append(run.section(part))
        sys.stderr.write(f"{part}: {time.perf_counter() - begin:.1f} s\n")
    bars = bars_table([bar for section in sections for bar in section.bars]).markdown()
    tables = "\n\n".join(section.markdown() for section in sections)
    print(bars if options.bars_only else f"{bars}\n\n{tables}")
    if options.out is not None:
        command = " ".join(["python -m benchmarks.detect.score", *shown(arguments)])
        write(options.out, command, bars, tables, run)
    return 0


def complaint(options: argparse.Namespace, wanted: Sequence[str]) -> str:
    """What is wrong with the arguments, or an empty text."""
    if unknown := [part for part in wanted if part not in PARTS]:
        return f"no such part: {unknown[0]!r}. Choose from {', '.join(PARTS)}."
    if not (options.data / "labels.json").is_file():
        return f"no labels.json in {str(options.data)!r}. Give --data the folder of the traces."
    counts = ("seeds", "each", "streams", "disturbed", "null_samples", "trials", "ar_samples")
    if low := [name for name in counts if getattr(options, name) < 1]:
        return f"--{low[0].replace('_', '-')} is too low. Give at least 1."
    if options.seed < 0 or options.step_ms <= 0:
        return "--seed and --step-ms cannot be negative. Give a seed of at least 0 and a step time above 0."
    return ""


def shown(arguments: Sequence[str] | None) -> list[str]:
    """The arguments as given, without the place of the data."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    kept, skip = [], False
    for argument in given:
        if not skip and argument != "--data" and not argument.startswith("--data="):
            kept.append(argument)
        skip = argument == "--data"
    return ["--data ../shared/data", *kept]


def write(folder: Path, command: str, bars: str, tables: str, run: Run) -> None:
    """The page, and the plot where splices were scored."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = [INTRODUCTION.strip(), f"```sh\n{command}\n```", PROTOCOL_TEXT, "## Bars", bars]
    if run.peers:
        parts += ["## Peers", PEERS_TEXT]
    if run.curves:
        draw_splices(run.curves, folder / PLOT)
        parts.append(f"![F1 and median delay by size of change]({PLOT})")
    (folder / PAGE).write_text("\n\n".join([*parts, tables]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
