"""All detectors beside each other: blocks of samples in, signals in one order out."""

from collections.abc import Iterable
from typing import Any

import msgspec

from modekeeper.detect.base import Detector
from modekeeper.detect.burst import BurstDetector
from modekeeper.detect.drift import DriftDetector
from modekeeper.detect.environment import EnvironmentDetector
from modekeeper.detect.gpu import GpuDetector
from modekeeper.detect.loss import LossDetector
from modekeeper.detect.settings import DetectorSettings
from modekeeper.detect.starvation import StarvationDetector
from modekeeper.detect.straggler import StragglerDetector
from modekeeper.model.block import SampleBlock
from modekeeper.model.errors import BadInputError
from modekeeper.model.signal import Environment, Signal, SignalKind

__all__ = ["DEFAULT_SETTINGS", "Panel"]

DEFAULT_SETTINGS = DetectorSettings()
FORMAT = "detectors.v1"
KIND_ORDER = {kind: place for place, kind in enumerate(SignalKind)}


class Panel:
    """What is seen in one stream of samples.

    The signals do not depend on how the stream is cut into blocks, nor on a :meth:`snapshot` taken and restored
    between any two of them. Memory is bounded by the windows of the settings.
    """

    def __init__(self, settings: DetectorSettings = DEFAULT_SETTINGS) -> None:
        self._settings = settings
        self._environment = EnvironmentDetector(settings)
        self._detectors: dict[str, Detector] = {
            "straggler": StragglerDetector(settings),
            "drift_step_time": DriftDetector("step_time_ms", "ms", settings, worse_when_up=True),
            "drift_throughput": DriftDetector("throughput", "units/s", settings, worse_when_up=False),
            "drift_loss": LossDetector(settings),
            "burst": BurstDetector(settings),
            "starvation": StarvationDetector(settings),
            "gpu": GpuDetector(settings),
            "environment": self._environment,
        }

    def update(self, block: SampleBlock) -> list[Signal]:
        """Signals decided by the samples of ``block``: by sample, then kind, then metric."""
        signals: list[Signal] = []
        for detector in self._detectors.values():
            signals += detector.update(block)
        return _ordered(signals) if signals else signals

    def conclude(self) -> list[Signal]:
        """What cannot be told, now that the input is over; changes nothing."""
        return _ordered(signal for detector in self._detectors.values() for signal in detector.conclude())

    def environment(self) -> Environment:
        """Fingerprint of where the samples so far came from."""
        return self._environment.environment()

    def snapshot(self) -> dict[str, Any]:
        """Everything remembered, as plain JSON values; no NaN among them."""
        detectors = {name: detector.snapshot() for name, detector in self._detectors.items()}
        return {"format": FORMAT, "settings": msgspec.to_builtins(self._settings), "detectors": detectors}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take over the :meth:`snapshot` of a panel with the same settings.

        Raises:
            BadInputError: it is not one; the panel must not be used any more.
        """
        if snapshot.get("format") != FORMAT or snapshot.get("settings") != msgspec.to_builtins(self._settings):
            raise BadInputError(
                "cannot go on with the saved state of the detectors: it is of another version or other settings."
                " Start anew, without the saved state."
            )
        try:
            for name, detector in self._detectors.items():
                detector.restore(snapshot["detectors"][name])
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise BadInputError(
                f"cannot go on with the saved state of the detectors: it is damaged ({type(error).__name__})."
                " Start anew, without the saved state."
            ) from error


def _ordered(signals: Iterable[Signal]) -> list[Signal]:
    """Sorted; signals of one finding at one sample keep the order in which they were sent."""
    return sorted(signals, key=lambda s: (s.at_index, KIND_ORDER[s.kind], s.metric))
