"""Facts that several reports are made from, and the parts of reports they become."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from modekeeper.artifacts.contracts.parts import Answer, EnvironmentPart, PassportPart
from modekeeper.artifacts.contracts.reports import Opportunity
from modekeeper.detect.settings import DetectorSettings
from modekeeper.loop.reading import RawRecording
from modekeeper.loop.recorder import RunRecorder
from modekeeper.loop.settings import LoopSettings
from modekeeper.loop.tick import LoopState
from modekeeper.model.signal import Environment
from modekeeper.passports.passport import Passport, passport_ref
from modekeeper.reports.answer import RunFacts, answer
from modekeeper.value.opportunity import CostModel, estimate_opportunity

__all__ = [
    "BUILT_IN",
    "CatalogUse",
    "answer_of",
    "detection_payload",
    "environment_part",
    "opportunity_fields",
    "opportunity_of",
    "passport_part",
    "raw_fields",
    "recording_payload",
]


BUILT_IN = "built-in"
"""The source of what comes with the product."""


@dataclass(frozen=True, kw_only=True)
class CatalogUse:
    """Which catalog was in force, and where the passport came from."""

    source: str
    trusted: bool
    passport_source: str = BUILT_IN


def passport_part(passport: Passport, source: str) -> PassportPart:
    """The passport as reports carry it."""
    ref = passport_ref(passport)
    return PassportPart(source=source, name=ref.name, digest=ref.digest)


def environment_part(environment: Environment) -> EnvironmentPart:
    """The fingerprint as reports carry it."""
    return EnvironmentPart(
        nodes_seen=environment.nodes_seen,
        gpu_models_seen=environment.gpu_models_seen,
        unstable=environment.unstable,
        notes=environment.notes,
    )


def detection_payload(detectors: DetectorSettings) -> dict[str, Any]:
    """What a user may set of the detectors, as an explain event carries it."""
    return {"false_alarms_per_day": detectors.false_alarms_per_day}


def raw_fields(raw: RawRecording | None) -> dict[str, Any]:
    """The ``observe_record_raw_*`` fields of a report; none where nothing was recorded."""
    if raw is None:
        return {}
    return {
        "observe_record_raw_path": raw.path,
        "observe_record_raw_lines": raw.lines,
        "observe_record_raw_bytes": raw.bytes,
        "observe_record_raw_truncated": raw.truncated,
    }


def recording_payload(raw: RawRecording | None) -> dict[str, Any]:
    """The ``record_raw_*`` fields of an explain event."""
    return {name.removeprefix("observe_"): value for name, value in raw_fields(raw).items()}


def opportunity_fields(opportunity: Opportunity) -> dict[str, Any]:
    """The ``opportunity_*`` fields of a report."""
    return {name: getattr(opportunity, name) for name in opportunity.__struct_fields__}


def opportunity_of(recorder: RunRecorder, cost: CostModel) -> Opportunity:
    """What the findings of a run cost."""
    findings = recorder.findings()
    return estimate_opportunity((*findings.ended, *findings.standing), recorder.series.telemetry(), cost)


def answer_of(
    name: str,
    settings: LoopSettings,
    *,
    recorder: RunRecorder,
    state: LoopState,
    cost: CostModel,
    next_steps: Sequence[str],
) -> Answer:
    """The answer for a person; ``next_steps`` are the commands and paths only the caller knows."""
    detectors = settings.detectors
    needed = detectors.warmup_samples + detectors.first_reference_samples + detectors.min_run_samples
    facts = RunFacts(
        name=name,
        telemetry=recorder.series.telemetry(),
        findings=recorder.findings(),
        mode_spans=recorder.mode_spans,
        decisions=state.standing,
        opportunity=opportunity_of(recorder, cost),
        warm_up_samples=max(0, needed - recorder.samples_before),
    )
    return answer(facts, next_steps)
