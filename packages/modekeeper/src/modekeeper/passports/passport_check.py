"""Is a document a passport, and does it only narrow? Every problem is named, not the first one only."""

import math
import re
from collections.abc import Callable
from typing import Any

import msgspec

from modekeeper.model.decision import Actuation
from modekeeper.model.workload import WORKLOAD_KINDS, find_workload_kind
from modekeeper.passports.passport import (
    PASSPORT_SCHEMA,
    Approval,
    ApprovalRules,
    ChangeBudget,
    MetricGuard,
    Passport,
    TargetSelector,
)
from modekeeper.passports.watched_metrics import LOWER_IS_BETTER
from modekeeper.policy.catalog import load_default
from modekeeper.policy.chord_spec import HOLD_CHORD, RELOCK_CHORD
from modekeeper.policy.document_check import MISSING, DocumentChecker, bounded
from modekeeper.policy.knobs import Knob, find_knob, is_on_grid
from modekeeper.policy.limits import DEFAULT_MAX_DELTA_PER_STEP, KnobLimit
from modekeeper.policy.promises import HIGHER_IS_BETTER
from modekeeper.policy.strict_json import Problem, child, read_strict
from modekeeper.policy.wording import shown

__all__ = ["LONGEST_PASSPORT_BYTES", "PassportCheck", "check_document"]

LONGEST_PASSPORT_BYTES = 64 * 1024
LONGEST_TITLE = 120
LONGEST_S = 30 * 24 * 3600
SHORTEST_WINDOW_S = 1
MOST_CHANGES = 64
"""As many changes of each chord as the loop remembers."""

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LONGEST_OBJECT_NAME = 253
_REQUIRED = ("schema_version", "name", "title", "chords", "actuations", "approval")
_OPTIONAL = ("targets", "max_delta_per_step", "knobs", "invariants", "cooldown_s", "budget")
_ALWAYS_APPROVED = ("cold", "advanced")


class PassportCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What was found. ``passport`` is there exactly when there is no problem."""

    problems: tuple[Problem, ...]
    passport: Passport | None


def check_document(data: bytes) -> PassportCheck:
    """Check the bytes of a ``passport.v0`` document. Never raises.

    One that would widen anything the product allows is no passport: it is refused as a whole, not in parts.
    """
    document, faults = read_strict(data, longest=LONGEST_PASSPORT_BYTES)
    checker = _Checker(faults)
    passport = None if document is None and faults else checker.document(document)
    if checker.problems or passport is None:
        return PassportCheck(problems=bounded(checker.problems), passport=None)
    return PassportCheck(problems=(), passport=passport)


class _Checker(DocumentChecker):
    """Walks a passport."""

    def document(self, value: Any) -> Passport | None:
        fields = self._object(value, "$", required=_REQUIRED, optional=_OPTIONAL)
        if fields is None:
            return None
        if fields.get("schema_version", PASSPORT_SCHEMA) != PASSPORT_SCHEMA:
            self._add("$.schema_version", "wrong_schema_version", f"must be {PASSPORT_SCHEMA!r}")
        chords = self._words(fields, "$", "chords", self._chord)
        self._way_back(chords)
        approval = self._approval(fields, chords)
        name, title, targets = self._name(fields), self._title(fields), self._targets(fields)
        actuations = tuple(Actuation(word) for word in self._words(fields, "$", "actuations", self._actuation))
        delta = self._number(fields, "$", "max_delta_per_step", 0, DEFAULT_MAX_DELTA_PER_STEP)
        knobs, invariants = self._knobs(fields), self._invariants(fields)
        cooldown_s, budget = self._number(fields, "$", "cooldown_s", 0, LONGEST_S), self._budget(fields)
        if self.problems or approval is None:
            return None
        return Passport(
            schema_version=PASSPORT_SCHEMA,
            name=name,
            title=title,
            targets=targets,
            chords=chords,
            actuations=actuations,
            max_delta_per_step=delta,
            knobs=knobs,
            invariants=invariants,
            cooldown_s=cooldown_s,
            budget=budget,
            approval=approval,
        )

    def _name(self, fields: dict[str, Any]) -> str:
        value = self._text(fields, "$.name", "name")
        if value is not None and not _NAME.fullmatch(value):
            self._add(
                "$.name", "bad_name", f"{_spelled(value)}: 1 to 63 small letters, digits and dashes, a letter first"
            )
        return value or ""

    def _title(self, fields: dict[str, Any]) -> str:
        value = self._text(fields, "$.title", "title")
        if value is not None and not (0 < len(value) <= LONGEST_TITLE and value.isprintable()):
            self._add("$.title", "bad_text", f"one printable line of 1 to {LONGEST_TITLE} characters")
        return value or ""

    def _way_back(self, chords: tuple[str, ...]) -> None:
        """A change that cannot be taken back by the loop is none to allow."""
        if set(chords) - {HOLD_CHORD, RELOCK_CHORD} and RELOCK_CHORD not in chords:
            text = f"a passport that allows changes must allow {RELOCK_CHORD}, which takes them back"
            self._add("$.chords", "way_back_missing", text)

    def _targets(self, fields: dict[str, Any]) -> TargetSelector | None:
        inner = self._part(fields, "targets", required=(), optional=("namespaces", "kinds", "names"))
        if inner is None:
            return None
        reads: dict[str, Callable[[str, str], str | None]] = {
            "namespaces": self._namespace,
            "kinds": self._kind,
            "names": self._object_name,
        }
        return TargetSelector(**{word: self._some_of(inner, word, read) for word, read in reads.items()})

    def _some_of(
        self, inner: dict[str, Any], name: str, read: Callable[[str, str], str | None]
    ) -> tuple[str, ...] | None:
        if name not in inner:
            return None
        if inner[name] == []:
            self._add(child("$.targets", name), "empty", "name one at least, or leave this field out: then it is any")
        return self._words(inner, "$.targets", name, read)

    def _knobs(self, fields: dict[str, Any]) -> dict[str, KnobLimit]:
        made: dict[str, KnobLimit] = {}
        for name, limit in sorted(self._mapping(fields, "$", "knobs").items()):
            path = child("$.knobs", name)
            known = self._knob(name, path)
            knob = find_knob(name) if known is not None else None
            inner = self._object(limit, path, required=(), optional=("min", "max", "max_step"))
            if inner is None or knob is None:
                continue
            if knob.name in made:
                self._add(path, "duplicate_entry", f"{shown(name)} is another name of {knob.name}, which is there too")
            made[knob.name] = self._knob_limit(inner, path, knob)
        return made

    def _knob_limit(self, inner: dict[str, Any], path: str, knob: Knob) -> KnobLimit:
        if not inner:
            self._add(path, "empty", "give min, max or max_step, or leave the knob out")
        low = self._number(inner, path, "min", knob.lower, knob.upper)
        high = self._number(inner, path, "max", knob.lower, knob.upper)
        for name, value in (("min", low), ("max", high)):
            if value is not None and not is_on_grid(knob, value):
                self._add(child(path, name), "no_value", f"{knob.name} moves in steps of {knob.step:g} {knob.unit}")
        if low is not None and high is not None and low > high:
            self._add(path, "empty", "min is above max: no value is left")
        step = self._number(inner, path, "max_step", knob.step, knob.upper - knob.lower)
        return KnobLimit(min=low, max=high, max_step=step)

    def _invariants(self, fields: dict[str, Any]) -> tuple[MetricGuard, ...]:
        value = fields.get("invariants", MISSING)
        if value is MISSING:
            return ()
        if not isinstance(value, list):
            self._wrong_type("$.invariants", value, "a list")
            return ()
        known = sorted(HIGHER_IS_BETTER | LOWER_IS_BETTER)
        if len(value) > len(known):
            self._add("$.invariants", "too_many", f"{len(value)} entries; at most {len(known)}")
            return ()
        found: dict[str, MetricGuard] = {}
        for position, each in enumerate(value):
            path = child("$.invariants", position)
            inner = self._object(each, path, required=("metric", "not_worse_rel"), optional=())
            if inner is None:
                continue
            word = self._text(inner, child(path, "metric"), "metric")
            metric = None if word is None else self._known_word(word, child(path, "metric"), "unknown_metric", known)
            worse = self._number(inner, path, "not_worse_rel", 0, 1)
            if metric in found:
                self._add(child(path, "metric"), "duplicate_entry", f"{metric} is there already")
            if metric is not None and worse is not None:
                found[metric] = MetricGuard(metric=metric, not_worse_rel=worse)
        return tuple(found[metric] for metric in sorted(found))

    def _budget(self, fields: dict[str, Any]) -> ChangeBudget | None:
        inner = self._part(fields, "budget", required=("max_changes", "window_s"), optional=())
        if inner is None:
            return None
        most = self._whole(inner, "$.budget", "max_changes", 1, MOST_CHANGES)
        window_s = self._number(inner, "$.budget", "window_s", SHORTEST_WINDOW_S, LONGEST_S)
        return None if most is None or window_s is None else ChangeBudget(max_changes=most, window_s=window_s)

    def _approval(self, fields: dict[str, Any], chords: tuple[str, ...]) -> ApprovalRules | None:
        inner = self._part(fields, "approval", required=("hot", "cold", "advanced"), optional=("chords",))
        if inner is None:
            return None
        levels = {name: self._level(inner, "$.approval", name) for name in ("hot", "cold", "advanced")}
        for name in _ALWAYS_APPROVED:
            if levels[name] is Approval.NONE:
                text = f"{name} changes always need approval: 'operator' or 'signed'"
                self._add(child("$.approval", name), "widens", text)
        own: dict[str, Approval] = {}
        by_chord = self._mapping(inner, "$.approval", "chords")
        for name in sorted(by_chord):
            path = child("$.approval.chords", name)
            if self._chord(name, path) is not None and name not in chords:
                self._add(path, "not_allowed", f"{shown(name)} is not among the chords of this passport")
            level = self._level(by_chord, "$.approval.chords", name)
            if level is Approval.NONE:
                self._add(path, "widens", "a rule for one chord can only ask for more: 'operator' or 'signed'")
            if level is not None:
                own[name] = level
        hot, cold, advanced = levels["hot"], levels["cold"], levels["advanced"]
        if hot is None or cold is None or advanced is None:
            return None
        return ApprovalRules(hot=hot, cold=cold, advanced=advanced, chords=own)

    def _level(self, fields: dict[str, Any], path: str, name: str) -> Approval | None:
        here = child(path, name)
        word = self._text(fields, here, name)
        known = None if word is None else self._known_word(word, here, "unknown_approval", [a.value for a in Approval])
        return None if known is None else Approval(known)

    def _chord(self, word: str, path: str) -> str | None:
        return self._named(word, path, "unknown_chord", [chord.id for chord in load_default().chords])

    def _actuation(self, word: str, path: str) -> str | None:
        return self._named(word, path, "unknown_actuation", [actuation.value for actuation in Actuation])

    def _kind(self, word: str, path: str) -> str | None:
        kind = find_workload_kind(word) if word.isascii() else None
        if kind is not None and kind.kind == word:
            return word
        self._add(path, "unknown_kind", f"{_spelled(word)}: one of {', '.join(k.kind for k in WORKLOAD_KINDS)}")
        return None

    def _namespace(self, word: str, path: str) -> str | None:
        if _LABEL.fullmatch(word):
            return word
        self._add(path, "bad_name", f"{_spelled(word)} is no namespace: names are given in full, without patterns")
        return None

    def _object_name(self, word: str, path: str) -> str | None:
        if len(word) <= _LONGEST_OBJECT_NAME and all(_LABEL.fullmatch(label) for label in word.split(".")):
            return word
        self._add(path, "bad_name", f"{_spelled(word)} is no object name: names are given in full, without patterns")
        return None

    def _named(self, word: str, path: str, code: str, known: list[str]) -> str | None:
        """As ``_known_word``, and a word that only looks like a known one is spelled out."""
        if word.isascii():
            return self._known_word(word, path, code, known)
        self._add(path, code, f"{_spelled(word)} is not known, and holds characters that are not ASCII")
        return None

    def _part(
        self, fields: dict[str, Any], name: str, *, required: tuple[str, ...], optional: tuple[str, ...]
    ) -> dict[str, Any] | None:
        value = fields.get(name, MISSING)
        return None if value is MISSING else self._object(value, child("$", name), required=required, optional=optional)

    def _mapping(self, fields: dict[str, Any], path: str, name: str) -> dict[str, Any]:
        value = fields.get(name, MISSING)
        if value is MISSING:
            return {}
        if isinstance(value, dict):
            return value
        self._wrong_type(child(path, name), value, "an object")
        return {}

    def _number(self, fields: dict[str, Any], path: str, name: str, least: float, most: float) -> float | None:
        value, here = fields.get(name, MISSING), child(path, name)
        if value is MISSING:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool):
            self._wrong_type(here, value, "a number")
            return None
        # Whole numbers of any length are compared exactly, before they become a float.
        if not (least <= value <= most and math.isfinite(value)):
            self._add(here, "out_of_range", f"must be from {least:g} to {most:g}: a passport can only narrow")
            return None
        return float(value) + 0.0  # there is one zero


def _spelled(word: str) -> str:
    return f"{shown(word)!a}"
