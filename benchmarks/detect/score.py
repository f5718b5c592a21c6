"""Scores of the detectors on traces of real training runs, printed as Markdown tables.

    python -m benchmarks.detect.score --data ../shared/data

Protocol: everything is causal. A labelled change counts as found when a drift is confirmed within 100 samples
after it; further alarms in that window do not count; alarms within 25 samples of each other merge. On suites
without changes every alarm is false, and is given per 1,000 samples. A ramp counts as found when alarmed no later
than 300 samples after the sample at which it had reached 5 % (delays are medians; they are counted from there, so
earlier alarms have negative ones). Where river is installed, its ADWIN and Page-Hinkley tests run beside ours with
their default settings, on step times in robust units of the first 60.
"""

import argparse
import gzip
import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from modekeeper.detect.panel import Panel
from modekeeper.model.block import SampleBlock
from modekeeper.model.sample import Sample
from modekeeper.model.signal import Phase, Signal, SignalKind

__all__ = ["main"]

REPOSITORY = Path(__file__).resolve().parents[2]
FOUND_WITHIN = 100
RAMP_WITHIN = 300
MERGE_WITHIN = 25
BURST_WITHIN = 2
SCALING_SAMPLES = 60
BLOCK_SAMPLES = 512
STEADY = ("nanogpt_flat", "mlperf_gnn_iter", "mlperf_gnn_wall", "mlperf_llm")
HELD_OUT = "sap_hana"
"""Nothing was chosen by looking at it: latencies of a database's nightly tests, with regressions of known place."""

Alarms = Callable[[Sequence[Sample]], list[int]]


class Trace(msgspec.Struct, frozen=True):
    """One labelled trace."""

    suite: str
    samples: list[Sample]
    label: dict[str, Any]

    @property
    def changes(self) -> list[int]:
        return [change["i"] for change in self.label.get("change_points") or []]


class Tally(msgspec.Struct):
    """Counts of one detector on one suite."""

    files: int = 0
    samples: int = 0
    changes: int = 0
    found: int = 0
    false: int = 0
    delays: list[int] = msgspec.field(default_factory=list)
    elapsed_s: float = 0.0


