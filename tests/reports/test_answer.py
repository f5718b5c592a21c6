"""The answer for a person: the first line answers, nothing is said twice, and missing data is never all is well."""

from typing import Any

import msgspec
import pytest
from tests.reports.runs import SPANS, findings, points, telemetry

from modekeeper.artifacts.contracts.parts import Findings, Telemetry
from modekeeper.artifacts.contracts.reports import Opportunity
from modekeeper.model.decision import Proposal, RiskTier
from modekeeper.model.mode import Mode
from modekeeper.model.signal import Direction, Phase, Signal, SignalKind
from modekeeper.model.trace import Decision, DecisionStatus
from modekeeper.reports.answer import RunFacts, answer, telemetry_gaps

NOTHING_LOST = Opportunity(
    opportunity_hours_est=0.0,
    opportunity_hours_low=None,
    opportunity_hours_high=None,
    opportunity_usd_est=None,
    opportunity_tokens_est=None,
    opportunity_assumptions=(),
)


def hold(reason: str, *notes: str) -> Decision:
    proposal = Proposal(
        policy="chord", chord_id="DRIFT-RETUNE", mode=Mode.DRIFT, risk_tier=RiskTier.SAFE, reason=reason, notes=notes
    )
    return Decision(proposal=proposal, status=DecisionStatus.HOLD)


def facts(**changes: Any) -> RunFacts:
    base: dict[str, Any] = {
        "name": "run.jsonl",
        "telemetry": telemetry(points()),
        "findings": findings(),
        "mode_spans": SPANS,
        "decisions": (hold("healthy: nothing to change"),),
        "opportunity": NOTHING_LOST,
        "warm_up_samples": 120,
    }
    return RunFacts(**(base | changes))


def undecided(metric: str, explanation: str) -> Signal:
    places: dict[str, Any] = dict.fromkeys(("at_index", "at_step", "at_ts_ms", "since_index", "since_step"), 9)
    return Signal(
        id=f"x-{metric}",
        kind=SignalKind.DATA_STARVATION,
        phase=Phase.UNDECIDED,
        metric=metric,
        explanation=explanation,
        direction=Direction.NEUTRAL,
        since_ts_ms=9,
        **places,
    )


def seen(samples: int, *metrics: str) -> Telemetry:
    return msgspec.structs.replace(telemetry(points()), sample_count=samples, metrics_seen=metrics)


@pytest.mark.parametrize("samples", [0, 1, 119])
def test_too_little_data_is_never_all_is_well(samples: int) -> None:
    said = answer(facts(telemetry=seen(samples, "step_time_ms"), findings=Findings()), ())
    assert said.verdict.startswith("NO VERDICT")
    assert said.cost == "not known"
    everything = " ".join([said.verdict, *said.why, said.cost, *said.next])
    for word in ("healthy", "nothing lost", "nothing to do", "no detector found"):
        assert word not in everything


def test_enough_data_gets_a_verdict() -> None:
    assert not answer(facts(telemetry=seen(120, "step_time_ms")), ()).verdict.startswith("NO VERDICT")


def test_what_is_not_known_is_said_once() -> None:
    told = (
        undecided("data_wait_share", "no data_wait_ms in the telemetry: waiting for input is not judged"),
        undecided("node", "no node in the telemetry: whether it changed is unknown"),
        undecided("node", "no node in the telemetry: whether it changed is unknown"),
    )
    unknown = answer(facts(findings=Findings(undecided=told)), ()).unknown
    assert len(unknown) == len(set(unknown))
    assert sum("data_wait_ms" in line for line in unknown) == 1
    assert sum(line.startswith("no node") for line in unknown) == 1


def test_an_unknown_knob_value_says_what_to_do() -> None:
    decisions = (hold("steps wait for input: no loader knob can move", "knob_value_unknown:concurrency"),)
    said = answer(facts(decisions=decisions), ("look: report.html",))
    assert said.next[0].startswith("no change proposed: steps wait for input")
    assert "--knob concurrency=VALUE" in said.next[1]
    assert said.next[-1] == "look: report.html"


def test_nobody_is_told_to_emit_what_is_there() -> None:
    decisions = (hold("why is not known", "emit:data_wait_ms"),)
    without = answer(facts(decisions=decisions, telemetry=seen(500, "step_time_ms")), ()).next
    having = answer(facts(decisions=decisions, telemetry=seen(500, "step_time_ms", "data_wait_ms")), ()).next
    assert any("data_wait_ms" in line for line in without)
    assert not any("data_wait_ms" in line for line in having)


def test_gaps_are_the_metrics_a_detector_would_use() -> None:
    assert "loss" in telemetry_gaps(seen(10, "step_time_ms"))
    assert "step_time_ms" not in telemetry_gaps(seen(10, "step_time_ms"))
