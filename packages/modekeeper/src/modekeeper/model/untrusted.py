"""Text from outside made safe to show: nothing in it can move, hide or reorder what stands around it."""

import unicodedata
from collections.abc import Iterable

__all__ = ["visible", "visible_ends"]

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


_GAP = " … "
_LOOKED_AT = 8
"""So many times ``limit`` characters of each end are looked at: white space may shrink on the way."""


def visible_ends(text: str, limit: int = 500) -> str:
    """The same, but a text that is too long loses its middle: its beginning and its end stay, half of each.

    For texts that name what is wrong at their end, after all of what it is wrong with.
    """
    looked_at = _LOOKED_AT * limit
    if len(text) <= 2 * looked_at:
        head = tail = [_shown(character) for character in " ".join(text.split())]
        if sum(map(len, head)) <= limit:
            return "".join(head)
    else:
        head = [_shown(character) for character in " ".join(text[:looked_at].split())]
        tail = [_shown(character) for character in " ".join(text[-looked_at:].split())]
    room = max(limit - len(_GAP), 0)
    first = _fitting(head, room // 2)
    last = _fitting(reversed(tail), room - room // 2)
    return f"{''.join(first).rstrip()}{_GAP}{''.join(reversed(last)).lstrip()}"


def _fitting(shown: Iterable[str], room: int) -> list[str]:
    """As many of the first as have room; none of them in part."""
    fitting: list[str] = []
    for each in shown:
        room -= len(each)
        if room < 0:
            break
        fitting.append(each)
    return fitting


def _shown(character: str) -> str:
    if character == " " or unicodedata.category(character) not in _HIDDEN:
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code <= _LAST_SHORT else f"\\U{code:08x}"
