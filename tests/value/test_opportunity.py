"""What the findings cost."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modekeeper.artifacts.contracts.parts import Finding, SeriesPoint, Telemetry
from modekeeper.model.signal import Direction, Phase, Signal, SignalKind
from modekeeper.value.opportunity import CostModel, estimate_opportunity

HOUR_MS = 3_600_000.0


def telemetry(samples: int = 1000, *, workers: int = 0, throughput: float | None = None) -> Telemetry:
    point = SeriesPoint(ts_ms=0, index=0, samples=samples, throughput=throughput)
    return Telemetry(
        sample_count=samples,
        first_ts_ms=0,
        last_ts_ms=0,
        first_step=0,
        last_step=0,
        workers_max=workers,
        metrics_seen=(),
        samples_per_point=samples,
        points=(point,),
    )


def finding(since: int, until: int | None, level: float, **changes: Any) -> Finding:
    facts: dict[str, Any] = {
        "kind": SignalKind.DRIFT, "metric": "step_time_ms", "direction": Direction.WORSE, "baseline": 1000.0,
        "healthy_level": 1000.0, "effect": level / 1000 - 1, "effect_low": None, "effect_high": None,
    } | changes  # fmt: skip
    signal = Signal(
        id=f"{facts['kind']}-{since}",
        phase=Phase.CONFIRMED,
        at_index=since,
        at_step=since,
        at_ts_ms=since,
        since_index=since,
        since_step=since,
        since_ts_ms=since,
        level=level,
        **facts,
    )
    return Finding(signal=signal, ended_index=until)


def hours(findings: list[Finding], **cost: float) -> float:
    return estimate_opportunity(findings, telemetry(), CostModel(**cost)).opportunity_hours_est


def test_a_healthy_run_lost_nothing() -> None:
    assert hours([]) == 0


def test_a_drift_that_stands_costs_until_the_end() -> None:
    # 500 steps, each a second longer, on 8 GPUs.
    assert hours([finding(500, None, 2000.0)], gpus=8) == pytest.approx(500 * 1000 / HOUR_MS * 8, abs=1e-6)


def test_a_drift_that_ended_costs_until_then() -> None:
    assert hours([finding(500, 600, 2000.0)]) == pytest.approx(100 * 1000 / HOUR_MS, abs=1e-6)


def test_overlapping_findings_count_once_the_costliest_first() -> None:
    straggler = finding(600, 700, 4000.0, kind=SignalKind.STRAGGLER, metric="worker_latencies_ms", healthy_level=None)
    expected = (400 * 1000 + 100 * 3000) / HOUR_MS
    assert hours([finding(500, None, 2000.0), straggler]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        {"direction": Direction.BETTER},
        {"direction": Direction.NEUTRAL},
        {"metric": "throughput"},
        {"metric": "loss"},
        {"kind": SignalKind.GPU_SATURATED},
    ],
    ids=lambda change: str(next(iter(change.values()))),
)
def test_what_is_no_loss_of_time_costs_nothing(change: dict[str, Any]) -> None:
    assert hours([finding(500, None, 2000.0, **change)]) == 0


def test_the_interval_is_the_detectors_own() -> None:
    drift = finding(0, None, 2000.0, effect_low=0.9, effect_high=1.2)
    value = estimate_opportunity([drift], telemetry(), CostModel())
    assert value.opportunity_hours_low == pytest.approx(1000 * 900 / HOUR_MS, abs=1e-6)
    assert value.opportunity_hours_high == pytest.approx(1000 * 1200 / HOUR_MS, abs=1e-6)


def test_dollars_and_tokens_need_a_price_and_a_rate() -> None:
    drift = [finding(0, None, 2000.0)]
    without = estimate_opportunity(drift, telemetry(), CostModel())
    assert without.opportunity_usd_est is None
    assert without.opportunity_tokens_est is None
    value = estimate_opportunity(drift, telemetry(throughput=500.0), CostModel(gpus=8, gpu_hour_usd=2.5))
    assert value.opportunity_usd_est == pytest.approx(1000 * 1000 / HOUR_MS * 8 * 2.5, abs=1e-3)
    assert value.opportunity_tokens_est == 500_000


def test_what_is_assumed_is_said() -> None:
    def gpus(found: Telemetry, cost: CostModel) -> tuple[float | str | None, str]:
        parts = estimate_opportunity([], found, cost).opportunity_assumptions
        part = next(p for p in parts if p.name == "gpus")
        return part.value, part.source

    assert gpus(telemetry(), CostModel()) == (1.0, "assumed")
    assert gpus(telemetry(workers=16), CostModel()) == (16.0, "telemetry")
    assert gpus(telemetry(workers=16), CostModel(gpus=32)) == (32.0, "given")


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 40), st.integers(1, 9)), max_size=12))
def test_each_step_is_charged_to_the_costliest_finding_that_stands_then(spans: list[tuple[int, int, int]]) -> None:
    findings = [finding(since, since + length, 1000.0 + 1000.0 * cost) for since, length, cost in spans]
    expected = 0.0
    for step in range(100):
        expected += max((1000.0 * cost for since, length, cost in spans if since <= step < since + length), default=0.0)
    assert hours(findings, gpus=1) == pytest.approx(expected / HOUR_MS, abs=1e-6)
