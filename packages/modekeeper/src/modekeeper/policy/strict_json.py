"""JSON from outside, read without any of the leniencies a document can hide behind.

RFC 8259 leaves duplicate keys open, and the standard library takes NaN; both can make two readers of one document
see two different things, so both are faults here, as are byte-order marks, deep nesting and lone surrogates.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NoReturn

import msgspec

from modekeeper.policy.wording import shown

__all__ = ["Problem", "child", "read_strict"]

DEEPEST = 32
_DEPTH_TOKENS = re.compile(r'\\.|"|[\[{\]}]', re.DOTALL)
_PLAIN_STRING = re.compile(r'"[^"]*"')
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong with a document."""

    path: str
    """Where, as a JSON path: ``$.chords[2].id``."""
    code: str
    message: str
    """One line: what, and what would be right."""


class _Object(dict[str, Any]):
    """A JSON object that remembers the keys it was given twice."""

    repeated: tuple[str, ...] = ()


class _NotJsonError(Exception):
    """A token JSON does not have."""


def read_strict(data: bytes, *, longest: int) -> tuple[Any, tuple[Problem, ...]]:
    """The value of a JSON document of at most ``longest`` bytes, and every fault of its form.

    The value is ``None`` when there is none to be had; faults that leave a value (duplicate keys, lone surrogates)
    come with it, and a caller that acts upon the value must not ignore them.
    """
    text = _text(data, longest)
    if isinstance(text, Problem):
        return None, (text,)
    repeating: list[_Object] = []

    def noted(pairs: list[tuple[str, Any]]) -> _Object:
        made = _object(pairs)
        if made.repeated:
            repeating.append(made)
        return made

    try:
        value = json.loads(text, object_pairs_hook=noted, parse_constant=_refuse, parse_float=_finite)
    except json.JSONDecodeError as error:
        return None, (_whole("invalid_json", f"line {error.lineno}, column {error.colno}: {error.msg}"),)
    except _NotJsonError as error:
        return None, (_whole("not_a_number", f"{error} is no number of JSON"),)
    except ValueError:  # an integer of thousands of digits
        return None, (_whole("not_a_number", "a number has too many digits"),)
    # Text that was UTF-8 holds a surrogate only where it is escaped: most documents need not be walked through.
    return value, tuple(_faults(value, "$")) if repeating or _ESCAPED_SURROGATE.search(text) else ()


def child(path: str, key: str | int) -> str:
    """The path of a member of what is at ``path``; a key that is not plain is quoted and escaped."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    if _PLAIN_KEY.fullmatch(key):
        return f"{path}.{key}"
    return f"{path}[{json.dumps(shown(key))}]"


def _text(data: bytes, longest: int) -> str | Problem:
    if len(data) > longest:
        return _whole("too_large", f"{len(data)} bytes; at most {longest} are read")
    if data.startswith(b"\xef\xbb\xbf"):
        return _whole("byte_order_mark", "begins with a byte-order mark; save it as plain UTF-8")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        return _whole("not_utf8", f"byte {error.start} is not UTF-8")
    return _whole("too_deep", f"nested more than {DEEPEST} deep") if _depth(text) > DEEPEST else text


def _whole(code: str, message: str) -> Problem:
    return Problem(path="$", code=code, message=message)


def _refuse(token: str) -> NoReturn:
    raise _NotJsonError(token)


def _finite(token: str) -> float:
    value = float(token)
    if value in {float("inf"), float("-inf")}:
        raise _NotJsonError(shown(token))
    return value


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    made = _Object(pairs)
    if len(made) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        made.repeated = tuple(sorted(key for key, count in counts.items() if count > 1))
    return made


def _depth(text: str) -> int:
    """Deepest nesting of brackets outside strings; found before parsing, because the parser recurses."""
    if "\\" not in text:
        # Without escapes quotes come in pairs; what stands after the last one that nothing closes is in a string.
        text = _PLAIN_STRING.sub("", text).partition('"')[0]
    deepest = depth = 0
    in_string = False
    for token in _DEPTH_TOKENS.findall(text):
        first = token[0]
        if first == '"':
            in_string = not in_string
        elif first != "\\" and not in_string:
            depth += 1 if first in "[{" else -1
            deepest = max(deepest, depth)
    return deepest


def _faults(value: Any, path: str) -> Iterator[Problem]:
    match value:
        case str() if not value.isascii() and _is_broken(value):
            yield Problem(path=path, code="bad_text", message="holds half of a surrogate pair")
        case list():
            for position, item in enumerate(value):
                yield from _faults(item, child(path, position))
        case _Object():
            for key in value.repeated:
                yield Problem(path=child(path, key), code="duplicate_key", message="this key is given twice")
            for key, item in value.items():
                if _is_broken(key):
                    yield Problem(path=child(path, key), code="bad_text", message="holds half of a surrogate pair")
                yield from _faults(item, child(path, key))
        case _:
            return


def _is_broken(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)
