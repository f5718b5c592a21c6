"""A catalog of one's own can only narrow the built-in one."""

import json
from typing import Any

import msgspec
import pytest

from modekeeper.model.decision import RiskTier
from modekeeper.policy.catalog import (
    Budget,
    Catalog,
    ChordSpec,
    choose_catalog,
    effective_catalog,
    find_chord,
    load_default,
)

DEFAULT = load_default()


def own(**changes: Any) -> bytes:
    """The built-in catalog with some fields of DRIFT-RETUNE changed; ``None`` takes a field out."""
    plain = json.loads(msgspec.json.encode(DEFAULT))
    for chord in plain["chords"]:
        for optional in ("budget", "cooldown_ms"):
            if chord[optional] is None:
                del chord[optional]
        if chord["id"] == "DRIFT-RETUNE":
            chord.update(changes)
            for name in [name for name, value in chord.items() if value is None]:
                del chord[name]
    return json.dumps(plain).encode()


def drift_retune(catalog: Catalog) -> ChordSpec:
    found = find_chord(catalog, "DRIFT-RETUNE")
    assert found is not None
    return found


BASE = drift_retune(DEFAULT)


def test_without_a_catalog_of_ones_own_the_built_in_one_is_in_force() -> None:
    choice = choose_catalog(DEFAULT, None)
    assert (choice.catalog, choice.trusted, choice.problems) == (DEFAULT, True, ())


def test_the_built_in_catalog_narrows_to_itself() -> None:
    choice = choose_catalog(DEFAULT, own())
    assert (choice.catalog, choice.trusted, choice.problems) == (DEFAULT, True, ())


@pytest.mark.parametrize("data", [b"", b"{}", own(target=5), own(knobs_touched=["timeout_ms"])])
def test_what_does_not_validate_is_untrusted_and_changes_nothing(data: bytes) -> None:
    choice = choose_catalog(DEFAULT, data)
    assert choice.catalog == DEFAULT
    assert not choice.trusted
    assert choice.problems


NARROWER: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "fewer knobs": ({"knobs_touched": ["concurrency"]}, {"knobs_touched": ("concurrency",)}),
    "a longer cooldown": ({"cooldown_ms": 900_000}, {"cooldown_ms": 900_000}),
    "no word on the cooldown": ({"cooldown_ms": None}, {"cooldown_ms": BASE.cooldown_ms}),
    "no word on the budget": ({"budget": None}, {"budget": BASE.budget}),
    "a smaller budget": (
        {"budget": {"max_changes": 1, "window_ms": 86_400_000}},
        {"budget": Budget(max_changes=1, window_ms=86_400_000)},
    ),
    "one more signal": (
        {"required_signals": ["drift", "data_starvation"]},
        {"required_signals": ("data_starvation", "drift")},
    ),
    "a higher tier": (
        {"risk_tier": "advanced", "invariants": [*BASE.invariants, "approval"]},
        {"risk_tier": RiskTier.ADVANCED, "invariants": tuple(sorted([*BASE.invariants, "approval"]))},
    ),
    "another wording": ({"intent": "Mine."}, {"intent": BASE.intent}),
}


@pytest.mark.parametrize("name", NARROWER)
def test_what_narrows_is_taken(name: str) -> None:
    changes, expected = NARROWER[name]
    choice = choose_catalog(DEFAULT, own(**changes))
    assert choice.problems == ()
    assert choice.trusted
    assert drift_retune(choice.catalog) == msgspec.structs.replace(BASE, **expected)


WIDER: dict[str, tuple[dict[str, Any], str]] = {
    "another knob": ({"knobs_touched": [*BASE.knobs_touched, "pin_memory"]}, "knobs_touched"),
    "a shorter cooldown": ({"cooldown_ms": 0}, "cooldown_ms"),
    "more changes": ({"budget": {"max_changes": 99, "window_ms": 86_400_000}}, "budget.max_changes"),
    "a shorter window": ({"budget": {"max_changes": 1, "window_ms": 1000}}, "budget.window_ms"),
    "one signal less": ({"required_signals": []}, "required_signals"),
    "one invariant less": (
        {"invariants": [word for word in BASE.invariants if word != "loss_not_worse"]},
        "invariants",
    ),
}


@pytest.mark.parametrize("name", WIDER)
def test_what_widens_is_refused_and_said(name: str) -> None:
    changes, field = WIDER[name]
    choice = choose_catalog(DEFAULT, own(**changes))
    assert [(p.path, p.code) for p in choice.problems] == [(f'$.chords[?@.id=="DRIFT-RETUNE"].{field}', "widens")]
    narrowed = drift_retune(choice.catalog)
    assert set(narrowed.knobs_touched) <= set(BASE.knobs_touched)
    assert set(narrowed.invariants) >= set(BASE.invariants)
    assert set(narrowed.required_signals) >= set(BASE.required_signals)
    assert narrowed.cooldown_ms == BASE.cooldown_ms
    assert narrowed.budget is not None
    assert BASE.budget is not None
    assert narrowed.budget.max_changes <= BASE.budget.max_changes
    assert narrowed.budget.window_ms >= BASE.budget.window_ms


def test_an_advanced_chord_cannot_be_made_safe() -> None:
    guard = find_chord(DEFAULT, "TIMEOUT-GUARD")
    assert guard is not None
    tame = msgspec.structs.replace(guard, risk_tier=RiskTier.SAFE)
    given = Catalog(schema_version=DEFAULT.schema_version, chords=(tame,))
    catalog, problems = effective_catalog(DEFAULT, given)
    assert find_chord(catalog, "TIMEOUT-GUARD") == guard
    assert [(p.path, p.code) for p in problems] == [('$.chords[?@.id=="TIMEOUT-GUARD"].risk_tier', "widens")]


def test_a_chord_of_ones_own_invention_is_refused() -> None:
    extra = msgspec.structs.replace(BASE, id="MY-CHORD")
    given = Catalog(schema_version=DEFAULT.schema_version, chords=(*DEFAULT.chords, extra))
    catalog, problems = effective_catalog(DEFAULT, given)
    assert catalog == DEFAULT
    assert [(p.path, p.code) for p in problems] == [('$.chords[?@.id=="MY-CHORD"].id', "widens")]


def test_chords_can_be_taken_out_except_the_one_that_does_nothing() -> None:
    catalog, problems = effective_catalog(DEFAULT, Catalog(schema_version=DEFAULT.schema_version, chords=()))
    assert [chord.id for chord in catalog.chords] == ["NORMAL-HOLD"]
    assert problems == ()
