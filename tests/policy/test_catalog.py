"""The catalog validator: what it takes, and everything it must not."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modekeeper.model.decision import RiskTier
from modekeeper.policy.catalog import Problem, catalog_digest, load_default, validate_catalog
from modekeeper.policy.knobs import KNOBS

SAFE_IDS = {"NORMAL-HOLD", "DRIFT-RETUNE", "BURST-ABSORB", "INPUT-STRAGGLER", "RECOVER-RELOCK"}
CHORD: dict[str, Any] = {
    "id": "MY-CHORD",
    "intent": "Turn one knob.",
    "risk_tier": "safe",
    "required_signals": ["drift"],
    "invariants": ["loss_not_worse"],
    "knobs_touched": ["concurrency"],
}


def document(*chords: dict[str, Any], **top: Any) -> bytes:
    return json.dumps({"schema_version": "chord_catalog.v1", "chords": list(chords), **top}).encode()


def chord(**fields: Any) -> dict[str, Any]:
    return {**CHORD, **fields}


def codes(data: bytes) -> set[tuple[str, str]]:
    check = validate_catalog(data)
    assert check.ok is not bool(check.problems)
    assert all(is_one_plain_line(problem) for problem in check.problems)
    return {(problem.path, problem.code) for problem in check.problems}


def is_one_plain_line(problem: Problem) -> bool:
    return problem.message.isprintable() and problem.path.isprintable() and len(problem.message) < 400


def test_the_built_in_catalog_has_the_chords_of_the_first_version() -> None:
    catalog = load_default()
    assert {c.id for c in catalog.chords if c.risk_tier is RiskTier.SAFE} == SAFE_IDS
    assert {c.id for c in catalog.chords if c.risk_tier is RiskTier.ADVANCED} == {"TIMEOUT-GUARD"}
    advanced = {knob.name for knob in KNOBS if knob.tier is RiskTier.ADVANCED}
    assert not any(advanced & set(c.knobs_touched) for c in catalog.chords if c.id in SAFE_IDS)


def test_every_acting_chord_of_the_built_in_catalog_has_a_cooldown_and_a_budget() -> None:
    acting = [c for c in load_default().chords if c.knobs_touched]
    assert acting
    assert all(c.cooldown_ms and c.budget for c in acting)


def test_the_digest_of_the_built_in_catalog_is_stable() -> None:
    assert catalog_digest(load_default()) == "sha256:a8e5ff33d80bf859eb45972840baebf747942e56f9ccbf91222e8e11f56e16a7"


def test_a_small_catalog_is_taken() -> None:
    check = validate_catalog(document(CHORD))
    assert check.ok
    assert check.catalog is not None
    assert [c.id for c in check.catalog.chords] == ["MY-CHORD"]


def test_an_empty_catalog_is_taken() -> None:
    assert codes(document()) == set()


def test_an_alias_of_a_knob_is_taken_as_the_knob() -> None:
    check = validate_catalog(document(chord(knobs_touched=["dataloader_num_workers"])))
    assert check.catalog is not None
    assert check.catalog.chords[0].knobs_touched == ("concurrency",)


def test_the_order_of_words_and_chords_does_not_change_the_digest() -> None:
    one = chord(id="AA", invariants=["loss_not_worse", "memory_ceiling"])
    other = chord(id="AA", invariants=["memory_ceiling", "loss_not_worse"])
    first, second = (validate_catalog(d) for d in (document(one, CHORD), document(CHORD, other)))
    assert first.catalog is not None
    assert second.catalog is not None
    assert catalog_digest(first.catalog) == catalog_digest(second.catalog)


COOLDOWN_X = document(chord(cooldown_ms="X"))

ATTACKS: dict[str, tuple[bytes, set[tuple[str, str]]]] = {
    "nothing": (b"", {("$", "invalid_json")}),
    "not json": (b"{", {("$", "invalid_json")}),
    "two documents": (document() + document(), {("$", "invalid_json")}),
    "null": (b"null", {("$", "wrong_type")}),
    "a list": (b"[]", {("$", "wrong_type")}),
    "a byte-order mark": (b"\xef\xbb\xbf" + document(), {("$", "byte_order_mark")}),
    "not utf-8": (b'{"schema_version": "\xff"}', {("$", "not_utf8")}),
    "utf-16": (document().decode().encode("utf-16"), {("$", "not_utf8")}),
    "too large": (b" " * (256 * 1024 + 1), {("$", "too_large")}),
    "deep lists": (b"[" * 100_000, {("$", "too_deep")}),
    "deep objects": (b'{"a":' * 40 + b"1" + b"}" * 40, {("$", "too_deep")}),
    "a bracket in a text is not deep": (document(chord(intent="[" * 100)), set()),
    "quotes without end": (b'"\\"' * 60_000, {("$", "invalid_json")}),
    "nan": (document(CHORD).replace(b'"Turn one knob."', b"NaN"), {("$", "not_a_number")}),
    "minus infinity": (COOLDOWN_X.replace(b'"X"', b"-Infinity"), {("$", "not_a_number")}),
    "a number beyond floats": (
        COOLDOWN_X.replace(b'"X"', b"1e999"),
        {("$", "not_a_number")},
    ),
    "a number of many digits": (
        COOLDOWN_X.replace(b'"X"', b"9" * 5000),
        {("$", "not_a_number")},
    ),
    "half a surrogate pair": (
        document(chord(intent="\ud800")),
        {("$.chords[0].intent", "bad_text")},
    ),
    "half a pair as a key": (
        document(**{"\ud800": 1}),
        {('$["\\\\ud800"]', "bad_text"), ('$["\\\\ud800"]', "unknown_field")},
    ),
    "no fields": (b"{}", {("$.schema_version", "missing_field"), ("$.chords", "missing_field")}),
    "wrong version": (
        document(schema_version="chord_catalog.v2"),
        {("$.schema_version", "wrong_schema_version")},
    ),
    "version of another type": (document(schema_version=1), {("$.schema_version", "wrong_schema_version")}),
    "an extra field": (document(owner="me"), {("$.owner", "unknown_field")}),
    "chords as an object": (document(chords={}), {("$.chords", "wrong_type")}),
    "too many chords": (document(*[CHORD] * 101), {("$.chords", "too_many")}),
    "a chord that is a text": (document(chords=["MY-CHORD"]), {("$.chords[0]", "wrong_type")}),
    "a key given twice": (
        b'{"schema_version":"chord_catalog.v1","schema_version":"chord_catalog.v1","chords":[]}',
        {("$.schema_version", "duplicate_key")},
    ),
    "a tier given twice": (
        document(CHORD).replace(b'"risk_tier": "safe"', b'"risk_tier": "advanced", "risk_tier": "safe"'),
        {("$.chords[0].risk_tier", "duplicate_key")},
    ),
    "an id given twice": (document(CHORD, CHORD), {("$.chords[1].id", "duplicate_id")}),
    "a target": (document(chord(target=8)), {("$.chords[0].target", "target_value_forbidden")}),
    "values": (document(chord(values={"concurrency": 8})), {("$.chords[0].values", "target_value_forbidden")}),
    "Value": (document(chord(Value=8)), {("$.chords[0].Value", "target_value_forbidden")}),
    "a target inside a knob": (
        document(chord(knobs_touched=[{"name": "concurrency", "target": 8}])),
        {("$.chords[0].knobs_touched[0]", "wrong_type")},
    ),
    "a target inside the budget": (
        document(chord(budget={"max_changes": 1, "window_ms": 1000, "value": 3})),
        {("$.chords[0].budget.value", "target_value_forbidden")},
    ),
    "a mistyped field": (document(chord(cooldown=5)), {("$.chords[0].cooldown", "unknown_field")}),
    "an unknown knob": (
        document(chord(knobs_touched=["concurency"])),
        {("$.chords[0].knobs_touched[0]", "unknown_knob")},
    ),
    "a knob listed twice": (
        document(chord(knobs_touched=["concurrency", "dataloader_num_workers"])),
        {("$.chords[0].knobs_touched", "duplicate_entry")},
    ),
    "an unknown signal": (
        document(chord(required_signals=["drifting"])),
        {("$.chords[0].required_signals[0]", "unknown_signal")},
    ),
    "an unknown invariant": (
        document(chord(invariants=["always_fast"])),
        {("$.chords[0].invariants[0]", "unknown_invariant")},
    ),
    "words that are no words": (
        document(chord(invariants=[1, None, True, [], {}])),
        {(f"$.chords[0].invariants[{n}]", "wrong_type") for n in range(5)},
    ),
    "too many words": (
        document(chord(invariants=["loss_not_worse"] * 33)),
        {("$.chords[0].invariants", "too_many")},
    ),
    "words as one text": (
        document(chord(knobs_touched="concurrency")),
        {("$.chords[0].knobs_touched", "wrong_type")},
    ),
    "a safe timeout": (
        document(chord(knobs_touched=["timeout_ms"])),
        {("$.chords[0].knobs_touched", "advanced_knob_in_safe_chord")},
    ),
    "an advanced chord without approval": (
        document(chord(risk_tier="advanced")),
        {("$.chords[0].invariants", "approval_missing")},
    ),
    "a tier nobody knows": (
        document(chord(risk_tier="harmless")),
        {("$.chords[0].risk_tier", "unknown_risk_tier")},
    ),
    "a tier in capitals": (document(chord(risk_tier="SAFE")), {("$.chords[0].risk_tier", "unknown_risk_tier")}),
    "half a batch": (
        document(chord(knobs_touched=["microbatch_size"], invariants=["global_batch"])),
        {("$.chords[0].knobs_touched", "half_of_a_pair")},
    ),
    "a batch that is not kept": (
        document(chord(knobs_touched=["microbatch_size", "grad_accum_steps"])),
        {("$.chords[0].invariants", "global_batch_missing")},
    ),
    "a negative cooldown": (document(chord(cooldown_ms=-1)), {("$.chords[0].cooldown_ms", "out_of_range")}),
    "a cooldown for ever": (document(chord(cooldown_ms=10**12)), {("$.chords[0].cooldown_ms", "out_of_range")}),
    "a cooldown with a fraction": (document(chord(cooldown_ms=1.5)), {("$.chords[0].cooldown_ms", "wrong_type")}),
    "a cooldown that is true": (document(chord(cooldown_ms=True)), {("$.chords[0].cooldown_ms", "wrong_type")}),
    "a cooldown of null": (document(chord(cooldown_ms=None)), {("$.chords[0].cooldown_ms", "wrong_type")}),
    "no budget at all": (document(chord(budget=None)), {("$.chords[0].budget", "wrong_type")}),
    "half a budget": (
        document(chord(budget={"max_changes": 3})),
        {("$.chords[0].budget.window_ms", "missing_field")},
    ),
    "a budget of nothing": (
        document(chord(budget={"max_changes": 0, "window_ms": 1})),
        {("$.chords[0].budget.max_changes", "out_of_range"), ("$.chords[0].budget.window_ms", "out_of_range")},
    ),
    "an id in small letters": (document(chord(id="my-chord")), {("$.chords[0].id", "bad_id")}),
    "an id with a line break": (document(chord(id="MY-CHORD\n")), {("$.chords[0].id", "bad_id")}),
    "an id that is a command": (document(chord(id="A;$(rm -rf /)")), {("$.chords[0].id", "bad_id")}),
    "an id of one letter": (document(chord(id="A")), {("$.chords[0].id", "bad_id")}),
    "an id of 65 letters": (document(chord(id="A" * 65)), {("$.chords[0].id", "bad_id")}),
    "an id that is a number": (document(chord(id=7)), {("$.chords[0].id", "wrong_type")}),
    "an intent with an escape": (document(chord(intent="x\x1b[2J")), {("$.chords[0].intent", "bad_text")}),
    "an intent without text": (document(chord(intent="")), {("$.chords[0].intent", "bad_text")}),
    "a hostile key": (document(**{"a\n\x1b[2J\u202e": 1}), {('$["a\\\\n\\\\x1b[2J\\\\u202e"]', "unknown_field")}),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_what_is_wrong_is_named_with_its_place(name: str) -> None:
    data, expected = ATTACKS[name]
    assert codes(data) == expected


def test_every_problem_is_listed_not_the_first_one_only() -> None:
    worst = {"id": "x", "intent": 3, "risk_tier": "?", "required_signals": ["?"], "invariants": {}, "target": 1}
    assert codes(document(worst, CHORD, CHORD, owner=1)) == {
        ("$.owner", "unknown_field"),
        ("$.chords[0].id", "bad_id"),
        ("$.chords[0].intent", "wrong_type"),
        ("$.chords[0].risk_tier", "unknown_risk_tier"),
        ("$.chords[0].required_signals[0]", "unknown_signal"),
        ("$.chords[0].invariants", "wrong_type"),
        ("$.chords[0].knobs_touched", "missing_field"),
        ("$.chords[0].target", "target_value_forbidden"),
        ("$.chords[2].id", "duplicate_id"),
    }


def test_a_mistyped_word_gets_a_suggestion() -> None:
    data = document(chord(knobs_touched=["dataloader_prefetch"], required_signals=["drfit"], invariants=["aproval"]))
    said = " ".join(problem.message for problem in validate_catalog(data).problems)
    for meant in ("'dataloader_prefetch_factor'", "'drift'", "'approval'"):
        assert f"did you mean {meant}?" in said


def test_a_document_that_is_wrong_all_over_has_a_bounded_answer() -> None:
    noise = {f"field{n}": n for n in range(12_000)}
    problems = validate_catalog(document(**noise)).problems
    assert len(problems) == 501
    assert (problems[-1].code, problems[-1].message) == ("more_problems", "11500 more, not listed")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from([*CHORD, "cooldown_ms", "budget", "target"]), json_values))
def test_no_document_breaks_the_validator(fields: dict[str, Any]) -> None:
    codes(json.dumps({"schema_version": "chord_catalog.v1", "chords": [{**CHORD, **fields}]}).encode())


@given(st.binary(max_size=200))
def test_no_bytes_break_the_validator(data: bytes) -> None:
    assert not validate_catalog(data).ok
