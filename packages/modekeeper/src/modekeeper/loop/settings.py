"""How a loop decides."""

from typing import Literal

import msgspec

from modekeeper.detect.settings import DetectorSettings
from modekeeper.model.decision import Target
from modekeeper.passports.passport import Passport
from modekeeper.passports.templates import default_passport
from modekeeper.policy.catalog import Catalog
from modekeeper.policy.limits import Limits

__all__ = ["LoopSettings"]


class LoopSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a decision depends on, beside the telemetry."""

    target: Target
    catalog: Catalog
    passport: Passport = msgspec.field(default_factory=default_passport)
    """What is allowed for the target."""
    policy: Literal["chord", "scalar"] = "chord"
    limits: Limits = Limits()
    cooldown_s: float | None = None
    """Shortest time between two changes by one chord; the catalog's own cooldown counts where it is longer."""
    approve_advanced: bool = False
    operator_knobs: dict[str, float] = {}
    """Knob values a person named; the telemetry's and the cluster's word count where they name one too."""
    cluster_knobs: dict[str, float] = {}
    """Knob values the annotations of the live pods carry at the start; the telemetry's word counts before theirs."""
    heartbeat_samples: int = 200
    """A tick at least every so many samples."""
    detectors: DetectorSettings = DetectorSettings()
