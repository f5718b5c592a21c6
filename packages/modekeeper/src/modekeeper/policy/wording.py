"""Text from outside, made fit for one line of a report."""

from collections.abc import Sequence

__all__ = ["did_you_mean", "listed", "shown"]

_LONGEST_SHOWN = 64
_LONGEST_NAME = 253
_MOST_NAMED = 8


def shown(text: str, longest: int = _LONGEST_SHOWN) -> str:
    """``text`` without anything a terminal or a log could act on, cut to ``longest`` characters."""
    cut = text if len(text) <= longest else text[: longest - 1] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in cut)


def listed(words: Sequence[str], longest: int = 5) -> str:
    """``a, b, c`` with what is beyond ``longest`` counted; each word through :func:`shown`."""
    more = f" and {len(words) - longest} more" if len(words) > longest else ""
    return ", ".join(shown(word) for word in words[:longest]) + more


def did_you_mean(name: str, names: Sequence[str]) -> str:
    """Which of ``names``, of which there is one at least, was meant by ``name``; where none is like it, all of them."""
    from difflib import get_close_matches  # noqa: PLC0415 - only where somebody mistyped

    close = get_close_matches(name, names, n=1)
    return f"did you mean {shown(close[0], _LONGEST_NAME)!r}?" if close else f"there is: {listed(names, _MOST_NAMED)}"
