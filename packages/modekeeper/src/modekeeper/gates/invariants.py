"""What must stay true, as far as it can be known beforehand. Nothing a proposal says of itself is believed."""

import math
from collections.abc import Iterator

from modekeeper.gates.base import block, let_pass
from modekeeper.gates.case import GateCase
from modekeeper.model.decision import Action, Actuation, BlockReason, RiskTier, Verdict
from modekeeper.model.workload import find_workload_kind
from modekeeper.policy.chord_spec import RELOCK_CHORD, ChordSpec, find_chord
from modekeeper.policy.knobs import ACCUMULATION, MICROBATCH, Knob, find_knob, is_on_grid
from modekeeper.policy.wording import listed, shown

__all__ = ["Invariants"]


class Invariants:
    """Stops a proposal that leaves its envelope, or that contradicts the registry of knobs."""

    name = "invariants"
    reason = BlockReason.INVARIANT_VIOLATED

    def check(self, case: GateCase) -> Verdict:
        """See :class:`modekeeper.gates.base.Gate`."""
        violations = list(_violations(case))
        return block(self, "; ".join(violations)) if violations else let_pass(self)


def _violations(case: GateCase) -> Iterator[str]:
    proposal = case.proposal
    spec = find_chord(case.catalog, proposal.chord_id)
    if spec is None:
        yield "without an envelope nothing can be checked"
        return
    yield from _envelope(case, spec)
    names = [action.knob for action in proposal.actions]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{shown(name)} is changed twice"
    for action in proposal.actions:
        knob = find_knob(action.knob)
        if knob is None or knob.name != action.knob:
            yield f"{shown(action.knob)} is no knob of the registry"
        else:
            yield from _action(action, knob)
            if knob.name not in spec.knobs_touched:
                yield f"{spec.id} does not touch {knob.name}"
            if knob.tier is RiskTier.ADVANCED and spec.risk_tier is RiskTier.SAFE:
                yield f"{knob.name} is advanced, {spec.id} is safe"
    yield from _reach(case)
    yield from _global_batch(proposal.actions)
    yield from _watched(case)
    if "exact_previous_values" in spec.invariants:
        yield from _exact_previous_values(case)


def _envelope(case: GateCase, spec: ChordSpec) -> Iterator[str]:
    proposal = case.proposal
    if proposal.risk_tier is RiskTier.SAFE and spec.risk_tier is RiskTier.ADVANCED:
        yield f"{spec.id} is advanced, the proposal calls itself safe"
    if lost := sorted(set(spec.invariants) - set(proposal.invariants)):
        yield f"the proposal left out: {', '.join(lost)}"
    if proposal.actions and "no_change" in spec.invariants:
        yield f"{spec.id} never changes anything"
    if proposal.actions and proposal.promise is None:
        yield "a change without a promise cannot be judged"


def _action(action: Action, knob: Knob) -> Iterator[str]:
    name = knob.name
    if not (math.isfinite(action.current) and knob.lower <= action.current <= knob.upper):
        yield f"{name}: the current value is outside {knob.lower:g} to {knob.upper:g} {knob.unit}"
    if not is_on_grid(knob, action.target):
        yield f"{name}: the target is no value from {knob.lower:g} to {knob.upper:g} in steps of {knob.step:g}"
    if not action.lower_bound <= action.target <= action.upper_bound:
        yield f"{name}: the target is outside the action's own bounds"
    if not (knob.lower <= action.lower_bound and action.upper_bound <= knob.upper):
        yield f"{name}: the action's bounds are wider than the registry's"
    if action.target == action.current:
        yield f"{name}: the target is the current value"
    if (action.unit, action.step) != (knob.unit, knob.step):
        yield f"{name}: unit or step is not the registry's"
    if action.actuation is not knob.actuation or action.ranks_must_agree is not knob.ranks_must_agree:
        yield f"{name}: how it reaches the job is not what the registry says"


def _reach(case: GateCase) -> Iterator[str]:
    """A cold change is a patch of the pod template: of some kinds no patch that a plan can hold reaches it."""
    cold = sorted(action.knob for action in case.proposal.actions if action.actuation is Actuation.COLD)
    if not cold:
        return
    if case.target is None:
        yield f"{shown(cold[0])} is cold, and which workload it is for is not known"
        return
    kind = find_workload_kind(case.target.kind)
    if kind is None or kind.template is None:
        yield (
            f"{listed([shown(name) for name in cold])}: no patch of a plan reaches the pod template of a "
            f"{shown(case.target.kind)}; change it in the file the template comes from"
        )


def _global_batch(actions: tuple[Action, ...]) -> Iterator[str]:
    pair = {action.knob: action for action in actions if action.knob in {MICROBATCH, ACCUMULATION}}
    if not pair:
        return
    if len(pair) == 1:
        yield f"{MICROBATCH} and {ACCUMULATION} must change together"
        return
    size, count = pair[MICROBATCH], pair[ACCUMULATION]
    values = (size.current, count.current, size.target, count.target)
    if not all(math.isfinite(value) and value.is_integer() for value in map(float, values)):
        yield "the global batch cannot be computed from fractions"
    elif int(size.current) * int(count.current) != int(size.target) * int(count.target):
        yield "the global batch would change"


def _watched(case: GateCase) -> Iterator[str]:
    """What the passport wants watched must be there to be watched; asked while there is telemetry to look at."""
    changes = case.into_plan and case.proposal.actions and case.proposal.chord_id != RELOCK_CHORD
    if case.passport is None or not changes:
        return
    seen = case.metrics_seen if case.metrics_seen is not None else frozenset()
    if missing := sorted({guard.metric for guard in case.passport.invariants} - seen):
        who = shown(case.passport.name)
        yield f"passport {who!r} watches {listed(missing)}, which the telemetry does not carry"


def _exact_previous_values(case: GateCase) -> Iterator[str]:
    for action in case.proposal.actions:
        good = case.last_good.get(action.knob)
        if good is None:
            yield f"{shown(action.knob)}: the last good value is not known"
        elif action.target != good:
            yield f"{shown(action.knob)}: the target is not the last good value"