def read_traces(data: Path, suite: str, *, groups: bool = False) -> Iterator[Trace]:
    """Traces of one suite in the order of their names; ``groups`` adds the peer groups of the labels."""
    labels = json.loads((data / "labels.json").read_text(encoding="utf-8"))
    for name in sorted(labels):
        label = labels[name]
        if label["suite"] == suite:
            peers = tuple(label["peer_group"]) if groups else None
            with gzip.open(data / "traces" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
                yield Trace(suite, [to_sample(json.loads(line), peers) for line in lines], label)


def to_sample(row: dict[str, Any], groups: tuple[str, ...] | None) -> Sample:
    """A record of the files, whose numbers are clean, as a sample."""
    workers = row.get("worker_latencies_ms")
    return Sample(
        ts_ms=int(datetime.fromisoformat(row["ts"]).timestamp() * 1000),
        step=row.get("step"),
        step_time_ms=row.get("step_time_ms"),
        loss=row.get("loss"),
        throughput=row.get("throughput"),
        node=row.get("node"),
        gpu_model=row.get("gpu_model"),
        worker_latencies_ms=None if workers is None else tuple(workers),
        worker_groups=groups,
    )


def panel_signals(samples: Sequence[Sample]) -> list[Signal]:
    """All signals of the panel on one trace."""
    panel = Panel()
    signals = []
    for start in range(0, len(samples), BLOCK_SAMPLES):
        signals += panel.update(SampleBlock.from_samples(samples[start : start + BLOCK_SAMPLES], start))
    return signals


def modekeeper_drift(samples: Sequence[Sample]) -> list[int]:
    """Samples at which our panel confirms a drift, of any metric and direction."""
    drifts = [s for s in panel_signals(samples) if s.kind is SignalKind.DRIFT]
    return sorted({s.at_index for s in drifts if s.phase is Phase.CONFIRMED})


def river_peers() -> dict[str, Alarms]:
    """ADWIN (Bifet and Gavalda, 2007) and Page-Hinkley (Page, 1954) of river, where it is installed."""
    if importlib.util.find_spec("river") is None:
        return {}
    from river import drift  # noqa: PLC0415 - an optional peer, slow to import

    return {
        "river ADWIN": lambda samples: river_alarms(drift.ADWIN(), samples),
        "river PageHinkley": lambda samples: river_alarms(drift.PageHinkley(), samples),
    }


def river_alarms(detector: Any, samples: Sequence[Sample]) -> list[int]:
    """Alarms on step times in robust units of the first samples."""
    alarms: list[int] = []
    first: list[float] = []
    middle = spread = 0.0
    for index, sample in enumerate(samples):
        if sample.step_time_ms is None:
            continue
        if len(first) < SCALING_SAMPLES:
            first.append(sample.step_time_ms)
            middle = statistics.median(first)
            spread = 1.4826 * statistics.median(abs(v - middle) for v in first) or 0.01 * middle
            continue
        detector.update((sample.step_time_ms - middle) / spread)
        if detector.drift_detected:
            alarms.append(index)
    return alarms


def merged(alarms: Sequence[int]) -> list[int]:
    """Alarms without those that follow another within ``MERGE_WITHIN`` samples."""
    kept: list[int] = []
    last = None
    for alarm in alarms:
        if last is None or alarm - last > MERGE_WITHIN:
            kept.append(alarm)
        last = alarm
    return kept


def score(trace: Trace, alarms: Sequence[int], tally: Tally) -> None:
    """Add one trace to the counts."""
    tally.files += 1
    tally.samples += len(trace.samples)
    onset = trace.label.get("onset_5pct")
    if trace.suite == "nanogpt_ramp" and onset is not None:
        tally.changes += 1
        before = [alarm for alarm in alarms if alarm <= onset + RAMP_WITHIN]
        tally.found += bool(before)
        tally.delays += [before[0] - onset] if before else []
        return
    rest = list(alarms)
    for change in trace.changes:
        tally.changes += 1
        inside = [alarm for alarm in rest if change <= alarm <= change + FOUND_WITHIN]
        tally.found += bool(inside)
        tally.delays += [inside[0] - change] if inside else []
        rest = [alarm for alarm in rest if alarm not in inside]
    tally.false += len(merged(rest))


def drift_table(traces: dict[str, list[Trace]], detectors: dict[str, Alarms]) -> list[str]:
    lines = [
        "| detector | suite | files | samples | changes | found | delay | false alarms | per 1,000 | samples/s |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, alarms in detectors.items():
        steady = Tally()
        for suite, members in traces.items():
            tally = Tally()
            for trace in members:
                begin = time.perf_counter()
                found = alarms(trace.samples)
                tally.elapsed_s += time.perf_counter() - begin
                score(trace, found, tally)
            lines.append(drift_row(name, suite, tally))
            if suite in STEADY:
                for field in ("files", "samples", "false", "elapsed_s"):
                    setattr(steady, field, getattr(steady, field) + getattr(tally, field))
        lines.append(drift_row(name, "**all steady**", steady))
    return lines


def drift_row(detector: str, suite: str, tally: Tally) -> str:
    delay = f"{statistics.median(tally.delays):.0f}" if tally.delays else "-"
    rate = f"{1000 * tally.false / tally.samples:.3f}" if suite != "nanogpt_ramp" else "-"
    false = str(tally.false) if suite != "nanogpt_ramp" else "-"
    speed = f"{tally.samples / tally.elapsed_s:,.0f}"
    return (
        f"| {detector} | {suite} | {tally.files} | {tally.samples:,} | {tally.changes} | {tally.found} | {delay}"
        f" | {false} | {rate} | {speed} |"
    )


def burst_table(traces: Sequence[Trace]) -> list[str]:
    """Pauses of ``mlperf_gnn_wall`` found as bursts, and named as periodic."""
    pauses = found = named = others = misnamed = 0
    for trace in traces:
        bursts = [s for s in panel_signals(trace.samples) if s.kind is SignalKind.BURST]
        confirmed = [s for s in bursts if s.phase is Phase.CONFIRMED]
        labelled = trace.label["bursts"]
        for pause in labelled:
            near = [s for s in confirmed if abs(s.since_index - pause) <= BURST_WITHIN]
            pauses, found = pauses + 1, found + bool(near)
            named += any(s.cause == "periodic_pause" for s in near)
        rest = [s for s in confirmed if all(abs(s.since_index - p) > BURST_WITHIN for p in labelled)]
        others += len(rest)
        misnamed += sum(s.cause == "periodic_pause" for s in rest)
    return [
        "| suite | pauses | found as bursts | named periodic | other bursts | of them named periodic |",
        "|---|--:|--:|--:|--:|--:|",
        f"| mlperf_gnn_wall | {pauses} | {found} | {named} | {others} | {misnamed} |",
    ]


def straggler_table(data: Path) -> list[str]:
    """Workers blamed on the trace whose long stage is no machine's fault: there should be none."""
    lines = ["| suite | peer groups | workers blamed | undecided about |", "|---|---|---|---|"]
    for groups in (True, False):
        for trace in read_traces(data, "straggler_bytedance", groups=groups):
            signals = [s for s in panel_signals(trace.samples) if s.kind is SignalKind.STRAGGLER]
            blamed = sorted({w for s in signals if s.phase is Phase.CONFIRMED for w in s.workers})
            unsure = sorted({w for s in signals if s.phase is Phase.UNDECIDED for w in s.workers})
            given = "given" if groups else "not given"
            lines.append(f"| straggler_bytedance | {given} | {blamed or 'none'} | {unsure or 'none'} |")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Score the detectors on labelled traces of real training runs.")
    parser.add_argument("--data", type=Path, default=REPOSITORY / ".." / "shared" / "data", help="folder of the traces")
    options = parser.parse_args(arguments)
    if not (options.data / "labels.json").is_file():
        sys.stderr.write(f"ERROR: no labels.json in {str(options.data)!r}. Give --data the folder of the traces.\n")
        return 2
    suites = ("nanogpt_step", "nanogpt_ramp", *STEADY, HELD_OUT)
    traces = {suite: list(read_traces(options.data, suite)) for suite in suites}
    tables = (
        drift_table(traces, {"modekeeper": modekeeper_drift, **river_peers()}),
        burst_table(traces["mlperf_gnn_wall"]),
        straggler_table(options.data),
    )
    print("\n\n".join("\n".join(table) for table in tables))
    return 0


if __name__ == "__main__":
    sys.exit(main())
