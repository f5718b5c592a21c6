"""``Warning: 299 - "text"``: what the API server wants a person to know (KEP-1693, RFC 7234 section 5.5)."""

import re
from collections.abc import Iterable

from modekeeper.cluster.answers import shown

__all__ = ["warnings_of"]

_WARNING = re.compile(r'299 [^ ]+ "((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")
_AT_MOST = 20
_HEADER_LIMIT = 8192


def warnings_of(headers: Iterable[str]) -> tuple[str, ...]:
    """The texts, escaped, in their order, each once."""
    texts = [text for header in headers for text in _WARNING.findall(header[:_HEADER_LIMIT])]
    return tuple(dict.fromkeys(shown(_ESCAPED.sub(r"\1", text)) for text in texts))[:_AT_MOST]
