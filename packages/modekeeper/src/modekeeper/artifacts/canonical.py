"""One way to write an artifact's bytes, so that the same facts give the same bytes."""

import json
from typing import Any

import msgspec

__all__ = ["canonical_digest", "document", "json_line", "plain"]


def plain(value: Any) -> Any:
    """``value`` as JSON values; numbers that JSON cannot carry (NaN, infinities) become ``null``."""
    return msgspec.json.decode(msgspec.json.encode(value))


def document(value: Any) -> bytes:
    """A whole JSON file: sorted keys, two spaces, UTF-8, one final newline."""
    # In two steps, which is more than twice as fast as ``indent=2``: the standard library indents in Python.
    line = json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return msgspec.json.format(line.encode(), indent=2) + b"\n"


def json_line(value: Any) -> bytes:
    """One line of a JSON-lines file: sorted keys, no spaces, UTF-8, one final newline."""
    return msgspec.json.encode(value, order="sorted") + b"\n"


def canonical_digest(value: Any) -> str:
    """``sha256:<hex>`` over the sorted, spaceless JSON form of ``value``."""
    import hashlib  # noqa: PLC0415 - loads OpenSSL, and a command that lists something hashes nothing

    return "sha256:" + hashlib.sha256(msgspec.json.encode(plain(value), order="sorted")).hexdigest()
