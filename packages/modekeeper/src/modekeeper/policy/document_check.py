"""Walking a JSON document from outside, and writing down everything that is wrong with it."""

import difflib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from modekeeper.policy.knobs import find_knob, similar_knob
from modekeeper.policy.strict_json import Problem, child
from modekeeper.policy.wording import shown

__all__ = ["MISSING", "DocumentChecker", "bounded"]

MOST_WORDS = 32
MOST_PROBLEMS = 500
"""What is listed of a document that is wrong all over; the count beyond is said."""
MISSING: Any = object()
"""Stands for a field that is not there, which ``null`` is not."""


def bounded(problems: list[Problem]) -> tuple[Problem, ...]:
    """The problems, as many as anybody reads."""
    if len(problems) <= MOST_PROBLEMS:
        return tuple(problems)
    more = Problem(path="$", code="more_problems", message=f"{len(problems) - MOST_PROBLEMS} more, not listed")
    return (*problems[:MOST_PROBLEMS], more)


class DocumentChecker:
    """What documents of all kinds have in common; each kind of document has a class that walks it."""

    def __init__(self, faults: Iterable[Problem]) -> None:
        self.problems = list(faults)

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
        near = self._similar(name, known)
        text = "no field of this object" + (f"; did you mean {near[0]!r}?" if near else "; remove it")
        self._add(path, "unknown_field", text)

    def _text(self, fields: dict[str, Any], path: str, name: str) -> str | None:
        value = fields.get(name, MISSING)
        if value is MISSING or isinstance(value, str):
            return value if isinstance(value, str) else None
        self._wrong_type(path, value, "a text")
        return None

    def _whole(self, fields: dict[str, Any], path: str, name: str, least: int, most: int) -> int | None:
        value, here = fields.get(name, MISSING), child(path, name)
        if value is MISSING:
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
        value, here = fields.get(name, MISSING), child(path, name)
        if value is MISSING:
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

    def _known_word(self, word: str, path: str, code: str, known: list[str]) -> str | None:
        if word in known:
            return word
        near = self._similar(word, known)
        hint = f"did you mean {near[0]!r}?" if near else f"one of {', '.join(known)}"
        self._add(path, code, f"{shown(word)!r} is not known; {hint}")
        return None

    def _knob(self, word: str, path: str) -> str | None:
        knob = find_knob(word)
        if knob is None:
            near = similar_knob(word)
            hint = f"did you mean {near!r}?" if near else "see the list of knobs in the documentation"
            self._add(path, "unknown_knob", f"{shown(word)!r} is no knob; {hint}")
            return None
        return knob.name

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
