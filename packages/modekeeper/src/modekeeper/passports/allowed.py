"""What a passport says of one change. The product's own rules always count beside it: the stricter one wins."""

from collections.abc import Collection

from modekeeper.model.decision import Actuation, Target
from modekeeper.passports.passport import Approval, Passport, selects
from modekeeper.policy.limits import Limits, tighter
from modekeeper.policy.wording import listed, shown

__all__ = ["approval_needed", "limits_under", "why_denied"]

_RANK = {level: rank for rank, level in enumerate(Approval)}


def why_denied(
    passport: Passport, *, target: Target | None, chord_ids: Collection[str], actuations: Collection[Actuation]
) -> str | None:
    """Why a change is not allowed at all, in one line; ``None`` where it is."""
    who = f"passport {shown(passport.name)!r}"
    if not selects(passport, target):
        where = "an unknown workload" if target is None else f"{target.kind} {target.namespace}/{target.name}"
        return f"{who} is not for {shown(where, 400)}"
    if not chord_ids or (chords := sorted(set(chord_ids) - set(passport.chords))):
        return f"{who} does not allow {listed(chords) if chord_ids else 'a change by no chord'}"
    if not actuations or (ways := sorted(set(actuations) - set(passport.actuations))):
        return f"{who} does not allow {' and '.join(ways) if actuations else 'unknown'} changes"
    return None


def limits_under(limits: Limits, passport: Passport) -> Limits:
    """``limits``, and what the passport asks for where that is less."""
    own = passport.max_delta_per_step
    return tighter(
        limits,
        Limits(max_delta_per_step=limits.max_delta_per_step if own is None else own, knobs=passport.knobs),
    )


def approval_needed(passport: Passport, *, chord_ids: Collection[str], cold: bool, advanced: bool) -> Approval:
    """Who has to say yes. Cold and advanced changes never go without, whatever a passport says."""
    rules = passport.approval
    levels = [rules.cold if cold else rules.hot, *(rules.chords.get(chord_id, Approval.NONE) for chord_id in chord_ids)]
    if advanced:
        levels.append(rules.advanced)
    if cold or advanced:
        levels.append(Approval.OPERATOR)
    return max(levels, key=_RANK.__getitem__)
