"""How a catalog somebody gives is combined with the built-in one: it may narrow, it can never widen."""

import json
from collections.abc import Collection

import msgspec

from modekeeper.model.decision import RiskTier
from modekeeper.policy.catalog_check import validate_catalog
from modekeeper.policy.chord_spec import HOLD_CHORD, Budget, Catalog, ChordSpec, find_chord
from modekeeper.policy.strict_json import Problem, child
from modekeeper.policy.wording import shown

__all__ = ["CatalogChoice", "choose_catalog", "effective_catalog"]


class CatalogChoice(msgspec.Struct, frozen=True, kw_only=True):
    """The catalog in force, and what stood in the way of the one that was given."""

    catalog: Catalog
    trusted: bool
    """False when a given catalog was refused as a whole: the built-in one stays in force, unchanged."""
    problems: tuple[Problem, ...] = ()


def choose_catalog(default: Catalog, data: bytes | None) -> CatalogChoice:
    """The catalog in force when a user gives the bytes ``data``, or ``None`` for no catalog of their own.

    A document that does not validate is untrusted and changes nothing. One that does may narrow ``default``; what
    it would widen stays as it was, with a problem for each such place.
    """
    if data is None:
        return CatalogChoice(catalog=default, trusted=True)
    check = validate_catalog(data)
    if check.catalog is None:
        return CatalogChoice(catalog=default, trusted=False, problems=check.problems)
    catalog, problems = effective_catalog(default, check.catalog)
    return CatalogChoice(catalog=catalog, trusted=True, problems=problems)


def effective_catalog(default: Catalog, given: Catalog) -> tuple[Catalog, tuple[Problem, ...]]:
    """``default`` narrowed by ``given``, and a problem for everything in ``given`` that would have widened it.

    Narrowing: leaving a chord out, fewer knobs, more required signals, more invariants, a longer cooldown, fewer
    changes in a longer window, a higher tier. Paths name chords by id (RFC 9535 filters), not by position.
    """
    problems: list[Problem] = []
    chords = [chord for chord in default.chords if chord.id == HOLD_CHORD]
    for wish in given.chords:
        path = f"$.chords[?@.id=={json.dumps(shown(wish.id))}]"
        base = find_chord(default, wish.id)
        if base is None:
            problems.append(_widens(child(path, "id"), f"{shown(wish.id)} is no chord of the built-in catalog"))
        elif base.id != HOLD_CHORD:
            chords.append(_narrowed(base, wish, path, problems))
    ordered = tuple(sorted(chords, key=lambda chord: chord.id))
    return Catalog(schema_version=default.schema_version, chords=ordered), tuple(problems)


def _narrowed(base: ChordSpec, wish: ChordSpec, path: str, problems: list[Problem]) -> ChordSpec:
    def widens(field: str, text: str, inner: str | None = None) -> None:
        here = child(path, field)
        problems.append(_widens(here if inner is None else child(here, inner), text))

    if base.risk_tier is RiskTier.ADVANCED and wish.risk_tier is RiskTier.SAFE:
        widens("risk_tier", f"{base.id} is advanced; it cannot be made safe")
    if lost := _without(base.required_signals, wish.required_signals):
        widens("required_signals", f"{', '.join(lost)} cannot be left out")
    if lost := _without(base.invariants, wish.invariants):
        widens("invariants", f"{', '.join(lost)} cannot be left out")
    if more := _without(wish.knobs_touched, base.knobs_touched):
        widens("knobs_touched", f"{base.id} does not touch {', '.join(more)}")
    if wish.cooldown_ms is not None and wish.cooldown_ms < (base.cooldown_ms or 0):
        widens("cooldown_ms", f"cannot be shorter than {base.cooldown_ms}")
    if base.budget is not None and wish.budget is not None:
        if wish.budget.max_changes > base.budget.max_changes:
            widens("budget", f"cannot be more than {base.budget.max_changes}", "max_changes")
        if wish.budget.window_ms < base.budget.window_ms:
            widens("budget", f"cannot be shorter than {base.budget.window_ms}", "window_ms")
    advanced = RiskTier.ADVANCED in {base.risk_tier, wish.risk_tier}
    return ChordSpec(
        id=base.id,
        intent=base.intent,
        risk_tier=RiskTier.ADVANCED if advanced else RiskTier.SAFE,
        required_signals=tuple(sorted({*base.required_signals, *wish.required_signals})),
        invariants=tuple(sorted({*base.invariants, *wish.invariants})),
        knobs_touched=tuple(sorted(set(base.knobs_touched) & set(wish.knobs_touched))),
        cooldown_ms=max(base.cooldown_ms or 0, wish.cooldown_ms or 0),
        budget=_tighter(base.budget, wish.budget),
    )


def _without(these: Collection[str], others: Collection[str]) -> list[str]:
    return sorted(set(these) - set(others))


def _tighter(base: Budget | None, wish: Budget | None) -> Budget | None:
    if base is None or wish is None:
        return base or wish
    return Budget(max_changes=min(base.max_changes, wish.max_changes), window_ms=max(base.window_ms, wish.window_ms))


def _widens(path: str, text: str) -> Problem:
    return Problem(path=path, code="widens", message=f"{text}: a catalog of your own can only narrow")
