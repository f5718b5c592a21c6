"""Looking without deciding: the detectors along a stream."""

import msgspec

from modekeeper.artifacts.contracts.parts import Findings, Telemetry
from modekeeper.detect.panel import DEFAULT_SETTINGS, Panel
from modekeeper.detect.settings import DetectorSettings
from modekeeper.loop.findings import FindingsRegister
from modekeeper.loop.reading import Reading
from modekeeper.loop.run import limited, read_all
from modekeeper.loop.series import SeriesRecorder
from modekeeper.model.signal import Environment

__all__ = ["Observation", "observe"]


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen in a stream."""

    telemetry: Telemetry
    findings: Findings
    environment: Environment


def observe(reading: Reading, detectors: DetectorSettings = DEFAULT_SETTINGS) -> Observation:
    """Read to the end and say what is in it."""
    panel, register, series = Panel(detectors), FindingsRegister(), SeriesRecorder()
    for block in limited(read_all(reading.source, reading.stop), reading.duration_s):
        series.add(block)
        for signal in panel.update(block):
            register.add(signal)
        reading.advanced(len(block))
    telemetry = series.telemetry()
    for signal in panel.conclude() if telemetry.sample_count else ():
        register.add(signal)
    return Observation(telemetry=telemetry, findings=register.findings(), environment=panel.environment())
