"""Is a document a chord catalog? Every problem is named, not the first one only."""

import re
from typing import Any

import msgspec

from modekeeper.model.decision import RiskTier
from modekeeper.model.signal import SignalKind
from modekeeper.policy.chord_spec import CATALOG_SCHEMA, Budget, Catalog, ChordSpec
from modekeeper.policy.document_check import MISSING, DocumentChecker, bounded
from modekeeper.policy.knobs import ACCUMULATION, MICROBATCH, find_knob
from modekeeper.policy.strict_json import Problem, child, read_strict
from modekeeper.policy.vocabulary import INVARIANTS
from modekeeper.policy.wording import shown

__all__ = ["LONGEST_CATALOG_BYTES", "CatalogCheck", "validate_catalog"]

LONGEST_CATALOG_BYTES = 256 * 1024
MOST_CHORDS = 100
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
        return CatalogCheck(problems=bounded(checker.problems), catalog=None)
    ordered = tuple(sorted(chords, key=lambda chord: chord.id))
    return CatalogCheck(problems=(), catalog=Catalog(schema_version=CATALOG_SCHEMA, chords=ordered))


class _Checker(DocumentChecker):
    """Walks a chord catalog."""

    def document(self, value: Any) -> list[ChordSpec]:
        fields = self._object(value, "$", required=_TOP_FIELDS, optional=())
        if fields is None:
            return []
        version = fields.get("schema_version", MISSING)
        if version is not MISSING and version != CATALOG_SCHEMA:
            self._add("$.schema_version", "wrong_schema_version", f"must be {CATALOG_SCHEMA!r}")
        chords = fields.get("chords", MISSING)
        if chords is MISSING:
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

    def _unknown_field(self, path: str, name: str, known: tuple[str, ...]) -> None:
        if name.lower() in _VALUE_FIELDS:
            text = "a catalog holds no values: targets are decided from evidence at run time; remove this field"
            self._add(path, "target_value_forbidden", text)
            return
        super()._unknown_field(path, name, known)

    def _signal(self, word: str, path: str) -> str | None:
        return self._known_word(word, path, "unknown_signal", [kind.value for kind in SignalKind])

    def _invariant(self, word: str, path: str) -> str | None:
        return self._known_word(word, path, "unknown_invariant", sorted(INVARIANTS))
