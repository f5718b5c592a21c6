"""Which chords answer a situation: the one of the mode first, advanced ones after it."""

from typing import Literal

from modekeeper.model.decision import Proposal, RiskTier
from modekeeper.model.mode import Mode
from modekeeper.policy import scalar
from modekeeper.policy.chord_spec import HOLD_CHORD, RELOCK_CHORD, Catalog, find_chord
from modekeeper.policy.chords import (
    burst_absorb,
    drift_retune,
    input_straggler,
    normal_hold,
    recover_relock,
    timeout_guard,
)
from modekeeper.policy.chords.base import ChordFunction
from modekeeper.policy.limits import Limits
from modekeeper.policy.situation import OutcomeState, Situation

__all__ = ["ADVANCED_BY_MODE", "CHORDS", "PRIMARY_BY_MODE", "propose"]

CHORDS: dict[str, ChordFunction] = {
    HOLD_CHORD: normal_hold.propose,
    "DRIFT-RETUNE": drift_retune.propose,
    "BURST-ABSORB": burst_absorb.propose,
    "INPUT-STRAGGLER": input_straggler.propose,
    RELOCK_CHORD: recover_relock.propose,
    "TIMEOUT-GUARD": timeout_guard.propose,
}

PRIMARY_BY_MODE: dict[Mode, str] = {
    Mode.NORMAL: HOLD_CHORD,
    Mode.DRIFT: "DRIFT-RETUNE",
    Mode.BURST: "BURST-ABSORB",
    Mode.STRAGGLER: "INPUT-STRAGGLER",
    Mode.RECOVER: RELOCK_CHORD,
}

ADVANCED_BY_MODE: dict[Mode, tuple[str, ...]] = {Mode.STRAGGLER: ("TIMEOUT-GUARD",)}


def propose(
    situation: Situation, catalog: Catalog, limits: Limits, *, policy: Literal["chord", "scalar"] = "chord"
) -> tuple[Proposal, ...]:
    """At least one proposal: the primary one first, then the advanced ones of the mode.

    A change that made the job worse is taken back before anything else is tried, in whichever mode.
    """
    mode = situation.transition.to_mode
    worse = situation.outcome is not None and situation.outcome.state is OutcomeState.WORSE
    primary = RELOCK_CHORD if worse else PRIMARY_BY_MODE[mode]
    if policy == "scalar" and not worse:
        return (scalar.propose(situation, catalog, limits, chord_id=primary),)
    first = _one(situation, catalog, limits, primary)
    if worse:
        return (first,)
    more = [
        _one(situation, catalog, limits, chord_id)
        for chord_id in ADVANCED_BY_MODE.get(mode, ())
        if find_chord(catalog, chord_id) is not None
    ]
    return (first, *more)


def _one(situation: Situation, catalog: Catalog, limits: Limits, chord_id: str) -> Proposal:
    spec = find_chord(catalog, chord_id)
    if spec is not None:
        return CHORDS[chord_id](situation, spec, limits)
    return Proposal(
        policy="chord",
        chord_id=HOLD_CHORD,
        mode=situation.transition.to_mode,
        risk_tier=RiskTier.SAFE,
        reason=f"the catalog in force does not have {chord_id}: nothing is changed",
        notes=(f"chord_not_in_catalog:{chord_id}",),
    )
