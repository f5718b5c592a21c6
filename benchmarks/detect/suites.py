"""The labelled suites: what is found, how late, and what is said where nothing happens.

A ramp counts as found when alarmed no later than 300 samples after the sample at which it had reached 5 %; its delays
are counted from there, so earlier alarms have negative ones. On steady suites every drift is false, also at the
listed schedule changes of 1 to 3 %; those are shown apart as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.detect.protocol import FOUND_WITHIN, Alarms, Detector, match, merged
from benchmarks.detect.tables import Bar, Section, Table, median_text, rate_text
from benchmarks.detect.traces import HELD_OUT, OPEN, STEADY, Trace, TraceFolder

__all__ = ["suites_section"]

RAMP_WITHIN = 300
LIMITS = (("nanogpt_flat", 0.02), ("mlperf_gnn_iter", 0.02), ("mlperf_llm", 0.0), ("mlperf_gnn_wall", 0.05))
"""False alarms per 1,000 samples that are accepted."""
SUSPECTED_PER_1000 = 1.0
RAMPS_FOUND = 0.95


@dataclass(slots=True)
class Tally:
    """Counts of one detector on one suite."""

    files: int = 0
    samples: int = 0
    changes: int = 0
    delays: list[int] = field(default_factory=list)
    suspected_delays: list[int] = field(default_factory=list)
    false: int = 0
    at_small_changes: int = 0
    false_suspected: int = 0

    def add(self, other: "Tally") -> None:
        """Take the counts of another suite in."""
        for name in ("files", "samples", "changes", "false", "at_small_changes", "false_suspected"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.delays += other.delays
        self.suspected_delays += other.suspected_delays


def score(trace: Trace, alarms: Alarms, tally: Tally, early: int) -> None:
    """Add one trace to the counts."""
    tally.files += 1
    tally.samples += len(trace.block)
    onset = trace.label.get("onset_5pct")
    if trace.suite == "nanogpt_ramp" and onset is not None:
        tally.changes += 1
        tally.delays += [alarm - onset for alarm in alarms.confirmed if alarm <= onset + RAMP_WITHIN][:1]
        tally.suspected_delays += [alarm - onset for alarm in alarms.suspected if alarm <= onset + RAMP_WITHIN][:1]
        return
    confirmed, suspected = match(alarms.confirmed, trace.changes, early), match(alarms.suspected, trace.changes, early)
    tally.changes += len(trace.changes)
    tally.delays += confirmed.delays
    tally.suspected_delays += suspected.delays
    tally.false += len(confirmed.false)
    tally.false_suspected += len(suspected.false)
    tally.at_small_changes += sum(
        any(0 <= alarm - change <= FOUND_WITHIN for change in trace.small_changes) for alarm in confirmed.false
    )


def score_windows(trace: Trace, alarms: Alarms, tally: Tally) -> None:
    """Add one trace of ``nab``, whose labels are windows, to the counts."""
    windows: list[list[int]] = trace.label["windows"]
    tally.files += 1
    tally.samples += len(trace.block)
    tally.changes += len(windows)
    for found, delays in ((alarms.confirmed, tally.delays), (alarms.suspected, tally.suspected_delays)):
        delays += [
            min(inside) for first, last in windows if (inside := [a - first for a in found if first <= a <= last])
        ]
    outside = [[a for a in found if not any(first <= a <= last for first, last in windows)] for found in alarms]
    tally.false += len(merged(outside[0]))
    tally.false_suspected += len(merged(outside[1]))


def tallies(traces: TraceFolder, suites: Sequence[str], detector: Detector, early: int = 0) -> dict[str, Tally]:
    """Counts of one detector by suite."""
    result = {}
    for suite in suites:
        tally = result[suite] = Tally()
        for trace in traces.suite(suite):
            if suite == "nab":
                score_windows(trace, detector(trace.block), tally)
            else:
                score(trace, detector(trace.block), tally, early)
    steady = result["all steady"] = Tally()
    for suite in STEADY:
        steady.add(result[suite])
    return result


def suites_section(
    traces: TraceFolder, detectors: Mapping[str, Detector], *, early: Mapping[str, int], held_out: bool = True
) -> Section:
    """Score the detectors on the suites; the first one is ours, and the bars are for it.

    Args:
        traces: the folder.
        detectors: by name.
        early: by name, how many samples before a change an offline peer may place it.
        held_out: whether to score the held-out suites too (ours alone).
    """
    rows: list[Sequence[Any]] = []
    bars: list[Bar] = []
    for place, (name, detector) in enumerate(detectors.items()):
        suites = (*OPEN, *HELD_OUT) if held_out and place == 0 else OPEN
        counts = tallies(traces, suites, detector, early.get(name, 0))
        rows += [_row(name, suite, tally) for suite, tally in counts.items()]
        bars = bars or _bars(counts)
    header = (
        "detector", "suite", "files", "samples", "changes", "found", "delay", "suspected delay",
        "false", "per 1,000", "at listed 1-3 %", "suspected per 1,000",
    )  # fmt: skip
    return Section("Suites", (__doc__ or "").partition("\n\n")[2].strip(), [Table(header, rows, left=2)], bars)


def _row(detector: str, suite: str, tally: Tally) -> Sequence[object]:
    ramp = suite == "nanogpt_ramp"
    return (
        detector,
        f"{suite} (held out)" if suite in HELD_OUT else suite,
        tally.files,
        f"{tally.samples:,}",
        tally.changes,
        len(tally.delays),
        median_text(tally.delays),
        median_text(tally.suspected_delays),
        "-" if ramp else tally.false,
        "-" if ramp else rate_text(tally.false, tally.samples),
        "-" if ramp else tally.at_small_changes,
        "-" if ramp else rate_text(tally.false_suspected, tally.samples),
    )


def _bars(counts: Mapping[str, Tally]) -> list[Bar]:
    step, ramp, steady = counts["nanogpt_step"], counts["nanogpt_ramp"], counts["all steady"]
    bars = [
        Bar(
            "nanogpt_step, changes found", f"{len(step.delays)}/{step.changes}", "all", len(step.delays) == step.changes
        ),
        Bar(
            "nanogpt_ramp, found by 5 % + 300",
            f"{len(ramp.delays)}/{ramp.changes}",
            f"{RAMPS_FOUND:.0%}",
            len(ramp.delays) >= RAMPS_FOUND * ramp.changes,
        ),
    ]
    limits = [(f"{suite}, false per 1,000", counts[suite].false, counts[suite], most) for suite, most in LIMITS]
    limits.append(("steady suites, suspected per 1,000", steady.false_suspected, steady, SUSPECTED_PER_1000))
    for name, count, tally, most in limits:
        held = count <= most * tally.samples / 1000 if tally.samples else None
        bars.append(Bar(name, rate_text(count, tally.samples), f"<= {most:g}", held))
    return bars
