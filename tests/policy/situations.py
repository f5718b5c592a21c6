"""Situations for tests of the policy, the gates and the plans."""

from typing import Any

import msgspec

from modekeeper.model.decision import CurrentValueSource, Promise
from modekeeper.model.mode import Mode, Transition
from modekeeper.model.signal import Direction, Phase, Signal, SignalKind
from modekeeper.policy.situation import KnownValue, Outcome, OutcomeState, Situation

LOADER = {"dataloader_prefetch_factor": 2.0, "concurrency": 4.0}
BATCH = {"microbatch_size": 8.0, "grad_accum_steps": 4.0}
EVERYTHING = {**LOADER, **BATCH, "timeout_ms": 30000.0, "comm_bucket_mb": 25.0}


def known(values: dict[str, float], source: CurrentValueSource = CurrentValueSource.TELEMETRY) -> dict[str, KnownValue]:
    return {name: KnownValue(value=value, source=source) for name, value in values.items()}


def signal(kind: SignalKind, cause: str | None = None, **fields: Any) -> Signal:
    plain = Signal(
        id=f"{kind.value}-1",
        kind=kind,
        phase=Phase.CONFIRMED,
        metric="step_time_ms",
        direction=Direction.WORSE,
        at_index=120,
        at_step=121,
        at_ts_ms=120_000,
        since_index=100,
        since_step=101,
        since_ts_ms=100_000,
        baseline=200.0,
        level=300.0,
        effect=0.5,
        cause=cause,
    )
    return msgspec.structs.replace(plain, **fields)


def straggler(cause: str | None = None, **fields: Any) -> Signal:
    given = {"workers": (6,), "nodes": ("node-3",), "gpu_models": ("H100",), "metric": "worker_latencies_ms"}
    return signal(SignalKind.STRAGGLER, cause, **{**given, **fields})


def situation(mode: Mode, *signals: Signal, knobs: dict[str, float] | None = None, **fields: Any) -> Situation:
    transition = Transition(
        from_mode=mode,
        to_mode=mode,
        since_index=100,
        since_step=101,
        since_ts_ms=100_000,
        reason=f"stay_{mode.value.lower()}",
        signal_ids=tuple(s.id for s in signals),
    )
    values = known(EVERYTHING if knobs is None else knobs)
    return Situation(**{"transition": transition, "signals": signals, "known": values, **fields})


def outcome(state: OutcomeState, *knobs: str, improvement: float | None = None) -> Outcome:
    promise = Promise(metric="step_time_ms", direction="lower", at_least_rel=0.05, within_samples=200)
    return Outcome(chord_id="DRIFT-RETUNE", knobs=knobs, promise=promise, state=state, improvement=improvement)
