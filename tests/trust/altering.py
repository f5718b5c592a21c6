"""A good signed document, altered: what the tables of attacks are made of."""

import base64
import json
from collections.abc import Callable
from typing import Any

from tests.trust.signing import b64, dumped

__all__ = ["with_field_in", "with_signature_in", "with_text_in"]


def with_text_in(good: bytes, old: str, new: str) -> Callable[[], bytes]:
    """The document with some of its text replaced."""

    def make() -> bytes:
        changed = good.decode().replace(old, new, 1)
        assert changed != good.decode()
        return changed.encode()

    return make


def with_field_in(good: bytes, **more: Any) -> Callable[[], bytes]:
    """The document with further fields, or other values in those it has."""
    return lambda: dumped(json.loads(good) | more)


def with_signature_in(good: bytes, change: Callable[[bytes], bytes]) -> Callable[[], bytes]:
    """The document with its signature changed."""
    document = json.loads(good)
    return lambda: dumped(document | {"signature": b64(change(base64.b64decode(document["signature"])))})
