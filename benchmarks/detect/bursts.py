"""Pauses: found as bursts, and taken for nothing else.

The evaluation pauses of `mlperf_gnn_wall` are labelled. A pause counts as found when a burst is confirmed that begins
within 2 samples of it. A burst beside the labels is right where the step was in truth at least 1.5 times as long as
the median of its neighbours (200 samples around it): these are real spikes of a heavy-tailed job that nobody
labelled. Precision is the share of bursts that are a labelled pause or such a spike.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from benchmarks.detect.columns import signals_of
from benchmarks.detect.protocol import FOUND_WITHIN, Detector, merged
from benchmarks.detect.tables import Bar, Section, Table
from benchmarks.detect.traces import Trace, TraceFolder

from modekeeper.detect.settings import DetectorSettings
from modekeeper.model.signal import Phase, Signal, SignalKind

__all__ = ["bursts_section"]

NEAR = 2
SPIKE_RATIO = 1.5
NEIGHBOURS = 100
RECALL, PRECISION = 0.99, 0.95
SUITE = "mlperf_gnn_wall"


def is_spike(trace: Trace, signal: Signal) -> bool:
    """Whether a step of the burst was long against its neighbours on both sides."""
    values = trace.step_time_ms
    around = values[max(0, signal.since_index - NEIGHBOURS) : signal.since_index + NEIGHBOURS]
    burst = values[signal.since_index : signal.at_index + 1]
    return bool(np.nanmax(burst) >= SPIKE_RATIO * np.nanmedian(around))


def bursts_section(traces: TraceFolder, settings: DetectorSettings, detectors: Mapping[str, Detector]) -> Section:
    """Bursts of ours, and the drifts that ours (the first of ``detectors``) and the peers see in the pauses."""
    pauses = found = named = spikes = other = misnamed = 0
    for trace in traces.suite(SUITE):
        labelled: Sequence[int] = trace.label["bursts"]
        bursts = [s for s in signals_of(trace.block, settings) if s.kind is SignalKind.BURST]
        confirmed = [s for s in bursts if s.phase is Phase.CONFIRMED]
        pauses += len(labelled)
        for pause in labelled:
            near = [s for s in confirmed if abs(s.since_index - pause) <= NEAR]
            found += bool(near)
            named += any(s.cause == "periodic_pause" for s in near)
        rest = [s for s in confirmed if all(abs(s.since_index - pause) > NEAR for pause in labelled)]
        real = sum(is_spike(trace, s) for s in rest)
        spikes, other = spikes + real, other + len(rest) - real
        misnamed += sum(s.cause == "periodic_pause" for s in rest)
    precision = (found + spikes) / max(found + spikes + other, 1)
    header = (
        "suite",
        "pauses",
        "found as bursts",
        "named periodic",
        "unlabelled spikes",
        "neither",
        "precision",
        "misnamed",
    )
    rows = [(SUITE, pauses, found, named, spikes, other, f"{precision:.3f}", misnamed)]
    drifts = {name: drifts_at_pauses(traces, detector) for name, detector in detectors.items()}
    ours = next(iter(drifts.values()))
    bars = [
        Bar("bursts, pauses found", f"{found}/{pauses}", f">= {RECALL:.0%}", found >= RECALL * pauses),
        Bar("bursts, pauses taken for drifts", str(ours), "0", ours == 0),
        Bar("bursts, precision", f"{precision:.3f}", f">= {PRECISION}", precision >= PRECISION),
    ]
    tables = [Table(header, rows), Table(("detector", "drifts within 100 samples after a pause"), list(drifts.items()))]
    return Section("Bursts", (__doc__ or "").partition("\n\n")[2].strip(), tables, bars)


def drifts_at_pauses(traces: TraceFolder, detector: Detector) -> int:
    """Drifts confirmed within 100 samples after a labelled pause."""
    return sum(
        any(0 <= alarm - pause <= FOUND_WITHIN for pause in trace.label["bursts"])
        for trace in traces.suite(SUITE)
        for alarm in merged(detector(trace.block).confirmed)
    )
