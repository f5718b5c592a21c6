"""What to do next, in sentences: what is proposed, what is held back, and what would make more possible."""

from collections.abc import Collection, Sequence

from modekeeper.model.trace import Decision, DecisionStatus
from modekeeper.model.wording import count

__all__ = ["proposals"]

_ADVICE = {
    "knob_value_unknown": "the current value of {0} is not known: give --knob {0}=VALUE, or emit it in the telemetry",
    "knob_value_contradictory": "{0} is named with two different values: emit it under one name",
    "knob_value_out_of_bounds": "the value of {0} that was named is outside its bounds, see mk chords show",
    "knob_at_bound": "{0} is at its bound",
    "limited_to_no_step": "--max-delta-per-step leaves no whole step for {0}",
    "knob_not_in_catalog": "the catalog in force does not let {0} be touched",
    "tried_without_effect": "{0} was tried without effect",
    "chord_not_in_catalog": "the catalog in force does not have {0}",
    "no_exact_split_within_limits": "no split keeps the global batch exactly the same within the limits",
}
"""Note of a proposal, up to its colon, to the sentence for a person; what follows the colon is ``{0}``."""


def proposals(decisions: Sequence[Decision], telemetry_has: Collection[str]) -> list[str]:
    """The decisions that stand, the primary one first, each with what would make a better one possible.

    Args:
        decisions: the decisions that stand.
        telemetry_has: metrics the telemetry carries: nobody is told to emit what is there.
    """
    lines: list[str] = []
    for position, decision in enumerate(decisions):
        if decision.proposal.actions:
            lines.append(_change(decision))
        elif position == 0:
            lines.append(f"no change proposed: {decision.proposal.reason}")
        lines += _advice(decision.proposal.notes, telemetry_has)
    return list(dict.fromkeys(lines))


def _change(decision: Decision) -> str:
    actions = decision.proposal.actions
    changes = ", ".join(f"{a.knob} {a.current:g} → {a.target:g}" for a in actions)
    if decision.status is not DecisionStatus.PLANNED:
        return f"held back ({decision.blocked_reason}): {decision.proposal.chord_id}, {changes}"
    how = "hot, no restart" if all(a.actuation == "hot" for a in actions) else "cold, the pods restart"
    return f"{count(len(actions), 'change')} proposed, {how}: {changes}"


def _advice(notes: Sequence[str], telemetry_has: Collection[str]) -> list[str]:
    lines = []
    for note in notes:
        kind, _, subject = note.partition(":")
        if kind in _ADVICE:
            lines.append(_ADVICE[kind].format(subject))
        elif kind == "emit" and subject not in telemetry_has:
            lines.append(f'"{subject}" in the telemetry would show whether steps wait for input')
    return lines
