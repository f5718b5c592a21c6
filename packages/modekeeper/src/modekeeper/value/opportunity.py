"""What the findings cost: GPU-hours, and dollars and tokens where prices and rates are known.

Method: while a finding stood, each step took ``level - healthy_level`` longer than the same job had shown when
healthy. Where findings overlap, the costliest one counts: a straggler and the drift it causes are one loss.
The interval comes from the detectors' own intervals of the effect. A steady job lost nothing here, whatever
its hardware could do: the estimate speaks of the job against itself.
"""

from collections import deque
from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import pairwise

import msgspec

from modekeeper.artifacts.contracts.parts import Finding, OpportunityAssumption, Telemetry
from modekeeper.artifacts.contracts.reports import Opportunity
from modekeeper.model.signal import Direction, SignalKind

__all__ = ["CostModel", "estimate_opportunity"]

_MS_PER_HOUR = 3_600_000.0


class CostModel(msgspec.Struct, frozen=True, kw_only=True):
    """Prices and sizes a person gave; ``None`` where not given."""

    gpus: float | None = None
    gpu_hour_usd: float | None = None


class _Loss(msgspec.Struct, frozen=True, kw_only=True):
    """Time lost a step while one finding stood, over samples ``[start, stop)``."""

    start: int
    stop: int
    excess_ms: float
    excess_low_ms: float
    excess_high_ms: float


def estimate_opportunity(findings: Sequence[Finding], telemetry: Telemetry, cost: CostModel) -> Opportunity:
    """Lost GPU-hours, dollars and tokens of a run, with everything the numbers take for granted."""
    losses = [loss for finding in findings if (loss := _loss(finding, telemetry.sample_count)) is not None]
    lost_ms, low_ms, high_ms = _total(losses)
    gpus, gpu_assumption = _gpus(telemetry, cost)
    hours = lost_ms / _MS_PER_HOUR * gpus
    throughput = _median_throughput(telemetry)
    tokens = None if throughput is None else round(throughput * lost_ms / 1000.0)
    price = cost.gpu_hour_usd
    return Opportunity(
        opportunity_hours_est=round(hours, 6),
        opportunity_hours_low=round(low_ms / _MS_PER_HOUR * gpus, 6) if losses else None,
        opportunity_hours_high=round(high_ms / _MS_PER_HOUR * gpus, 6) if losses else None,
        opportunity_usd_est=None if price is None else round(hours * price, 4),
        opportunity_tokens_est=tokens,
        opportunity_assumptions=(
            OpportunityAssumption(
                name="method",
                value="excess_over_healthy_level",
                source="assumed",
                note="step time above the job's own healthy level, while a finding stood; overlaps count once",
            ),
            gpu_assumption,
            OpportunityAssumption(
                name="gpu_hour_usd",
                value=price,
                source="given" if price is not None else "assumed",
                note="price of one GPU-hour" if price is not None else "not given: no dollars; give --gpu-hour-usd",
            ),
            OpportunityAssumption(
                name="throughput",
                value=throughput,
                source="telemetry",
                note="median units a second"
                if throughput is not None
                else 'not in the telemetry: no tokens; emit "throughput"',
            ),
        ),
    )


def _gpus(telemetry: Telemetry, cost: CostModel) -> tuple[float, OpportunityAssumption]:
    if cost.gpus is not None:
        return cost.gpus, OpportunityAssumption(name="gpus", value=cost.gpus, source="given", note="GPUs of the job")
    if telemetry.workers_max > 1:
        workers = float(telemetry.workers_max)
        note = "one GPU for each worker seen; give --gpus if that is wrong"
        return workers, OpportunityAssumption(name="gpus", value=workers, source="telemetry", note=note)
    note = "no workers in the telemetry: hours are those of one GPU; give --gpus"
    return 1.0, OpportunityAssumption(name="gpus", value=1.0, source="assumed", note=note)


def _loss(finding: Finding, sample_count: int) -> _Loss | None:
    signal = finding.signal
    if signal.direction is not Direction.WORSE or signal.level is None:
        return None
    if signal.kind is SignalKind.DRIFT and signal.metric == "step_time_ms":
        healthy = signal.healthy_level if signal.healthy_level is not None else signal.baseline
    elif signal.kind in (SignalKind.STRAGGLER, SignalKind.BURST):
        healthy = signal.baseline
    else:
        return None
    if healthy is None or signal.level <= healthy:
        return None
    stop = sample_count if finding.ended_index is None else finding.ended_index
    baseline = signal.baseline if signal.baseline is not None else healthy
    low, high = signal.effect_low, signal.effect_high
    return _Loss(
        start=signal.since_index,
        stop=max(stop, signal.since_index + 1) if signal.kind is SignalKind.BURST else stop,
        excess_ms=signal.level - healthy,
        excess_low_ms=signal.level - healthy if low is None else max(0.0, baseline * (1 + low) - healthy),
        excess_high_ms=signal.level - healthy if high is None else max(0.0, baseline * (1 + high) - healthy),
    )


def _total(losses: Sequence[_Loss]) -> tuple[float, float, float]:
    """Lost milliseconds (estimate, low, high): in each stretch the costliest finding counts.

    A sweep over the borders with the standing losses in a heap, the costliest on top.
    """
    borders = sorted({edge for loss in losses for edge in (loss.start, loss.stop)})
    waiting = deque(sorted(losses, key=lambda loss: (loss.start, loss.stop)))
    standing: list[tuple[float, int, int, _Loss]] = []
    total = low = high = 0.0
    for start, stop in pairwise(borders):
        while waiting and waiting[0].start <= start:
            loss = waiting.popleft()
            heappush(standing, (-loss.excess_ms, -loss.start, len(waiting), loss))
        while standing and standing[0][3].stop <= start:
            heappop(standing)
        if standing:
            worst = standing[0][3]
            total += worst.excess_ms * (stop - start)
            low += worst.excess_low_ms * (stop - start)
            high += worst.excess_high_ms * (stop - start)
    return total, low, high


def _median_throughput(telemetry: Telemetry) -> float | None:
    values = sorted(p.throughput for p in telemetry.points if p.throughput is not None)
    return values[len(values) // 2] if values else None
