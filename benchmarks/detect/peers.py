"""Public detectors beside ours, on the same streams.

river's ADWIN (Bifet and Gavalda, Learning from time-changing data with adaptive windowing, 2007), Page-Hinkley (Page,
Continuous inspection schemes, 1954) and KSWIN (Raab, Heusinger and Schleif, Reactive soft prototype computing for
concept drift streams, 2020) see one sample after the other. PELT (Killick, Fearnhead and Eckley, Optimal detection of
changepoints with a linear computational cost, 2012) with an rbf kernel, of ruptures, sees the whole stream at once: a
reference that no online detector can be asked to beat; its delays say how well it places a change, no more. All get the
step times in robust units (median and median absolute deviation) of the first 60 samples. What is called tuned got the
parameters that did best on splices, of the default and 16 others; ours keeps one default.
"""

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
from benchmarks.detect.protocol import MERGE_WITHIN, Alarms, Detector
from numpy.typing import NDArray

from modekeeper.model.block import FloatColumn, SampleBlock

__all__ = ["OFFLINE", "PEERS_TEXT", "SLOW", "peers"]

PEERS_TEXT = (__doc__ or "").partition("\n\n")[2].strip()
SCALING_SAMPLES = 60
NORMAL_MAD = 1.4826
PELT_NAME = "ruptures PELT rbf (offline)"
OFFLINE = {PELT_NAME: MERGE_WITHIN}
"""How many samples before a change an offline peer may place it and still be right."""
SLOW = ("river KSWIN", "river KSWIN, tuned")
"""Some thousand samples a second: left out where there is much to read."""
PELT_LEAST_SAMPLES = 20
PELT_PENALTY = 10.0
KERNEL_SAMPLES = 500


def peers() -> dict[str, Detector]:
    """By name; what is not installed is left out."""
    found: dict[str, Detector] = {}
    if importlib.util.find_spec("river") is not None:
        from river import drift  # noqa: PLC0415 - an optional peer, slow to import

        found |= {
            "river ADWIN": _online(drift.ADWIN),
            "river PageHinkley": _online(drift.PageHinkley),
            "river PageHinkley, tuned": _online(lambda: drift.PageHinkley(delta=1.0, threshold=100.0)),
            "river KSWIN": _online(lambda: drift.KSWIN(seed=1)),
            "river KSWIN, tuned": _online(lambda: drift.KSWIN(alpha=1e-5, window_size=80, stat_size=40, seed=1)),
        }
    if importlib.util.find_spec("ruptures") is not None:
        found[PELT_NAME] = pelt
    return found


def robust_units(block: SampleBlock) -> tuple[NDArray[np.intp], FloatColumn]:
    """Sample numbers and step times in robust units of the first 60, without samples that have none."""
    column = block.metrics["step_time_ms"]
    places = np.flatnonzero(np.isfinite(column))
    values = column[places]
    first = values[:SCALING_SAMPLES]
    middle = float(np.median(first))
    spread = NORMAL_MAD * float(np.median(np.abs(first - middle))) or 0.01 * middle
    return places, (values - middle) / spread


def _online(make: Callable[[], Any]) -> Detector:
    def alarms(block: SampleBlock) -> Alarms:
        detector = make()
        places, values = robust_units(block)
        raised = []
        for place, value in zip(places[SCALING_SAMPLES:].tolist(), values[SCALING_SAMPLES:].tolist(), strict=True):
            detector.update(value)
            if detector.drift_detected:
                raised.append(place)
        return Alarms(raised, raised)

    return alarms


def pelt(block: SampleBlock) -> Alarms:
    """Change points of the whole stream; the width of the kernel is the usual median of distances, of a sample."""
    import ruptures  # noqa: PLC0415 - an optional peer, slow to import

    places, values = robust_units(block)
    if len(values) < 2 * PELT_LEAST_SAMPLES:
        return Alarms([], [])
    some = values[np.linspace(0, len(values) - 1, min(len(values), KERNEL_SAMPLES)).astype(int)]
    distances = np.subtract.outer(some, some)[np.triu_indices(len(some), 1)] ** 2
    width = float(np.median(distances)) or 1.0
    search = ruptures.KernelCPD(kernel="rbf", min_size=PELT_LEAST_SAMPLES, params={"gamma": 1.0 / width})
    ends = search.fit(values.reshape(-1, 1)).predict(pen=PELT_PENALTY)[:-1]
    found = [int(places[end]) for end in ends]
    return Alarms(found, found)
