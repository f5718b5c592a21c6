"""Text from outside made safe to show: nothing in it can move, hide or reorder what stands around it."""

import unicodedata

__all__ = ["visible"]

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories without a shape of their own: controls, direction marks, lone surrogates, private use."""


_LAST_SHORT = 0xFFFF
"""The last character whose escape has four digits."""


def visible(text: str, limit: int = 500) -> str:
    r"""``text`` on one line, every invisible character spelled out, cut to ``limit`` characters.

    White space of any kind becomes a single blank. A character that shows nothing, or that changes the
    direction of the text around it, is written as its escape: a right-to-left override reads ``\u202e``.
    """
    cut = text[: limit + 1]
    shown = "".join(map(_shown, " ".join(cut.split())))
    return shown if len(cut) <= limit and len(shown) <= limit else shown[: max(limit - 1, 0)] + "…"


def _shown(character: str) -> str:
    if character == " " or unicodedata.category(character) not in _HIDDEN:
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code <= _LAST_SHORT else f"\\U{code:08x}"
