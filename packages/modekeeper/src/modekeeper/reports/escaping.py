"""Text of any kind in Markdown, as text and nothing else."""

import re

from modekeeper.model.untrusted import visible

__all__ = ["escaped"]

_SPECIAL = re.compile(r"[\\`*\[\]|~$#]|(?<![^\W_])_|_(?![^\W_])")
"""Characters that are markup anywhere; an underscore between letters is none, so that paths stay as they are."""

_BLOCK = re.compile(r"^(?:[-+](?=\s|$)|-{2,}|=+|\d{1,9}[.)](?=\s|$))")
"""What makes a list or a heading of the line it begins."""

_LINK = re.compile(r"(?i):(?=//)|(?<=www)\.")
"""What makes a link of a bare address."""

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;"}
_LONG = 2000


def escaped(value: str, limit: int = _LONG) -> str:
    """``value`` as one line of plain text in Markdown: no markup, no HTML, no link, no mention."""
    line = _SPECIAL.sub(r"\\\g<0>", visible(value, limit))
    line = "".join(_ENTITIES.get(character, character) for character in line)
    line = _BLOCK.sub(lambda start: f"{start[0][:-1]}\\{start[0][-1]}", line)
    return _LINK.sub(r"\\\g<0>", line)
