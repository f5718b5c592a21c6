"""Label and field selectors, as the API reads them."""

import re
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["SelectorError", "field_matcher", "label_matcher"]

Matcher = Callable[[Mapping[str, Any]], bool]

_SET = re.compile(r"^\s*(?P<key>[^\s!=,()]+)\s+(?P<op>in|notin)\s+\((?P<values>[^()]*)\)\s*$")
_EQUAL = re.compile(r"^\s*(?P<key>[^\s!=,()]+)\s*(?P<op>==|=|!=)\s*(?P<value>[^\s!=,()]*)\s*$")
_EXISTS = re.compile(r"^\s*(?P<no>!?)\s*(?P<key>[^\s!=,()]+)\s*$")
_BETWEEN = re.compile(r",(?![^()]*\))")


class SelectorError(ValueError):
    """Not a selector."""


def label_matcher(selector: str) -> Matcher:
    """Whether an object's labels are those of ``selector``: ``a=b,c!=d,e in (f,g),h notin (i),j,!k``.

    Raises:
        SelectorError: it is not a selector.
    """
    terms = [_label_term(term) for term in _terms(selector)]
    return lambda found: all(term((found.get("metadata") or {}).get("labels") or {}) for term in terms)


def field_matcher(selector: str) -> Matcher:
    """Whether an object's fields are those of ``selector``: ``metadata.name=a,status.phase!=Running``.

    Raises:
        SelectorError: it is not a selector.
    """
    parsed = []
    for term in _terms(selector):
        match = _EQUAL.match(term)
        if match is None:
            raise SelectorError(f"{term!r} is no field selector")
        parsed.append((match["key"].split("."), match["op"] != "!=", match["value"]))
    return lambda found: all((_field(found, path) == value) is wanted for path, wanted, value in parsed)


def _terms(selector: str) -> list[str]:
    return _BETWEEN.split(selector) if selector.strip() else []


def _label_term(term: str) -> Matcher:
    if match := _SET.match(term):
        key, values = match["key"], {value.strip() for value in match["values"].split(",")}
        if match["op"] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if match := _EQUAL.match(term):
        key, value = match["key"], match["value"]
        if match["op"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if match := _EXISTS.match(term):
        key, there = match["key"], not match["no"]
        return lambda labels: (key in labels) is there
    raise SelectorError(f"{term!r} is no label selector")


def _field(found: Mapping[str, Any], path: list[str]) -> str:
    value: Any = found
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return "" if value is None else str(value)
