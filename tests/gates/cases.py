"""Cases for tests of the gates."""

from typing import Any

import msgspec

from modekeeper.gates.case import GateCase
from modekeeper.gates.kill_switch import KillSwitch
from modekeeper.model.decision import Action, CurrentValueSource, Promise, Proposal, RiskTier, Target
from modekeeper.model.mode import Mode
from modekeeper.passports.templates import default_passport
from modekeeper.policy.catalog import find_chord, load_default
from modekeeper.policy.knobs import action_for, knob_named
from modekeeper.policy.limits import Limits

NOW_MS = 1_700_000_000_000
PROMISE = Promise(metric="step_time_ms", direction="lower", at_least_rel=0.05, within_samples=200)


def action(knob: str, current: float, target: float, **fields: Any) -> Action:
    made = action_for(
        knob_named(knob), current=current, source=CurrentValueSource.TELEMETRY, target=target, reason="because"
    )
    return msgspec.structs.replace(made, **fields)


def proposal(chord_id: str, *actions: Action, **fields: Any) -> Proposal:
    spec = find_chord(load_default(), chord_id)
    plain = Proposal(
        policy="chord",
        chord_id=chord_id,
        mode=Mode.DRIFT,
        risk_tier=RiskTier.SAFE if spec is None else spec.risk_tier,
        actions=actions,
        invariants=() if spec is None else spec.invariants,
        promise=PROMISE if actions else None,
        reason="because",
    )
    return msgspec.structs.replace(plain, **fields)


RETUNE = proposal("DRIFT-RETUNE", action("concurrency", 4.0, 6.0))
GUARD = proposal("TIMEOUT-GUARD", action("timeout_ms", 30000.0, 45000.0))
HALVED = proposal("DRIFT-RETUNE", action("microbatch_size", 8.0, 4.0), action("grad_accum_steps", 4.0, 8.0))


def case(subject: Proposal = RETUNE, **fields: Any) -> GateCase:
    """Everything in order, apply included, unless ``fields`` say otherwise."""
    plain = GateCase(
        proposal=subject,
        catalog=load_default(),
        limits=Limits(),
        target=Target(namespace="ml", kind="Deployment", name="trainer"),
        passport=default_passport(),
        now_ms=NOW_MS,
        planned_at_ms=(),
        workload_changed_at_ms=(),
        kill_switch=KillSwitch(active=False),
        pro_installed=True,
        verify_ok=True,
    )
    return msgspec.structs.replace(plain, **fields)
