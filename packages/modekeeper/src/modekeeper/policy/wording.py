"""Text from outside, made fit for one line of a report."""

from collections.abc import Sequence

__all__ = ["listed", "shown"]

_LONGEST_SHOWN = 64


def shown(text: str, longest: int = _LONGEST_SHOWN) -> str:
    """``text`` without anything a terminal or a log could act on, cut to ``longest`` characters."""
    cut = text if len(text) <= longest else text[: longest - 1] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in cut)


def listed(words: Sequence[str], longest: int = 5) -> str:
    """``a, b, c`` with what is beyond ``longest`` counted; each word through :func:`shown`."""
    more = f" and {len(words) - longest} more" if len(words) > longest else ""
    return ", ".join(shown(word) for word in words[:longest]) + more
