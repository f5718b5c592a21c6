"""Reads the fields of a document exactly: all that must be there, nothing else, each in its one form."""

import re
import unicodedata
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

from modekeeper.model.untrusted import visible
from modekeeper.policy.strict_json import child, read_strict
from modekeeper.trust.ed25519 import SIGNATURE_BYTES, decode_base64
from modekeeper.trust.faults import TrustError

__all__ = ["DIGEST", "KID", "MOMENT_FORMAT", "WORD", "Fields", "read_document"]

KID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
WORD = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
MOMENT_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
"""The only way a time is written: ``2026-01-31T09:08:07Z``."""
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_LONGEST_TEXT = 200
_MOST_WORDS = 10_000
MOST_EXACT = 2**53 - 1
"""The largest whole number every reader of JSON has exactly (RFC 8785, 3.2.2.3)."""


def read_document(data: bytes, longest: int, error: type[TrustError]) -> "Fields":
    """The object in ``data``, read without leniency.

    Raises:
        TrustError: as ``error``, with the first fault of the form: ``too_large``, ``byte_order_mark``,
            ``not_utf8``, ``too_deep``, ``invalid_json``, ``not_a_number``, ``duplicate_key``, ``bad_text``,
            ``wrong_type`` where it is no object.
    """
    value, problems = read_strict(data, longest=longest)
    if problems:
        first = problems[0]
        raise error(first.code, visible(f"{first.path}: {first.message}"))
    return Fields(value, "$", error)


class Fields:
    """An object of a document. Every reader raises ``error`` with the place and what would be right."""

    def __init__(self, value: Any, path: str, error: type[TrustError]) -> None:
        self._error = error
        self._path = path
        if not isinstance(value, dict):
            self._refuse("wrong_type", path, "must be an object")
        self.object: Mapping[str, Any] = value

    def exactly(self, required: Collection[str], optional: Collection[str] = ()) -> None:
        """No field is missing, none is there that nobody knows."""
        for name in required:
            if name not in self.object:
                self._refuse("field_missing", child(self._path, name), "this field is required")
        for name in self.object:
            if name not in required and name not in optional:
                self._refuse("field_unknown", child(self._path, name), "no field of this document")

    def schema(self, wanted: str) -> None:
        """The document says that it is a ``wanted``."""
        if self.object.get("schema_version") != wanted:
            self._refuse("schema_unsupported", child(self._path, "schema_version"), f"must be {wanted!r}")

    def text(self, name: str) -> str:
        """A line of visible text in Unicode form NFC, without blanks at its ends."""
        value = self._text(name)
        whole = visible(value, _LONGEST_TEXT) == value and value == value.strip() and value != ""
        if not whole or unicodedata.normalize("NFC", value) != value:
            text = f"must be 1 to {_LONGEST_TEXT} visible characters in Unicode form NFC, on one line"
            self._refuse("field_invalid", child(self._path, name), text)
        return value

    def match(self, name: str, pattern: re.Pattern[str]) -> str:
        """A text that is all ``pattern``."""
        value = self._text(name)
        if pattern.fullmatch(value) is None:
            self._refuse("field_invalid", child(self._path, name), f"must be all {pattern.pattern}")
        return value

    def moment(self, name: str) -> datetime:
        """A time, UTC, in whole seconds."""
        value, here, right = self._text(name), child(self._path, name), "must be a time like 2026-01-31T09:08:07Z"
        if _MOMENT.fullmatch(value) is None:
            self._refuse("field_invalid", here, right)
        try:
            return datetime.strptime(value, MOMENT_FORMAT).replace(tzinfo=UTC)
        except ValueError:
            self._refuse("field_invalid", here, right)

    def whole(self, name: str, least: int) -> int:
        """A whole number, written as one."""
        value = self.object.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MOST_EXACT:
            self._refuse("field_invalid", child(self._path, name), f"must be a whole number from {least}")
        return value

    def words(self, name: str, pattern: re.Pattern[str]) -> tuple[str, ...]:
        """A list of different words, each all ``pattern``; empty where the field is not there."""
        value, here = self.object.get(name, []), child(self._path, name)
        if not isinstance(value, list) or len(value) > _MOST_WORDS:
            self._refuse("wrong_type", here, f"must be a list of at most {_MOST_WORDS} words")
        for position, word in enumerate(value):
            if not isinstance(word, str) or pattern.fullmatch(word) is None:
                self._refuse("field_invalid", child(here, position), f"must be all {pattern.pattern}")
        if len(set(value)) != len(value):
            self._refuse("field_invalid", here, "lists a word twice")
        return tuple(value)

    def signature(self) -> bytes:
        """64 bytes in base64."""
        value = decode_base64(self._text("signature"), SIGNATURE_BYTES)
        if value is None:
            text = f"must be {SIGNATURE_BYTES} bytes in standard base64, with its padding"
            self._refuse("signature_malformed", child(self._path, "signature"), text)
        return value

    def inner(self, name: str) -> "Fields":
        """The object in the field ``name``."""
        return Fields(self.object.get(name), child(self._path, name), self._error)

    def _text(self, name: str) -> str:
        value = self.object.get(name)
        if not isinstance(value, str):
            self._refuse("wrong_type", child(self._path, name), "must be a text")
        return value

    def _refuse(self, code: str, path: str, text: str) -> NoReturn:
        raise self._error(code, visible(f"{path}: {text}"))
