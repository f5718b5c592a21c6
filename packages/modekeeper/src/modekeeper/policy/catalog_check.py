"""Is a document a chord catalog? Every problem is named, not the first one only."""

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from modekeeper.model.decision import RiskTier
from modekeeper.model.signal import SignalKind
from modekeeper.policy.chord_spec import CATALOG_SCHEMA, Budget, Catalog, ChordSpec
from modekeeper.policy.knobs import ACCUMULATION, MICROBATCH, find_knob, similar_knob
from modekeeper.policy.strict_json import Problem, child, read_strict
from modekeeper.policy.vocabulary import INVARIANTS
from modekeeper.policy.wording import shown

__all__ = ["LONGEST_CATALOG_BYTES", "CatalogCheck", "validate_catalog"]

LONGEST_CATALOG_BYTES = 256 * 1024
MOST_CHORDS = 100
MOST_WORDS = 32
MOST_PROBLEMS = 500
"""What is listed of a document that is wrong all over; the count beyond is said."""
LONGEST_INTENT = 300
LONGEST_MS = 30 * 24 * 3600 * 1000
SHORTEST_WINDOW_MS = 1000
MOST_CHANGES = 1000

_ID = re.compile(r"[A-Z][A-Z0-9-]{1,63}")
_TOP_FIELDS = ("schema_version", "chords")
_REQUIRED = ("id", "intent", "risk_tier", "required_signals", "invariants", "knobs_touched")
_OPTIONAL = ("cooldown_ms", "budget")
_VALUE_FIELDS = frozenset(
    {"target", "targets", "value", "values", "target_value", "target_values", "set", "set_to", "delta", "actions"}
)
_MISSING = object()


class CatalogCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What was found. ``catalog`` is there exactly when there is no problem."""

    problems: tuple[Problem, ...]
    catalog: Catalog | None

    @property
    def ok(self) -> bool:
        """Whether the document may be used."""
        return self.catalog is not None


def validate_catalog(data: bytes) -> CatalogCheck:
    """Check the bytes of a ``chord_catalog.v1`` document. Never raises."""
    document, faults = read_strict(data, longest=LONGEST_CATALOG_BYTES)
    checker = _Checker(faults)
    chords = [] if document is None and faults else checker.document(document)
    if checker.problems:
        return CatalogCheck(problems=_bounded(checker.problems), catalog=None)
    ordered = tuple(sorted(chords, key=lambda chord: chord.id))
    return CatalogCheck(problems=(), catalog=Catalog(schema_version=CATALOG_SCHEMA, chords=ordered))


def _bounded(problems: list[Problem]) -> tuple[Problem, ...]:
    if len(problems) <= MOST_PROBLEMS:
        return tuple(problems)
    more = Problem(path="$", code="more_problems", message=f"{len(problems) - MOST_PROBLEMS} more, not listed")
    return (*problems[:MOST_PROBLEMS], more)


class _Checker:
    """Walks a document and writes down what is wrong with it."""

    def __init__(self, faults: Iterable[Problem]) -> None:
        self.problems = list(faults)

    def document(self, value: Any) -> list[ChordSpec]:
        fields = self._object(value, "$", required=_TOP_FIELDS, optional=())
        if fields is None:
            return []
        version = fields.get("schema_version", _MISSING)
        if version is not _MISSING and version != CATALOG_SCHEMA:
            self._add("$.schema_version", "wrong_schema_version", f"must be {CATALOG_SCHEMA!r}")
        chords = fields.get("chords", _MISSING)
        if chords is _MISSING:
            return []
        if not isinstance(chords, list):
            self._wrong_type("$.chords", chords, "a list")
            return []
        if len(chords) > MOST_CHORDS:
            self._add("$.chords", "too_many", f"{len(chords)} chords; at most {MOST_CHORDS}")
            return []
        made = [self._chord(chord, child("$.chords", position)) for position, chord in enumerate(chords)]
        self._same_ids(chords)
        return [chord for chord in made if chord is not None]

    def _same_ids(self, chords: list[Any]) -> None:
        first: dict[str, int] = {}
        for position, chord in enumerate(chords):
            chord_id = chord.get("id") if isinstance(chord, dict) else None
            if not isinstance(chord_id, str):
                continue
            if chord_id in first:
                text = f"{shown(chord_id)} is already $.chords[{first[chord_id]}]"
                self._add(f"$.chords[{position}].id", "duplicate_id", text)
            first.setdefault(chord_id, position)

    def _chord(self, value: Any, path: str) -> ChordSpec | None:
        fields = self._object(value, path, required=_REQUIRED, optional=_OPTIONAL)
        if fields is None:
            return None
        before = len(self.problems)
        chord_id = self._chord_id(fields, child(path, "id"))
        intent = self._intent(fields, child(path, "intent"))
        tier = self._tier(fields, child(path, "risk_tier"))
        signals = self._words(fields, path, "required_signals", self._signal)
        invariants = self._words(fields, path, "invariants", self._invariant)
        knobs = self._words(fields, path, "knobs_touched", self._knob)
        cooldown_ms = self._whole(fields, path, "cooldown_ms", 0, LONGEST_MS)
        budget = self._budget(fields, child(path, "budget"))
        self._coherent(path, tier, invariants, knobs)
        if len(self.problems) > before or tier is None:
            return None
        return ChordSpec(
            id=chord_id,
            intent=intent,
            risk_tier=tier,
            required_signals=tuple(SignalKind(word) for word in signals),
            invariants=invariants,
            knobs_touched=knobs,
            cooldown_ms=cooldown_ms,
            budget=budget,
        )

    def _chord_id(self, fields: dict[str, Any], path: str) -> str:
        value = self._text(fields, path, "id")
        if value is not None and not _ID.fullmatch(value):
            text = f"{shown(value)!r}: 2 to 64 capital letters, digits and dashes, a letter first"
            self._add(path, "bad_id", text)
        return value or ""

    def _intent(self, fields: dict[str, Any], path: str) -> str:
        value = self._text(fields, path, "intent")
        if value is not None and not (0 < len(value) <= LONGEST_INTENT and value.isprintable()):
            self._add(path, "bad_text", f"one printable line of 1 to {LONGEST_INTENT} characters")
        return value or ""

    def _tier(self, fields: dict[str, Any], path: str) -> RiskTier | None:
        value = self._text(fields, path, "risk_tier")
        if value is None:
            return None
        if value not in set(RiskTier):
            self._add(path, "unknown_risk_tier", f"{shown(value)!r}: 'safe' or 'advanced'")
            return None
        return RiskTier(value)

    def _budget(self, fields: dict[str, Any], path: str) -> Budget | None:
        if fields.get("budget") is None:
            if "budget" in fields:
                self._wrong_type(path, None, "an object")
            return None
        inner = self._object(fields["budget"], path, required=("max_changes", "window_ms"), optional=())
        if inner is None:
            return None
        most = self._whole(inner, path, "max_changes", 1, MOST_CHANGES)
        window_ms = self._whole(inner, path, "window_ms", SHORTEST_WINDOW_MS, LONGEST_MS)
        return None if most is None or window_ms is None else Budget(max_changes=most, window_ms=window_ms)

    def _coherent(self, path: str, tier: RiskTier | None, invariants: tuple[str, ...], knobs: tuple[str, ...]) -> None:
        """What no single field can show: a tier too low for its knobs, halves of a pair, a missing promise."""
        advanced = [n for n in knobs if (k := find_knob(n)) is not None and k.tier is RiskTier.ADVANCED]
        if tier is RiskTier.SAFE and advanced:
            text = f"a safe chord cannot touch {', '.join(advanced)}: make the chord advanced"
            self._add(child(path, "knobs_touched"), "advanced_knob_in_safe_chord", text)
        if tier is RiskTier.ADVANCED and "approval" not in invariants:
            self._add(child(path, "invariants"), "approval_missing", "an advanced chord must list 'approval'")
        halves = {MICROBATCH, ACCUMULATION} & set(knobs)
        if len(halves) == 1:
            text = f"{MICROBATCH} and {ACCUMULATION} only change together: list both or neither"
            self._add(child(path, "knobs_touched"), "half_of_a_pair", text)
        if halves and "global_batch" not in invariants:
            text = f"a chord that touches {' and '.join(sorted(halves))} must list 'global_batch'"
            self._add(child(path, "invariants"), "global_batch_missing", text)

    def _object(
        self, value: Any, path: str, *, required: tuple[str, ...], optional: tuple[str, ...]
    ) -> dict[str, Any] | None:
        if not isinstance(value, dict):
            self._wrong_type(path, value, "an object")
            return None
        for name in required:
            if name not in value:
                self._add(child(path, name), "missing_field", "this field is required")
        for name in value:
            if name not in required and name not in optional:
                self._unknown_field(child(path, name), name, (*required, *optional))
        return value

    def _unknown_field(self, path: str, name: str, known: tuple[str, ...]) -> None:
        if name.lower() in _VALUE_FIELDS:
            text = "a catalog holds no values: targets are decided from evidence at run time; remove this field"
            self._add(path, "target_value_forbidden", text)
            return
        near = self._similar(name, known)
        text = "no field of this object" + (f"; did you mean {near[0]!r}?" if near else "; remove it")
        self._add(path, "unknown_field", text)

    def _text(self, fields: dict[str, Any], path: str, name: str) -> str | None:
        value = fields.get(name, _MISSING)
        if value is _MISSING or isinstance(value, str):
            return value if isinstance(value, str) else None
        self._wrong_type(path, value, "a text")
        return None

    def _whole(self, fields: dict[str, Any], path: str, name: str, least: int, most: int) -> int | None:
        value, here = fields.get(name, _MISSING), child(path, name)
        if value is _MISSING:
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            self._wrong_type(here, value, "a whole number")
            return None
        if not least <= value <= most:
            self._add(here, "out_of_range", f"must be from {least} to {most}")
            return None
        return value

    def _words(
        self, fields: dict[str, Any], path: str, name: str, read: Callable[[str, str], str | None]
    ) -> tuple[str, ...]:
        value, here = fields.get(name, _MISSING), child(path, name)
        if value is _MISSING:
            return ()
        if not isinstance(value, list):
            self._wrong_type(here, value, "a list of words")
            return ()
        if len(value) > MOST_WORDS:
            self._add(here, "too_many", f"{len(value)} words; at most {MOST_WORDS}")
            return ()
        words: list[str] = []
        for position, word in enumerate(value):
            if not isinstance(word, str):
                self._wrong_type(child(here, position), word, "a word")
            elif (meant := read(word, child(here, position))) is not None:
                words.append(meant)
        for word, count in Counter(words).items():
            if count > 1:
                self._add(here, "duplicate_entry", f"{word!r} is listed {count} times")
        return tuple(sorted(words))

    def _signal(self, word: str, path: str) -> str | None:
        return self._known_word(word, path, "unknown_signal", [kind.value for kind in SignalKind])

    def _invariant(self, word: str, path: str) -> str | None:
        return self._known_word(word, path, "unknown_invariant", sorted(INVARIANTS))

    def _knob(self, word: str, path: str) -> str | None:
        knob = find_knob(word)
        if knob is None:
            near = similar_knob(word)
            hint = f"did you mean {near!r}?" if near else "see the list of knobs in the documentation"
            self._add(path, "unknown_knob", f"{shown(word)!r} is no knob; {hint}")
            return None
        return knob.name

    def _known_word(self, word: str, path: str, code: str, known: list[str]) -> str | None:
        if word in known:
            return word
        near = self._similar(word, known)
        hint = f"did you mean {near[0]!r}?" if near else f"one of {', '.join(known)}"
        self._add(path, code, f"{shown(word)!r} is not known; {hint}")
        return None

    def _similar(self, word: str, known: Sequence[str]) -> list[str]:
        """What a mistyped ``word`` may have meant; not looked for once nobody will read it."""
        if len(self.problems) > MOST_PROBLEMS:
            return []
        return difflib.get_close_matches(word[:64], known, n=1, cutoff=0.6)

    def _wrong_type(self, path: str, value: Any, wanted: str) -> None:
        names = {bool: "true or false", int: "a number", float: "a decimal number", str: "a text", list: "a list"}
        got = "null" if value is None else names.get(type(value), "an object")
        self._add(path, "wrong_type", f"must be {wanted}, not {got}")

    def _add(self, path: str, code: str, message: str) -> None:
        self.problems.append(Problem(path=path, code=code, message=message))
