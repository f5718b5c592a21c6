"""A passport is read exactly or not at all, and none that widens anything is one."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.passports.documents import FULL, data, passports

from modekeeper.model.decision import Actuation
from modekeeper.model.errors import BadInputError
from modekeeper.passports.passport import Approval, Passport, passport_bytes, passport_ref
from modekeeper.passports.passport_check import LONGEST_PASSPORT_BYTES
from modekeeper.passports.reading import check_passport, parse_passport
from modekeeper.passports.templates import TEMPLATES, default_passport, load_template, template_bytes
from modekeeper.policy.catalog import load_default


def test_a_passport_is_read_as_it_was_written() -> None:
    found = parse_passport(data())
    assert found.name == "vision-train"
    assert found.targets is not None
    assert found.targets.namespaces == ("ml", "vision")
    assert found.actuations == (Actuation.HOT,)
    assert (found.knobs["concurrency"].min, found.knobs["concurrency"].max) == (2.0, 16.0)
    assert found.budget is not None
    assert found.budget.max_changes == 2
    assert found.approval.chords == {"DRIFT-RETUNE": Approval.SIGNED}


@given(passports())
@settings(max_examples=200, deadline=None)
def test_what_is_written_is_read_back(passport: Passport) -> None:
    again = parse_passport(passport_bytes(passport))
    assert again == passport
    assert passport_ref(again) == passport_ref(passport)
    assert passport_bytes(again) == passport_bytes(passport)


@given(passports(), passports())
@settings(max_examples=100, deadline=None)
def test_two_passports_have_one_digest_only_where_they_are_the_same(one: Passport, other: Passport) -> None:
    assert (passport_ref(one).digest == passport_ref(other).digest) is (one == other)


@pytest.mark.parametrize(
    "same",
    [
        {"cooldown_s": 3600.0},
        {"chords": ["RECOVER-RELOCK", "DRIFT-RETUNE"]},
        {"targets": {"names": ["trainer"], "kinds": ["Deployment"], "namespaces": ["vision", "ml"]}},
        {"knobs": {"dataloader_num_workers": {"max": 16, "min": 2, "max_step": 2.0}}},
    ],
)
def test_how_a_passport_was_spelled_does_not_count(same: dict[str, Any]) -> None:
    assert passport_ref(parse_passport(data(**same))) == passport_ref(parse_passport(data()))


def test_there_is_one_zero() -> None:
    zeros = [parse_passport(data(cooldown_s=0).replace(b'"cooldown_s": 0', text)) for text in ZEROS]
    assert len({passport_ref(zero).digest for zero in zeros}) == 1


ZEROS = (b'"cooldown_s": 0', b'"cooldown_s": -0', b'"cooldown_s": -0.0', b'"cooldown_s": 0e9')


def text(old: str, new: str) -> Callable[[], bytes]:
    """The full document with some of its text replaced."""

    def make() -> bytes:
        changed = data().decode().replace(old, new, 1)
        assert changed != data().decode()
        return changed.encode()

    return make


def field(**changes: Any) -> Callable[[], bytes]:
    return lambda: data(**changes)


def approval(**changes: Any) -> Callable[[], bytes]:
    return lambda: data(approval=FULL["approval"] | changes)


def knob(name: str = "concurrency", **limit: Any) -> Callable[[], bytes]:
    return lambda: data(knobs={name: limit})


ATTACKS: dict[str, tuple[Callable[[], bytes], str]] = {
    # The form of the document.
    "nothing": (lambda: b"", "invalid_json"),
    "no object": (lambda: b"[]", "wrong_type"),
    "null": (lambda: b"null", "wrong_type"),
    "two documents": (lambda: data() + data(), "invalid_json"),
    "cut off": (lambda: data()[:-1], "invalid_json"),
    "a byte-order mark": (lambda: b"\xef\xbb\xbf" + data(), "byte_order_mark"),
    "UTF-16": (lambda: data().decode().encode("utf-16"), "not_utf8"),
    "too large": (lambda: data() + b" " * LONGEST_PASSPORT_BYTES, "too_large"),
    "nested deep": (lambda: data(title=...).replace(b"{", b'{"title":' + b"[" * 99 + b"]" * 99 + b",", 1), "too_deep"),
    "nested deeper than any stack": (lambda: b"[" * 30_000, "too_deep"),
    "half of a surrogate pair": (text("What the", "\\ud800"), "bad_text"),
    "another schema": (field(schema_version="passport.v1"), "wrong_schema_version"),
    "a schema that is a list": (field(schema_version=["passport.v0"]), "wrong_schema_version"),
    "no schema": (field(schema_version=...), "missing_field"),
    # One reader sees this, another that.
    "a key given twice": (text('"cooldown_s": 3600', '"cooldown_s": 3600, "cooldown_s": 0'), "duplicate_key"),
    "approval given twice": (text('"hot": "operator"', '"hot": "operator", "hot": "none"'), "duplicate_key"),
    "a key given twice, escaped once": (
        text('"cooldown_s": 3600', '"cooldown_s": 3600, "c\\u006foldown_s": 0'),
        "duplicate_key",
    ),
    "a knob under two names": (
        field(knobs={"concurrency": {"max": 4}, "dataloader_num_workers": {"max": 128}}),
        "duplicate_entry",
    ),
    "a chord twice": (field(chords=["DRIFT-RETUNE", "DRIFT-RETUNE", "RECOVER-RELOCK"]), "duplicate_entry"),
    "a metric twice": (
        field(invariants=[{"metric": "loss", "not_worse_rel": 0}, {"metric": "loss", "not_worse_rel": 1}]),
        "duplicate_entry",
    ),
    # What is not known might be meant to do something.
    "a field too many": (field(allow_all=True), "unknown_field"),
    "a field too many in approval": (approval(everything="none"), "unknown_field"),
    "a field too many in a limit": (knob(max=4, maximum=128), "unknown_field"),
    "a field too many in targets": (field(targets={"clusters": ["x"]}), "unknown_field"),
    "a field too many in the budget": (
        field(budget={"max_changes": 1, "window_s": 9, "refill": True}),
        "unknown_field",
    ),
    "a mistyped field": (field(cooldown_s=..., cooldown=60), "unknown_field"),
    # Words that look like others.
    "a chord with a hyphen of its own": (field(chords=["DRIFT\u2011RETUNE", "RECOVER-RELOCK"]), "unknown_chord"),
    "a chord with a Cyrillic letter": (field(chords=["DRIFT-R\u0415TUNE", "RECOVER-RELOCK"]), "unknown_chord"),
    "a chord in full width": (field(chords=["\uff24RIFT-RETUNE", "RECOVER-RELOCK"]), "unknown_chord"),
    "a chord with something nobody sees": (field(chords=["DRIFT-RETUNE\u200b", "RECOVER-RELOCK"]), "unknown_chord"),
    "a chord with a blank": (field(chords=["DRIFT-RETUNE ", "RECOVER-RELOCK"]), "unknown_chord"),
    "a chord in small letters": (field(chords=["drift-retune", "RECOVER-RELOCK"]), "unknown_chord"),
    "any chord": (field(chords=["*"]), "unknown_chord"),
    "a chord that is no word": (field(chords=[1, "RECOVER-RELOCK"]), "wrong_type"),
    "chords in one word": (field(chords="DRIFT-RETUNE"), "wrong_type"),
    "an actuation in capitals": (field(actuations=["HOT"]), "unknown_actuation"),
    "an actuation that is none": (field(actuations=["lukewarm"]), "unknown_actuation"),
    "approval by a look-alike": (approval(hot="n\u043ene"), "unknown_approval"),
    "approval by a number": (approval(hot=0), "wrong_type"),
    "approval by nobody": (approval(hot=None), "wrong_type"),
    "a namespace that is a pattern": (field(targets={"namespaces": ["*"]}), "bad_name"),
    "a namespace with a line break": (field(targets={"namespaces": ["ml\n"]}), "bad_name"),
    "a namespace with a look-alike": (field(targets={"namespaces": ["\u043cl"]}), "bad_name"),
    "a name that is a path": (field(targets={"names": ["../trainer"]}), "bad_name"),
    "a kind nobody knows": (field(targets={"kinds": ["Pod"]}), "unknown_kind"),
    "a kind with a Turkish i": (field(targets={"kinds": ["PyTorchJob\u0130"]}), "unknown_kind"),
    "for no namespace at all": (field(targets={"namespaces": []}), "empty"),
    "a metric nobody knows": (field(invariants=[{"metric": "happiness", "not_worse_rel": 0}]), "unknown_metric"),
    "a knob nobody knows": (knob("con\u0441urrency", max=4), "unknown_knob"),
    "a name with an escape": (field(name="a\u001b[31m"), "bad_name"),
    "a name with a line break": (field(name="a\n"), "bad_name"),
    "a passport that is called like a path": (field(name="../safe"), "bad_name"),
    "the name of a template": (field(name="safe"), "reserved_name"),
    "the name of the other template": (field(name="pilot"), "reserved_name"),
    "a title of two lines": (field(title="one\ntwo"), "bad_text"),
    "a title that turns the text around": (field(title="\u202egnihton"), "bad_text"),
    "an endless title": (field(title="x" * 121), "bad_text"),
    # Numbers.
    "not a number": (text('"cooldown_s": 3600', '"cooldown_s": NaN'), "not_a_number"),
    "endless": (text('"cooldown_s": 3600', '"cooldown_s": Infinity'), "not_a_number"),
    "a number that overflows": (text('"cooldown_s": 3600', '"cooldown_s": 1e999'), "not_a_number"),
    "a number of thousands of digits": (text("3600", "9" * 5000), "not_a_number"),
    "a number no float holds": (text("3600", "1" + "0" * 400), "out_of_range"),
    "a cooldown below nothing": (field(cooldown_s=-1), "out_of_range"),
    "a cooldown of years": (field(cooldown_s=10**9), "out_of_range"),
    "a cooldown that is true": (field(cooldown_s=True), "wrong_type"),
    "a cooldown in words": (field(cooldown_s="1h"), "wrong_type"),
    "a cooldown of null": (field(cooldown_s=None), "wrong_type"),
    "a budget below nothing": (field(budget={"max_changes": -1, "window_s": 9}), "out_of_range"),
    "a budget of a fraction": (field(budget={"max_changes": 1.5, "window_s": 9}), "wrong_type"),
    "a budget in no time": (field(budget={"max_changes": 9, "window_s": 1e-9}), "out_of_range"),
    "half of a budget": (field(budget={"max_changes": 9}), "missing_field"),
    "a limit below the registry's": (knob(min=-5), "out_of_range"),
    "a limit above the registry's": (knob(max=100_000), "out_of_range"),
    "a limit between two values": (knob(max=2.5), "no_value"),
    "limits the wrong way round": (knob(min=8, max=4), "empty"),
    "no limit": (knob(), "empty"),
    "a step of nothing": (knob(max_step=0), "out_of_range"),
    "a step below nothing": (knob(max_step=-1), "out_of_range"),
    "a metric that may get better only": (
        field(invariants=[{"metric": "loss", "not_worse_rel": -0.5}]),
        "out_of_range",
    ),
    "a metric that may get endlessly worse": (
        field(invariants=[{"metric": "loss", "not_worse_rel": 1e9}]),
        "out_of_range",
    ),
    # What would be more than the product allows.
    "steps of more than the double": (field(max_delta_per_step=1.01), "out_of_range"),
    "cold without approval": (approval(cold="none"), "widens"),
    "advanced without approval": (approval(advanced="none"), "widens"),
    "one chord without approval": (approval(chords={"DRIFT-RETUNE": "none"}), "widens"),
    "approval of a chord that is not allowed": (approval(chords={"TIMEOUT-GUARD": "operator"}), "not_allowed"),
    "no word on approval": (field(approval=...), "missing_field"),
    "no word on cold approval": (lambda: data(approval={"hot": "none", "advanced": "operator"}), "missing_field"),
    "a change without a way back": (field(chords=["DRIFT-RETUNE"]), "way_back_missing"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_is_not_quite_a_passport_is_none(attack: str) -> None:
    make, code = ATTACKS[attack]
    check = check_passport(make())
    assert check.passport is None
    assert code in {problem.code for problem in check.problems}
    assert all(problem.message.isprintable() and problem.path.isprintable() for problem in check.problems)
    with pytest.raises(BadInputError) as error:
        parse_passport(make())
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 2000


def test_the_document_the_attacks_are_made_from_is_good() -> None:
    assert check_passport(data()).passport is not None


@pytest.mark.parametrize("letter", ["\u0415", "\u2011", "\u200b"])
def test_a_look_alike_is_spelled_out(letter: str) -> None:
    (problem, *_) = check_passport(data(chords=[f"DRIFT{letter}RETUNE", "RECOVER-RELOCK"])).problems
    assert letter not in problem.message
    assert "\\u" in problem.message


def test_every_problem_is_named_and_endless_ones_are_counted() -> None:
    codes = {p.code for p in check_passport(data(name="X", cooldown_s=-1, actuations=["x"])).problems}
    assert {"bad_name", "out_of_range", "unknown_actuation"} <= codes
    many = check_passport(data(**{f"x{n}": 1 for n in range(900)}))
    assert len(many.problems) == 501
    assert many.problems[-1].code == "more_problems"


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(noise: bytes) -> None:
    assert check_passport(noise).passport is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(FULL)), JSON)
@settings(max_examples=300, deadline=None)
def test_no_value_of_a_field_breaks_the_reader(name: str, value: Any) -> None:
    check = check_passport(data(**{name: value}))
    assert (check.passport is None) is bool(check.problems)


@given(st.integers(0, len(data()) - 1), st.integers(0, 255))
@settings(max_examples=200, deadline=None)
def test_a_damaged_byte_gives_another_passport_or_none(place: int, byte: int) -> None:
    """What is accepted is always written back as what was read, never as something in between."""
    damaged = bytearray(data())
    damaged[place] = byte
    found = check_passport(bytes(damaged)).passport
    if found is not None:
        assert parse_passport(passport_bytes(found)) == found


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_is_what_its_file_says(name: str) -> None:
    found = load_template(name)
    assert found.name == name
    assert parse_passport(template_bytes(name)) == found
    written = json.loads(template_bytes(name))
    assert sorted(written["chords"]) == list(found.chords)


def test_safe_asks_for_nothing_the_product_does_not() -> None:
    safe = default_passport()
    assert safe.chords == tuple(chord.id for chord in load_default().chords)
    assert set(safe.actuations) == set(Actuation)
    assert (safe.targets, safe.max_delta_per_step, safe.cooldown_s, safe.budget) == (None, None, None, None)
    assert (safe.knobs, safe.invariants, safe.approval.chords) == ({}, (), {})
    assert (safe.approval.hot, safe.approval.cold, safe.approval.advanced) == (
        Approval.NONE,
        Approval.OPERATOR,
        Approval.OPERATOR,
    )


def test_pilot_lets_nothing_happen_by_itself() -> None:
    pilot = load_template("pilot")
    assert pilot.actuations == (Actuation.HOT,)
    assert "TIMEOUT-GUARD" not in pilot.chords
    assert Approval.NONE not in {pilot.approval.hot, pilot.approval.cold, pilot.approval.advanced}


def test_there_is_no_third_template() -> None:
    with pytest.raises(KeyError):
        template_bytes("../policy/data/chord_catalog")
